"""How large a language model should be, and how long it should be trained, for a given budget of compute.

`laws` has the published scaling laws with their constants, `planning` turns GPUs and days into a model, `known` lists
models that were trained. numpy only. Compute is in floating-point operations, C = 6·N·D for N parameters and D tokens.
"""
