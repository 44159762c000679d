"""A panel that is made of tabs, each with its own settings: what decides. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from llmlab.ui.panel import PanelContext
from llmlab.ui.presenter import Closing, PanelPresenter


class Tab(Closing, Protocol):
    """What is on one of the tabs. Its `__init__` is that of `TabMaker`."""

    def bring(self) -> None:
        """The tab is in front, and the model or the prompt may have changed. Often called: show only what is new."""

    def save(self) -> dict[str, Any]:
        """Its settings, as JSON values; they come back as `saved`."""

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""


class TabMaker(Protocol):
    """Makes a tab: of what the panel is given, of the panel's presenter, of the widget of the tab."""

    def __call__(self, context: PanelContext, panel: Any, page: Any, saved: Mapping[str, Any]) -> Tab: ...


@dataclass(frozen=True, slots=True)
class TabbedParams:
    """Which tab is in front, and the settings of all."""

    tab: str
    tabs: Mapping[str, Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"tab": self.tab, "tabs": {name: dict(saved) for name, saved in self.tabs.items()}}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], names: Iterable[str]) -> TabbedParams:
        """What `to_dict` wrote; of something else as much as makes sense."""
        known = tuple(names)
        tabs = saved.get("tabs")
        kept = tabs if isinstance(tabs, Mapping) else {}
        tab = saved.get("tab")
        good = {name: kept[name] for name in known if isinstance(kept.get(name), Mapping)}
        return cls(tab if tab in known else known[0], good)


class TabbedPresenter(PanelPresenter):
    """Brings the tab in front up to date, whenever the model or the prompt changes while the panel is in front."""

    params: TabbedParams

    def __init__(self, context: PanelContext, makers: Mapping[str, TabMaker], pages: Mapping[str, Any]) -> None:
        super().__init__(context)
        self.params = TabbedParams.from_dict(context.saved, makers)
        self.tabs: dict[str, Tab] = {
            name: make(context, self, pages[name], self.params.tabs.get(name, {})) for name, make in makers.items()
        }
        bench = context.workbench
        self._disconnect = (
            bench.model_changed.connect(lambda _: self._catch_up()),
            bench.prompt_changed.connect(lambda _: self._catch_up()),
        )

    @property
    def front(self) -> Tab:
        """The tab in front."""
        return self.tabs[self.params.tab]

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is on screen."""
        return not self.front.busy

    def choose(self, tab: str) -> None:
        """Bring another tab to the front."""
        self.params = TabbedParams(tab, self.params.tabs)
        self._catch_up()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return TabbedParams(self.params.tab, {name: tab.save() for name, tab in self.tabs.items()}).to_dict()

    def _catch_up(self) -> None:
        if self._active:
            self.front.bring()

    def _own_parts(self) -> Iterable[Closing]:
        return self.tabs.values()
