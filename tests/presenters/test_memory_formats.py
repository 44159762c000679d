"""The tab of number formats without a window."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmlab.ui.panels.memory.formats.params import NAMES, OVERFLOW, Params
from llmlab.ui.panels.memory.formats.presenter import Formats
from llmlab.ui.panels.memory.formats.screen import MOST_TICKS, FormatRow, FormatsScreen
from tests.presenters.memory_stand import FakeDesk, Stand


class FakePage(FakeDesk):
    """Remembers the last of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.params = Params()
        self.shown: FormatsScreen | None = None

    def show_params(self, params: Params) -> None:
        self.params = params

    def show_screen(self, shown: FormatsScreen) -> None:
        self.shown = shown


class Lab(Stand):
    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        super().__init__(Formats, FakePage(), saved, in_panel=True)
        self.panel.activate()
        assert self.panel.settled

    @property
    def shown(self) -> FormatsScreen:
        assert self.page.shown is not None
        return self.page.shown

    def row(self, name: str) -> FormatRow:
        return next(row for row in self.shown.rows if row.name == name)

    def fact(self, name: str) -> str:
        return next(fact.value for fact in self.shown.facts if fact.name == name)


def test_the_course_s_example_is_there_at_once() -> None:
    lab = Lab()
    values = {row.name: row.value for row in lab.shown.rows}
    assert values["FP32"] == "3.1415920257568359375"
    assert values["FP16"] == values["BF16"] == values["TF32"] == "3.140625"
    assert (values["FP8 E4M3"], values["FP8 E5M2"]) == ("3.25", "3")
    assert [row.name for row in lab.shown.rows] == list(NAMES)
    assert lab.row("FP8 E4M3").error == "3.45%"
    assert lab.row("FP32").error == "8.2e-09"
    assert lab.shown.absmax == "4"


def test_a_bit_turned_over_changes_its_format_alone() -> None:
    lab = Lab()
    before = lab.shown.rows
    lab.tab.flip("BF16", 15)
    assert lab.row("BF16").value == "−3.140625"
    assert lab.row("BF16").turned
    assert lab.shown.any_turned
    assert lab.shown.chosen == lab.page.params.chosen == "BF16"
    assert [row for row in lab.shown.rows if row.name != "BF16"] == [row for row in before if row.name != "BF16"]
    lab.tab.undo()
    assert lab.shown.rows == before
    assert not lab.shown.any_turned


def test_its_value_becomes_the_number() -> None:
    lab = Lab()
    lab.tab.flip("FP8 E4M3", 7)
    lab.tab.take()
    assert lab.page.params.number == "-3.25"
    assert lab.row("FP16").error == "exact"
    assert not lab.row("FP8 E4M3").turned
    lab.tab.change(number="1e9", overflow="infinity", chosen="FP8 E5M2")
    lab.tab.take()
    assert lab.page.params.number == "inf"
    lab.tab.take("0.5")
    assert lab.row("FP16").value == "0.5"


def test_steps_to_the_next_value_and_no_further_than_the_last() -> None:
    lab = Lab({"number": "448", "chosen": "FP8 E4M3"})
    lab.tab.step(1)
    assert lab.row("FP8 E4M3").value == "448"
    lab.tab.step(-1)
    assert lab.row("FP8 E4M3").value == "416"
    assert lab.fact("above") == "448"
    lab.tab.change(number="nan")
    lab.tab.step(1)
    assert lab.row("FP8 E4M3").value == "NaN"


def test_overflow_as_it_is_chosen() -> None:
    lab = Lab({"number": "1e6"})
    found = {}
    for how in OVERFLOW:
        lab.tab.change(overflow=how)
        found[how] = [lab.row(name).value for name in ("FP16", "FP8 E4M3", "FP8 E5M2")]
    assert found == {
        "torch": ["∞", "448", "∞"],
        "infinity": ["∞", "NaN", "∞"],
        "saturate": ["65504", "448", "57344"],
    }
    lab.tab.change(overflow="infinity", chosen="FP8 E4M3")
    assert "NaN" in lab.fact("beyond")
    assert lab.row("FP8 E4M3").error == "NaN"


