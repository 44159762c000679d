"""Asks for files to write and to read, and writes pictures: PNG, SVG, PDF."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QMarginsF, QRect, QSize, QSizeF
from PySide6.QtGui import QImage, QPageLayout, QPageSize, QPainter, QPdfWriter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QFileDialog, QWidget

from llmlab import textfile

FILTERS = {
    "cforge": "ChainForge flow (*.cforge)",
    "csv": "Comma-separated values (*.csv)",
    "html": "Web page (*.html)",
    "json": "JSON (*.json)",
    "jsonl": "JSON Lines (*.jsonl *.ndjson)",
    "md": "Markdown (*.md)",
    "npz": "NumPy arrays (*.npz)",
    "png": "PNG picture (*.png)",
    "svg": "SVG drawing (*.svg)",
    "pdf": "PDF page (*.pdf)",
    "tsv": "Tab-separated values (*.tsv *.tab)",
    "txt": "Text (*.txt *.md)",
    "xlsx": "Excel workbook (*.xlsx)",
    "yaml": "YAML (*.yaml *.yml)",
}
FINENESS = 4.0  # dots of a PDF page in a pixel of the widget
POINTS = 0.75  # in a pixel: 72 to the inch, where a screen is said to have 96

Draw = Callable[[QPainter, float], None]


def ask_path(parent: QWidget, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
    """Let the user choose a file to write, such as "map.png", of one of `kinds` (suffixes), and go on with it."""
    dialog = QFileDialog(parent, "Save", name, ";;".join(FILTERS[kind] for kind in kinds))
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(Path(name).suffix.removeprefix(".") or kinds[0])
    _go_on(dialog, then)


def ask_file(parent: QWidget, title: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
    """Let the user choose a file to read, of one of `kinds` (suffixes), and go on with it."""
    patterns = [re.sub(r".*\((.*)\)", r"\1", FILTERS[kind]) for kind in kinds]
    all_kinds = [f"All of these ({' '.join(patterns)})"] if len(kinds) > 1 else []
    dialog = QFileDialog(parent, title, "", ";;".join([*all_kinds, *(FILTERS[kind] for kind in kinds)]))
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    _go_on(dialog, then)


def ask_folder(parent: QWidget, title: str, then: Callable[[Path], None]) -> None:
    """Let the user choose a folder, and go on with it."""
    dialog = QFileDialog(parent, title)
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    _go_on(dialog, then)


def _go_on(dialog: QFileDialog, then: Callable[[Path], None]) -> None:
    dialog.fileSelected.connect(lambda chosen: then(Path(chosen)))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def png_writer(image: QImage) -> Callable[[Path], None]:
    """What writes `image`, in any thread. Raises OSError."""
    return lambda path: textfile.write_bytes(path, png_bytes(image))


def drawing_writer(kind: str, size: QSize, draw: Draw, title: str) -> Callable[[Path], None]:
    """Draws now, since `draw` may look at a widget; what writes it, in any thread. Raises OSError."""
    data = drawing_bytes(kind, size, draw, title)
    return lambda path: textfile.write_bytes(path, data)


def png_bytes(image: QImage) -> bytes:
    """A PNG file."""
    buffer = _buffer()
    image.save(buffer, "PNG")  # type: ignore[call-overload]  # typed as bytes, taken as a str by every PySide6
    return bytes(buffer.data().data())


def drawing_bytes(kind: str, size: QSize, draw: Draw, title: str) -> bytes:
    """A file of lines and letters, "svg" or "pdf". `draw` is given the painter and dots in a pixel of `size`."""
    buffer = _buffer()
    device, scale = (_svg(buffer, size, title), 1.0) if kind == "svg" else (_pdf(buffer, size, title), FINENESS)
    painter = QPainter(device)
    painter.scale(scale, scale)
    draw(painter, scale)
    painter.end()
    del device
    return bytes(buffer.data().data())


def _buffer() -> QBuffer:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    return buffer


def _svg(buffer: QBuffer, size: QSize, title: str) -> QSvgGenerator:
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(size)
    generator.setViewBox(QRect(0, 0, size.width(), size.height()))
    generator.setTitle(title)
    return generator


def _pdf(buffer: QBuffer, size: QSize, title: str) -> QPdfWriter:
    writer = QPdfWriter(buffer)
    writer.setResolution(round(96 * FINENESS))
    page = QPageSize(QSizeF(size) * POINTS, QPageSize.Unit.Point, "", QPageSize.SizeMatchPolicy.ExactMatch)
    writer.setPageLayout(QPageLayout(page, QPageLayout.Orientation.Portrait, QMarginsF(0, 0, 0, 0)))
    writer.setTitle(title)
    return writer
