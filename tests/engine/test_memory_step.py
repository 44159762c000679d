"""The phases of a training step, and its peak, held against the trace of what a GPU would hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoConfig, PreTrainedConfig

from llmlab.engine.errors import InputError
from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.fit import largest_training_batch
from llmlab.engine.memory.grid import largest_training_batches, training_grid
from llmlab.engine.memory.optimizers import Implementation, Optimizer
from llmlab.engine.memory.sharding import ShardingSettings, Strategy, sharded_phases, sharded_training
from llmlab.engine.memory.step import ON_THEIR_WAY, RESULTS, Moment, most_of
from llmlab.engine.memory.training import Lora, Precision, TrainingSettings, training, training_phases
from llmlab.paths import bundled_model
from tests.engine.gpu_trace import on_gpu
from tests.engine.memory_shapes import GIB, billion, shape
from tests.engine.step_trace import StepTrace, step_trace
from tests.engine.test_memory_inference import value_of

BARE: dict[str, Any] = {"cuda_context": 0, "margin": 0.0}
MODELS: dict[str, Callable[[], PreTrainedConfig]] = {
    "decoder": lambda: AutoConfig.from_pretrained(bundled_model("decoder")),
    "seq2seq": lambda: AutoConfig.from_pretrained(bundled_model("seq2seq")),
    "1B": billion,
}
HOW = {
    "fused": {"optimizer": Optimizer.ADAMW, "implementation": Implementation.FUSED},
    "foreach": {"optimizer": Optimizer.ADAMW, "implementation": Implementation.FOREACH},
    "for-loop": {"optimizer": Optimizer.ADAMW, "implementation": Implementation.LOOP},
    "SGD": {"optimizer": Optimizer.SGD, "implementation": Implementation.FUSED},
}
PRECISIONS = (Precision.BFLOAT16, Precision.FLOAT32, Precision.AUTOCAST)
QWEN = "Qwen/Qwen3-0.6B"


def traced_and_said(name: str, settings: TrainingSettings, how: str) -> tuple[StepTrace, Any]:
    """A step as a GPU would hold it, and its phases as the calculator has them."""
    config = MODELS[name]()
    model = on_gpu(config, torch.bfloat16 if settings.precision is Precision.BFLOAT16 else torch.float32)
    found = step_trace(
        model,
        settings.batch,
        settings.tokens,
        how,
        autocast=settings.precision is Precision.AUTOCAST,
        micro_batches=settings.micro_batches,
        checkpointing=settings.checkpointing is Checkpointing.FULL,
        source=settings.source_tokens,
    )
    return found, training_phases(describe(config), settings)


def the_peak_is_right(name: str, settings: TrainingSettings, how: str, within: float) -> None:
    settings = replace(settings, **HOW[how], **BARE)
    trace, said = traced_and_said(name, settings, how)
    assert max(phase.total for phase in said) == pytest.approx(trace.peak, rel=within)


slow = pytest.mark.slow
QUICK = {("decoder", each, how) for each, how in (*product(PRECISIONS, ["fused"]), (Precision.FLOAT32, "foreach"))}
QUICK |= {("seq2seq", Precision.BFLOAT16, "SGD"), ("seq2seq", Precision.AUTOCAST, "fused")}
QUICK |= {("1B", Precision.BFLOAT16, "fused")}
CASES = [each if each in QUICK else pytest.param(*each, marks=slow) for each in product(MODELS, PRECISIONS, HOW)]


@pytest.mark.parametrize(("name", "precision", "how"), CASES)
def test_the_peak(name: str, precision: Precision, how: str) -> None:
    """2 % where activations rule, as where the gradients do; where encoder and decoder meet under autocast 6 %."""
    for batch, tokens in ((4, 256), (1, 128)):
        within = 0.06 if name == "seq2seq" else 0.02
        the_peak_is_right(name, TrainingSettings(precision, batch=batch, tokens=tokens), how, within)


@pytest.mark.parametrize(("micro_batches", "checkpointing"), [(2, False), (1, True), (2, True)])
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("decoder", Precision.BFLOAT16),
        *(pytest.param("decoder", each, marks=slow) for each in (Precision.AUTOCAST, Precision.FLOAT32)),
        *(pytest.param(*each, marks=slow) for each in product(("seq2seq", "1B"), PRECISIONS)),
    ],
)
def test_the_peak_with_accumulation_and_checkpointing(
    name: str, precision: Precision, micro_batches: int, checkpointing: bool
) -> None:
    kind = Checkpointing.FULL if checkpointing else Checkpointing.NONE
    settings = TrainingSettings(precision, checkpointing=kind, micro_batches=micro_batches)
    for (batch, tokens), how in (((4, 256), "fused"), ((1, 128), "SGD")):
        within = 0.06 if name == "seq2seq" else 0.04
        the_peak_is_right(name, replace(settings, batch=batch, tokens=tokens), how, within)


@pytest.mark.parametrize("precision", [PRECISIONS[0], *(pytest.param(each, marks=slow) for each in PRECISIONS[1:])])
@pytest.mark.parametrize(("source", "tokens"), [(256, 16), (16, 256), pytest.param(256, 256, marks=slow)])
def test_the_peak_with_a_source_of_its_own_length(source: int, tokens: int, precision: Precision) -> None:
    settings = TrainingSettings(precision, batch=4, tokens=tokens, source_tokens=source)
    the_peak_is_right("seq2seq", settings, "fused", 0.06)


def test_the_moments_one_by_one() -> None:
    """The forward pass ends, the loss's gradient is made, the last gradient has come, and the optimizer steps."""
    settings = TrainingSettings(Precision.BFLOAT16, batch=4, tokens=256, **HOW["foreach"], **BARE)
    trace, said = traced_and_said("1B", settings, "foreach")
    held, ends = trace.blocks, trace.ends
    sizes = {phase.moment: phase.total for phase in said}
    assert sizes[Moment.REST] == pytest.approx(int(held[0]), rel=0.001)
    assert sizes[Moment.FORWARD] == pytest.approx(int(held[: ends["forward"]].max()), rel=0.005)
    assert sizes[Moment.LOSS] == pytest.approx(trace.peak - 2 * describe(billion()).parameters, rel=0.1)
    assert sizes[Moment.END] == pytest.approx(int(held[ends["backward"] - 1]), rel=0.005)
    assert sizes[Moment.UPDATE] == pytest.approx(int(held[ends["backward"] :].max()), rel=0.005)
    assert trace.phase_of(int(held.argmax())) == "optimizer"
    assert sizes[Moment.UPDATE] == max(sizes.values())


