"""The effect tab without its widgets: what is asked, when, and what is kept of it."""

from __future__ import annotations

import csv
import inspect
import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.engine.attention.types import AttentionRequest, HeadAt, LayerEffects
from llmlab.engine.errors import InputError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import effect_part
from llmlab.ui.panels.attention.effect_layout import lay_out
from llmlab.ui.panels.attention.effect_part import Ablating, EffectScreen
from llmlab.ui.panels.attention.effect_values import Effects, Measure, Order, Place, off_text, signed
from llmlab.ui.widgets.heatmap.norm import Scale
from tests.presenters.attention_cause import CauseEngine, cause_stand, kl_of, layer_effects
from tests.presenters.attention_tabs import HEADS, LAYERS, TARGET, shape_of


class FakeEffectView:
    def __init__(self) -> None:
        self.screens: list[EffectScreen | None] = []
        self.errors: list[ErrorInfo] = []

    def show_effects(self, screen: EffectScreen | None) -> None:
        self.screens.append(screen)

    def show_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)


class Tab:
    def __init__(self, *shapes: Any, **focus: Any) -> None:
        self.stand, self.engine = cause_stand(*shapes, **focus)
        self.view = FakeEffectView()
        self.part = self.stand.part = Ablating(self.stand.asking, self.stand, self.view)

    def bring(self) -> Tab:
        self.part.bring(self.stand.reading)
        return self

    @property
    def screen(self) -> EffectScreen:
        screen = self.view.screens[-1]
        assert screen is not None
        return screen


@pytest.fixture
def tab() -> Tab:
    made = Tab().bring()
    assert made.part.busy
    made.stand.run()
    assert not made.part.busy
    return made


def test_every_head_is_measured_and_the_prediction_is_there(tab: Tab) -> None:
    assert tab.screen.effects.complete
    assert tab.screen.offered == 0
    assert tab.screen.fraction is None
    for place in tab.screen.effects.places:
        value = tab.screen.effects.value(place, Measure.KL)
        if place.head is not None:
            assert value == pytest.approx(kl_of(HeadAt("self", place.layer, place.head)), abs=1e-6)
        else:
            assert value == pytest.approx(layer_effects("self", place.layer).layer_kl)
    assert tab.screen.effect is not None
    assert tab.screen.effect.off == ()


def test_the_map_fills_in_while_it_is_measured() -> None:
    tab = Tab().bring()
    seen: list[tuple[int, float | None]] = []
    tab.engine.between = lambda _: seen.append((len(tab.screen.effects.known), tab.screen.fraction))
    tab.stand.run()
    assert [known for known, _ in seen] == [0, 1, 2]
    assert seen[2][1] == pytest.approx(1 / LAYERS)


def test_heads_are_switched_off_and_on(tab: Tab) -> None:
    tab.part.toggle(Place("self", 1, 3))
    assert tab.screen.stale
    assert tab.part.busy
    tab.stand.run()
    assert not tab.screen.stale
    assert tab.screen.off == {HeadAt("self", 1, 3)}
    assert tab.engine.compared[-1][1] == {HeadAt("self", 1, 3)}
    tab.part.toggle(Place("self", 1, None))  # the whole layer, of which one head is off already
    tab.stand.run()
    assert tab.screen.off == {HeadAt("self", 1, head) for head in range(HEADS)}
    tab.part.toggle(Place("self", 1, None))
    tab.stand.run()
    assert tab.screen.off == frozenset()
    tab.part.toggle(Place("self", 0, 0))
    tab.part.reset()
    tab.stand.run()
    assert tab.engine.compared[-1][1] == frozenset()
    assert len(tab.engine.swept) == 1


def test_of_many_clicks_only_the_last_is_asked_for(tab: Tab) -> None:
    count = len(tab.engine.compared)
    for head in range(HEADS):
        tab.part.toggle(Place("self", 0, head))
    tab.stand.run()
    assert len(tab.engine.compared) == count + 1
    assert len(tab.engine.compared[-1][1]) == HEADS


def test_a_new_text_is_measured_anew_with_the_same_heads_off(tab: Tab) -> None:
    tab.part.toggle(Place("self", 2, 0))
    tab.stand.run()
    reading = replace(tab.stand.reading, number=2, request=AttentionRequest("another"))
    tab.stand.show(reading)
    assert tab.screen.outcome is None
    assert not tab.screen.effects.known
    tab.stand.run()
    assert tab.screen.off == {HeadAt("self", 2, 0)}
    assert tab.engine.compared[-1] == (AttentionRequest("another"), {HeadAt("self", 2, 0)})
    assert [request.text for request in tab.engine.swept] == ["text", "another"]


def test_heads_that_a_new_model_lacks_are_on(tab: Tab) -> None:
    tab.part.toggle(Place("self", 2, 3))
    tab.part.toggle(Place("self", 0, 0))
    tab.stand.run()
    smaller = replace(shape_of(), layers=2)
    tab.engine.shapes = {"self": smaller}
    tab.part.bring(None)
    assert tab.view.screens[-1] is None
    info = replace(tab.stand.reading.info, name="another")
    tab.stand.show(replace(tab.stand.reading, number=2, info=info, shapes={"self": smaller}))
    tab.stand.run()
    assert tab.screen.off == {HeadAt("self", 0, 0)}
    assert tab.screen.effects.complete


