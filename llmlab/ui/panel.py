"""What a panel is, to the window: two widgets, a life, and scenes for its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.types import Feature
from llmlab.jobs.worker import Jobs
from llmlab.ui.shell.drops import DropRegistry
from llmlab.workbench import Workbench

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from llmlab.jobs.job import ErrorInfo


class Notifier(Protocol):
    """The window's banner area, as presenters see it."""

    def error(self, error: ErrorInfo) -> None:
        """Say that something failed, and what can be done."""

    def say(self, message: str, hint: str = "") -> None:
        """Say something the user should know, which is no error."""

    def offer(self, message: str, hint: str, label: str, accepted: Callable[[], None]) -> None:
        """Say something, with a button called `label`: `accepted` is called when it is pressed."""


class Desk(Protocol):
    """Where what the user takes along goes."""

    def copy(self, text: str) -> None:
        """Put `text` on the clipboard."""

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file to write, such as "map.png", of one of `kinds` (suffixes), and go on with it."""


@dataclass(frozen=True, slots=True)
class PanelContext:
    """All that a panel is given."""

    workbench: Workbench
    jobs: Jobs
    notifier: Notifier
    saved: Mapping[str, Any]  # what `Panel.save` returned at the end of the last run
    drops: DropRegistry = field(default_factory=DropRegistry)  # a panel adds the files that it can use
    come: Callable[[], None] = lambda: None  # brings this panel to the front, for a file that only it can use


class Panel(Protocol):
    """One page of the window. The window shows `picture` under the shared prompt and `controls` beside both."""

    @property
    def picture(self) -> QWidget:
        """What stands under the prompt."""

    @property
    def controls(self) -> QWidget:
        """What stands beside both."""

    def activate(self) -> None:
        """The panel has come to the front: bring it up to date."""

    def deactivate(self) -> None:
        """Another panel is in front: start no new work."""

    def save(self) -> dict[str, Any]:
        """The settings to find again at the next start, as JSON values."""

    def close(self) -> None:
        """The window closes: stop work, disconnect from the workbench."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture for `--snapshot`: the panel `name`d so, with a model and a prompt, prepared and settled."""

    name: str
    model: str  # a spec from the catalog
    prompt: str
    prepare: Callable[[Any], None]  # called with the panel once the model is ready
    settled: Callable[[Any], bool]  # whether everything asked for is on screen


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """What the rail shows of a panel, and how to make it."""

    name: str  # for --panel and the settings file
    title: str
    tooltip: str
    icon: str  # file name in resources/icons, without .svg
    needs: frozenset[Feature]  # the panel says why it is empty where the model offers none of these
    create: Callable[[PanelContext], Panel]
    scenes: tuple[Scene, ...]
    prompt: bool = True  # whether it shows the prompt that the panels share
    takes: Callable[[Path], bool] = lambda _path: False  # dropped files that are for it wherever they are dropped
    recognises: Callable[[Path], bool] = lambda _path: False  # the same, of files that it tells by what is in them
    promise: Callable[[Path], str] | None = None  # what would become of the latter, in the words of the overlay
