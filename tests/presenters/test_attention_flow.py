"""The rollout tab without its widgets: map, text and flow, and what stands in the way of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.attention.types import MASKED
from llmlab.engine.errors import InputError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import flow_part, flow_roll
from llmlab.ui.panels.attention.flow_part import Flowing, FlowOffer, Mode
from llmlab.ui.panels.attention.text_rows import Shading
from llmlab.ui.panels.attention.text_source import Texts
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from llmlab.ui.widgets.heatmap.picture import HeatPicture
from tests.presenters.attention_tabs import TARGET, TOKENS, Stand, answered, shape_of, stand


class FakeFlowView:
    def __init__(self) -> None:
        self.mode: Mode | None = None
        self.texts: Texts | None = None
        self.picture: HeatPicture | None = None
        self.norm: Norm | None = None
        self.pinned: tuple[int, ...] = ()
        self.shading: Shading | None = None
        self.offers: list[FlowOffer] = []
        self.nothing = ""
        self.errors: list[ErrorInfo] = []
        self.path = Path("rollout.csv")

    def show_mode(self, mode: Mode) -> None:
        self.mode, self.nothing = mode, ""

    def show_texts(self, texts: Texts | None) -> None:
        self.texts = texts

    def show_map(self, picture: HeatPicture | None, norm: Norm) -> None:
        self.picture, self.norm = picture, norm

    def show_pinned(self, rows: tuple[int, ...]) -> None:
        self.pinned = rows

    def show_shading(self, shading: Shading | None, *, pinned: bool) -> None:
        self.shading = shading

    def show_offer(self, offer: FlowOffer) -> None:
        self.offers.append(offer)

    def show_nothing(self, title: str, text: str) -> None:
        self.nothing = title

    def show_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        then(self.path)


class Tab:
    """A rollout tab in its stand."""

    def __init__(self, *shapes: Any, **focus: Any) -> None:
        self.stand: Stand = stand(*shapes, **focus)
        self.view = FakeFlowView()
        self.part = self.stand.part = Flowing(self.stand.asking, self.stand, self.view)
        self.part.bring(self.stand.reading)

    @property
    def matrix(self) -> np.ndarray:
        made = self.stand.capture.rollout(self.stand.reading.focus.kind, None, None)
        if self.stand.reading.shape.causal:
            made[~np.tril(np.ones(made.shape, bool))] = MASKED
        return made

    @property
    def shading(self) -> Shading:
        assert self.view.shading is not None
        return self.view.shading


@pytest.fixture
def tab() -> Tab:
    return answered(Tab())


def test_the_whole_rollout_is_a_map(tab: Tab) -> None:
    picture = tab.view.picture
    assert picture is not None
    np.testing.assert_array_equal(picture.base.values, tab.matrix)
    assert picture.row_labels[5] == "␣dog"
    tab.stand.change(scale="row")
    assert not tab.stand.jobs.pending
    assert tab.view.norm == Norm(Scale.ROW)
    assert tab.view.picture is not picture, "each row by its own largest"


def test_without_the_first_token_the_rest_is_rescaled(tab: Tab) -> None:
    tab.stand.change(hide_first=True)
    assert tab.part.busy
    tab.stand.run()
    assert tab.view.picture is not None
    values = tab.view.picture.base.values
    assert (values[:, 0] == MASKED).all()
    np.testing.assert_allclose(np.maximum(values, 0).sum(axis=1)[1:], 1, rtol=1e-5)
    tab.part.switch(Mode.FLOW)
    tab.part.compute_flow()
    tab.stand.run()
    assert tab.shading.level(0) is None


def test_left_padding_is_not_the_first_token() -> None:
    segments = np.array([-1, -1, 0, 0, 0, 0], np.int32)
    rows = flow_roll.masked(np.full((6, 6), 1 / 6, np.float32), 0, shape_of(key_segments=segments), hide_first=True)
    assert (rows[:, 2] == MASKED).all()
    assert rows[5, 0] >= 0


def test_another_head_changes_nothing_for_the_whole_model(tab: Tab) -> None:
    tab.stand.look(head=0, layer=2)
    assert not tab.stand.jobs.pending


def test_the_text_is_shaded_by_the_pinned_tokens(tab: Tab) -> None:
    tab.part.switch(Mode.TEXT)
    np.testing.assert_array_equal(tab.shading.weights, tab.matrix[5])
    tab.part.hover(2)
    np.testing.assert_array_equal(tab.shading.weights, tab.matrix[2])
    tab.part.choose((3, 4))
    expected = np.maximum(tab.matrix[3], 0) + np.maximum(tab.matrix[4], 0)
    np.testing.assert_allclose(tab.shading.weights[:5], expected[:5], rtol=1e-6)
    tab.part.toggle(3)
    assert tab.stand.reading.focus.queries == (4,)
    assert tab.view.pinned == (4,)
    assert not tab.stand.jobs.pending


def test_a_long_text_has_rows_but_no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_roll, "WHOLE_TOKENS", 4)
    tab = Tab()
    tab.stand.run()
    assert "too long" in tab.view.nothing
    assert not tab.part.busy
    tab.part.switch(Mode.TEXT)
    assert tab.part.busy
    tab.stand.run()
    assert not tab.part.busy
    np.testing.assert_array_equal(tab.shading.weights, tab.matrix[5])
    tab.part.choose((1, 3))
    tab.stand.run()
    assert tab.shading.weights[5] == MASKED
    assert tab.shading.weights[0] == pytest.approx(tab.matrix[1, 0] + tab.matrix[3, 0])


def test_the_flow_is_computed_when_asked_for_and_kept(tab: Tab) -> None:
    tab.part.switch(Mode.FLOW)
    assert not tab.stand.jobs.pending
    assert tab.view.offers[-1].token == " dog"
    assert tab.view.shading is None
    tab.part.compute_flow()
    assert tab.view.offers[-1].running
    assert tab.part.busy
    tab.stand.run()
    assert FlowOffer(" dog", running=True, fraction=0.5) in tab.view.offers
    assert not tab.view.offers[-1].running
    np.testing.assert_allclose(tab.shading.weights, 2 * tab.matrix[5])
    assert tab.shading.top == tab.shading.weights.max()
    tab.part.choose((2, 3))
    assert tab.view.shading is None
    assert tab.view.offers[-1].token == " cat", "the first one"
    tab.part.choose((5,))
    assert tab.shading.chosen == (5,)
    assert not tab.stand.jobs.pending


def test_the_flow_can_be_cancelled(tab: Tab) -> None:
    tab.part.switch(Mode.FLOW)
    tab.part.compute_flow()
    tab.part.cancel_flow()
    assert not tab.part.busy
    assert tab.view.offers[-1] == FlowOffer(" dog")


def test_a_flow_for_a_text_that_has_changed_is_dropped(tab: Tab) -> None:
    tab.part.switch(Mode.FLOW)
    tab.part.compute_flow()
    tab.stand.show(replace(tab.stand.reading, number=2))
    assert [job.key for job in tab.stand.jobs.pending] == ["rollout"]
    tab.stand.run()
    assert tab.view.shading is None
    assert not tab.part.busy


def test_a_text_that_is_too_long_for_the_flow_says_so(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_part, "FLOW_TOKENS", 5)
    tab.part.switch(Mode.FLOW)
    assert tab.view.offers[-1].reason == "The text has 6 tokens; the flow is computed for at most 5."
    tab.part.compute_flow()
    assert not tab.stand.jobs.pending


def test_a_flow_that_fails_is_said_and_can_be_tried_again(tab: Tab) -> None:
    tab.part.switch(Mode.FLOW)
    tab.stand.engine.fails = InputError("It does not fit.", "Shorten the text.")
    tab.part.compute_flow()
    tab.stand.run()
    assert tab.stand.notifier.errors[-1].message == "It does not fit."
    assert tab.view.offers[-1] == FlowOffer(" dog")


def test_cross_attention_has_no_rollout() -> None:
    tab = Tab(shape_of("encoder"), shape_of("cross", TARGET, TOKENS), kind="cross")
    assert "one text" in tab.view.nothing
    assert not tab.part.busy
    tab.part.compute_flow()
    assert not tab.stand.jobs.pending
    tab.stand.look(kind="encoder")
    tab.stand.run()
    assert tab.view.picture is not None
    assert (tab.view.picture.base.values >= 0).all(), "an encoder sees everything"


def test_single_layers_are_not_enough() -> None:
    tab = Tab(replace(shape_of(), captured=(1,)))
    assert tab.view.nothing == "All layers are needed"
    assert not tab.stand.jobs.pending


def test_a_failure_is_shown_in_place(tab: Tab) -> None:
    tab.stand.engine.fails = InputError("It does not fit.", "Shorten the text.")
    tab.stand.show(replace(tab.stand.reading, number=2))
    tab.stand.run()
    assert tab.view.errors[-1].hint == "Shorten the text."
    assert not tab.part.busy
    tab.part.bring(None)
    assert tab.view.texts is None


def test_the_map_is_written_as_a_table(tab: Tab, tmp_path: Path) -> None:
    tab.view.path = tmp_path / "rollout.csv"
    tab.part.save_csv()
    tab.stand.run()
    lines = list(csv.reader(io.StringIO(tab.view.path.read_text("utf-8"))))
    row = lines[-1]
    np.testing.assert_array_equal(np.array(row[2:], np.float32), tab.matrix[5])
    assert lines[-2][-1] == "", "what comes later is empty"
