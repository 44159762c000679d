"""What the tab keeps from one start to the next. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmlab.engine.datasets import project as projects
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.project import Project
from llmlab.engine.errors import InputError
from llmlab.ui.panels.shots.build.editing import Listed

MOST_CHARACTERS = 400_000  # of a project that is kept without having been saved
MOST_RECENT = 8
_ROW = 40  # characters of a row besides its texts


@dataclass(frozen=True, slots=True)
class Params:
    """`project` None: nothing was built yet. `file` is where it was saved, `recent` the last files, newest first.

    `cut`: the project was too large to be kept, and is here without its rows.
    """

    project: Project | None = None
    file: str = ""
    unsaved: bool = False
    recent: tuple[str, ...] = ()
    listed: Listed = Listed.EXAMPLES
    cut: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON values. Of a project that is too large for the settings the rows are left out, and `cut` says so."""
        kept, cut = _small(self.project)
        return {
            "project": "" if kept is None else projects.dumps(kept),
            "cut": cut,
            "file": self.file,
            "unsaved": self.unsaved,
            "recent": list(self.recent),
            "listed": self.listed.value,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; of something else as much as makes sense."""
        text, file, recent, listed = (saved.get(name) for name in ("project", "file", "recent", "listed"))
        return cls(
            _project(text) if isinstance(text, str) and text else None,
            file if isinstance(file, str) else "",
            saved.get("unsaved") is True,
            tuple(one for one in recent if isinstance(one, str))[:MOST_RECENT] if isinstance(recent, list) else (),
            Listed(listed) if listed in list(Listed) else Listed.EXAMPLES,
            saved.get("cut") is True,
        )


def _small(project: Project | None) -> tuple[Project | None, bool]:
    """A project that the settings can hold, and whether something is missing in it."""
    if project is None or _characters(project) <= MOST_CHARACTERS:
        return project, False
    without_test = replace(project, test=())
    if _characters(without_test) <= MOST_CHARACTERS:
        return without_test, True
    return replace(without_test, examples=()), True


def _characters(project: Project) -> int:
    """About how long the project would be as a file, without writing it."""
    rows = (*project.examples, *project.test)
    return sum(_ROW + len(row.output) + sum(len(name) + len(text) for name, text in row.fields) for row in rows)


def _project(text: str) -> Project | None:
    try:
        return projects.loads("The last project", text, Notes())
    except InputError:
        return None
