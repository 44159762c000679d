"""A training step in its phases, traced as a GPU would hold it: the oracle for `llmlab.engine.memory.step`.

On top of `gpu_trace`, which follows every storage, this says where the step stands after each operation, runs it with
any optimizer, checkpointing and number of micro-batches, and does torch.autocast's casts by hand, since that knows no
device "meta": linear layers and products in bfloat16, each weight's copy kept for the step as in its cache; softmax,
norms and losses in float32 (torch documentation, “CUDA Ops that can autocast”).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map
from transformers import PreTrainedModel

from tests.engine.gpu_trace import AsOnCuda, Trace, fused_adamw

_LOWER = {
    torch.nn.functional.linear,
    torch.nn.functional.scaled_dot_product_attention,
    torch.matmul,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
    torch.bmm,
    torch.baddbmm,
    torch.addmm,
}
_HIGHER = {
    torch.nn.functional.layer_norm,
    torch.nn.functional.softmax,
    torch.nn.functional.log_softmax,
    torch.nn.functional.cross_entropy,
    torch.nn.functional.nll_loss,
    torch.softmax,
    torch.pow,
    torch.Tensor.pow,
    torch.Tensor.__pow__,
    torch.rsqrt,
}


class Autocast(TorchFunctionMode):
    """torch.autocast("cuda", torch.bfloat16). Entered after `AsOnCuda`, which then sees tensors that are cast."""

    def __init__(self) -> None:
        super().__init__()
        self._copies: dict[int, torch.Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _LOWER:
            args, kwargs = tree_map(self._lower, (args, kwargs))
        elif func in _HIGHER:
            args, kwargs = tree_map(_higher, (args, kwargs))
        return func(*args, **kwargs)

    def clear(self) -> None:
        """The end of the context: its cache goes, and what autograd saved stays."""
        self._copies.clear()

    def _lower(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.dtype is not torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(torch.bfloat16)
        if id(value) not in self._copies:
            self._copies[id(value)] = value.to(torch.bfloat16)
        return self._copies[id(value)]


def _higher(value: Any) -> Any:
    is_half = isinstance(value, torch.Tensor) and value.dtype is torch.bfloat16
    return value.float() if is_half else value


class StepTrace(Trace):
    """Says after which operation each phase ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, int] = {}

    def end(self, phase: str) -> None:
        """The phase that is called `phase` is over."""
        self.ends[phase] = len(self.operations)

    def phase_of(self, operation: int) -> str:
        """Which phase an operation belongs to."""
        return next(phase for phase, end in self.ends.items() if operation < end)


class Stepping:
    """An optimizer whose states are there already, as from the second step on."""

    def __init__(self, model: PreTrainedModel, how: str) -> None:
        """`how`: fused, foreach or for-loop of AdamW, or SGD."""
        if how == "SGD":
            self._optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, foreach=True)
        else:
            self._optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, foreach=how == "foreach")
        self.states: list[torch.Tensor] = []
        for parameter in model.parameters() if how != "SGD" else ():
            first, second = torch.empty_like(parameter), torch.empty_like(parameter)
            step = torch.zeros((), device="meta" if how == "fused" else "cpu")
            self._optimizer.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
            self.states += [first, second]
        self._fused = how == "fused"

    def step(self) -> None:
        if self._fused:
            fused_adamw(self._optimizer)
        else:
            self._optimizer.step()


def step_trace(
    model: PreTrainedModel,
    batch: int,
    tokens: int,
    how: str = "fused",
    *,
    autocast: bool = False,
    micro_batches: int = 1,
    checkpointing: bool = False,
    source: int | None = None,
) -> StepTrace:
    """One step; in each micro-batch everything but the gradients is anew."""
    cast = Autocast() if autocast else None
    if checkpointing:  # what is recomputed runs in the backward pass, where no mode is active but this
        again = lambda: (nullcontext(), as_on_gpu(Autocast() if autocast else None))  # noqa: E731 - a context_fn
        model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": again})
    model.train().requires_grad_(requires_grad=True)
    optimizer = Stepping(model, how)
    ids = torch.zeros(batch, tokens, dtype=torch.long, device="meta")
    asked = {"input_ids": ids, "labels": ids}
    if source is not None:
        asked["input_ids"] = torch.zeros(batch, source, dtype=torch.long, device="meta")
    with StepTrace() as trace:
        trace.follow([*model.parameters(), *model.buffers(), *optimizer.states, *asked.values()])
        for batch_number in range(1, micro_batches + 1):
            with as_on_gpu(cast):
                output = model(**asked, use_cache=False)
            if cast is not None:
                cast.clear()
            trace.end("forward")
            output.loss.backward()
            trace.end("backward")
            if batch_number < micro_batches:
                del output  # as in a loop whose body is a function, such as Trainer's
        optimizer.step()
        trace.end("optimizer")
    return trace


@contextmanager
def as_on_gpu(cast: Autocast | None) -> Iterator[None]:
    with AsOnCuda(), cast or nullcontext():
        yield
