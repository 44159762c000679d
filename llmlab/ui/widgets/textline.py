"""Where the characters of a laid-out line of text stand."""

from __future__ import annotations

from typing import cast

from PySide6.QtGui import QTextLine


def cursor_x(line: QTextLine, place: int) -> float:
    """Pixels from the left at which a cursor stands before character `place` of the text that `line` is a part of."""
    x, _ = cast("tuple[float, int]", line.cursorToX(place))  # PySide6 types the pair as an object
    return x
