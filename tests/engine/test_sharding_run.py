"""Training over several processes: what is counted, that it is what the calculator says, and that all processes end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from transformers import LlamaConfig

from llmlab.children import SHARDING_RANK
from llmlab.engine.errors import Cancelled, DeviceError, EngineError, InputError, OutOfMemoryError
from llmlab.engine.hub import child_environment
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.sharding import Strategy
from llmlab.engine.sharding import METHODS, ShardingRequest, run
from llmlab.engine.sharding.compare import compared, needs
from llmlab.engine.sharding.methods import layers, shared_out, storages
from llmlab.engine.sharding.ranks import _first_cause, _in_words
from llmlab.engine.sharding.traffic import Traffic
from llmlab.engine.sharding.types import Collective, Compared, RankResult, check
from tests.engine import checkpoints

SECONDS_TO_END = 10.0


@pytest.fixture
def four_ranks() -> Iterator[int]:
    """This process as rank 0 of four, of which the others do not exist: collectives do nothing."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    yield 4
    dist.destroy_process_group()


def tiny_shape():
    return describe(checkpoints.make("llama").config, "tiny")


# What is counted


def test_rings_by_hand(four_ranks: int) -> None:
    whole, share = torch.zeros(4, 10), torch.zeros(10)  # 160 and 40 bytes
    with Traffic(four_ranks) as traffic:
        dist.all_reduce(whole)
        dist.all_reduce(whole)
        dist.all_gather(list(whole.unbind()), share)
        dist.reduce_scatter(share, list(whole.unbind()))
        dist.broadcast(share, 0)
        dist.barrier()
        whole @ whole.T
    assert traffic.collectives == (
        Collective("all-reduce", 2, 320, 2 * 320 * 3 / 4),
        Collective("all-gather", 1, 160, 120.0),
        Collective("reduce-scatter", 1, 160, 120.0),
        Collective("broadcast", 1, 40, 30.0),
    )


def test_a_collective_that_nobody_knows_the_cost_of_is_not_counted_as_nothing(four_ranks: int) -> None:
    parts = list(torch.zeros(4, 10).unbind())
    with pytest.raises(RuntimeError, match="alltoall"), Traffic(four_ranks):
        dist.all_to_all(parts, [torch.zeros(10) for _ in parts])


@pytest.mark.parametrize(("method", "relative"), [(Strategy.SHARD_GRAD_OP, 1.0), (Strategy.FULL_SHARD, 1.5)])
def test_a_step_of_one_rank_of_four(four_ranks: int, method: Strategy, relative: float) -> None:
    """FSDP alone: DDP's reducer wants real neighbours."""
    whole = checkpoints.make("llama").train()
    size = sum(parameter.nbytes for parameter in whole.parameters())
    trained = shared_out(whole, method, torch.device("cpu"))
    ids = torch.ones(2, 8, dtype=torch.long)
    with Traffic(four_ranks) as traffic:
        trained.module(input_ids=ids, labels=ids).loss.backward()
        trained.optimizer.step()
    assert sum(storages(trained.model.parameters()).values()) == size / 4
    assert sum(storages(parameter.grad for parameter in trained.model.parameters()).values()) == size / 4
    assert sum(storages(trained.state_tensors()).values()) == pytest.approx(2 * size / 4, rel=0.01)
    assert sum(each.sent for each in traffic.collectives) / (2 * size * 3 / 4) == pytest.approx(relative)


def test_blocks_are_the_module_list_with_most_parameters() -> None:
    model = checkpoints.make("llama")
    assert list(layers(model)) == list(model.model.layers)


# What is compared


def rank(number: int, method: Strategy, **changes: float) -> RankResult:
    size = 4 * tiny_shape().parameters
    share = 1 if method in (Strategy.DDP, Strategy.ZERO_1) else 2
    values = {"parameters": size // share, "gathered": 0, "gradients": size // share, "optimizer": 2 * size}
    values |= changes
    return RankResult(number, **values, collectives=(Collective("all-reduce", 1, size, size),), losses=(2.0, 1.0))


def test_errors_are_of_the_worst_rank_against_what_was_measured() -> None:
    assert Compared("Gradients", 110, "", (100, 125)).error == pytest.approx(-0.12)
    assert Compared("Gradients", 110, "", (0, 100)).error == pytest.approx(0.1)
    assert Compared("Gradients", 110, "", (0, 0)).error is None


def test_predictions_are_the_calculators() -> None:
    request = ShardingRequest(ranks=2)
    ranks = tuple(rank(number, Strategy.DDP) for number in range(2))
    found = compared(tiny_shape(), request, Strategy.DDP, ranks)
    assert [row.name for row in found.compared] == ["Parameters", "Gradients", "Optimizer states", "Sent in a step"]
    assert all(row.error == 0 and row.exact for row in found.compared)
    assert found.relative_measured == found.relative_predicted == 1.0
    assert found.losses == (2.0, 1.0)
    sharded = compared(tiny_shape(), request, Strategy.FULL_SHARD, ranks)
    assert sharded.relative_predicted == 1.5
    assert sharded.compared[0].error == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ranks": 1}, "processes"),
        ({"ranks": 5}, "processes"),
        ({"methods": ()}, "nothing"),
        ({"methods": (Strategy.ZERO_3,)}, "nothing"),
        ({"steps": 0}, "steps"),
        ({"batch": 10**20}, "sequences"),
        ({"tokens": 1}, "tokens"),
        ({"device": "mps"}, "mps"),
    ],
)
def test_requests_that_cannot_be(change: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word) as raised:
        check(ShardingRequest(**change))
    assert raised.value.hint


