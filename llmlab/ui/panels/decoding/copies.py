"""To the clipboard and to files. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmlab import textfile
from llmlab.jobs.worker import Jobs
from llmlab.ui.panel import Desk, Notifier
from llmlab.ui.panels.decoding import export
from llmlab.ui.panels.decoding.picture import Picture
from llmlab.ui.panels.decoding.run import Run


class Copies:
    """Writes in the background: 152,000 rows take a while, and the window must not wait."""

    def __init__(self, jobs: Jobs, notifier: Notifier, desk: Desk) -> None:
        self._jobs = jobs
        self._notifier = notifier
        self._desk = desk

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)

    def run(self, run: Run, kind: str) -> None:
        """A completion to a file: "csv" or "json"."""
        frozen = replace(run, steps=list(run.steps))
        self._save(f"completion.{kind}", kind, lambda: export.run_text(frozen, kind))

    def distribution(self, picture: Picture, title: str, kind: str) -> None:
        """All tokens of a distribution: to a file ("csv", "json"), or to the clipboard ("copy")."""

        def text() -> str:
            return export.distribution_text(picture.shaped, picture.text_of, picture.reasons, kind, title)

        if kind == "copy":
            self._submit(text, self._desk.copy)
        else:
            self._save(f"distribution.{kind}", kind, text)

    def table(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], name: str, kind: str) -> None:
        """Rows to a file ("csv", "json"), or tab-separated to the clipboard ("copy")."""

        def text() -> str:
            return export.table_text(columns, rows, kind)

        if kind == "copy":
            self._submit(text, self._desk.copy)
        else:
            self._save(f"{name}.{kind}", kind, text)

    def _save(self, name: str, kind: str, text: Callable[[], str]) -> None:
        def save(path: Path) -> None:
            self._submit(
                lambda: textfile.write(path, text()), lambda _: self._notifier.say(f"Saved as {path.name}.", str(path))
            )

        self._desk.ask_path(name, (kind,), save)

    def _submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._jobs.submit(self, "write", lambda *_: work(), done=done, failed=self._notifier.error, needs_model=False)
