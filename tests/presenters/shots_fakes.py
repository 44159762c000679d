"""The shots panel's presenter without its other tabs, over a tiny model whose jobs run when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llmlab.engine.datasets.project import Project
from llmlab.engine.shots.types import Example, PromptSpec
from llmlab.ui.asking import Asking
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.shots.built import Built
from llmlab.workbench import Workbench
from tests.engine import tiny
from tests.presenters.decoding_fakes import FakeNotifier, ManualJobs, ready

SPEC = PromptSpec("{x}:", "Once.\n", labels=("time", "model"), fewshot_delimiter="\n", room=5)


def row(text: str, label: str) -> Example:
    return Example((("x", text),), label)


POOL = (row("once upon", "time"), row("a little", "model"), row("there", "time"))
ITEMS = (row("upon a", "time"), row("the same", "model"), row("sentence", "time"), row("read", "model"))
PROJECT = Project(SPEC, POOL, row("again", "model"), ITEMS, name="Tiny")


class FakePage:
    """Remembers what it is told, by the name of the call; `path` is what the user chooses."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.calls: list[str] = []
        self.copied: list[str] = []
        self.path: Path | None = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            self.calls.append(name)
            self.told[name] = arguments[0] if len(arguments) == 1 else arguments

        return call

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        if self.path is not None:
            then(self.path / name)

    def svg(self) -> str:
        return "<svg></svg>"


class Bed:
    """One tab with everything around it."""

    def __init__(self, make: Any, saved: dict[str, Any] | None = None, kind: str = "llama") -> None:
        self.engine = tiny.engine(kind)
        self.jobs: Any = ManualJobs(self.engine)  # type: ignore[arg-type]
        self.bench = Workbench(self.jobs)
        self.notifier = FakeNotifier()
        context = PanelContext(self.bench, self.jobs, self.notifier, {})
        asking = Asking(self.jobs, self.notifier, lambda: self.bench.model.generation)
        self.panel: Any = SimpleNamespace(built=Built(), asking=asking, front=None)
        self.page = FakePage()
        self.tab = make(context, self.panel, self.page, saved or {})
        self.panel.front = self.tab

    def open(self, project: Project = PROJECT, generation: int = 1) -> None:
        """A model is ready, a project is built, and the tab is in front."""
        ready(self.bench, self.engine.info, generation)
        self.panel.built.project = project
        self.tab.bring()

    @property
    def screen(self) -> Any:
        return self.page.told["show_screen"]
