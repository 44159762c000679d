"""Follows every tensor from the operation that makes it to the moment it is freed, to the byte, on any device."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from llmlab.engine.progress import Control
from llmlab.engine.types import Int64

_SECONDS_BETWEEN_SAMPLES = 0.005  # of the process's memory: asking the system takes tens of microseconds


@dataclass(slots=True)
class Life:
    """The memory behind one or more tensors: made by operation `born`, or `before` it; gone after operation `died`."""

    bytes: int
    born: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    before: bool = False
    died: int | None = None
    label: str = ""


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, every operation is seen and every new piece of memory followed until it is freed.

    `known` tensors, the model's own, do not count. What a kernel allocates for itself and frees again before it
    returns has no tensor that could be seen. `control` is asked at every operation. Use it under `torch.no_grad`:
    under `inference_mode` composite operations arrive whole, and what happens inside is not seen.
    """

    def __init__(self, known: Iterable[torch.Tensor], control: Control) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._control = control
        self._alive: dict[int, tuple[weakref.ref[torch.UntypedStorage], Life]] = {}
        self._known = {_place(tensor) for tensor in known}
        self._process = psutil.Process()
        self._sampled = 0.0
        self.lives: list[Life] = []
        self.operations: list[str] = []
        self.process = int(self._process.memory_info().rss)  # the most so far

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was asked, and look at what came of it."""
        self._control.check()
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._follow(value)
        self.operations.append(func._schema.name.removeprefix("aten::"))
        self._sample()
        return result

    def follow(self, tensors: Iterable[torch.Tensor], name: str = "") -> None:
        """Count `tensors` that were there before, as if they had been made now."""
        for tensor in tensors:
            self._follow(tensor, before=True)
            self.label([tensor], name)

    def label(self, tensors: Iterable[torch.Tensor | None], name: str) -> None:
        """Say what the memory behind `tensors` is for; the first word counts."""
        for tensor in tensors:
            if tensor is not None and (found := self._alive.get(_place(tensor))) is not None:
                found[1].label = found[1].label or name

    def relabel(self, chosen: Callable[[Life], bool], name: str) -> None:
        """Say what all `chosen` lives are for, ended ones too."""
        for life in filter(chosen, self.lives):
            life.label = name

    def bytes_of(self, tensors: Iterable[torch.Tensor | None]) -> int:
        """Bytes of the memory behind `tensors` that was made while this was entered."""
        lives = {place: self._alive[place][1] for t in tensors if t is not None and (place := _place(t)) in self._alive}
        return sum(life.bytes for life in lives.values())

    def curve(self, chosen: Callable[[Life], bool] = lambda life: True) -> Int64:
        """Bytes of the `chosen` lives after each operation, int64 (operations,)."""
        change = np.zeros(len(self.operations) + 1, np.int64)
        for life in filter(chosen, self.lives):
            change[life.born] += life.bytes
            if life.died is not None:
                change[life.died] -= life.bytes
        return np.cumsum(change[:-1])

    def _follow(self, tensor: torch.Tensor, *, before: bool = False) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self._known or place in self._alive or storage.nbytes() == 0:
            return
        life = Life(storage.nbytes(), len(self.operations), tuple(tensor.shape), tensor.dtype, before)
        self._alive[place] = (weakref.ref(storage, lambda _: self._freed(place)), life)
        self.lives.append(life)

    def _freed(self, place: int) -> None:
        found = self._alive.pop(place, None)
        if found is not None:
            found[1].died = len(self.operations)  # it is missing from the next operation on

    def _sample(self) -> None:
        now = time.monotonic()
        if now - self._sampled >= _SECONDS_BETWEEN_SAMPLES:
            self._sampled = now
            self.process = max(self.process, int(self._process.memory_info().rss))


def stacked(live: LiveTensors, labels: Sequence[str]) -> list[tuple[str, Int64]]:
    """A curve for each label that occurs, and one for everything without; they add up to all tensors."""
    found = [(name, live.curve(lambda life, name=name: life.label == name)) for name in labels]  # type: ignore[misc]
    return [*found, ("", live.curve(lambda life: life.label not in labels))]


def _place(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
