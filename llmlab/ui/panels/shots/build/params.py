"""What the tab keeps from one start to the next. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmlab.engine.datasets import project as projects
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.project import Project
from llmlab.engine.errors import InputError
from llmlab.ui.panels.shots.build.editing import Listed

MOST_CHARACTERS = 400_000  # of a project that is kept without having been saved
MOST_RECENT = 8


@dataclass(frozen=True, slots=True)
class Params:
    """`project` None: nothing was built yet. `file` is where it was saved, `recent` the last files, newest first."""

    project: Project | None = None
    file: str = ""
    unsaved: bool = False
    recent: tuple[str, ...] = ()
    listed: Listed = Listed.EXAMPLES

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        text = "" if self.project is None else projects.dumps(self.project)
        return {
            "project": text if len(text) <= MOST_CHARACTERS else "",
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
        )


def _project(text: str) -> Project | None:
    try:
        return projects.loads("The last project", text, Notes())
    except InputError:
        return None
