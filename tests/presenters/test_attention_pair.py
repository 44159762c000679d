"""The neuron tab without its widgets: the chain of numbers, and which weight is looked into."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.attention.types import HeadAt, NeuronView
from llmlab.engine.errors import UnsupportedFeatureError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention.pair_chain import chain, number
from llmlab.ui.panels.attention.pair_part import Order, Pair, Pairing, strongest
from tests.presenters.attention_tabs import TARGET, TOKENS, Stand, answered, shape_of, stand


class FakePairView:
    def __init__(self) -> None:
        self.pair: Pair | None = None
        self.order: Order | None = None
        self.nothing = ""
        self.errors: list[ErrorInfo] = []
        self.path = Path("pair.csv")

    def show_pair(self, pair: Pair | None, order: Order) -> None:
        self.pair, self.order, self.nothing = pair, order, ""

    def show_nothing(self, title: str, text: str) -> None:
        self.pair, self.nothing = None, title

    def show_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        then(self.path)


class Tab:
    """A neuron tab in its stand."""

    def __init__(self, *shapes: Any, **focus: Any) -> None:
        self.stand: Stand = stand(*shapes, **focus)
        self.view = FakePairView()
        self.part = self.stand.part = Pairing(self.stand.asking, self.stand, self.view)
        self.part.bring(self.stand.reading)

    @property
    def pair(self) -> Pair:
        assert self.view.pair is not None
        return self.view.pair

    @property
    def weights(self) -> np.ndarray:
        return self.stand.capture.weights(1, 2)


@pytest.fixture
def tab() -> Tab:
    return answered(Tab())


def test_the_last_token_and_its_strongest_key_come_first(tab: Tab) -> None:
    best = int(tab.weights[5].argmax())
    assert tab.stand.capture.neurons == [(HeadAt("self", 1, 2), 5, best)]
    assert (tab.pair.query_text, tab.pair.key_text) == ("␣dog", TOKENS[best].replace(" ", "␣"))
    assert tab.pair.rank == (1, 6)
    assert [each.key for each in tab.pair.row] == np.argsort(-tab.weights[5]).tolist()


def test_the_pinned_query_and_the_chosen_key_are_looked_into(tab: Tab) -> None:
    tab.part.choose_query(3)
    tab.stand.run()
    assert tab.pair.view.query_index == 3
    tab.part.choose_key(1)
    assert tab.part.busy
    tab.stand.run()
    assert tab.stand.reading.focus.queries == (3,)
    assert (tab.pair.view.query_index, tab.pair.view.key_index) == (3, 1)
    seen = tab.weights[3][:4]
    assert tab.pair.rank == (1 + (seen > seen[1]).sum(), 4), "masked keys do not count"
    tab.part.choose_key(1)
    assert not tab.stand.jobs.pending


def test_a_masked_pair_ends_at_nothing(tab: Tab) -> None:
    tab.part.choose_query(1)
    tab.part.choose_key(4)
    tab.stand.run()
    names = [link.name for link in tab.pair.links]
    assert "masked" in names
    assert tab.pair.links[-1].value == 0.0
    assert "−∞" in [link.shown for link in tab.pair.links]


def test_several_heads_have_no_query_of_their_own(tab: Tab) -> None:
    tab.stand.look(head=None)
    assert tab.view.nothing == "Choose a single head"
    assert not tab.part.busy
    assert not tab.stand.jobs.pending
    tab.stand.look(head=0)
    tab.stand.run()
    assert tab.pair.view.head == HeadAt("self", 1, 0)


def test_an_answer_that_comes_after_the_head_was_left_is_not_shown(tab: Tab) -> None:
    tab.stand.look(head=0)
    tab.stand.look(head=None)
    tab.stand.run()
    assert tab.view.nothing
    assert not tab.part.busy


def test_cross_attention_has_its_own_texts() -> None:
    tab = Tab(shape_of("cross", TARGET, TOKENS))
    tab.stand.run()
    assert tab.pair.query_text == "␣chat"
    assert tab.pair.sizes == (3, 6)
    assert tab.pair.rank == (1, 6)


def test_orders(tab: Tab) -> None:
    products = tab.pair.view.products
    assert tab.pair.ordered(Order.DIMENSION).tolist() == list(range(8))
    tab.part.sort(Order.CONTRIBUTION)
    assert tab.view.order is Order.CONTRIBUTION
    assert (np.diff(products[tab.pair.ordered(Order.CONTRIBUTION)]) <= 0).all()
    assert (np.diff(np.abs(products[tab.pair.ordered(Order.SIZE)])) <= 0).all()


def test_the_table_holds_every_dimension(tab: Tab, tmp_path: Path) -> None:
    tab.part.sort(Order.SIZE)
    tab.view.path = tmp_path / "pair.csv"
    tab.part.save()
    tab.stand.run()
    lines = list(csv.reader(io.StringIO(tab.view.path.read_text("utf-8"))))
    numbers = [line for line in lines if not line[0].startswith("#")]
    assert numbers[0] == ["dimension", "query", "key", "product"]
    view = tab.pair.view
    for index, query, key, product in numbers[1:]:
        assert np.float32(query) == view.query[int(index)]
        assert np.float32(key) == view.key[int(index)]
        assert np.float32(product) == view.products[int(index)]
    assert len(numbers) == 9
    assert tab.part.table().count("\t") >= 24
    assert tab.stand.notifier.said == ["Saved as pair.csv."]


def test_an_architecture_that_hands_out_no_queries_says_so(tab: Tab) -> None:
    tab.stand.engine.fails = UnsupportedFeatureError("Only finished weights are known.", "Open another model.")
    tab.stand.look(head=1)
    tab.stand.run()
    assert tab.view.errors[-1].message == "Only finished weights are known."
    assert not tab.part.busy


def test_a_model_that_is_gone_leaves_nothing(tab: Tab) -> None:
    tab.part.bring(None)
    assert tab.view.pair is None
    assert tab.part.table() == ""
    assert not tab.part.busy


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=64),
    st.floats(0.01, 2),
    st.none() | st.floats(5, 60),
    st.none() | st.floats(-8, 8),
    st.floats(-10, 10),
)
def test_the_chain_is_a_calculation(
    products: list[float], scaling: float, softcap: float | None, bias: float | None, more: float
) -> None:
    array = np.array(products, np.float32)
    dot = float(array.sum(dtype=np.float64))
    score = dot * scaling
    if softcap is not None:
        score = math.tanh(score / softcap) * softcap
    score += bias or 0.0
    log_sum = score + abs(more)
    view = NeuronView(
        HeadAt("self", 0, 0), 0, 0, array, array, array, dot, scaling, softcap, bias, False, score, log_sum,
        math.exp(score - log_sum),
    )  # fmt: skip
    links = chain(view)
    assert links[0].value == dot
    assert links[-3].value == pytest.approx(score), "what enters the softmax"
    assert math.exp(links[-2].value) == pytest.approx(links[-1].value)
    assert links[-1].value == view.weight
    assert len(links) == 4 + (softcap is not None) + (bias is not None)
    assert all(link.explanation.endswith(".") for link in links)
    assert not any("-" in link.shown.replace("e-", "") for link in links), "a real minus sign"


def test_numbers_are_short_and_exact_enough() -> None:
    assert [number(x) for x in (0.0, 1.5, -2.25, 1e-7, math.inf, -math.inf, math.nan)] == [
        "0.0000", "1.5000", "−2.2500", "1.00e−07", "∞", "−∞", "NaN",
    ]  # fmt: skip


def test_the_scale_is_explained_where_it_is_the_usual_one() -> None:
    tab = Tab()
    tab.stand.run()
    view = replace(tab.pair.view, scaling=8**-0.5)
    assert "1/√8" in chain(view)[1].explanation
    assert "1/√" not in chain(replace(view, scaling=0.5))[1].explanation


def test_the_strongest_key_is_a_number() -> None:
    assert strongest(np.array([0.1, np.nan, 0.7], np.float32)) == 2
