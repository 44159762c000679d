"""The recipe that makes the bundled models: tokenizer, text, objectives, training loop, export and report.

Run it with ``python -m llmlab.training --help``. Nothing here imports Qt.
"""
