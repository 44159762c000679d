"""A panel that is made of tabs, each with its own settings: the widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.tabbed import TabbedPresenter
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.pages import Pages
from llmlab.ui.widgets.parts import Choice


@dataclass(frozen=True, slots=True)
class Page:
    """A tab: its label, its tooltip, and what makes its widget.

    The widget has `controls`, a `ControlColumn` that is shown beside it, and `attach(tab, panel)`, which is given the
    tab's part of the presenter and the panel's view; it is the view of its part.
    """

    label: str
    tooltip: str
    make: Callable[[], Any]


class TabbedPanel(PanelView):
    """The tabs over the page of the one in front, and beside it that one's settings."""

    presenter: TabbedPresenter

    def __init__(self, pages: Mapping[str, Page], name: str, present: Callable[[Mapping[str, Any]], Any]) -> None:
        """`name`: what the tabs choose, for assistive technology; `present` makes the presenter, of the pages."""
        self.names = tuple(pages)
        self.pages: dict[str, Any] = {key: page.make() for key, page in pages.items()}
        self.tabs = Choice([(page.label, page.tooltip) for page in pages.values()], name)
        self._stack, self._columns = Pages(), Pages()
        for page in self.pages.values():
            self._stack.addWidget(page)
            self._columns.addWidget(page.controls)
        self.picture: QWidget = QWidget()
        self.controls: QWidget = self._columns
        layout = QVBoxLayout(self.picture)
        layout.setContentsMargins(0, theme.SPACE // 2, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.tabs, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._stack, stretch=1)
        self.presenter = present(self.pages)
        for key, page in self.pages.items():
            page.attach(self.presenter.tabs[key], self)
        self.tabs.chosen.connect(self._chosen)
        self._show(self.presenter.params.tab)

    def choose(self, tab: str) -> None:
        """Bring a tab to the front."""
        self._show(tab)
        self.presenter.choose(tab)

    @Slot(int)
    def _chosen(self, index: int) -> None:
        self.choose(self.names[index])

    def _show(self, tab: str) -> None:
        index = self.names.index(tab)
        self.tabs.set_chosen(index)
        self._stack.setCurrentIndex(index)
        self._columns.setCurrentIndex(index)