def test_gradients_and_activations_meet_only_where_gradients_are_accumulated() -> None:
    once, twice = (
        {each.moment: {term.name for term in each.terms} for each in training_phases(shape(QWEN), settings)}
        for settings in (TrainingSettings(), TrainingSettings(micro_batches=2))
    )
    assert not any({"Gradients", "Activations"} <= names for names in once.values())
    assert {"Gradients", "Activations"} <= twice[Moment.LOSS]
    assert "Gradients" not in twice[Moment.AFTER]
    one, more = (training(shape(QWEN), TrainingSettings(batch=8, micro_batches=n, **BARE)).total for n in (1, 2))
    assert more - one == 4 * shape(QWEN).parameters
    assert training(shape(QWEN), TrainingSettings(batch=8, micro_batches=64, **BARE)).total == more


def test_a_sum_of_everything_says_a_quarter_too_much() -> None:
    """A model of a billion parameters whose activations are as large as its gradients."""
    settings = TrainingSettings(Precision.BFLOAT16, batch=4, tokens=256, **BARE)
    found = describe(billion())
    parts = most_of(training_phases(found, settings))
    everything = sum(term.bytes for name, term in parts.items() if name != ON_THEIR_WAY)
    assert everything == pytest.approx(1.24 * training(found, settings).total, rel=0.01)


def test_what_optimizers_hold_for_a_moment() -> None:
    def results(**change: Any) -> int:
        phases = training_phases(shape(QWEN), TrainingSettings(**change))
        return next(each for each in phases if each.moment is Moment.UPDATE).terms and next(
            (t.bytes for each in phases for t in each.terms if t.name == RESULTS), 0
        )

    assert results(**HOW["fused"]) == 0
    assert results(**HOW["SGD"]) == 0
    assert results(**HOW["foreach"]) == 4 * shape(QWEN).parameters
    assert results(**HOW["for-loop"]) == 2 * 4 * shape(QWEN).layout.largest
    assert results(**HOW["foreach"], precision=Precision.BFLOAT16) == 2 * shape(QWEN).parameters


