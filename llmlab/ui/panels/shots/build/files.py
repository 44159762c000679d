"""Which files the tab takes when they are dropped, and what its own are called. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from llmlab.engine.datasets.formats import SUFFIXES, TABLE_SUFFIXES
from llmlab.ui.shell.drops import Kind


def kinds(in_front: Callable[[], bool], dropped: Callable[[Path], None]) -> tuple[Kind, ...]:
    """Files with data are always for this tab; plain texts, which make prompts, only while it is in front."""
    return (
        _kind("shots data", TABLE_SUFFIXES, lambda: True, dropped),
        _kind("shots text", SUFFIXES - TABLE_SUFFIXES, in_front, dropped),
    )


def takes(path: Path) -> bool:
    """Files with data, wherever they are dropped."""
    return _is_one_of(TABLE_SUFFIXES, path)


def name_for(project: str) -> str:
    """A file name for a project of that name, without its suffix."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in project.lower()).strip("-")
    return plain or "prompt"


def _kind(name: str, suffixes: Collection[str], now: Callable[[], bool], dropped: Callable[[Path], None]) -> Kind:
    def accepts(path: Path) -> bool:
        return _is_one_of(suffixes, path) and now()

    return Kind(name, accepts, lambda path: f"Look at {path.name} as examples", dropped)


def _is_one_of(suffixes: Collection[str], path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in suffixes and not _of_model(path)


def _of_model(path: Path) -> bool:
    """A JSON file that belongs to a model's folder."""
    return path.suffix == ".json" and (path.parent / "config.json").is_file()