def test_what_does_not_fit_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkpoints.save("llama", tmp_path / "model")
    wanted = needs(tiny_shape(), ShardingRequest(ranks=4))
    memory = psutil.virtual_memory()._replace(available=wanted - 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(OutOfMemoryError, match="4 processes"):
        run(ShardingRequest(ranks=4, folder=str(tmp_path / "model")))
    assert not ranks_alive()


# What went wrong


class Events(list):
    def get(self, timeout: float) -> dict:
        return self.pop(0) if self else {"event": "none"}


def test_a_killed_rank_is_named_not_the_one_that_lost_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmlab.engine.sharding.ranks._SECONDS_TO_FAIL", 0.05)
    lost = {"event": "error", "rank": 0, "text": "Connection closed by peer [127.0.0.1]:4242"}
    gone = {"event": "ended", "rank": 1, "text": "", "code": -9}
    ended = {"event": "ended", "rank": 0, "text": "", "code": 1}
    error = _in_words(_first_cause(lost, Events([ended, gone])))
    assert "Rank 1 was killed (signal 9)" in error.message
    assert error.hint
    assert "Connection closed" in _in_words(_first_cause(lost, Events([ended]))).message


def test_failures_in_words() -> None:
    few = {"event": "error", "rank": 0, "text": "4 ranks need 4 CUDA devices and NCCL, and there are 1 devices"}
    assert isinstance(_in_words(few), DeviceError)
    full = {"event": "error", "rank": 2, "text": "DefaultCPUAllocator: not enough memory: you tried to allocate 1"}
    assert isinstance(_in_words(full), OutOfMemoryError)
    crashed = {"event": "ended", "rank": 3, "text": "ModuleNotFoundError: No module named 'torch'", "code": 1}
    assert "No module named" in _in_words(crashed).message


# For real


def ranks_alive(of: psutil.Process | None = None) -> list[psutil.Process]:
    found = []
    for process in (of or psutil.Process()).children(recursive=True):
        try:
            if SHARDING_RANK.module in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


class Doing:
    """A control that does something once the ranks have made their first step."""

    def __init__(self, act) -> None:
        self.act = act
        self.cancelled = False

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        if fraction is not None and self.act is not None:
            act, self.act = self.act, None
            act()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoints.save("llama", tmp_path_factory.mktemp("sharding") / "model"))


@pytest.mark.slow
def test_ranks_hold_and_send_what_the_calculator_says(folder: str) -> None:
    seen, addresses = [], set()

    def look() -> None:
        for process in ranks_alive():
            addresses.update(link.laddr.ip for link in process.net_connections(kind="inet"))

    found = run(ShardingRequest(steps=3, tokens=32, folder=folder), Doing(look), seen.append)
    assert [result.method for result in found.results] == list(METHODS)
    assert tuple(seen) == found.results
    for result in found.results:
        for row in result.compared:
            if row.exact:
                assert abs(row.error) < 0.02, (result.method, row)
    assert [result.relative_measured for result in found.results] == pytest.approx([1, 1.5, 1, 1.5], rel=0.01)
    assert [result.relative_predicted for result in found.results] == [1, 1, 1, 1.5]
    assert found.largest_difference < 1e-3
    assert found.alone[0] > found.alone[-1]
    assert addresses == {"127.0.0.1"}
    assert not ranks_alive()


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [3, 4])
def test_the_bundled_decoder_over_more_ranks(ranks: int) -> None:
    found = run(ShardingRequest(ranks=ranks, steps=1, batch=1, tokens=16))
    for result in found.results:
        for row in result.compared:
            if row.exact:
                assert abs(row.error) < 0.02, (result.method, row)


@pytest.mark.slow
def test_a_killed_rank_ends_all(folder: str) -> None:
    began = 0.0

    def kill() -> None:
        nonlocal began
        began = time.monotonic()
        ranks_alive()[-1].kill()

    with pytest.raises(EngineError, match="was killed") as raised:
        run(ShardingRequest(steps=50, folder=folder), Doing(kill))
    assert time.monotonic() - began < SECONDS_TO_END
    assert raised.value.hint
    assert not ranks_alive()


@pytest.mark.slow
def test_cancelling_ends_all(folder: str) -> None:
    control = Doing(None)
    control.act = lambda: setattr(control, "cancelled", True)
    with pytest.raises(Cancelled):
        run(ShardingRequest(steps=50, folder=folder), control)
    assert not ranks_alive()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_ranks_end_when_their_parent_is_killed(folder: str, tmp_path: Path) -> None:
    code = f"""
from llmlab.engine.sharding import ShardingRequest, run
class Loud:
    def check(self): pass
    def report(self, text, fraction=None):
        if fraction is not None: print(text, flush=True)
run(ShardingRequest(steps=50, folder={folder!r}), Loud())
"""
    environment = child_environment() | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert b"step 1" in parent.stdout.readline()
        ranks = ranks_alive(psutil.Process(parent.pid))
        assert len(ranks) == 2
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(ranks, timeout=SECONDS_TO_END)
    assert not alive
    assert not list(tmp_path.glob("llmlab-sharding-*"))


@pytest.mark.slow
def test_a_model_that_cannot_be_trained_says_so(tmp_path: Path) -> None:
    LlamaConfig(num_hidden_layers=1, hidden_size=32, num_attention_heads=4).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=r"Rank \d failed: .*safetensors") as raised:
        run(ShardingRequest(folder=str(tmp_path)))
    assert raised.value.hint
    assert not ranks_alive()
