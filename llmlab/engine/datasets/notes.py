"""Collects what was skipped, changed or assumed while a file is read."""

from __future__ import annotations

from collections import Counter

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.types import Note, NoteKind


class Notes:
    """Notes in the order they arose; of a kind that never ends, the first ones and how many there were."""

    def __init__(self) -> None:
        self._told: list[Note] = []
        self._counts: Counter[NoteKind] = Counter()
        self._once: set[str] = set()

    def skipped(self, text: str, line: int | None = None) -> None:
        """A piece of the file is not among the rows."""
        self._add(NoteKind.SKIPPED, text, line)

    def changed(self, text: str, line: int | None = None) -> None:
        """A piece is among the rows, but not as it stood."""
        self._add(NoteKind.CHANGED, text, line)

    def not_run(self, text: str, line: int | None = None) -> None:
        """Code was found and left alone."""
        self._add(NoteKind.NOT_RUN, text, line)

    def unused(self, text: str, line: int | None = None) -> None:
        """Something has no meaning here."""
        self._add(NoteKind.UNUSED, text, line)

    def assumed(self, text: str, line: int | None = None) -> None:
        """A decision was taken that can be corrected."""
        self._add(NoteKind.ASSUMED, text, line)

    def changed_once(self, text: str, line: int | None = None) -> None:
        """Like `changed`, told a single time for many rows."""
        if text not in self._once:
            self._once.add(text)
            self.changed(text, line)

    def _add(self, kind: NoteKind, text: str, line: int | None) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= limits.NOTES:
            self._told.append(Note(kind, text, line))

    def result(self) -> tuple[Note, ...]:
        """All notes in the order of the lines, those beyond the limit as a number."""
        further = [
            Note(kind, f"{count - limits.NOTES:,} more like the ones above.")
            for kind, count in self._counts.items()
            if count > limits.NOTES
        ]
        return (*sorted(self._told, key=lambda note: note.line or 0), *further)

    def take(self, other: Notes) -> None:
        """Add the notes of `other`, which was a trial."""
        for note in other._told:
            self._add(note.kind, note.text, note.line)
        self._counts += other._counts - Counter(note.kind for note in other._told)
