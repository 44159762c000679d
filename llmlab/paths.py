"""Where the program's own files lie, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def resources() -> Path:
    """The folder `resources`: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "resources"
    return installed if installed.is_dir() else package.parent / "resources"


def bundled_model(name: str) -> Path:
    """The folder of the bundled model `name`: decoder, encoder or seq2seq."""
    return resources() / "models" / name
