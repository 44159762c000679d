"""How the window comes to a tokenizer: one shelf for the prompt's editor and every panel. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer

Opener = Callable[[str], "OpenTokenizer"]


def open_on_shelf(spec: str) -> OpenTokenizer:
    """The tokenizer of `spec`, opened once a process. Called in a worker thread: it imports transformers."""
    from llmlab.engine.tokens.shelf import shelf

    return shelf().get(spec)
