"""DDP's buckets, which hold the gradients from step to step: torch's own reducer, and what the calculator says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from llmlab.engine.memory.recipe import Precision, TrainingSettings
from llmlab.engine.memory.sharding import ShardingSettings, Strategy, sharded_phases
from llmlab.engine.memory.states import GRADIENTS
from llmlab.engine.sharding.methods import storages
from llmlab.engine.sharding.rank import join
from tests.engine.memory_shapes import shape


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """One process, which meets itself."""
    join({"rank": 0, "ranks": 1, "store": str(tmp_path / "store"), "device": "cpu"})
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_buckets_outlive_the_gradients() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    ddp: Any = DistributedDataParallel(model, gradient_as_bucket_view=True)
    places = []
    for _ in range(4):  # after the first one the buckets are made anew, in the order that gradients come in
        ddp(torch.ones(2, 64)).sum().backward()
        places.append(storages(parameter.grad for parameter in model.parameters()))
        ddp.zero_grad(set_to_none=True)
    assert places[1] == places[2] == places[3]
    assert sum(places[3].values()) == sum(parameter.nbytes for parameter in model.parameters())


@pytest.mark.parametrize(("gpus", "always"), [(1, False), (8, True)])
def test_the_calculator_keeps_them_at_every_moment(gpus: int, *, always: bool) -> None:
    settings = TrainingSettings(Precision.FLOAT32, tokens=64)
    found = sharded_phases(shape("gpt2"), settings, ShardingSettings(gpus, Strategy.DDP))
    sizes = {each.moment: sum(t.bytes for t in each.terms if t.name == GRADIENTS) for each in found}
    assert all(sizes.values()) == always
    assert max(sizes.values()) == 4 * shape("gpt2").parameters
