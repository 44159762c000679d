"""What the tab shows, as frozen values. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.datasets.project import Project
from llmlab.engine.datasets.types import Imported
from llmlab.engine.shots.types import Budget, Form, PartKind, Rendered
from llmlab.ui.panels.shots.build.applying import Choices, Use
from llmlab.ui.panels.shots.build.editing import Listed


@dataclass(frozen=True, slots=True)
class Screen:
    """The project and what can be done with it.

    `columns` are the fields of the table; `in_prompt` {row of the examples: its place in the prompt}; `undo` and
    `redo` what would be undone or done again, empty for nothing; `file` the name of the project's file, `unsaved`
    whether it lacks the last changes; `impossible` why a form cannot be chosen now; `remark` what was changed by
    itself.
    """

    project: Project
    columns: tuple[str, ...]
    listed: Listed
    in_prompt: dict[int, int]
    ticked: int
    undo: str
    redo: str
    file: str
    unsaved: bool
    recent: tuple[str, ...]
    impossible: dict[Form, str]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the budget bar. `tokens` of it; `shot` its place in the prompt, None for what is no shot."""

    kind: PartKind | None  # None: room for the completion
    name: str
    tokens: int
    shot: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The prompt on screen, or why there is none.

    `budget` None where no model is open: then only the text is known. `dropped` says which shots were left out.
    `stale`: another one is on its way. `error` is (what is wrong, what to do), `remedy` an action with its label.
    """

    rendered: Rendered | None = None
    budget: Budget | None = None
    segments: tuple[Segment, ...] = ()
    summary: str = ""
    dropped: str = ""
    error: tuple[str, str] | None = None
    remedy: tuple[str, str] | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """An imported file before it is used. `template` is what the prompt would be; `uses` what can be made of it."""

    imported: Imported
    choices: Choices
    uses: tuple[Use, ...]
    labels: tuple[str, ...]
    template: str
    facts: tuple[tuple[str, str], ...]
    reading: bool = False