def test_gradients_that_are_used_at_once_leave_no_step_of_the_optimizer() -> None:
    settings = TrainingSettings(fused_backward=True)
    assert Moment.UPDATE not in [each.moment for each in training_phases(shape(QWEN), settings)]
    with pytest.raises(InputError, match="cannot be accumulated") as caught:
        training(shape(QWEN), replace(settings, micro_batches=2))
    assert caught.value.hint.endswith(".")
    with pytest.raises(InputError, match="micro-batches"):
        training(shape(QWEN), TrainingSettings(micro_batches=0))


def test_plans_over_many_gpus_have_phases_too() -> None:
    settings = TrainingSettings(Precision.MASTER, tokens=512, **BARE)
    plan = ShardingSettings(8, Strategy.ZERO_3)
    phases = {each.moment: each for each in sharded_phases(shape(QWEN), settings, plan)}
    names = {moment: {term.name for term in each.terms} for moment, each in phases.items()}
    assert "Gathered weights" in names[Moment.FORWARD]
    assert "Gathered weights" not in names[Moment.UPDATE]
    assert phases[Moment.REST].total == pytest.approx(14 * shape(QWEN).parameters / 8, rel=1e-6)
    assert sharded_training(shape(QWEN), settings, plan).total == max(each.total for each in phases.values())


def test_ddp_adds_only_that_gradients_never_leave() -> None:
    """They are views of its buckets."""
    settings = TrainingSettings(Precision.MASTER, tokens=512, **BARE)
    alone = training_phases(shape(QWEN), settings)
    shared = sharded_phases(shape(QWEN), settings, ShardingSettings(8, Strategy.DDP))
    for one, ddp in zip(alone, shared, strict=True):
        more = {term.name for term in ddp.terms} - {term.name for term in one.terms}
        assert more <= {"Gradients"}
        assert ddp.total - one.total == (2 * shape(QWEN).parameters if more else 0)
    assert {term.name for term in shared[0].terms} >= {"Gradients"}
    assert "Gradients" not in {term.name for term in alone[0].terms}


@hypothesis_settings(deadline=None, max_examples=40)  # the architecture is built on first use
@given(
    name=st.sampled_from([QWEN, "gpt2", "t5-base"]),
    precision=st.sampled_from(Precision),
    implementation=st.sampled_from(Implementation),
    optimizer=st.sampled_from(Optimizer),
    checkpointing=st.sampled_from(Checkpointing),
    micro_batches=st.integers(1, 3),
    tokens=st.integers(1, 20_000),
    batch=st.integers(1, 64),
    source=st.none() | st.integers(0, 4096),
)
def test_phases_are_sums_formulas_and_grids(name: str, **how: Any) -> None:
    """Terms add up, their formulas say their bytes, and the sums over arrays are the same."""
    how["source_tokens"] = how.pop("source")
    settings = TrainingSettings(**how)
    phases, said = training_phases(shape(name), settings), training(shape(name), settings)
    assert said.total == max(each.total for each in phases)
    for each in phases:
        assert each.total == sum(term.bytes for term in each.terms if not term.host)
        assert each.about.endswith(".")
        for term in each.terms:
            if "tensors of" not in term.values and term.name != "Fragmentation":
                assert value_of(term.values) == pytest.approx(term.bytes, rel=1e-6), term
    grid = training_grid(shape(name), settings, [settings.tokens], [settings.batch])
    assert grid[0, 0] == pytest.approx(said.total, rel=1e-9)


@pytest.mark.parametrize("source", [None, 2048])
def test_what_fits_is_the_same_search(source: int | None) -> None:
    for settings in (TrainingSettings(source_tokens=source), TrainingSettings(source_tokens=source, micro_batches=4)):
        sizes = [8 * GIB, 24 * GIB, 80 * GIB]
        found = largest_training_batches(shape("t5-base"), settings, sizes)
        assert found == tuple(largest_training_batch(shape("t5-base"), settings, size) for size in sizes)


def test_lora_has_no_gradient_of_the_output_layer() -> None:
    settings = TrainingSettings(lora=Lora(8, ("q_proj", "v_proj")))
    assert ON_THEIR_WAY not in most_of(training_phases(shape(QWEN), settings))
