"""What every tab of the memory panel needs in a test: jobs that run when the test says so, a page that remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmlab.ui.panel import PanelContext
from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.tabbed import TabbedPresenter
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import FakeEngine, FakeNotifier, ManualJobs, model_info


class FakeDesk:
    """Takes copies, and saves into `folder` where there is one; `asked` are the names of the files."""

    def __init__(self) -> None:
        self.copied: list[str] = []
        self.asked: list[str] = []
        self.folder: Path | None = None

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        self.asked.append(name)
        if self.folder is not None:
            then(self.folder / name)


class Stand:
    """The tab that `make` makes, its page, and everything around it; no model is open.

    `in_panel`: the tab is one of a panel's, which brings it to the front; else the test does.
    """

    def __init__(
        self, make: Callable[..., Any], page: Any, saved: Mapping[str, Any] | None = None, *, in_panel: bool = False
    ) -> None:
        self.jobs: Any = ManualJobs(FakeEngine(model_info()))
        self.bench = Workbench(self.jobs)
        self.notifier = FakeNotifier()
        self.page = page
        self.context = PanelContext(self.bench, self.jobs, self.notifier, {"tabs": {"tab": dict(saved or {})}})
        self.panel: Any
        if in_panel:
            self.panel = TabbedPresenter(self.context, {"tab": make}, {"tab": page})
            self.tab: Any = self.panel.tabs["tab"]
        else:
            self.panel = PanelPresenter(self.context)
            self.tab = make(self.context, self.panel, page, saved or {})