def test_another_single_layer_of_the_same_text_measures_nothing_again(tab: Tab) -> None:
    request = replace(tab.stand.reading.request, layers=(1,))
    tab.stand.show(replace(tab.stand.reading, number=2, request=request))
    tab.stand.run()
    assert len(tab.engine.swept) == 1
    assert tab.engine.swept[0].layers is None


def test_what_takes_long_waits_for_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect_part, "AT_ONCE", 1)
    tab = Tab().bring()
    tab.stand.run()
    assert tab.engine.swept == []
    assert tab.screen.offered == LAYERS * HEADS
    assert tab.screen.effect is not None
    tab.part.measure()
    assert tab.screen.offered == 0
    assert tab.screen.fraction == 0.0
    tab.part.measure()  # a second click changes nothing
    tab.stand.run()
    assert len(tab.engine.swept) == 1
    assert tab.screen.effects.complete


def test_a_sweep_gives_way_to_a_click_and_goes_on_afterwards() -> None:
    tab = Tab().bring()
    order: list[str] = []

    def click(done: int) -> None:
        order.append(f"layer {done}")
        if done == 1 and len(tab.engine.swept) == 1:
            tab.part.toggle(Place("self", 0, 0))
            order.append("click")

    tab.engine.between = click
    tab.stand.run()
    assert not tab.part.busy
    assert tab.screen.effects.complete
    assert tab.screen.effect is not None
    assert tab.screen.effect.off == (HeadAt("self", 0, 0),)
    assert tab.engine.known == [frozenset(), {("self", 0)}]
    assert order[:3] == ["layer 0", "layer 1", "click"]


def test_others_have_their_turn_between_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect_part, "TURN", -1.0)
    tab = Tab().bring()
    tab.stand.jobs.run_next()  # the prediction
    tab.stand.jobs.run_next()  # one layer
    assert len(tab.screen.effects.known) == 1
    assert tab.part.busy
    asked: list[str] = []
    tab.stand.asking.engine(tab, "another", lambda _engine, _control: "done", asked.append)
    tab.stand.jobs.run_next()
    tab.stand.jobs.run_next()
    assert asked == ["done"]
    tab.stand.run()
    assert tab.screen.effects.complete
    assert not tab.part.busy
    assert [len(known) for known in tab.engine.known] == [0, 1, 2, 3]


def test_measuring_can_be_stopped_and_goes_on_with_the_rest() -> None:
    tab = Tab().bring()
    tab.engine.between = lambda done: tab.part.cancel() if done == 2 else None
    tab.stand.run()
    assert not tab.part.busy
    assert len(tab.screen.effects.known) == 2
    assert tab.screen.offered == LAYERS * HEADS
    assert tab.screen.fraction is None
    tab.engine.between = lambda _: None
    tab.part.measure()
    tab.stand.run()
    assert tab.screen.effects.complete
    assert len(tab.engine.known[-1]) == 2


def test_a_text_that_was_read_meanwhile_ends_the_sweep() -> None:
    tab = Tab().bring()

    def other(done: int) -> None:
        if done == 1:
            tab.engine.between = lambda _: None
            tab.stand.show(replace(tab.stand.reading, number=2, request=AttentionRequest("another")))

    tab.engine.between = other
    tab.stand.run()
    assert tab.screen.effects.complete
    assert not tab.part.busy
    assert [request.text for request in tab.engine.swept] == ["text", "another"]


def test_a_text_without_a_mask_says_so_until_another_comes() -> None:
    tab = Tab()
    tab.engine.fails = InputError("The text has no masked position for the model to fill in.", "Type one.")
    tab.bring()
    tab.stand.run()
    assert not tab.part.busy
    assert "masked" in tab.view.errors[-1].message
    tab.engine.fails = None
    tab.stand.show(replace(tab.stand.reading, number=2, request=AttentionRequest("with a mask")))
    tab.stand.run()
    assert tab.screen.effects.complete


def test_each_mask_can_be_looked_at() -> None:
    tab = Tab()
    tab.engine.labels = ("first", "second")
    tab.bring()
    tab.stand.run()
    tab.part.choose(position=1)
    assert tab.screen.effect is not None
    assert tab.screen.effect.label == "second"
    tab.engine.labels = ("only",)
    tab.part.toggle(Place("self", 0, 0))
    tab.stand.run()
    assert tab.screen.effect.label == "only"


def test_the_focus_is_the_panels(tab: Tab) -> None:
    assert tab.screen.focused == Place("self", 1, 2)
    tab.stand.look(layer=0, head=None)
    assert tab.screen.focused == Place("self", 0, None)
    tab.stand.look(layer=None, head=None)
    assert tab.screen.focused is None
    tab.part.choose(logarithmic=True)
    assert tab.screen.choices.logarithmic
    tab.part.look_at(Place("self", 2, 1))
    assert (tab.stand.reading.focus.layer, tab.stand.reading.focus.head) == (2, 1)


