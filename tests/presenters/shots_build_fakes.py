"""The tab Build without a window: a page that writes down, and the panel around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from llmlab.engine.shots.types import Budget, PartKind, PartTokens, Prompt, Rendered
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.shots.build.presenter import BuildTab
from llmlab.ui.panels.shots.build.screen import Preview, Screen, Shown
from llmlab.ui.panels.shots.presenter import ShotsPresenter
from llmlab.ui.shell.drops import DropRegistry
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import FakeEngine, FakeNotifier, ManualJobs, model_info


class FakePage:
    """Remembers the last of everything."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.shown = Shown()
        self.preview: Preview | None = None
        self.selected: list[int] = []
        self.copied: list[str] = []
        self.asked: list[str] = []
        self.path: Path | None = None
        self.forward = 0
        self.reading = ""

    def show_screen(self, screen: Screen) -> None:
        self.screen = screen

    def show_prompt(self, shown: Shown) -> None:
        self.shown = shown

    def show_reading(self, name: str) -> None:
        self.reading = name

    def show_preview(self, preview: Preview | None) -> None:
        self.preview = preview

    def select_rows(self, places: Collection[int]) -> None:
        self.selected = list(places)

    def come_forward(self) -> None:
        self.forward += 1

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        self.asked.append(name)
        if self.path is not None:
            then(self.path)

    def ask_data(self, then: Callable[[Path], None]) -> None:
        if self.path is not None:
            then(self.path)


class Bench:
    """The tab with everything around it."""

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        self.jobs: Any = ManualJobs(FakeEngine(model_info()))
        self.bench = Workbench(self.jobs)
        self.notifier = FakeNotifier()
        self.drops = DropRegistry()
        self.came = 0
        context = PanelContext(
            self.bench, self.jobs, self.notifier, {"tabs": {"build": saved or {}}}, self.drops, self._come
        )
        self.page = FakePage()
        others = _Anything()
        self.panel = ShotsPresenter(context, _Pages(self.page, others))
        tab = self.panel.tabs["build"]
        assert isinstance(tab, BuildTab)
        self.tab = tab

    def _come(self) -> None:
        self.came += 1

    @property
    def screen(self) -> Screen:
        assert self.page.screen is not None
        return self.page.screen

    def start(self) -> None:
        """Bring the panel to the front, and let it work."""
        self.panel.activate()
        self.run()

    def run(self) -> None:
        self.jobs.run_all()


class _Pages(dict[str, Any]):
    """The page of Build, and anything for the other tabs."""

    def __init__(self, build: FakePage, others: Any) -> None:
        super().__init__(build=build)
        self._others = others

    def __missing__(self, key: str) -> Any:
        return self._others


class _Anything:
    """A page of which nothing is asked here."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def prompt_of(rendered: Rendered, context: int | None = 100, room: int = 8, letters: int = 10) -> Prompt:
    """A prompt of a token for every ten letters, and one special token."""
    parts = [PartTokens(part, max(1, (part.end - part.start) // letters)) for part in rendered.parts]
    tokens = sum(each.tokens for each in parts)
    return Prompt(rendered, Budget(tuple(parts), tokens, 0, context, room))


KINDS = PartKind
