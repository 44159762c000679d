"""What can be undone and done again. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmlab.engine.datasets.project import Project

MOST = 200  # steps that are remembered


@dataclass(frozen=True, slots=True)
class _Step:
    label: str  # what was done to get here
    project: Project
    file: str  # where the project was opened from or saved to; empty: nowhere
    merge: str = ""


class History:
    """Projects one after another. Steps with the same `merge`, such as the letters of a word, are undone at once."""

    def __init__(self, project: Project, file: str = "") -> None:
        self._done = [_Step("", project, file)]
        self._undone: list[_Step] = []

    @property
    def project(self) -> Project:
        """The project of the moment."""
        return self._done[-1].project

    @property
    def file(self) -> str:
        """The file of the project of the moment: undoing the opening of another one brings the former file back."""
        return self._done[-1].file

    @property
    def undo_label(self) -> str:
        """What `undo` takes back; empty if there is nothing."""
        return self._done[-1].label if len(self._done) > 1 else ""

    @property
    def redo_label(self) -> str:
        """What `redo` does again; empty if there is nothing."""
        return self._undone[-1].label if self._undone else ""

    def put(self, label: str, project: Project, merge: str = "", file: str | None = None) -> bool:
        """Go on to `project`, of another `file` if so said; False where nothing has changed."""
        file = self.file if file is None else file
        if (project, file) == (self.project, self.file):
            return False
        step = _Step(label, project, file, merge)
        if merge and not self._undone and len(self._done) > 1 and self._done[-1].merge == merge:
            self._done[-1] = step
        else:
            self._done.append(step)
        self._undone.clear()
        del self._done[1 : len(self._done) - MOST]
        return True

    def pause(self) -> None:
        """What comes now is a step of its own, whatever it is."""
        self._done[-1] = replace(self._done[-1], merge="")

    def saved(self, file: str) -> None:
        """The project of the moment, and what is made of it, belongs to `file` from now on."""
        self._done[-1] = replace(self._done[-1], file=file)

    def undo(self) -> Project:
        """One step back."""
        if len(self._done) > 1:
            self._undone.append(self._done.pop())
        return self.project

    def redo(self) -> Project:
        """One step forward again."""
        if self._undone:
            self._done.append(self._undone.pop())
        return self.project
