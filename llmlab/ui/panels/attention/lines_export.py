"""The lines as a file: PNG, SVG or PDF. Called in a worker thread; touches no widget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QImage, QPainter

from llmlab import textfile
from llmlab.ui.panels.attention.lines_paint import Frame, paint
from llmlab.ui.widgets.saving import drawing_bytes, png_bytes

PIXELS = 3.0  # of a written picture for each on the screen: about 290 dpi


def write_picture(frame: Frame, path: Path) -> None:
    """Paint `frame` into a file, of the kind that the suffix of `path` says. Raises OSError."""
    frame = replace(frame, hovered=None)
    kind = path.suffix.lower().removeprefix(".")
    size = QSize(round(frame.width), round(frame.height))

    def draw(painter: QPainter, _scale: float) -> None:
        painter.fillRect(QRectF(0, 0, size.width(), size.height()), frame.colors.base)
        paint(painter, frame)

    if kind in ("svg", "pdf"):
        textfile.write_bytes(path, drawing_bytes(kind, size, draw, "Attention"))
        return
    image = QImage(size * PIXELS, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(PIXELS)
    painter = QPainter(image)
    draw(painter, PIXELS)
    painter.end()
    textfile.write_bytes(path, png_bytes(image))
