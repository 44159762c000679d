"""LLM Lab: a desktop laboratory for exploring how language models behave."""

__version__ = "0.1.0"
