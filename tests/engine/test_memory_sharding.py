"""Training over many GPUs: ZeRO's own table, DeepSpeed's own estimates, and what must add up whatever the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmlab.engine.errors import InputError
from llmlab.engine.memory.deepspeed import deepspeed_bytes_per_gpu
from llmlab.engine.memory.sharding import (
    GPUS,
    Offload,
    ShardingSettings,
    Strategy,
    communication,
    over_gpus,
    sharded_phases,
    sharded_states,
    sharded_training,
)
from llmlab.engine.memory.training import Precision, TrainingSettings
from llmlab.engine.memory.zero import zero_bytes_per_gpu
from tests.engine.memory_shapes import GIB, shape

QWEN = "Qwen/Qwen3-0.6B"
MIXED = TrainingSettings(precision=Precision.MASTER, tokens=512)
STATES = ("Weights", "Gradients", "Optimizer states", "Float32 weights")
STAGES = {1: Strategy.ZERO_1, 2: Strategy.ZERO_2, 3: Strategy.ZERO_3}


def states(plan: ShardingSettings, settings: TrainingSettings = MIXED) -> int:
    """Weights, gradients and optimizer states of each GPU and in main memory, all at once as ZeRO's table has them."""
    return sum(term.bytes for term in sharded_states(shape(QWEN), settings, plan))


@pytest.mark.parametrize(
    ("billions", "gpus", "gigabytes"),
    [  # ZeRO, arXiv:1910.02054, table 1, and its formula where the table rounds; stages 1, 2, 3
        (7.5, 1, (120, 120, 120)),
        (7.5, 4, (52.5, 41.25, 30)),
        (7.5, 1024, (30.087890625, 15.1025390625, 0.1171875)),
        (128, 1, (2048, 2048, 2048)),
        (128, 4, (896, 704, 512)),
        (128, 16, (608, 368, 128)),
        (128, 256, (518, 263, 8)),
        (128, 1024, (513.5, 257.75, 2)),
        (1000, 1, (16000, 16000, 16000)),
        (1000, 4, (7000, 5500, 4000)),
        (1000, 16, (4750, 2875, 1000)),
    ],
)
def test_the_zero_table_exactly(billions: float, gpus: int, gigabytes: tuple[float, float, float]) -> None:
    found = tuple(zero_bytes_per_gpu(int(billions * 1e9), gpus, stage) / 1e9 for stage in (1, 2, 3))
    assert found == pytest.approx(gigabytes, rel=1e-6)


@pytest.mark.parametrize(
    ("stage", "offload", "gib"),
    [  # DeepSpeed documentation, memory requirements, t5-3b on 8 GPUs: “GB” that are GiB
        (2, Offload.OPTIMIZER, 5.31),
        (2, Offload.NONE, 15.93),
        (3, Offload.ALL, 0.12),
        (3, Offload.OPTIMIZER, 0.79),
        (3, Offload.NONE, 6.10),
    ],
)
def test_deepspeed_estimates_of_t5_3b(stage: int, offload: Offload, gib: float) -> None:
    t5 = shape("t5-3b")
    size = deepspeed_bytes_per_gpu(t5.parameters, 8, stage, largest_layer=32128 * 1024, offload=offload)
    assert round(size / GIB, 2) == gib


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("gpus", [1, 8, 64])
def test_the_plan_of_a_model_is_zeros_formula(stage: int, gpus: int) -> None:
    expected = zero_bytes_per_gpu(shape(QWEN).parameters, gpus, stage)
    assert states(ShardingSettings(gpus, STAGES[stage])) == pytest.approx(
        expected, abs=16
    )  # each term is rounded up for itself


def test_ddp_is_one_gpu_many_times() -> None:
    sizes = [estimate.total for _, estimate in over_gpus(shape(QWEN), MIXED, ShardingSettings(1, Strategy.DDP))]
    assert len(sizes) == len(GPUS)
    assert len(set(sizes[1:])) == 1
    assert sizes[1] > sizes[0]  # alone there are no buckets


@pytest.mark.parametrize("strategy", Strategy)
def test_more_gpus_never_take_more_of_each(strategy: Strategy) -> None:
    sizes = [states(ShardingSettings(gpus, strategy)) for gpus in GPUS]
    assert sizes == sorted(sizes, reverse=True)


@hypothesis_settings(deadline=None)  # the architecture is built on first use
@given(
    gpus=st.integers(1, 4096),
    strategy=st.sampled_from([s for s in Strategy if s is not Strategy.HYBRID_SHARD]),
    offload=st.sampled_from([Offload.NONE, Offload.OPTIMIZER]),
)
def test_nothing_is_lost(gpus: int, strategy: Strategy, offload: Offload) -> None:
    """All shares together hold the states at least once; terms add up to GPU and main memory."""
    plan = ShardingSettings(gpus, strategy, offload=offload)
    found = sharded_training(shape(QWEN), MIXED, plan)
    assert found.total + found.host == sum(term.bytes for term in found.terms)
    assert states(plan) * gpus >= 16 * shape(QWEN).parameters
    if strategy in (Strategy.ZERO_3, Strategy.FULL_SHARD):
        assert states(plan) * gpus <= 16 * shape(QWEN).parameters + 4 * gpus
    assert (found.host > 0) is (offload is Offload.OPTIMIZER)


