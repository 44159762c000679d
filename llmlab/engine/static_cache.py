"""Keys and values at fixed places: a one-token pass over them is the same work every time, and can be recorded.

A cache that grows takes new memory with every token, so that no pass is quite like another. Here slot i holds what was
computed at position i of the text, and a pass differs from the last one in two numbers only: its token, its position.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicSlidingWindowLayer

Pass: TypeAlias = Callable[[], torch.Tensor]
Recorder: TypeAlias = Callable[[Pass, torch.device], Pass]

WARM_UP = 3  # passes before a recording, in which libraries choose their kernels and take their workspaces


def unrecorded(work: Pass, _device: torch.device) -> Pass:
    """The pass itself, again each time; on any device."""
    return work


def cuda_graph(work: Pass, device: torch.device) -> Pass:
    """The kernels of one pass as a CUDA graph: launched at once, instead of one by one from Python.

    The graph reads and writes the memory that the pass did, so that what it answers is overwritten by the next one.
    Raises RuntimeError where the pass waits for the GPU, for example to choose what it does by a result.
    """
    side = _side_stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    # A failed recording leaves its stream behind as the current one: this block has the former one back in any case.
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            work()
        graph = torch.cuda.CUDAGraph()
        # Other threads may ask the device for its free memory meanwhile: only this one's doings count.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            answer = work()
    torch.cuda.current_stream(device).wait_stream(side)

    def replay() -> torch.Tensor:
        with torch.cuda.device(device):
            graph.replay()
        return answer

    return replay


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Where passes are recorded. Always the same: libraries take a workspace for every stream that they see."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values (1, key-value heads, slots, head_dim). A window is the mask's business."""

    is_compileable = True
    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, slots: int, position: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: torch.Tensor = keys.new_zeros((*keys.shape[:2], slots, keys.shape[3]))
        self.values: torch.Tensor = values.new_zeros((*values.shape[:2], slots, values.shape[3]))
        self._position = position
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """There is nothing left to do."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put those of one token, (1, key-value heads, 1, head_dim), into its slot; all slots."""
        self.keys.index_copy_(2, self._position, key_states)
        self.values.index_copy_(2, self._position, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many slots there are, and the position of the first."""
        return self.keys.shape[2], 0

    def get_seq_length(self) -> torch.Tensor:  # type: ignore[override]  # as transformers' own static layers have it
        """How many tokens were read before this one, on the device, so that it is not recorded as a number."""
        return self._position[0]

    def get_max_length(self) -> int:
        """How many slots there are."""
        return self.keys.shape[2]


class Program:
    """One-token passes of `model` over `slots` places, for caches of the kind of `like`, as `recorder` runs them.

    It is recorded at position 0 and used at others: a pass that had its position built in would be found out.
    Call everything in inference mode. Raises whatever the model raises where it cannot read this way.
    """

    def __init__(
        self, model: PreTrainedModel, device: torch.device, like: DynamicCache, slots: int, recorder: Recorder
    ) -> None:
        self.slots = slots
        self.count = 0  # tokens read
        self.proven = False  # compared with the model's plain pass
        self._model: Any = model
        self._token = torch.zeros((1, 1), dtype=torch.long, device=device)
        self._position = torch.zeros(1, dtype=torch.long, device=device)
        self._windows = [window(layer) for layer in like.layers]
        self._layers = [SlotLayer(*states(layer), slots, self._position) for layer in like.layers]
        self._cache = Cache(layers=list(self._layers))
        self._run = recorder(self._pass, device)

    def fits(self, cache: DynamicCache, slots: int) -> bool:
        """Whether it was recorded for `slots` places, and for layers such as those of `cache`."""
        return self.slots == slots and self._windows == [window(layer) for layer in cache.layers]

    def load(self, cache: DynamicCache) -> None:
        """Take over what `cache` has read. Other slots become zero: masked, but not a number would go through."""
        self.count = cache.get_seq_length()
        for slot, layer in zip(self._layers, cache.layers, strict=True):
            for places, new in zip((slot.keys, slot.values), states(layer), strict=True):
                places.zero_()
                places[:, :, self.count - new.shape[2] : self.count] = new

    def step(self, token: int) -> torch.Tensor:
        """Read one token; the logits (vocabulary,) of what follows, the caller's to keep."""
        self._token.fill_(token)
        self._position.fill_(self.count)
        logits = self._run().clone()
        self.count += 1
        return logits

    def unloaded(self) -> DynamicCache:
        """What was read, in a cache of its own that grows."""
        cache = DynamicCache(config=self._model.config)
        layer: Any
        for slot, layer in zip(self._layers, cache.layers, strict=True):
            visible = window(layer)
            first = 0 if visible is None else max(0, self.count - visible + 1)
            layer.update(slot.keys[:, :, first : self.count], slot.values[:, :, first : self.count])
            if isinstance(layer, DynamicSlidingWindowLayer):
                layer.cumulative_length = self.count
        return cache

    def newest(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Each layer's key and value (1, key-value heads, head_dim) of the last token that was read."""
        return [(layer.keys[:, :, self.count - 1], layer.values[:, :, self.count - 1]) for layer in self._layers]

    def _pass(self) -> torch.Tensor:
        output = self._model(
            input_ids=self._token,
            position_ids=self._position[None],
            attention_mask=self._masks(),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[0, -1]
        return logits

    def _masks(self) -> torch.Tensor | dict[str, torch.Tensor]:
        """What the token sees, (1, 1, 1, slots); by the kind of layer where there are two."""
        kinds = set(self._windows)
        if len(kinds) == 1:
            return self._mask(kinds.pop())
        sliding = next(each for each in kinds if each is not None)
        return {"full_attention": self._mask(None), "sliding_attention": self._mask(sliding)}

    def _mask(self, visible: int | None) -> torch.Tensor:
        slots = torch.arange(self.slots, device=self._position.device)
        seen = slots <= self._position
        if visible is not None:
            seen &= slots > self._position - visible
        if self._model.config._attn_implementation == "sdpa":
            return seen[None, None, None]
        dtype = self._layers[0].keys.dtype
        lowest = torch.finfo(dtype).min  # eager attention adds its mask to the scores
        return torch.zeros(self.slots, dtype=dtype, device=seen.device).masked_fill_(~seen, lowest)[None, None, None]


class Kept:
    """What one reader has read: a cache of its own, or the slots of a program that works for it now."""

    def __init__(self, cache: Any = None) -> None:
        self._cache = cache
        self._program: Program | None = None

    @property
    def cache(self) -> Any:
        """A cache of its own; what lies in a program's slots is taken out."""
        if self._program is not None:
            self._cache = self._program.unloaded()
            self._program = None
        return self._cache

    @cache.setter
    def cache(self, cache: Any) -> None:
        self._cache, self._program = cache, None

    @property
    def read(self) -> bool:
        """Whether there is something to go on from."""
        return self._cache is not None or self._program is not None

    def lie_in(self, program: Program) -> None:
        """What was read lies in the slots of `program` from now on."""
        self._cache, self._program = None, program

    def lies_in(self, program: Program | None) -> bool:
        """Whether what was read lies in the slots of `program`."""
        return program is not None and self._program is program


def window(layer: Any) -> int | None:
    """How many tokens back a layer sees, itself included; None where it sees all."""
    return layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None


def states(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's keys and values."""
    return layer.keys, layer.values
