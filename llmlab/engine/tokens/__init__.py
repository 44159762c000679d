"""Looking into tokenizers: how a text becomes tokens, stage by stage, with the model loaded or without it.

    from llmlab.engine.tokens.shelf import shelf
    tokenizer = shelf().get("bundled:decoder")
    tokenizer.encode("Once upon a time").ids

Importing this package imports neither torch nor transformers; opening a tokenizer does.
"""
