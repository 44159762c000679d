"""The calculator without a window: where the architecture comes from, what is shown of it, what can be taken along."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.errors import ModelNotFoundError
from llmlab.engine.memory.architectures import architectures
from llmlab.engine.memory.hardware import Gpu, gpus
from llmlab.engine.memory.inference import inference
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sources import Described
from llmlab.engine.memory.speed import MeasuredSpeed
from llmlab.ui.panels.memory import sizes
from llmlab.ui.panels.memory.calculator import gpurows, phases, pictures, work
from llmlab.ui.panels.memory.calculator.gpurows import Gpus
from llmlab.ui.panels.memory.calculator.params import FIRST, LISTED, MARKED, PAGES, PRECISIONS, Params, targets
from llmlab.ui.panels.memory.calculator.phases import Phases
from llmlab.ui.panels.memory.calculator.presenter import Calculator
from llmlab.ui.panels.memory.calculator.screen import Source, Speed
from llmlab.ui.screen import Fact, Kind, Stage
from llmlab.ui.widgets.chart.plot import Draw, Plot
from llmlab.ui.words import binary_size, both_sizes, size
from llmlab.workbench import ModelState, Status
from tests.engine.memory_shapes import GIB, shape
from tests.presenters.decoding_fakes import model_info, ready, set_model
from tests.presenters.memory_stand import FakeDesk, Stand

LLAMA = shape("meta-llama/Meta-Llama-3-8B")
OWN = Gpu("Main memory (CPU)", "", "this machine", 16 * GIB, 20 * 10**9, "measured")


class FakePage(FakeDesk):
    """Remembers the last of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(Kind.EMPTY)
        self.params = Params()
        self.sources: tuple[Source, ...] = ()
        self.chosen = ""
        self.facts: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self.picture: Any = None

    def show_stage(self, stage: Stage) -> None:
        self.stage = stage

    def show_params(self, params: Params, shape: ModelShape | None) -> None:
        self.params = params

    def show_sources(self, sources: tuple[Source, ...], chosen: str) -> None:
        self.sources, self.chosen = sources, chosen

    def show_facts(self, facts: tuple[Fact, ...], groups: tuple[Fact, ...], notes: tuple[str, ...]) -> None:
        self.facts = {fact.name: fact.value for fact in facts}
        self.groups = {fact.name: fact.value for fact in groups}
        self.notes = notes

    def show_picture(self, picture: Any) -> None:
        self.picture = picture