def test_stages_save_in_their_order() -> None:
    order = (Strategy.DDP, Strategy.ZERO_1, Strategy.ZERO_2, Strategy.ZERO_3)
    sizes = [states(ShardingSettings(8, each)) for each in order]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_fsdp() -> None:
    full, grad = (
        sharded_training(shape(QWEN), MIXED, ShardingSettings(64, each))
        for each in (Strategy.FULL_SHARD, Strategy.SHARD_GRAD_OP)
    )
    hybrid = sharded_training(shape(QWEN), MIXED, ShardingSettings(64, Strategy.HYBRID_SHARD, node=8))
    machine = sharded_training(shape(QWEN), MIXED, ShardingSettings(8, Strategy.FULL_SHARD))
    assert len({states(ShardingSettings(64, each)) for each in (Strategy.FULL_SHARD, Strategy.SHARD_GRAD_OP)}) == 1
    assert grad.bytes_of("Gathered weights") == 2 * shape(QWEN).parameters
    assert full.bytes_of("Gathered weights") < grad.bytes_of("Gathered weights")
    assert hybrid.total == machine.total


def test_offload() -> None:
    plan = ShardingSettings(8, Strategy.ZERO_3, offload=Offload.ALL)
    found = sharded_training(shape(QWEN), MIXED, plan)
    assert not any(term.name in STATES for term in found.terms if not term.host)
    assert max(sum(t.bytes for t in each.terms if t.host) for each in sharded_phases(shape(QWEN), MIXED, plan)) == (
        states(plan)
    )
    with pytest.raises(InputError, match="keeps the weights"):
        sharded_training(shape(QWEN), MIXED, replace(plan, strategy=Strategy.ZERO_2))


def test_tensor_parallel() -> None:
    one = sharded_training(shape(QWEN), MIXED, ShardingSettings(1, Strategy.DDP))
    four = sharded_training(shape(QWEN), MIXED, ShardingSettings(4, Strategy.DDP, tensor_parallel=4))
    plans = (ShardingSettings(1, Strategy.DDP), ShardingSettings(4, Strategy.DDP, tensor_parallel=4))
    whole, quarter = map(states, plans)
    assert quarter == pytest.approx(whole / 4, abs=4)
    assert four.bytes_of("Activations") == pytest.approx(one.bytes_of("Activations") / 4, abs=1)
    sent = communication(shape(QWEN), MIXED, ShardingSettings(4, Strategy.DDP, tensor_parallel=4))
    assert sent.elements == 0  # no copies to keep alike
    assert sent.tensor_parallel == 4 * 28 * (512 * 1024 * 2) * 2 * 3 // 4


@pytest.mark.parametrize(
    ("strategy", "relative"),
    [
        (Strategy.DDP, 1),
        (Strategy.ZERO_1, 1),
        (Strategy.ZERO_2, 1),
        (Strategy.ZERO_3, 1.5),
        (Strategy.FULL_SHARD, 1.5),
        (Strategy.SHARD_GRAD_OP, 1),
    ],
)
def test_communication_beside_ddp(strategy: Strategy, relative: float) -> None:
    for gpus in (2, 8, 1024):
        sent = communication(shape(QWEN), MIXED, ShardingSettings(gpus, strategy))
        assert sent.relative == pytest.approx(relative)
        assert sent.elements == pytest.approx(relative * 2 * shape(QWEN).parameters * (gpus - 1) / gpus)
    assert communication(shape(QWEN), MIXED, ShardingSettings(1, strategy)).elements == 0


def test_hybrid_talks_little_across_machines() -> None:
    inside = communication(shape(QWEN), MIXED, ShardingSettings(8, Strategy.FULL_SHARD)).elements
    both = communication(shape(QWEN), MIXED, ShardingSettings(64, Strategy.HYBRID_SHARD, node=8)).elements
    assert both - inside == pytest.approx(2 * shape(QWEN).parameters / 8 * 7 / 8)


@pytest.mark.parametrize(
    "change",
    [{"gpus": 0}, {"gpus": -8}, {"node": 0}, {"tensor_parallel": 3}, {"tensor_parallel": 0}, {"gpus": 10**20}],
    ids=str,
)
def test_plans_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        sharded_training(shape(QWEN), MIXED, replace(ShardingSettings(8, Strategy.ZERO_3), **change))
    assert caught.value.hint.endswith(".")


def test_hybrid_needs_whole_machines() -> None:
    with pytest.raises(InputError, match="machines of 8"):
        sharded_training(shape(QWEN), MIXED, ShardingSettings(12, Strategy.HYBRID_SHARD))


@pytest.mark.parametrize(("parameters", "gpus", "stage"), [(10**20, 8, 3), (1, 0, 3), (1, 8, 1)])
def test_estimates_that_cannot_be(parameters: int, gpus: int, stage: int) -> None:
    with pytest.raises(InputError):
        deepspeed_bytes_per_gpu(parameters, gpus, stage)
