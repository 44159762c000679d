"""The parts of the model without a window: what is measured when, what goes on, what is taken along."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.errors import DeviceError, InputError
from llmlab.engine.quantization.mixed import Mixed, Ranked
from llmlab.engine.quantization.parts import Grain, Part, PartDamage, Shift
from llmlab.engine.quantization.schemes import ABSMAX, Scheme
from llmlab.engine.quantization.types import CopyCost, Question
from llmlab.engine.types import Architecture
from llmlab.ui.panels.memory.quantization import sensitivity_part
from llmlab.ui.panels.memory.quantization import sensitivity_plots as plots
from llmlab.ui.panels.memory.quantization.params import SAMPLE, Params, Sight, Source, View
from llmlab.ui.panels.memory.quantization.sensitivity_screen import SensitivityScreen
from llmlab.ui.panels.memory.quantization.work import Opened
from llmlab.ui.screen import Kind
from tests.presenters.decoding_fakes import model_info, ready
from tests.presenters.test_quantization import NAMES, Lab

NF4 = Scheme("nf4")
DAMAGE = {NAMES[0]: 0.01, NAMES[1]: 0.03}  # of a matrix alone; together they do a little less than their sum


def shift(names: Sequence[str]) -> Shift:
    divergence = 0.9 * sum(DAMAGE[name] for name in names) if len(names) > 1 else sum(DAMAGE[name] for name in names)
    return Shift(divergence, 1 - divergence, 8 + divergence)


def damage(part: Part, scheme: Scheme) -> PartDamage:
    count, noise = len(part.matrices), 0.5 if NAMES[0] in part.matrices else 1.0
    return PartDamage(part, scheme, shift(part.matrices), 8.0, 256 * count, 1024 * count, 144 * count, 100.0, noise, 0)


class PartsLab(Lab):
    """The tab with the parts in front; what the engine would be asked is written down."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.measured: list[tuple[Scheme, Question, tuple[Part, ...]]] = []
        self.mixed: list[tuple[int, ...]] = []
        self.priced: list[Question] = []
        self.stops_after: int | None = None
        self.fails: Exception | None = None
        patch.setattr(sensitivity_part, "measure_parts", self._measure_parts)
        patch.setattr(sensitivity_part, "measure_mixed", self._measure_mixed)
        super().__init__(patch, {"view": "sensitivity"})
        patch.setattr(sensitivity_part, "price", self._price)

    @property
    def shown(self) -> SensitivityScreen:
        assert self.page.sensitivity is not None
        return self.page.sensitivity

    def measure(self) -> PartsLab:
        self.ready()
        self.tab.measure()
        self.jobs.run_all()
        return self

    def _price(self, _engine: Any, question: Question) -> CopyCost:
        self.priced.append(question)
        if self.fails:
            raise self.fails
        return CopyCost(13_000, 2_000_000, "cpu")

    def _measure_parts(
        self, _engine: Any, control: Any, scheme: Scheme, question: Question, parts: tuple[Part, ...]
    ) -> None:
        self.measured.append((scheme, question, parts))
        if self.fails:
            raise self.fails
        control.emit(Opened(8_000, ("lm_head",)))
        for number, part in enumerate(parts):
            if number == self.stops_after:
                self.tab.stop()
            control.check()
            control.report(f"{part.name}: {number} of {len(parts)} parts", number / len(parts))
            control.emit(damage(part, scheme))

    def _measure_mixed(
        self,
        _engine: Any,
        control: Any,
        _scheme: Scheme,
        _question: Question,
        order: tuple[Ranked, ...],
        counts: tuple[int, ...],
    ) -> None:
        self.mixed.append(counts)
        for kept in counts:
            rest = [name for each in order[kept:] for name in each.part.matrices]
            bytes_ = 8_000 + sum(each.extra_bytes for each in order[:kept])
            control.emit(Mixed(kept, bytes_, shift(rest)))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> PartsLab:
    return PartsLab(monkeypatch)


