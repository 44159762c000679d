"""To the clipboard and to files. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from llmlab.ui.asking import Asking
from llmlab.ui.panel import Desk
from llmlab.ui.panels.decoding import export
from llmlab.ui.panels.decoding.picture import Picture
from llmlab.ui.panels.decoding.run import Run


class Copies:
    """Writes in the background: 152,000 rows take a while, and the window must not wait."""

    def __init__(self, asking: Asking, desk: Desk) -> None:
        self._asking = asking
        self._desk = desk

    def close(self) -> None:
        """Nothing more is delivered."""
        self._asking.forget(self)

    def run(self, run: Run, kind: str) -> None:
        """A completion to a file: "csv" or "json"."""
        frozen = replace(run, steps=list(run.steps))
        self._save(f"completion.{kind}", kind, lambda: export.run_text(frozen, kind))

    def distribution(self, picture: Picture, title: str, kind: str) -> None:
        """All tokens of a distribution: to a file ("csv", "json"), or to the clipboard ("copy")."""

        def text() -> str:
            return export.distribution_text(picture.shaped, picture.text_of, picture.reasons, kind, title)

        self._take("distribution", kind, text)

    def table(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], name: str, kind: str) -> None:
        """Rows to a file ("csv", "json"), or tab-separated to the clipboard ("copy")."""
        self._take(name, kind, lambda: export.table_text(columns, rows, kind))

    def _take(self, name: str, kind: str, text: Callable[[], str]) -> None:
        if kind == "copy":
            self._asking.beside(self, "copy", lambda _: text(), self._desk.copy)
        else:
            self._save(f"{name}.{kind}", kind, text)

    def _save(self, name: str, kind: str, text: Callable[[], str]) -> None:
        self._desk.ask_path(name, (kind,), lambda path: self._asking.write(path, text))
