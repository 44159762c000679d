"""Everything that knows what a model is; usable from scripts and notebooks, without a window.

    from llmlab.engine import Engine
    engine = Engine.open("bundled:decoder")
    engine.next_token("Once upon a time").probabilities

`Engine` is imported on first use, because importing it imports torch: the window needs the types and
the arithmetic of this package long before it needs a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmlab.engine.errors import EngineError

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine

__all__ = ["Engine", "EngineError"]


def __getattr__(name: str) -> object:
    if name == "Engine":
        from llmlab.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