def test_before_anything_is_measured_it_says_what_it_takes(lab: PartsLab) -> None:
    lab.ready()
    assert lab.shown.grid is None
    assert "1 layers, 2 kinds and 2 matrices" in lab.shown.hint
    assert lab.screen.button == "Measure parts"
    assert {fact.name: fact.value for fact in lab.screen.facts}["Parts"] == "13 kB of 2.00 MB free on cpu"
    assert [question.text for question in lab.priced] == [SAMPLE]
    lab.tab.bring()
    assert not lab.jobs.pending


def test_every_part_is_measured(lab: PartsLab) -> None:
    lab.measure()
    scheme, question, parts = lab.measured[0]
    assert scheme == NF4
    assert question.text == SAMPLE
    assert [part.grain for part in parts] == [Grain.WHOLE, Grain.LAYER, Grain.KIND, Grain.KIND, *[Grain.MATRIX] * 2]
    assert lab.tab.sensitivity.is_measured
    assert not lab.screen.can_measure
    assert not lab.tab.busy
    assert lab.shown.caption == (
        "All 2 matrices as NF4: KL 0.0360 nats, one by one 0.0400 in sum (111%)"
        " · perplexity 8.000 → 8.036 · top-1 96.4%"
    )
    grid = lab.shown.grid
    assert grid is not None
    assert (grid.layers, grid.kinds) == (("0",), ("q", "down"))
    assert [found.divergence for column in (0, 1) if (found := grid.damage(0, column)) is not None] == [0.01, 0.03]
    assert grid.ends == (0.01, 0.03)
    assert [each.y.tolist() for each in lab.shown.kinds.series] == [[0.01, 0.03], [0.01, 0.03]]
    together, summed = (each.y.tolist() for each in lab.shown.layers.series)
    assert together == pytest.approx([0.036])
    assert summed == pytest.approx([0.04])
    assert lab.shown.proxy.series[0].labels == ("0.q", "0.down")


def test_parts_are_shown_as_they_come_and_measuring_goes_on_where_it_ended(lab: PartsLab) -> None:
    lab.ready()
    lab.stops_after = 4
    lab.tab.measure()
    assert lab.screen.button == "Stop"
    lab.jobs.run_all()
    assert lab.shown.grid is not None
    assert lab.shown.grid.damages
    assert lab.shown.grid.damage(0, 0) is None
    assert np.isnan(lab.shown.kinds.series[1].y).all()  # no sum of what is not known
    assert lab.shown.rows == ()
    assert lab.screen.button == "Go on"
    lab.stops_after = None
    lab.tab.measure()
    lab.jobs.run_all()
    assert [part.grain for part in lab.measured[1][2]] == [Grain.MATRIX] * 2
    assert lab.tab.sensitivity.is_measured


def test_another_scheme_is_measured_anew_and_the_first_one_is_kept(lab: PartsLab) -> None:
    lab.measure()
    lab.tab.select(1 + lab.shown.schemes.index("FP4"))
    assert lab.shown.grid is None
    assert lab.shown.selected == lab.shown.schemes.index("FP4")
    lab.jobs.run_all()
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.measured[1][0] == Scheme("fp4")
    lab.tab.select(1 + lab.shown.schemes.index("NF4"))
    assert lab.tab.sensitivity.is_measured
    lab.tab.measure()
    lab.jobs.run_all()
    assert len(lab.measured) == 2


def test_another_text_is_measured_anew_but_not_another_prompt(lab: PartsLab) -> None:
    lab.measure()
    lab.bench.prompt = "Another prompt"
    lab.tab.bring()
    lab.tab.change(new_tokens=9)
    assert lab.tab.sensitivity.is_measured
    lab.tab.change(own="Another text.", source=Source.OWN)
    assert not lab.tab.sensitivity.is_measured
    lab.jobs.run_all()
    assert lab.priced[-1].text == "Another text."
    assert "another text" not in lab.screen.note  # that is said of copies


