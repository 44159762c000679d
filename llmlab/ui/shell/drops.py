"""One registry for everything that is dropped, opened by dialog or named on the command line.

The order in which the kinds are asked, which is what the README's table says to the user: first those that look inside
(Decoding's run records and settings), then, of the panels, the one that was made last (the calculator's configurations
while it is in front; Shots' data, and texts while it is in front), at last the window's own, models and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmlab import textfile


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that can be dropped.

    `accepts` is asked while dragging, so it looks at names and at the file system's entries. One that `looks_inside`
    tells its files by what is in them, of which it may read a little, and is asked before the others.
    `promise` says what would happen, as the overlay shows it.
    """

    name: str
    accepts: Callable[[Path], bool]
    promise: Callable[[Path], str]
    handle: Callable[[Path], None]
    looks_inside: bool = False


class DropRegistry:
    """Kind -> handler, asked in the order of registration. Panels add their own."""

    def __init__(self) -> None:
        self._kinds: list[Kind] = []

    def add(self, kind: Kind, *, first: bool = False) -> None:
        """Later kinds are asked after earlier ones, unless they come `first`: a panel's that take a file from others
        while the panel is in front.
        """
        self._kinds.insert(0 if first else len(self._kinds), kind)

    def kind_of(self, path: Path) -> Kind | None:
        """The first kind that accepts `path`."""
        kinds = sorted(self._kinds, key=lambda kind: not kind.looks_inside)
        return next((kind for kind in kinds if kind.accepts(path)), None)

    def promise(self, paths: Sequence[Path]) -> tuple[bool, str]:
        """Whether `paths` can be used, and the words for it: what would happen, or why nothing can."""
        if len(paths) != 1:
            return False, f"{len(paths)} things at once: drop one text file or one model folder"
        kind = self.kind_of(paths[0])
        return (True, kind.promise(paths[0])) if kind else (False, refusal(paths[0]))

    def handle(self, paths: Sequence[Path]) -> str | None:
        """Use `paths`; returns None, or why they can't be used."""
        usable, words = self.promise(paths)
        if not usable:
            return words
        kind = self.kind_of(paths[0])
        assert kind is not None
        kind.handle(paths[0])
        return None


def is_text(path: Path) -> bool:
    """A file that by its name holds text; one without any suffix may."""
    return path.is_file() and (path.suffix.lower() in textfile.TEXT_SUFFIXES or path.suffix == "")


def is_model(path: Path) -> bool:
    """A folder with a config.json, or a file inside one that belongs to a model."""
    folder = path if path.is_dir() else path.parent
    return (folder / "config.json").is_file() and (path.is_dir() or path.name == "config.json" or _is_weights(path))


def _is_weights(path: Path) -> bool:
    return path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json")


def refusal(path: Path) -> str:
    """Why `path` is of no use here, in one line."""
    suffix = path.suffix.lower()
    if not path.exists():
        return f"{path.name} does not exist (any more)"
    if path.is_dir():
        return f"{path.name} is no model folder: it has no config.json"
    if suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}:
        return f"{path.name} may hold pickled code, which is never run here: use safetensors weights"
    if suffix == ".gguf":
        return f"{path.name} is a GGUF file: open the model's safetensors folder instead"
    if suffix == ".safetensors":
        return f"{path.name} has no config.json beside it: drop the model's whole folder"
    return f"{path.name} is neither a text file nor a model folder"
