"""A panel made of tabs: which is in front, what is saved, who is brought up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmlab.ui.panel import PanelContext
from llmlab.ui.tabbed import TabbedPresenter
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import FakeEngine, FakeNotifier, ManualJobs, model_info, ready


class FakeTab:
    def __init__(self, _context: PanelContext, panel: Any, page: Any, saved: Mapping[str, Any]) -> None:
        self.panel, self.page, self.saved = panel, page, saved
        self.brought, self.closed, self.busy = 0, False, False

    def bring(self) -> None:
        self.brought += 1

    def save(self) -> dict[str, Any]:
        return {"page": self.page}

    def close(self) -> None:
        self.closed = True


def make(saved: Mapping[str, Any] | None = None) -> tuple[TabbedPresenter, Workbench]:
    jobs: Any = ManualJobs(FakeEngine(model_info()))
    bench = Workbench(jobs)
    context = PanelContext(bench, jobs, FakeNotifier(), saved or {})
    return TabbedPresenter(context, {"one": FakeTab, "two": FakeTab}, {"one": "first", "two": "second"}), bench


def test_only_the_tab_in_front_is_brought_up_to_date_and_only_while_the_panel_is_in_front() -> None:
    presenter, bench = make()
    one, two = presenter.tabs.values()
    bench.prompt = "behind another panel"
    assert (one.brought, two.brought) == (0, 0)
    presenter.activate()
    bench.prompt = "in front"
    ready(bench, model_info())
    assert (one.brought, two.brought) == (3, 0)
    presenter.choose("two")
    assert two.brought == 1
    presenter.deactivate()
    bench.prompt = "behind again"
    assert (one.brought, two.brought) == (3, 1)


def test_the_tab_and_what_each_saves_are_found_again() -> None:
    presenter, _ = make()
    presenter.choose("two")
    saved = presenter.save()
    assert saved == {"tab": "two", "tabs": {"one": {"page": "first"}, "two": {"page": "second"}}}
    again, _ = make(saved)
    assert again.params.tab == "two"
    assert again.tabs["two"].saved == {"page": "second"}


@pytest.mark.parametrize("saved", [{"tab": "gone"}, {"tab": 3, "tabs": []}, {"tabs": {"one": 1, "other": {}}}, {}])
def test_settings_that_make_no_sense_leave_the_first_tab_in_front(saved: Mapping[str, Any]) -> None:
    presenter, _ = make(saved)
    assert presenter.params.tab == "one"
    assert presenter.tabs["one"].saved == {}


def test_settled_is_the_front_tabs_word_and_closing_reaches_all() -> None:
    presenter, bench = make()
    presenter.activate()
    presenter.tabs["two"].busy = True
    assert presenter.settled
    presenter.choose("two")
    assert not presenter.settled
    presenter.close()
    assert all(tab.closed for tab in presenter.tabs.values())
    before = presenter.tabs["two"].brought
    bench.prompt = "after the end"
    assert presenter.tabs["two"].brought == before