class Lab(Stand):
    """The tab, its page and its jobs."""

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        super().__init__(Calculator, FakePage(), saved, in_panel=True)

    def start(self) -> Lab:
        self.panel.activate()
        self.jobs.run_all()
        return self


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Architectures that are there already, a machine with a CPU, a model that decodes 10 tokens a second."""

    def of_source(source: str, _control: Any) -> Described:
        if "missing" in source:
            raise ModelNotFoundError("There is no such model.", "Choose another one.")
        known = source.removeprefix(LISTED) if source.startswith(LISTED) else "gpt2"
        return Described(shape(known), () if source.startswith(LISTED) else ("n_head is missing.",))

    monkeypatch.setattr(work, "of_source", of_source)
    monkeypatch.setattr(work, "of_loaded", lambda _engine, _control: Described(shape("gpt2")))
    monkeypatch.setattr(work, "machine", lambda _control: (OWN,))
    monkeypatch.setattr(work, "measure", lambda _text, _engine, _control: MeasuredSpeed(20, 2.0, 100))


# --- where the architecture comes from


def test_without_a_model_one_of_the_list_is_calculated() -> None:
    lab = Lab()
    lab.panel.activate()
    assert lab.page.stage.kind is Kind.LOADING
    assert lab.tab.busy
    lab.jobs.run_all()
    assert lab.page.stage.kind is Kind.READY
    assert not lab.tab.busy
    assert lab.page.chosen == FIRST
    assert lab.tab.shape is LLAMA
    assert [each.origin for each in lab.page.sources] == [known.source for known in architectures()]
    assert lab.page.facts["parameters"] == "8.03 B"
    assert lab.page.groups["all"] == "8,030,261,248"
    assert lab.page.facts["needs"] == both_sizes(inference(LLAMA, lab.tab.params.inference_settings).total)


def test_while_the_first_model_loads_nothing_is_built_beside_it() -> None:
    lab = Lab()
    set_model(lab.bench, ModelState(Status.LOADING))
    lab.panel.activate()
    assert lab.jobs.pending == []
    assert "opened" in lab.page.stage.title
    ready(lab.bench, model_info())
    lab.jobs.run_all()
    assert lab.page.stage.kind is Kind.READY


def test_the_loaded_model_comes_first_and_another_one_takes_its_place() -> None:
    lab = Lab().start()
    ready(lab.bench, model_info())
    lab.jobs.run_all()
    assert lab.page.chosen == ""
    assert lab.page.sources[0].name == "Loaded: tiny" or lab.page.sources[0].name.startswith("Loaded: ")
    assert lab.tab.shape is shape("gpt2")
    ready(lab.bench, model_info(), generation=2)
    assert lab.tab.shape is None  # it is looked at anew
    lab.jobs.run_all()
    assert lab.tab.shape is shape("gpt2")


def test_a_source_that_cannot_be_read_says_so_and_can_be_tried_again() -> None:
    lab = Lab().start()
    lab.tab.open(" missing/model ")
    lab.jobs.run_all()
    assert lab.page.stage == Stage(
        Kind.ERROR, "There is no such model.", "Choose another one.", actions=(("Try again", "again"),)
    )
    assert lab.page.picture is not None  # of before, behind the words
    assert lab.jobs.pending == []
    lab.tab.read_again()
    assert lab.jobs.titles() == ["shape"]
    lab.tab.change(source=LISTED + "gpt2-xl")
    lab.jobs.run_all()
    assert lab.page.stage.kind is Kind.READY


def test_waiting_for_a_model_can_be_cancelled() -> None:
    lab = Lab().start()
    lab.tab.open("someone/large")
    assert lab.page.stage.actions == (("Cancel", "cancel"),)
    lab.tab.cancel()
    assert lab.page.stage.title == "It was cancelled."
    assert lab.jobs.pending == []
    assert not lab.tab.shape
    lab.tab.read_again()
    lab.jobs.run_all()
    assert lab.page.stage.kind is Kind.READY


def test_more_tokens_than_the_architecture_was_made_for() -> None:
    lab = Lab({"tokens": 9000}).start()
    assert lab.page.notes == ("9,000 tokens are more than the 8,192 that the architecture was made for.",)


def test_what_a_file_leaves_unsaid_stands_beside_the_figures() -> None:
    lab = Lab().start()
    lab.tab.open("/somewhere/models/mine/config.json")
    lab.jobs.run_all()
    assert lab.page.notes[0] == "n_head is missing."
    assert lab.page.sources[0].name == "mine/config.json"
    lab.tab.open("   ")
    assert len(lab.tab.params.opened) == 1


def test_a_configuration_is_dropped_while_the_tab_is_in_front(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    lab = Lab()
    assert lab.context.drops.kind_of(tmp_path / "config.json") is None
    lab.start()
    kind = lab.context.drops.kind_of(tmp_path / "config.json")
    assert kind is not None
    kind.handle(tmp_path / "config.json")
    lab.jobs.run_all()
    assert lab.tab.shape is shape("gpt2")
    assert lab.context.drops.kind_of(tmp_path) is None


def test_quantization_that_skips_parts_is_warned_of() -> None:
    lab = Lab({"source": LISTED + "mistralai/Mixtral-8x7B-v0.1", "precision": "nf4"}).start()
    assert any("experts" in note for note in lab.page.notes)
    assert lab.page.groups["experts used"] == "2 of 8"


# --- pictures


def test_bars_of_all_precisions_and_the_chosen_one_term_by_term() -> None:
    lab = Lab({"precision": "IQ1_S"}).start()
    parts = lab.page.picture
    assert isinstance(parts, pictures.Parts)
    assert [bar.key for bar in parts.stacks.bars if bar.chosen] == ["IQ1_S"]
    totals = [sum(part.bytes for part in bar.parts) for bar in parts.stacks.bars]
    assert totals == sorted(totals, reverse=True)
    assert sum(term.bytes for term in parts.estimate.terms) == parts.estimate.total
    weights = parts.stacks.bars[0].parts[0]
    assert ("bytes", f"{4 * 8_030_261_248 + 512:,}") in weights.facts
    assert any("8,030,261,248 · 4" in value for _, value in weights.facts)
    assert parts.stacks.marks[0] == (OWN.memory, OWN.name)
    lab.tab.pick_bar("nf4")
    assert lab.page.params.precision == "nf4"


def test_bars_of_all_strategies_say_which_cannot_be() -> None:
    lab = Lab({"purpose": "training", "gpus": 8, "offload": "optimizer and weights", "strategy": "ZeRO-3"}).start()
    bars = {bar.key: bar for bar in lab.page.picture.stacks.bars}
    assert bars["DDP"].note == "not possible so"
    assert "in main memory" in bars["ZeRO-3"].note
    assert lab.page.facts["each GPU"]
    assert lab.page.facts["main memory"]
    lab.tab.pick_bar("DDP")
    assert lab.page.stage.kind is Kind.ERROR
    assert "keeps the weights" in lab.page.stage.title
    lab.tab.change(offload="none")
    assert lab.page.stage.kind is Kind.READY


def test_the_table_of_gpus_own_ones_first_however_sorted() -> None:
    lab = Lab({"page": "gpus"}).start()
    table = lab.page.picture
    assert isinstance(table, Gpus)
    assert table.rows[0].gpu == OWN
    assert OWN.name in table.marked
    assert len(table.rows) == len(gpus()) + 1
    memory = [column.name for column in gpurows.GPU_COLUMNS].index("GB")
    for descending in (False, True):
        lab.tab.sort(memory)
        sizes = [row.gpu.memory for row in lab.page.picture.rows[1:]]
        assert sizes == sorted(sizes, reverse=descending)
        assert lab.page.picture.rows[0].gpu == OWN
    lab.tab.sort(memory)
    assert lab.page.picture.column == -1
    fitting = sum(row.fits for row in table.rows)
    assert table.summary.startswith(f"Fits on {fitting} of {len(table.rows)}")
    lab.tab.change(tokens=1_000_000, batch=4096)
    assert "Fits on none" in lab.page.picture.summary


def test_rows_are_added_changed_removed_and_found_again() -> None:
    lab = Lab({"page": "gpus"}).start()
    assert lab.tab.keep_gpu("Mine", 20, 500) == ""
    assert "already" in lab.tab.keep_gpu("Mine", 20, 500)
    assert "memory" in lab.tab.keep_gpu("Other", 0, 500)
    mine = next(row.gpu for row in lab.page.picture.rows if row.gpu.name == "Mine")
    assert lab.tab.keep_gpu("Mine too", 40, 500, mine) == ""
    lab.tab.mark(("Mine too", "H200"))
    lab.tab.remove_gpus(("H200",))
    assert lab.tab.params.marked == ("Mine too",)
    assert lab.page.picture.changed
    again = Lab(json.loads(json.dumps(lab.tab.save()))).start()
    names = [row.gpu.name for row in again.page.picture.rows]
    assert "Mine too" in names
    assert "H200" not in names
    again.tab.restore_table()
    assert not again.page.picture.changed
    assert "gpu_table" not in again.tab.save()


def test_the_lines_of_the_chosen_gpus() -> None:
    lab = Lab({"page": "contour", "batch": 4}).start()
    plot = lab.page.picture
    assert isinstance(plot, Plot)
    assert [each.name for each in plot.series] == ["set now", OWN.name, *MARKED]
    line = plot.series[-1]
    assert np.all(np.diff(line.y) <= 0)
    batch, tokens = int(line.x[10]), int(line.y[10])
    run = replace(lab.tab.params.inference_settings, batch=batch)
    memory = next(gpu.memory for gpu in gpus() if gpu.name == line.name)
    assert inference(LLAMA, replace(run, tokens=tokens)).total <= memory
    assert inference(LLAMA, replace(run, tokens=tokens + 1)).total > memory
    lab.tab.pick_place(batch, tokens)
    assert (lab.page.params.batch, lab.page.params.tokens) == (batch, tokens)
    assert plot.levels[0].value == LLAMA.context


def test_areas_over_the_number_of_gpus() -> None:
    lab = Lab({"page": "sharing", "purpose": "training", "gpus": 64, "strategy": "ZeRO-3"}).start()
    sharing = lab.page.picture
    assert isinstance(sharing, pictures.Sharing)
    assert all(each.draw is Draw.AREA for each in sharing.plot.series)
    colors = [each.color for each in sharing.plot.series]
    assert len(set(colors)) == len(colors)
    at_64 = list(sharing.plot.series[0].x).index(64)
    total = sum(each.y[at_64] for each in sharing.plot.series)
    assert total == pytest.approx(sharing.planned[3].estimate.total)
    assert sharing.planned[3].sent.relative == pytest.approx(1.5)


def test_a_step_from_moment_to_moment() -> None:
    lab = Lab({"page": "phases", "purpose": "training", "checkpointing": "full", "tokens": 1024}).start()
    found = lab.page.picture
    assert isinstance(found, Phases)
    assert found.plot.x.names[0] == "At rest"
    assert all(each.draw is Draw.AREA for each in found.plot.series)
    sums = sum(each.y for each in found.plot.series)
    around = {"CUDA context", "Fragmentation"}
    tensors = [sum(t.bytes for t in each.terms if t.name not in around) for each in found.phases]
    assert sums == pytest.approx(tensors)
    assert int(np.argmax(sums)) == found.worst == found.plot.levels[0].value
    peak = pictures.estimate_of(LLAMA, lab.tab.params)
    assert found.phases[found.worst].terms == peak.terms
    assert lab.page.facts["peak"] == found.phases[found.worst].moment
    assert lab.page.facts["needs"] == both_sizes(peak.total)
    assert size(peak.total) in found.plot.levels[0].label
    rows = list(csv.DictReader(io.StringIO(phases.table(found.phases))))
    assert sum(int(row["bytes"]) for row in rows if row["moment"] == lab.page.facts["peak"]) == peak.total
    assert "Gradients: trained parameters · 4" in phases.formulas(found.phases[-2])
    lab.tab.change(purpose="inference")
    assert lab.tab.params.page == "parts"
    assert "peak" not in lab.page.facts


def test_accumulated_gradients_are_there_beside_the_activations() -> None:
    lab = Lab({"page": "phases", "purpose": "training", "batch": 8, "tokens": 2048}).start()
    once = lab.page.picture.phases[lab.page.picture.worst].total
    lab.tab.change(micro_batches=4)
    assert lab.page.picture.phases[lab.page.picture.worst].total > once + 4 * LLAMA.parameters
    lab.tab.change(fused_backward=True)
    assert lab.page.stage.kind is Kind.ERROR
    assert "accumulated" in lab.page.stage.title


@pytest.mark.parametrize("page", ["parts", "phases", "gpus", "contour", "sharing"])
def test_the_source_of_a_training_step_counts_on_every_page(page: str) -> None:
    lab = Lab({"page": page, "purpose": "training", "source": LISTED + "t5-base", "source_tokens": 16}).start()
    before, needs = lab.page.picture, lab.page.facts["needs"]
    lab.tab.change(source_tokens=8192)
    assert lab.page.facts["needs"] != needs
    if page == "contour":
        assert np.nansum(lab.page.picture.series[-1].y) < np.nansum(before.series[-1].y)
    elif page == "gpus":
        batches = [sum(row.batch or 0 for row in table.rows) for table in (before, lab.page.picture)]
        assert batches[1] < batches[0]
    assert "source_tokens=8192" in lab.tab.script()
    lab.tab.change(source=LISTED + "gpt2")
    lab.jobs.run_all()
    assert "source_tokens" not in lab.tab.script()


def test_rules_beside_each_other() -> None:
    lab = Lab({"page": "rules", "purpose": "training", "gpus": 64}).start()
    bars = lab.page.picture.stacks.bars
    assert [bar.note.split()[0] for bar in bars[:4]] == ["24", "16", "18", "20"]
    assert bars[0].parts[0].bytes == 4 * 8_030_261_248
    assert bars[-1].label == "Calculated here"
    assert len(lab.page.picture.sources) == 5
    assert "worst moment" in lab.page.picture.sources[-1]


def test_pages_about_training_or_inference_alone_say_which() -> None:
    lab = Lab().start()
    lab.tab.change(page="sharing")
    assert lab.tab.params.purpose == "training"
    lab.tab.change(purpose="inference")
    assert lab.tab.params.page == "parts"
    lab.tab.change(purpose="training")
    lab.tab.change(page="speed")
    assert lab.tab.params.purpose == "inference"
    assert isinstance(lab.page.picture, Speed)


def test_the_decode_limit_and_the_measured_speed() -> None:
    lab = Lab({"page": "speed"}).start()
    assert not lab.page.picture.can_measure
    ready(lab.bench, model_info())
    lab.jobs.run_all()
    speed = lab.page.picture
    assert isinstance(speed, Speed)
    assert speed.can_measure
    lab.tab.measure()
    assert lab.page.picture.measuring
    lab.jobs.run_all()
    assert lab.tab.measured == MeasuredSpeed(20, 2.0, 100)
    point = lab.page.picture.plot.series[-1]
    assert (float(point.x[0]), float(point.y[0])) == (100.0, 10.0)
    assert "10.0 tokens/s" in lab.page.picture.words
    assert "could reach" in lab.page.picture.words
    ready(lab.bench, model_info(), generation=2)  # another model
    assert lab.tab.measured is None


def test_measuring_can_be_stopped() -> None:
    lab = Lab({"page": "speed"})
    ready(lab.bench, model_info())
    lab.start()
    lab.tab.measure()
    lab.jobs.cancel(lab.tab)
    assert not lab.page.picture.measuring
    assert not lab.tab.busy


def test_encoders_write_no_tokens() -> None:
    lab = Lab({"page": "speed", "source": LISTED + "bert-base-cased"}).start()
    assert lab.page.picture.plot.series == ()
    assert "no tokens" in lab.page.picture.plot.empty


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("source", ["t5-small", "bert-base-cased", "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-120b"])
@pytest.mark.parametrize("purpose", ["inference", "training"])
def test_every_page_shows_every_kind_of_model(page: str, source: str, purpose: str) -> None:
    lab = Lab({"page": page, "source": LISTED + source, "purpose": purpose, "lora_rank": 8}).start()
    assert lab.page.stage.kind is Kind.READY
    assert lab.page.picture is not None


# --- taking along


def test_components_and_the_table_as_files(tmp_path: Path) -> None:
    lab = Lab().start()
    lab.page.folder = tmp_path
    for what in ("csv", "json", "gpus-csv", "gpus-json"):
        lab.tab.export(what)
    lab.jobs.run_all()
    total = inference(LLAMA, lab.tab.params.inference_settings).total
    rows = list(csv.DictReader(io.StringIO((tmp_path / "memory.csv").read_text("utf-8"))))
    assert sum(int(row["bytes"]) for row in rows) == total
    whole = json.loads((tmp_path / "memory.json").read_text("utf-8"))
    assert whole["total"] == total
    assert sum(whole["parameters_by_group"].values()) == whole["parameters"]
    assert len(json.loads((tmp_path / "gpus.json").read_text("utf-8"))) == len(gpus()) + 1
    lab.tab.export("copy")
    lab.tab.export("gpus-copy")
    assert lab.page.copied[0].startswith("part\tbytes\t")
    assert "H200" in lab.page.copied[1]


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"precision": "nf4 double", "tokens": 100, "convention": "paged", "prefill": 512},
        {"purpose": "training", "lora_rank": 16, "lora_base": "nf4", "checkpointing": "full", "optimizer": "Muon"},
        {
            "purpose": "training",
            "gpus": 16,
            "strategy": "FSDP HYBRID_SHARD",
            "tensor_parallel": 2,
            "offload": "optimizer",
        },
        {"purpose": "training", "micro_batches": 4, "implementation": "foreach", "checkpointing": "full"},
    ],
)
def test_the_script_calculates_the_same(saved: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    lab = Lab({"source": LISTED + "gpt2"} | saved).start()
    lab.tab.export("python")
    exec(lab.page.copied[0], {})
    total = pictures.estimate_of(shape("gpt2"), lab.tab.params).total
    assert capsys.readouterr().out.splitlines()[-1].strip().startswith(f"{total:,} bytes")


def test_the_script_of_another_model_names_it() -> None:
    lab = Lab().start()
    lab.tab.open("someone/model")
    lab.jobs.run_all()
    assert "from_spec('someone/model').shape" in lab.tab.script()


# --- settings


json_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3))
)


@given(st.dictionaries(st.sampled_from(list(Params.__dataclass_fields__)), json_values))
def test_damaged_settings_leave_good_ones(saved: dict[str, Any]) -> None:
    params = Params.from_dict(saved)
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert params.precision in PRECISIONS
    inference(shape("gpt2"), params.inference_settings)


def test_lora_adapts_attention_or_everything() -> None:
    assert targets(LLAMA, "attention") == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert set(targets(LLAMA, "all")) > {"up_proj", "q_proj"}
    assert "lm_head" not in targets(LLAMA, "all")


@pytest.mark.parametrize(
    ("amount", "decimal", "binary"),
    [
        (0, "0 bytes", "0 bytes"),
        (999, "999 bytes", "999 bytes"),
        (20_480, "20.48 kB", "20 KiB"),
        (1e9, "1.00 GB", "953.7 MiB"),
        (2**30, "1.07 GB", "1.00 GiB"),
        (5e15, "5.00 PB", "4.44 PiB"),
        (-3e6, "-3.00 MB", "-2.86 MiB"),
    ],
)
def test_sizes_in_words(amount: float, decimal: str, binary: str) -> None:
    assert size(amount) == decimal
    assert binary_size(amount) == binary


@pytest.mark.parametrize(
    ("amounts", "names", "cells"),
    [
        ((16e9, 5e8), ("GB", "GiB"), ("0.50", "0.47")),
        ((1.2e9, 20_000), ("MB", "MiB"), ("0.0200", "0.0191")),  # 2e-05 GB would be hard to read
        ((64e9, 20_000), ("GB", "GiB"), ("< 0.0001", "< 0.0001")),
        ((500.0, 20.0), ("kB", "KiB"), ("0.0200", "0.0195")),
        ((3e12,), ("TB", "TiB"), ("3.00", "2.73")),
        ((0.0,), ("MB", "MiB"), ("0.00", "0.00")),
    ],
)
def test_a_column_has_one_unit_that_shows_all_of_it(
    amounts: tuple[float, ...], names: tuple[str, str], cells: tuple[str, str]
) -> None:
    found = sizes.units(amounts)
    assert found.names == names
    assert found.cells(amounts[-1]) == cells


def test_units_say_what_they_are() -> None:
    assert sizes.Units(2).meanings == ("10⁶ bytes", "2²⁰ bytes")
    assert dict(sizes.facts(20_480)) == {"kB": "20.48", "KiB": "20", "bytes": "20,480"}
    assert sizes.exact(17_576_960) == "17,576,960 bytes = 17.58 MB = 16.76 MiB"
    assert sizes.exact(12) == "12 bytes"
