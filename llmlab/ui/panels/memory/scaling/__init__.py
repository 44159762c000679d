"""Scaling laws: which size, how many tokens, for how much compute."""