def test_csv_of_all_heads_and_of_the_comparison(tab: Tab, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(tab.part.csv(of_all=True))))
    assert len(rows) == LAYERS * (HEADS + 1)
    assert rows[1]["head"] == "1"
    assert rows[HEADS]["head"] == "all"
    assert float(rows[1]["kl_nats"]) == pytest.approx(kl_of(HeadAt("self", 0, 1)), abs=1e-7)
    tab.part.toggle(Place("self", 0, 1))
    tab.stand.run()
    comparison = list(csv.DictReader(io.StringIO(tab.part.csv(of_all=False))))
    assert [row["token"] for row in comparison] == ["␣cat", "␣dog", "↵", "␣ball"]
    assert float(comparison[0]["change"]) == pytest.approx(-0.02, abs=1e-6)
    path = tmp_path / "effects.csv"
    tab.part.save(path, of_all=True)
    tab.stand.run()
    assert path.read_text("utf-8") == tab.part.csv(of_all=True)


def test_closing_forgets_what_runs() -> None:
    tab = Tab().bring()
    tab.part.close()
    assert tab.stand.jobs.pending == []


def shapes_of_a_pair() -> list[Any]:
    return [shape_of("encoder"), shape_of("decoder", TARGET), shape_of("cross", TARGET, shape_of().query_tokens)]


def test_of_an_encoder_decoder_model_all_kinds_are_measured() -> None:
    tab = Tab(*shapes_of_a_pair()).bring()
    tab.stand.run()
    assert tab.screen.effects.complete
    best = tab.screen.effects.ranked(Measure.KL)
    assert best[0].kind == "cross"
    assert len(best) == 3 * LAYERS * HEADS
    tab.part.toggle(Place("encoder", 0, None))
    assert off_text(tab.screen.off, tab.screen.effects) == "Off: layer e 0"


# --- values and layout ------------------------------------------------------------------------------------------


def test_scales_of_the_measures(tab: Tab) -> None:
    effects = tab.screen.effects
    assert effects.norm(Measure.KL).scale is Scale.LINEAR
    assert effects.norm(Measure.KL, logarithmic=True).scale is Scale.LOG
    delta = effects.norm(Measure.DELTA)
    assert delta.scale is Scale.DIFFERENCE
    assert delta.high >= max(abs(effects.value(p, Measure.DELTA) or 0) for p in effects.places if p.head is not None)


def test_names() -> None:
    assert Place("self", 3, 5).short == "3.5"
    assert Place("cross", 3, None).name == "all of cross layer 3"
    assert Place("decoder", 0, 1).short == "d 0.1"
    effects = Effects.none({"self": shape_of()})
    assert off_text(frozenset(), effects) == "All heads are on."
    off = frozenset([HeadAt("self", 0, 3), HeadAt("self", 0, 1), *(HeadAt("self", 2, head) for head in range(HEADS))])
    assert off_text(off, effects) == "Off: 0.1, 0.3, layer 2"
    assert [signed(value) for value in (0.0, 0.03125, -0.5, -1e-6)] == ["0", "+0.0312", "−0.5000", "−1.0e-06"]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 32), st.integers(60, 1500), st.integers(60, 900), st.booleans(), st.booleans()
)
def test_cells_never_overlap_and_each_is_found(
    layers: int, heads: int, width: int, height: int, several: bool, ranked: bool
) -> None:
    kinds = ("encoder", "decoder", "cross") if several else ("self",)
    sizes = dict.fromkeys(kinds, (layers, heads))
    known = {(kind, layer): _flat(kind, layer, heads) for kind in kinds for layer in range(0, layers, 2)}
    effects = Effects(sizes, known)
    order = Order.EFFECT if ranked else Order.LAYER
    layout = lay_out(effects, order, Measure.KL, width, height, 14, lambda text: 7 * len(text))
    assert len({(x, y) for _, (x, y, _, _) in layout.cells}) == len(layout.cells)
    boxes = [box for _, box in layout.cells[: layout.columns]]
    assert all(left[0] + left[2] < right[0] for left, right in itertools.pairwise(boxes))
    for place, (x, y, w, h) in layout.cells[:: max(1, len(layout.cells) // 20)]:
        assert layout.at(x + w // 2, y + h // 2) == place
        assert y + h <= layout.height
        for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            assert layout.box(layout.neighbour(place, *step)) is not None


def _flat(kind: str, layer: int, heads: int) -> LayerEffects:
    values = np.linspace(0, 1, heads, dtype=np.float32)
    return LayerEffects(kind, layer, values, -values, 1.0, -1.0)


def test_fakes_are_what_the_engine_is() -> None:
    """The fake answers to the calls of the real engine."""
    from llmlab.engine.engine import Engine  # torch comes with it

    for name in ("ablation", "ablation_effects", "logit_lens", "lens_position"):
        real = inspect.signature(getattr(Engine, name)).parameters
        assert set(inspect.signature(getattr(CauseEngine, name)).parameters) <= set(real)
