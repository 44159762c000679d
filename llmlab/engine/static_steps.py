"""Steps of a completion over a static cache, where that pays, and only if they give what plain ones give.

What is recorded is decided by model and position, never by a clock or by what else runs, so that the same seed gives
the same text. A recorded pass that fails, or answers otherwise than a plain one, ends it for the model: its steps are
plain from then on, and `Computed.note` says why.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from transformers.cache_utils import DynamicCache

from llmlab.engine.devices import is_out_of_memory, release_memory
from llmlab.engine.loading import LoadedModel
from llmlab.engine.static_cache import Kept, Program, Recorder, cuda_graph, states
from llmlab.engine.static_rule import slots_at, why_not_cache, why_not_model
from llmlab.engine.types import Computed
from llmlab.engine.wording import first_line

Result = TypeVar("Result")

TOLERANCES = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}  # of the span of the values compared
REPLAYED = Computed(replayed=True)


class StaticSteps:
    """One-token passes of one model: recorded and replayed where the rule allows it, plain elsewhere.

    There is one recorded program at a time, as large as the last text asked for. It works for the reader that took it
    last; what another one had read goes back to that one's own cache before.
    """

    def __init__(self, loaded: LoadedModel, recorder: Recorder) -> None:
        self._loaded = loaded
        self._recorder = recorder
        self._weights = sum(parameter.nbytes for parameter in loaded.model.parameters())
        self._program: Program | None = None
        self._holder: weakref.ref[Kept] | None = None
        self._refused: str | None = None  # why the model's steps are plain; None while nobody has asked

    @classmethod
    def of(cls, loaded: LoadedModel) -> StaticSteps | None:
        """Those of a model on a CUDA device. Elsewhere a kernel's launch costs next to nothing, and there are none."""
        return cls(loaded, cuda_graph) if loaded.device.type == "cuda" else None

    def clear(self) -> None:
        """Let go of the program and its memory; who uses it takes out what was read."""
        self._take_back()
        self._program = None

    @torch.inference_mode()
    def logits(
        self, kept: Kept, token: int, position: int, plain: Callable[[], torch.Tensor]
    ) -> tuple[torch.Tensor, Computed]:
        """Read `token`, which stands at `position`; the logits (vocabulary,) of what follows, and how they came about.

        `plain` reads it into `kept.cache`, as the model does by itself. The first answer of a program is compared
        with it, and taken all the same if they agree: what is written must not depend on who used the program before.
        """
        slots = slots_at(position, self._loaded.info.context)
        program = self._program
        if program is not None and program.slots == slots and kept.lies_in(program):
            logits = self._tried(partial(program.step, token))
            return (plain(), self._plain) if logits is None else (logits, REPLAYED)
        note = self._why_not(kept, slots)
        if note:
            return plain(), Computed(note=note)
        program = self._tried(partial(self._loaded_program, kept.cache, slots))
        logits = None if program is None else self._tried(partial(program.step, token))
        if program is None or logits is None:
            return plain(), self._plain
        if not program.proven:
            expected = plain()
            if not self._agrees(program, logits, expected, kept.cache):
                return expected, self._plain
        kept.lie_in(program)
        self._holder = weakref.ref(kept)
        return logits, REPLAYED

    @property
    def _plain(self) -> Computed:
        return Computed(note=self._refused or "")

    def _why_not(self, kept: Kept, slots: int) -> str:
        if self._refused is None:
            self._refused = why_not_model(self._loaded)
        return self._refused or why_not_cache(self._loaded.model, kept.cache, slots, self._weights)

    def _loaded_program(self, cache: DynamicCache, slots: int) -> Program:
        """A program that has read what `cache` has."""
        self._take_back()
        if self._program is None or not self._program.fits(cache, slots):
            self._program = None  # its memory first
            self._program = Program(self._loaded.model, self._loaded.device, cache, slots, self._recorder)
        self._program.load(cache)
        return self._program

    def _take_back(self) -> None:
        """Give what was read to the reader that uses the program."""
        kept = self._holder() if self._holder is not None else None
        if kept is not None and kept.lies_in(self._program):
            _ = kept.cache
        self._holder = None

    def _agrees(self, program: Program, logits: torch.Tensor, expected: torch.Tensor, cache: DynamicCache) -> bool:
        """Whether a program's first step is the plain one, in what it answers and in what it leaves behind.

        Where the plain one is not a number, nothing is said about the program: what reads it ends there anyway.
        """
        if expected.isnan().any():
            return False
        pairs = [(logits, expected)]
        for new, layer in zip(program.newest(), cache.layers, strict=True):
            pairs += [(mine, theirs[:, :, -1]) for mine, theirs in zip(new, states(layer), strict=True)]
        tolerance = TOLERANCES.get(self._loaded.model.dtype, max(TOLERANCES.values()))
        program.proven = all(_close(mine, theirs, tolerance) for mine, theirs in pairs)
        if not program.proven:
            self._refuse("Recorded passes of this model gave other numbers than plain ones.")
        return program.proven

    def _tried(self, work: Callable[[], Result]) -> Result | None:
        """The result of `work`; None, and nothing recorded any more, if it fails for whatever reason."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - a plain pass follows, which raises what is not the recording's fault
            out, said = is_out_of_memory(error), first_line(error)
        self._refuse("There was not enough memory to record a pass." if out else f"Recording a pass failed: {said}.")
        return None

    def _refuse(self, reason: str) -> None:
        self._refused = reason
        self._program = self._holder = None
        release_memory()


def _close(mine: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> bool:
    """Whether two tensors of a shape are the same but for rounding; what is infinite must be so in both."""
    finite = theirs.isfinite()
    if not torch.equal(finite, mine.isfinite()):
        return False
    mine, theirs = mine[finite].float(), theirs[finite].float()
    if not theirs.numel():
        return True
    return bool((mine - theirs).abs().max() <= tolerance * (theirs.max() - theirs.min()))