@pytest.mark.parametrize(
    ("number", "words"), [("three", "not a number"), ("", "There is no number"), ("9" * 1999, "1,999 characters")]
)
def test_what_is_no_number_leaves_the_former_one(number: str, words: str) -> None:
    lab = Lab()
    before = lab.shown.rows
    lab.tab.change(number=number)
    assert words in lab.shown.problem
    assert lab.shown.rows == before
    lab.tab.change(number="2")
    assert lab.shown.problem == ""
    assert lab.row("FP16").value == "2"


def test_the_block_sets_the_scale() -> None:
    lab = Lab({"chosen": "INT8"})
    assert lab.row("INT8").value.startswith("≈ 3.1496")
    lab.tab.change(block="127")
    assert lab.row("INT8").value == "3"
    assert lab.fact("step") == "1"
    lab.tab.change(block="")
    assert lab.shown.absmax == "3.141592"
    for block, words in (("1 x", "not a number"), ("inf", "cannot be in a block"), ("1e39", "more than a float32")):
        lab.tab.change(block=block)
        assert words in lab.shown.block_problem
    lab.tab.change(block="0", number="0")
    assert "All numbers of the block are 0" in lab.shown.block_problem
    lab.tab.change(block="1")
    assert lab.shown.block_problem == ""


def test_the_line_shows_values_until_they_are_too_many() -> None:
    lab = Lab()
    rows = {row.name: row for row in lab.shown.line.rows}  # type: ignore[union-attr]
    assert 3.25 in rows["FP8 E4M3"].values
    assert rows["FP8 E4M3"].value == 3.25
    assert rows["FP32"].count > MOST_TICKS
    assert rows["FP32"].values == ()
    for _ in range(60):
        lab.tab.zoom(1 / 1.5)
    rows = {row.name: row for row in lab.shown.line.rows}  # type: ignore[union-attr]
    assert rows["FP32"].count < MOST_TICKS
    assert rows["FP8 E4M3"].count == 0
    lab.tab.change(number="inf")
    assert lab.shown.line is None


def test_formats_as_files_and_as_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = Lab()
    lab.page.folder = tmp_path
    for what in ("csv", "json", "copy", "value", "python"):
        lab.tab.export(what)
    lab.jobs.run_all()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "formats.csv").read_text("utf-8"))))
    assert [row["value"] for row in rows][:2] == ["3.1415920257568359375", "3.140625"]
    assert json.loads((tmp_path / "formats.json").read_text("utf-8"))["absmax"] == "4"
    table, value, script = lab.page.copied
    assert table.startswith("format\tbits\t")
    assert value == "3.140625"
    exec(script, {})
    printed = capsys.readouterr().out
    assert "3.1415920257568359375" in printed
    assert "float8_e4m3fn  3.25" in printed


def test_settings_are_found_again() -> None:
    lab = Lab()
    lab.tab.change(number="1/3", block="2", overflow="saturate", chosen="NF4")
    again = Lab(json.loads(json.dumps(lab.tab.save())))
    assert again.shown == lab.shown


@given(
    st.dictionaries(st.sampled_from(["number", "block", "overflow", "chosen"]), st.none() | st.integers() | st.text())
)
def test_damaged_settings_leave_good_ones(saved: dict[str, Any]) -> None:
    params = Params.from_dict(saved)
    assert params.chosen in NAMES
    assert params.overflow in OVERFLOW


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.floats().map(repr) | st.text(max_size=12), block=st.text(max_size=12), chosen=st.sampled_from(NAMES))
def test_nothing_that_can_be_typed_breaks_it(number: str, block: str, chosen: str) -> None:
    lab = Lab()
    lab.tab.change(number=number, block=block, chosen=chosen)
    assert len(lab.shown.rows) == len(NAMES)
    lab.tab.flip(chosen, 0)
    lab.tab.step(1)
    lab.tab.zoom(3)
