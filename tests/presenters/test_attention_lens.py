"""The logit lens tab without its widgets."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.attention.types import AttentionRequest, AttentionShape
from llmlab.engine.errors import UnsupportedFeatureError
from llmlab.engine.types import Architecture
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import lens_part
from llmlab.ui.panels.attention.lens_chart import CourseView
from llmlab.ui.panels.attention.lens_part import Lensing, LensScreen
from llmlab.ui.panels.attention.lens_values import LensMeasure, LensTable, json_text, row_name, row_short
from tests.presenters.attention_cause import NAMES, ROWS, cause_stand, lens_of
from tests.presenters.attention_tabs import LAYERS, TARGET, TOKENS, shape_of
from tests.presenters.decoding_fakes import MASK, model_info


class FakeLensView:
    def __init__(self) -> None:
        self.screens: list[LensScreen | None] = []
        self.errors: list[ErrorInfo] = []

    def show_lens(self, screen: LensScreen | None) -> None:
        self.screens.append(screen)

    def show_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)


class Tab:
    def __init__(self, *shapes: AttentionShape, **focus: Any) -> None:
        self.stand, self.engine = cause_stand(*shapes, **focus)
        self.view = FakeLensView()
        self.part = self.stand.part = Lensing(self.stand.asking, self.stand, self.view)

    def bring(self) -> Tab:
        self.part.bring(self.stand.reading)
        return self

    @property
    def screen(self) -> LensScreen:
        screen = self.view.screens[-1]
        assert screen is not None
        return screen

    @property
    def table(self) -> LensTable:
        assert self.screen.table is not None
        return self.screen.table


@pytest.fixture
def tab() -> Tab:
    made = Tab().bring()
    assert made.part.busy
    assert made.screen.table is None
    made.stand.run()
    assert not made.part.busy
    return made


def test_the_whole_text_is_read_and_the_last_position_followed(tab: Tab) -> None:
    assert tab.engine.read == [(AttentionRequest("text"), (0, len(TOKENS)))]
    assert 0.5 in [screen.fraction for screen in tab.view.screens if screen is not None and screen.table is None]
    assert tab.table.rows == tuple(range(len(ROWS)))
    assert tab.table.columns == len(TOKENS)
    assert tab.screen.position == len(TOKENS) - 1
    assert tab.screen.course is not None
    assert tab.screen.course.position == len(TOKENS) - 1


def test_rows_after_attention_can_be_hidden(tab: Tab) -> None:
    tab.part.choose(attention=False)
    assert [ROWS[row].place for row in tab.table.rows] == ["embedding"] + ["layer"] * LAYERS
    assert len(tab.engine.read) == 1
    tab.part.choose(attention=True)
    assert len(tab.table.rows) == len(ROWS)


def test_another_position_is_followed(tab: Tab) -> None:
    tab.part.pick(2)
    assert tab.part.busy
    tab.stand.run()
    assert tab.screen.course is not None
    assert tab.screen.course.position == 2
    tab.part.pick(2)
    assert not tab.part.busy
    tab.part.pick(0)
    tab.part.pick(1)
    tab.stand.run()
    assert tab.engine.followed == [5, 2, 1]


def test_a_token_under_the_mouse_is_marked_in_the_prompt(tab: Tab) -> None:
    tab.part.hover(3)
    assert tab.stand.pointed == [("queries", 3)]


def test_of_an_encoder_decoder_model_the_decoders_positions_are_read() -> None:
    tab = Tab(shape_of("encoder"), shape_of("decoder", TARGET), shape_of("cross", TARGET, TOKENS)).bring()
    tab.stand.run()
    assert tab.engine.read[0][1] == (0, len(TARGET))
    assert tab.table.lens.tokens == TARGET
    tab.part.hover(1)  # the encoder's map is looked at: its rows are other tokens
    assert tab.stand.pointed == []
    tab.stand.look(kind="cross")
    tab.part.hover(1)
    assert tab.stand.pointed == [("queries", 1)]


def test_of_an_encoder_the_first_mask_is_looked_at() -> None:
    info = model_info(Architecture.ENCODER)
    tab = Tab(shape_of("self", ("[CLS]", "a", MASK, "b", MASK, "[SEP]")), info=info).bring()
    tab.stand.run()
    assert tab.screen.position == 2
    assert tab.engine.followed == [2]


def test_long_texts_are_read_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens_part, "WINDOW", 4)
    tab = Tab().bring()
    tab.stand.run()
    assert tab.screen.window == (2, 6)
    tab.part.turn(-1)
    tab.stand.run()
    assert tab.screen.window == (0, 4)
    np.testing.assert_array_equal(tab.table.lens.positions, [0, 1, 2, 3])
    tab.part.turn(-1)
    assert not tab.part.busy
    tab.part.turn(1)
    tab.stand.run()
    assert [window for _, window in tab.engine.read] == [(2, 6), (0, 4), (2, 6)]


def test_a_new_text_is_read_anew_and_the_same_one_is_not(tab: Tab) -> None:
    tab.stand.look(layer=0, head=0)
    tab.stand.show(replace(tab.stand.reading, number=2, request=replace(tab.stand.reading.request, layers=(2,))))
    tab.stand.run()
    assert len(tab.engine.read) == 1
    tab.stand.show(replace(tab.stand.reading, number=3, request=AttentionRequest("another")))
    assert tab.screen.table is None
    tab.stand.run()
    assert tab.engine.read[-1][0].text == "another"


def test_an_answer_for_a_former_text_is_dropped() -> None:
    tab = Tab().bring()
    tab.stand.jobs.run_next()
    tab.stand.show(replace(tab.stand.reading, number=2, request=AttentionRequest("another")))
    assert tab.screen.table is None
    tab.stand.run()
    assert [request.text for request, _ in tab.engine.read] == ["text", "another"]
    assert tab.screen.table is not None


def test_what_cannot_be_read_says_so() -> None:
    tab = Tab()
    tab.engine.fails = UnsupportedFeatureError("The layers cannot be read one by one.", "Open another model.")
    tab.bring()
    tab.stand.run()
    assert "one by one" in tab.view.errors[-1].message
    assert not tab.part.busy
    tab.part.bring(None)
    assert tab.view.screens[-1] is None


def test_without_rows_after_attention_there_is_a_note() -> None:
    tab = Tab()
    tab.engine.attention = False
    tab.bring()
    tab.stand.run()
    assert "no rows after attention" in tab.screen.note
    assert len(tab.table.rows) == 1 + LAYERS


def test_csv_and_json_hold_every_cell(tab: Tab, tmp_path: Path) -> None:
    texts: list[str] = []
    tab.part.copy(texts.append)
    tab.stand.run()
    rows = list(csv.DictReader(io.StringIO(texts[0])))
    assert len(rows) == len(ROWS) * len(TOKENS)
    assert rows[0]["place"] == "embedding"
    assert rows[0]["layer"] == ""
    assert rows[-1]["final_rank"] == "1"
    assert rows[-1]["token_1"] == NAMES[(len(TOKENS) - 1) % 4]
    content = json.loads(json_text(tab.table.lens))
    assert len(content["cells"]) == len(ROWS)
    assert content["cells"][2][1]["best"][0]["text"] == tab.table.lens.texts[int(tab.table.lens.ids[2, 1, 0])]
    for kind in ("csv", "json"):
        path = tmp_path / f"lens.{kind}"
        tab.part.save(path)
        tab.stand.run()
        assert path.read_text("utf-8") == (texts[0] if kind == "csv" else json_text(tab.table.lens))


def test_json_has_no_numbers_that_are_none() -> None:
    lens = lens_of((0, 2), TOKENS)
    broken = replace(lens, kl=np.full_like(lens.kl, np.inf), entropy=np.full_like(lens.entropy, np.nan))
    content = json.loads(json_text(broken), parse_constant=pytest.fail)
    assert content["cells"][0][0]["kl_nats"] is None
    table = LensTable.of(broken, attention=True)
    assert np.isfinite(table.shares(LensMeasure.KL)).all()


@pytest.mark.parametrize("measure", list(LensMeasure))
def test_shares_stand_on_the_scale(measure: LensMeasure) -> None:
    table = LensTable.of(lens_of((0, 6), TOKENS), attention=True)
    shares = table.shares(measure)
    assert shares.shape == (len(ROWS), 6)
    assert 0 <= shares.min() <= shares.max() <= 1
    assert all(table.ends(measure))
    hidden = LensTable.of(table.lens, attention=False)
    np.testing.assert_array_equal(hidden.shares(measure), shares[list(hidden.rows)])


def test_cells_say_what_the_engine_said() -> None:
    table = LensTable.of(lens_of((0, 6), TOKENS), attention=True)
    assert table.text(len(ROWS) - 1, 1) == "␣dog"
    assert table.is_final(len(ROWS) - 1, 1)
    assert not table.is_final(0, 1)
    assert ("its rank here", "100") in table.facts(0, 1)
    assert [text for text, _ in table.best(0, 1)] == ["↵", "␣ball", "␣cat"]
    assert [row_short(row) for row in ROWS[:3]] == ["embed", "attn 0", "layer 0"]
    assert row_name(ROWS[2]) == "after layer 0"


def test_courses_as_probabilities_and_as_ranks(tab: Tab) -> None:
    course = tab.screen.course
    assert course is not None
    probabilities = CourseView(course, tab.table.rows, ranks=False)
    assert probabilities.share(len(ROWS) - 1, 0) == pytest.approx(0.9, abs=1e-6)
    ranks = CourseView(course, tab.table.rows, ranks=True)
    assert ranks.share(len(ROWS) - 1, 0) == 1
    assert 0 < ranks.share(0, 0) < 1
    assert len(ranks.ticks) == 5


def test_closing_forgets_what_runs() -> None:
    tab = Tab().bring()
    tab.part.close()
    assert tab.stand.jobs.pending == []