def test_of_an_encoder_decoder_model_the_length_of_the_answer_counts(lab: PartsLab) -> None:
    lab.open(architecture=Architecture.ENCODER_DECODER)
    lab.jobs.run_all()
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.tab.sensitivity.is_measured
    lab.tab.change(new_tokens=9)
    assert not lab.tab.sensitivity.is_measured


def test_another_model_begins_anew(lab: PartsLab) -> None:
    lab.measure()
    lab.open(generation=2, name="Other")
    lab.jobs.run_all()
    assert lab.shown.grid is None
    assert len(lab.priced) == 2


def test_which_to_keep(lab: PartsLab) -> None:
    lab.measure()
    rows = [row.cells for row in lab.shown.rows]
    assert [cells[1] for cells in rows] == ["none is kept", "0.down", "0.q"]
    assert rows[0][2:] == ("–", "–", "–", "8.00 kB", "0.0400", "–")
    assert rows[1][2:] == ("0.0300", "+368 bytes", "81.5", "8.37 kB", "0.0100", "–")
    assert lab.shown.kept == 1  # half of the damage is gone
    assert "predicted" in lab.shown.mixed_words
    assert lab.shown.can_mix
    assert [each.name for each in lab.shown.curve.series] == ["sum of the single damages"]
    lab.tab.sensitivity.measure_mixed()
    lab.jobs.run_all()
    assert lab.mixed == [(0, 1, 2)]
    assert [row.cells[-1] for row in lab.shown.rows] == ["0.0360", "0.0100", "0"]
    assert lab.shown.mixed_words == (
        "The first 1 of 2 are kept in 16 bits: 72% less damage for 4.6% more bytes (KL 0.0100 nats, measured)."
    )
    assert not lab.shown.can_mix
    assert lab.tab.sensitivity.is_mixed
    assert lab.shown.curve.series[1].labels == ("0 kept", "1 kept", "2 kept")
    lab.tab.sensitivity.keep(0)
    assert lab.shown.kept == 0
    assert lab.shown.mixed_words == "Every matrix is quantized: KL 0.0360 nats, perplexity 8.036."
    assert lab.shown.curve.levels[0].value == 8_000
    lab.tab.sensitivity.keep(99)
    assert lab.shown.kept == 0


