"""What every head of a model attends to, for texts of any length, and what comes of it.

    captured = engine.attention("Once upon a time")
    captured.weights(layer=0, head=3)

Importing this package imports no torch; `types` is what the window needs of it.
"""
