"""The quantization laboratory without a window: what is asked when, what the table says, what is taken along."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.errors import DeviceError, UnsupportedFeatureError
from llmlab.engine.quantization.schemes import ABSMAX, STANDARD, Scheme
from llmlab.engine.quantization.types import (
    CopyCost,
    Kept,
    MatrixDamage,
    MatrixDetail,
    Measured,
    Question,
    SideBySide,
    TextDamage,
    WeightDamage,
    Written,
)
from llmlab.engine.types import Architecture, Feature
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.memory.quantization import copies_part, plots, sensitivity_part, weights_part
from llmlab.ui.panels.memory.quantization.figures import SchemeRow
from llmlab.ui.panels.memory.quantization.params import SAMPLE, Params, Source, View
from llmlab.ui.panels.memory.quantization.presenter import Quantization
from llmlab.ui.panels.memory.quantization.screen import LabScreen, Pictures
from llmlab.ui.panels.memory.quantization.sensitivity_screen import SensitivityScreen
from llmlab.ui.panels.memory.quantization.work import Asked, Weighed
from llmlab.ui.screen import Kind
from llmlab.workbench import ModelState
from tests.presenters.decoding_fakes import model_info, ready, set_model
from tests.presenters.memory_stand import FakeDesk, Stand

NAMES = ("model.layers.0.q.weight", "model.layers.0.down.weight")
NOISE = {"float32": 0.0, "bfloat16": 0.0, "float16": 1e-9, "LLM.int8": 0.01, "NF4": 1.0, "NF4 double": 1.1, "FP4": 2.0}


class FakePage(FakeDesk):
    def __init__(self) -> None:
        super().__init__()
        self.screen: LabScreen | None = None
        self.rows: tuple[SchemeRow, ...] = ()
        self.selected = -1
        self.pictures: Pictures | None = None
        self.sensitivity: SensitivityScreen | None = None
        self.why_not = ""

    def show_screen(self, screen: LabScreen) -> None:
        self.screen = screen

    def show_rows(self, rows: tuple[SchemeRow, ...], selected: int) -> None:
        self.rows, self.selected = rows, selected

    def show_pictures(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def show_sensitivity(self, screen: SensitivityScreen | None, why_not: str) -> None:
        self.sensitivity, self.why_not = screen, why_not


def weight_damage(scheme: Scheme) -> WeightDamage:
    noise = NOISE.get(scheme.name, 10.0 / scheme.bits)
    matrices = tuple(
        MatrixDamage(name, 4, 64, 1024, scheme.bytes_of(4, 64), 100.0, noise, 1.0, math.sqrt(noise)) for name in NAMES
    )
    kept = (Kept("embeddings, which are looked up and not multiplied", ("embed.weight",), 2_000),)
    return WeightDamage(scheme, matrices, kept, 10_048, 8_000 + sum(m.bytes for m in matrices))


def detail(scheme: Scheme, name: str) -> MatrixDetail:
    damage = next(m for m in weight_damage(scheme).matrices if m.name == name)
    levels = np.empty(0) if scheme.is_float else np.linspace(-1, 1, 3)
    counts = np.array([56, 150, 50][: len(levels)], np.int64)
    edges, errors = np.linspace(-1, 1, 5), np.linspace(-0.1, 0.1, 3)
    return MatrixDetail(
        damage, scheme, edges, np.array([6, 100, 100, 50]), levels, counts, errors, np.array([128, 128])
    )


def measured(scheme: Scheme, question: Question) -> Measured:
    noise = NOISE.get(scheme.name, 1.0)
    text = TextDamage(
        before=("Once",),
        ids=np.array([1, 2], np.int32),
        tokens=(" upon", " a"),
        divergence=np.array([0.0, noise / 10]),
        log_probabilities=np.log([0.5, 0.5]),
        log_probabilities_after=np.log([0.5, 0.25]),
        best=(" upon", " a"),
        best_after=(" upon", " the"),
        agrees=np.array([True, noise == 0]),
        windows=1,
        window=64,
        how="each token predicted from those before it",
        read_per_second=100.0,
        read_per_second_after=50.0,
    )
    written = Written((1, 2), (" x", " y"), (" x", " y"), "length")
    speed = None if scheme.is_simulated else 80.0
    sides = SideBySide(question.prompt, written, written, None, None if speed is None else 90.0, speed)
    return Measured(scheme, 10_048, 9_000, text, sides)


class Lab(Stand):
    """The tab with everything around it; what the engine would be asked is written down."""

    def __init__(self, patch: pytest.MonkeyPatch, saved: dict[str, Any] | None = None) -> None:
        self.weighed: list[tuple[Scheme, ...]] = []
        self.looked: list[tuple[Scheme, str]] = []
        self.questions: list[tuple[tuple[Scheme, ...], Question]] = []
        self.broken: dict[str, ErrorInfo] = {}
        self.refuses: Exception | None = None
        patch.setattr(weights_part, "weigh", self._weigh)
        patch.setattr(weights_part, "look", self._look)
        patch.setattr(copies_part, "ask", self._ask)
        patch.setattr(sensitivity_part, "price", lambda _engine, _question: CopyCost(13_000, 2_000_000, "cpu"))
        super().__init__(Quantization, FakePage(), saved)

    def open(self, generation: int = 1, **changes: Any) -> None:
        info = replace(model_info(), features=frozenset((Feature.SCORE, Feature.GENERATE)), **changes)
        ready(self.bench, info, generation)
        self.tab.bring()

    def ready(self) -> Lab:
        self.open()
        self.jobs.run_all()
        return self

    def _weigh(self, _engine: Any, control: Any, schemes: tuple[Scheme, ...]) -> None:
        self.weighed.append(schemes)
        if self.refuses:
            raise self.refuses
        for scheme in schemes:
            error = self.broken.get(scheme.name)
            cost = CopyCost(11_000, 2_000_000, "cpu")
            control.emit(Weighed(scheme, error=error) if error else Weighed(scheme, weight_damage(scheme), cost))

    def _look(self, _engine: Any, scheme: Scheme, name: str) -> MatrixDetail:
        self.looked.append((scheme, name))
        return detail(scheme, name)

    def _ask(self, _engine: Any, control: Any, schemes: tuple[Scheme, ...], question: Question) -> None:
        self.questions.append((schemes, question))
        for scheme in schemes:
            control.check()
            error = self.broken.get(scheme.name)
            control.emit(Asked(scheme, error=error) if error else Asked(scheme, measured(scheme, question)))

    @property
    def screen(self) -> LabScreen:
        assert self.page.screen is not None
        return self.page.screen

    @property
    def pictures(self) -> Pictures:
        assert self.page.pictures is not None
        return self.page.pictures

    def row(self, name: str) -> tuple[str, ...]:
        return next(row.cells for row in self.page.rows if row.cells[0] == name)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(monkeypatch)


def test_without_a_model_it_says_so(lab: Lab) -> None:
    lab.tab.bring()
    assert lab.screen.stage.kind is Kind.EMPTY
    assert lab.tab.busy
    assert not lab.jobs.pending


def test_the_weights_of_a_new_model_are_looked_at_at_once(lab: Lab) -> None:
    lab.ready()
    assert lab.screen.stage.kind is Kind.READY
    assert lab.weighed == [lab.tab.params.schemes]
    assert [row.cells[0] for row in lab.page.rows] == ["in use: float32", *(s.name for s in lab.tab.params.schemes)]
    assert lab.row("NF4")[1:5] == ("6.50", "8.42 kB", "20.0", "1.0000")
    assert lab.row("float32")[3:5] == ("∞", "0")
    assert lab.row("NF4")[5:] == ("–",) * 4
    assert lab.looked == [(Scheme("nf4"), NAMES[0])]
    assert not lab.tab.busy
    assert lab.screen.can_measure


def test_what_is_quantized_kept_and_costs_is_said(lab: Lab) -> None:
    facts = {fact.name: fact.value for fact in lab.ready().screen.facts}
    assert facts["Quantized"] == "2 matrices, 512"
    assert facts["Kept"] == "2 k: embeddings, which are looked up and not multiplied"
    assert facts["Second copy"] == "up to 11 kB of 2.00 MB free on cpu"


def test_coming_back_asks_nothing_anew_and_another_model_does(lab: Lab) -> None:
    lab.ready()
    lab.tab.measure()
    lab.jobs.run_all()
    lab.tab.bring()
    assert not lab.jobs.pending
    lab.open(generation=2, name="Other")
    assert len(lab.weighed) == 1
    assert lab.row("NF4")[1] == "–"
    lab.jobs.run_all()
    assert len(lab.weighed) == 2
    assert lab.row("NF4")[5] == "–"


def test_moving_the_slider_looks_at_the_new_scheme_alone(lab: Lab) -> None:
    lab.ready()
    for bits in (5, 6, 7):
        lab.tab.change(bits=bits)
    assert lab.jobs.titles() == ["weigh"]
    lab.jobs.run_all()
    own = Scheme(ABSMAX, bits=7, granularity="group")
    assert lab.weighed[1:] == [(own,)]
    assert lab.page.rows[-1].cells[0] == "absmax int7 per group of 64"
    assert lab.page.rows[-1].cells[1] != "–"


def test_a_selected_absmax_stays_selected_while_its_slider_moves(lab: Lab) -> None:
    lab.ready()
    lab.tab.select(len(lab.page.rows) - 1)
    lab.tab.change(bits=3)
    lab.jobs.run_all()
    assert lab.page.selected == len(lab.page.rows) - 1
    assert lab.looked[-1][0] == lab.tab.params.absmax == lab.tab.params.schemes[-1]


def test_looking_into_another_matrix(lab: Lab) -> None:
    lab.ready()
    shown = [each.name for each in lab.pictures.matrices.series]
    assert "float16" not in shown
    lab.tab.pick(shown.index("FP4"), 1)
    lab.jobs.run_all()
    assert lab.looked[-1] == (Scheme("fp4"), NAMES[1])
    assert lab.pictures.caption.startswith(f"{NAMES[1]} (4 × 64) as FP4: 17.0 dB")
    assert "3 of 3 levels taken" in lab.pictures.caption
    assert [level.value for level in lab.pictures.weights.levels] == [-1, 0, 1]
    lab.tab.select(0)  # of the model in use there is no picture
    assert lab.page.selected == [row.cells[0] for row in lab.page.rows].index("FP4")


def test_measuring_asks_all_schemes_once(lab: Lab) -> None:
    lab.bench.prompt = "A prompt"
    lab.ready()
    lab.tab.measure()
    assert lab.screen.running
    lab.tab.measure()
    lab.jobs.run_all()
    assert not lab.screen.running
    assert len(lab.questions) == 1
    schemes, question = lab.questions[0]
    assert schemes == lab.tab.params.schemes
    assert question == Question(SAMPLE, "A prompt", 48)
    assert lab.row("NF4")[5:] == ("0.0500", "50.0%", "2.828", "80 · 0.89×")
    assert lab.row("in use: float32")[7:] == ("2.000", "90")
    assert lab.page.rows[-1].cells[-1] == "–"  # absmax has no speed
    assert lab.tab.is_measured
    lab.tab.measure()
    assert not lab.jobs.pending


def test_only_what_is_new_is_measured(lab: Lab) -> None:
    lab.ready()
    lab.tab.measure()
    lab.jobs.run_all()
    lab.tab.change(bits=2)
    lab.jobs.run_all()
    assert not lab.tab.is_measured
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.questions[1][0] == (lab.tab.params.absmax,)


def test_another_text_is_measured_anew_and_until_then_said_to_be_old(lab: Lab) -> None:
    lab.ready()
    lab.tab.measure()
    lab.jobs.run_all()
    lab.tab.change(own="Another text.", source=Source.OWN)
    assert "another text" in lab.screen.note
    lab.tab.measure()
    assert lab.row("NF4")[5] == "–"
    lab.jobs.run_all()
    assert lab.questions[1][1].text == "Another text."
    assert lab.screen.note == ""


def test_without_a_prompt_the_beginning_of_the_text_is_gone_on_from(lab: Lab) -> None:
    lab.ready()
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.questions[0][1].prompt == "Once upon a time there was a little"


def test_an_encoder_decoder_answers_the_text(lab: Lab) -> None:
    lab.bench.prompt = "A prompt"
    lab.open(architecture=Architecture.ENCODER_DECODER)
    lab.jobs.run_all()
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.questions[0][1].prompt == SAMPLE


def test_a_model_that_writes_no_texts_has_the_speed_it_reads_with(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_texts(_engine: Any, control: Any, schemes: tuple[Scheme, ...], question: Question) -> None:
        for scheme in schemes:
            control.emit(Asked(scheme, replace(measured(scheme, question), side_by_side=None)))

    monkeypatch.setattr(copies_part, "ask", without_texts)
    lab.ready()
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.row("NF4")[-1] == "50 · 0.50×"
    assert lab.row("in use: float32")[-1] == "100"
    assert lab.page.rows[-1].cells[-1] == "–"


def test_an_empty_text_is_said_and_not_measured(lab: Lab) -> None:
    lab.ready()
    lab.tab.change(source=Source.PROMPT)
    lab.tab.measure()
    assert lab.notifier.said == ["There is no text to compare the models over."]
    assert not lab.jobs.pending
    assert not lab.tab.is_measured


def test_a_model_without_a_head_has_weights_only(lab: Lab) -> None:
    ready(lab.bench, replace(model_info(), features=frozenset()))
    lab.tab.bring()
    lab.jobs.run_all()
    assert not lab.screen.can_measure
    assert "only its weights" in lab.screen.note
    lab.tab.measure()
    assert not lab.jobs.pending


def test_a_scheme_that_cannot_be_had_leaves_the_others(lab: Lab) -> None:
    error = ErrorInfo.of(DeviceError("No bitsandbytes.", "Install it."))
    lab.broken = dict.fromkeys(("LLM.int8", "NF4", "NF4 double", "FP4"), error)
    lab.ready()
    broken = next(row for row in lab.page.rows if row.cells[0] == "NF4")
    assert broken.problem == "No bitsandbytes. Install it."
    assert lab.pictures.problem == broken.problem
    assert lab.row("bfloat16")[1] == "16.00"
    assert lab.screen.stage.kind is Kind.READY
    lab.tab.measure()
    lab.jobs.run_all()
    assert lab.row("bfloat16")[5] != "–"


def test_a_quantized_model_is_refused_in_its_own_words(lab: Lab) -> None:
    lab.refuses = UnsupportedFeatureError("It is open as nf4.", "Open it without a quantization.")
    lab.ready()
    assert lab.screen.stage.kind is Kind.ERROR
    assert lab.screen.stage.title == "It is open as nf4."
    assert not lab.tab.busy
    lab.tab.change(bits=3)
    assert not lab.jobs.pending
    lab.refuses = None
    lab.open(generation=2)
    lab.jobs.run_all()
    assert lab.screen.stage.kind is Kind.READY


def test_stopping_keeps_what_is_known(lab: Lab) -> None:
    lab.ready()
    lab.tab.measure()
    lab.tab.stop()
    assert not lab.tab.running
    assert lab.screen.can_measure


def test_a_large_model_waits_to_be_asked(lab: Lab) -> None:
    lab.open(parameters=7_000_000_000)
    assert lab.screen.stage.kind is Kind.EMPTY
    assert "7 B parameters" in lab.screen.stage.title
    assert not lab.jobs.pending
    lab.tab.bring()
    lab.tab.change(bits=5)
    assert not lab.jobs.pending
    lab.tab.start()
    lab.jobs.run_all()
    assert lab.screen.stage.kind is Kind.READY
    assert lab.row("NF4")[1] != "–"


def test_looking_at_the_weights_can_be_stopped_for_good(lab: Lab) -> None:
    lab.open()
    lab.jobs.cancel(lab.tab.weights, "weigh")
    assert lab.screen.stage.kind is Kind.EMPTY
    lab.tab.bring()
    assert not lab.jobs.pending
    lab.tab.start()
    lab.jobs.run_all()
    lab.tab.change(bits=7)
    lab.jobs.cancel(lab.tab.weights, "weigh")
    assert "Stopped" in lab.screen.note
    lab.tab.bring()
    assert not lab.jobs.pending
    lab.tab.measure()
    assert lab.jobs.titles() == ["weigh", "measure"]
    lab.jobs.run_all()
    assert lab.tab.is_measured


def test_the_picture_of_damage_is_noise_first_and_divergence_when_measured(lab: Lab) -> None:
    lab.ready()
    before = lab.pictures.damage
    assert "SQNR" in before.y.title
    assert len(before.series[0].labels) == len(lab.tab.params.schemes)
    lab.tab.measure()
    lab.jobs.run_all()
    after = lab.pictures.damage
    assert "KL" in after.y.title
    assert "float32" not in after.series[0].labels  # a divergence of 0 has no place on a logarithmic axis
    assert len(after.series[0].y) == len(after.series[0].labels)
    assert np.isfinite(after.series[0].y).all()


def test_no_scheme_but_absmax(lab: Lab) -> None:
    lab.ready()
    lab.tab.change(chosen=())
    lab.jobs.run_all()
    assert [row.cells[0] for row in lab.page.rows[1:]] == [lab.tab.params.absmax.name]
    assert lab.page.selected == 1


def test_a_start_without_nf4_selects_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch, {"chosen": ["float32"], "view": "sensitivity"}).ready()
    assert lab.page.selected == 2
    assert lab.page.sensitivity is not None
    assert lab.page.sensitivity.selected == 1


@pytest.mark.parametrize(("what", "rows"), [("schemes", 8), ("matrices", 16), ("tokens", 16)])
def test_exports(lab: Lab, what: str, rows: int, tmp_path: Path) -> None:
    lab.ready()
    lab.tab.measure()
    lab.jobs.run_all()
    lab.tab.export(what, "copy")
    assert len(list(csv.reader(io.StringIO(lab.page.copied[-1]), delimiter="\t"))) == rows + 1
    for kind in ("csv", "json"):
        lab.page.folder = tmp_path
        lab.tab.export(what, kind)
        lab.jobs.run_all()
        text = (tmp_path / lab.page.asked[-1]).read_text(encoding="utf-8")
        content = list(csv.DictReader(io.StringIO(text))) if kind == "csv" else json.loads(text)
        assert len(content) == rows
        assert content[0]["scheme"] == "float32"
    assert lab.page.asked == [f"quantization-{what}.csv", f"quantization-{what}.json"]


def test_the_script_is_python_with_everything_in_it(lab: Lab) -> None:
    lab.ready()
    lab.tab.change(own='A "text"\nof two lines', source=Source.OWN)
    lab.tab.copy_script()
    compile(lab.page.copied[-1], "script", "exec")
    for part in ("Scheme('nf4', double=True)", "granularity='group', group_size=64", repr('A "text"\nof two lines')):
        assert part in lab.page.copied[-1]


def test_closing_delivers_nothing_more(lab: Lab) -> None:
    lab.open()
    lab.tab.close()
    assert not lab.jobs.pending


def test_settings_are_found_again() -> None:
    params = Params(View.TEXT, ("float32", "NF4"), 3, "channel", 128, Source.OWN, "Mine", 20)
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert Params().to_dict() == {}


@pytest.mark.parametrize(
    "saved",
    [
        {"bits": 99, "granularity": "row", "group_size": 3, "view": 7, "source": None, "own": 4, "new_tokens": True},
        {"chosen": "NF4", "bits": "4"},
    ],
)
def test_settings_that_make_no_sense_are_left_out(saved: dict[str, Any]) -> None:
    assert Params.from_dict(saved) == Params()


def test_short_names() -> None:
    assert plots.short_names(["model.layers.0.q.weight", "model.layers.1.q.weight"]) == ("0.q", "1.q")
    assert plots.short_names(["a.weight"]) == ("a",)
    assert plots.short_names([]) == ()


def test_an_exact_matrix_says_so() -> None:
    assert plots.errors(detail(Scheme("float32"), NAMES[0])).empty == "Every weight comes back exactly."
    assert not plots.weights(detail(Scheme("float32"), NAMES[0])).levels
    assert len(STANDARD) == len({scheme.name for scheme in STANDARD})


def test_a_model_that_failed_to_open(lab: Lab) -> None:
    set_model(lab.bench, ModelState(error=ErrorInfo.of(DeviceError("No GPU.", "Use the CPU."))))
    lab.tab.bring()
    assert lab.screen.stage.kind is Kind.ERROR