def test_16_bits_have_nothing_to_keep(lab: PartsLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.damage", lambda part, scheme: replace(_plain(part, scheme), bytes=10**6))
    lab.measure()
    assert lab.shown.rows == ()
    assert "no less than 16 bits" in lab.shown.mixed_words
    lab.tab.sensitivity.copy_script("mixed")
    assert lab.notifier.said == ["No order is known yet."]


_plain = damage


def test_a_matrix_of_the_map_is_looked_into(lab: PartsLab) -> None:
    lab.measure()
    grid = lab.shown.grid
    assert grid is not None
    lab.tab.look_into(grid.cells[0, 1].matrices[0])
    lab.jobs.run_all()
    assert lab.tab.params.view is View.WEIGHTS
    assert lab.looked[-1] == (NF4, NAMES[1])
    assert lab.pictures.caption.startswith(NAMES[1])


def test_a_text_that_cannot_be_read_is_said(lab: PartsLab) -> None:
    lab.fails = InputError("The text has a single token.", "Use a longer text.")
    lab.ready()
    assert lab.shown.problem == "The text has a single token. Use a longer text."
    lab.fails = None
    lab.tab.change(source=Source.PROMPT)
    assert lab.page.sensitivity is None
    assert "no text" in lab.page.why_not


def test_a_failure_is_told_and_what_was_known_stays(lab: PartsLab) -> None:
    lab.ready()
    lab.fails = DeviceError("No bitsandbytes.", "Install it.")
    lab.tab.measure()
    lab.jobs.run_all()
    assert [error.message for error in lab.notifier.errors] == ["No bitsandbytes."]
    assert not lab.tab.running
    assert lab.screen.can_measure


def test_a_model_without_a_head_says_so(lab: PartsLab) -> None:
    ready(lab.bench, replace(model_info(), features=frozenset()))
    lab.tab.bring()
    lab.jobs.run_all()
    assert lab.page.sensitivity is None
    assert "only its weights" in lab.page.why_not
    assert not lab.screen.can_measure


def test_a_large_model_waits_to_be_asked(lab: PartsLab) -> None:
    lab.open(parameters=7_000_000_000)
    assert lab.screen.stage.kind is Kind.EMPTY
    assert not lab.jobs.pending
    lab.tab.start()
    lab.jobs.run_all()
    assert lab.shown.hint


@pytest.mark.parametrize(("what", "rows"), [("parts", 6), ("mixed", 3)])
def test_exports(lab: PartsLab, what: str, rows: int, tmp_path: Path) -> None:
    lab.measure()
    lab.tab.sensitivity.measure_mixed()
    lab.jobs.run_all()
    lab.tab.sensitivity.export(what, "copy")
    assert len(list(csv.reader(io.StringIO(lab.page.copied[-1]), delimiter="\t"))) == rows + 1
    lab.page.folder = tmp_path
    for kind in ("csv", "json"):
        lab.tab.sensitivity.export(what, kind)
        lab.jobs.run_all()
        text = (tmp_path / f"quantization-{what}.{kind}").read_text(encoding="utf-8")
        content = list(csv.DictReader(io.StringIO(text))) if kind == "csv" else json.loads(text)
        assert len(content) == rows
        assert content[0]["scheme"] == "NF4"
        name = "kl_nats" if what == "parts" else "kl_nats_measured"
        assert float(content[0][name]) == pytest.approx(0.036)


def test_scripts(lab: PartsLab) -> None:
    lab.tab.sensitivity.copy_script("mixed")
    assert lab.page.copied == []  # no model
    lab.ready()
    lab.tab.sensitivity.copy_script("mixed")
    assert lab.notifier.said == ["No order is known yet."]
    lab.tab.measure()
    lab.jobs.run_all()
    for what in ("parts", "mixed"):
        lab.tab.sensitivity.copy_script(what)
        compile(lab.page.copied[-1], "script", "exec")
    script = lab.page.copied[-1]
    assert "'lm_head'" in script
    assert "'model.layers.0.down'" in script
    assert "model.layers.0.q" not in script
    assert "bnb_4bit_quant_type='nf4'" in script
    for name in ("LLM.int8", "NF4 double", "absmax int4 per group of 64"):
        lab.tab.select(1 + lab.shown.schemes.index(name))
        lab.tab.measure()
        lab.jobs.run_all()
        lab.tab.sensitivity.copy_script("mixed")
        script = lab.page.copied[-1]
        compile(script, "script", "exec")
        assert ("load_in_8bit" in script) is (name == "LLM.int8")
        assert ("use_double_quant" in script) is (name == "NF4 double")
        assert (f"Scheme({ABSMAX!r}" in script) is name.startswith("absmax")


def test_closing_delivers_nothing_more(lab: PartsLab) -> None:
    lab.ready()
    lab.tab.measure()
    lab.tab.close()
    assert not lab.jobs.pending


def test_settings_are_found_again() -> None:
    params = Params(view=View.SENSITIVITY, sight=Sight.MIXED)
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert Params.from_dict({"sight": "far"}) == Params()


def test_a_matrix_that_loses_nothing_has_no_point(lab: PartsLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DAMAGE, NAMES[0], 0.0)
    lab.measure()
    assert lab.shown.proxy.series[0].labels == ("0.down",)
    assert lab.shown.proxy_words == "SQNR against KL"
    assert plots.KL in lab.shown.layers.y.title
