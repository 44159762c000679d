"""The window and its panels. Nothing here imports torch or transformers."""
