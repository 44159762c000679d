"""What optimizers hold while they step, against the tensors of torch's and transformers' own code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from transformers.optimization import Adafactor

from llmlab.engine.memory.optimizers import Implementation, Optimizer, results_of, state_of
from tests.engine.gpu_trace import BLOCK, Trace

SHAPES = [
    ((2048, 512), (512, 512), (512,)),
    ((512, 2048), (64,)),
    ((768, 1024), (1024, 1024), (1024,)),
]
Make = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]


def measured(make: Make, shapes: Iterable[tuple[int, ...]], dtype: torch.dtype) -> tuple[int, int]:
    """Bytes of the states, and what the second step holds beyond weights, gradients and states at its worst."""
    parameters = [torch.nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in shapes]
    gradients = [torch.ones_like(parameter) for parameter in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer = make(parameters)
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    there = [*parameters, *gradients, *states]
    with Trace() as trace:
        trace.follow(there)
        optimizer.step()
    kept = sum(math.ceil(tensor.nbytes / BLOCK) * BLOCK for tensor in there)
    return sum(state.nbytes for state in states if state.dim()), trace.peak - kept


def _muon(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Muon([parameter for parameter in parameters if parameter.dim() == 2])


def _adafactor(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    untyped: Any = Adafactor
    made: torch.optim.Optimizer = untyped(
        parameters, lr=1e-3, relative_step=False, scale_parameter=False, warmup_init=False
    )
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize(("optimizer", "make"), [(Optimizer.ADAFACTOR, _adafactor), (Optimizer.MUON, _muon)])
def test_intermediate_results(
    optimizer: Optimizer, make: Make, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype
) -> None:
    if optimizer is Optimizer.MUON:
        shapes = tuple(shape for shape in shapes if len(shape) == 2)
    states, results = measured(make, shapes, dtype)
    assert results_of(optimizer, Implementation.LOOP, shapes, dtype.itemsize) == pytest.approx(results, rel=0.02)
    assert state_of(optimizer, shapes, dtype.itemsize) == states
