"""The phases of a training step: what is on the GPU when, and which moment is the worst one. Imports no torch.

Weights and optimizer states stay. Activations come with the forward pass, the loss takes a few numbers of each logit
on top, and the backward pass gives the activations back while the gradients come; then the optimizer uses these up,
and zero_grad(set_to_none=True) frees them. So gradients and activations never meet in full, unless gradients are
accumulated over several micro-batches. Between the moments that are told here memory goes straight up or down, so
that the largest of them is the peak.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.optimizers import FORMULAS_OF_RESULTS, Implementation, Optimizer, results_of
from llmlab.engine.memory.passing import (
    first_logit_bytes,
    logit_bytes,
    logits_term,
    loss_note,
    output_width,
    passing,
)
from llmlab.engine.memory.recipe import Lora, Precision, TrainingSettings
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.states import (
    COPIES,
    GRADIENTS,
    gradient_width,
    output_elements,
    shares_embedding,
    trained_shapes,
)
from llmlab.engine.memory.terms import Term, with_margin

BUCKETS = (
    "They are views of DDP's buckets (gradient_as_bucket_view=True), which zero_grad does not free. Without it, "
    "torch's default, the buckets come on top: as many bytes again."
)
ON_THEIR_WAY, RESULTS = "Gradients on their way", "Optimizer's results"


class Moment(StrEnum):
    """Where a training step stands."""

    REST = "At rest"
    FORWARD = "Forward"
    LOSS = "Loss"
    TURN = "Backward begins"
    END = "Backward ends"
    UPDATE = "Optimizer step"
    AFTER = "Afterwards"


ABOUT: Mapping[Moment, str] = {
    Moment.REST: "Between two steps: weights and optimizer states.",
    Moment.FORWARD: "The forward pass has kept its activations and computed the loss.",
    Moment.LOSS: "The backward pass of the loss: gradients of the logits stand beside the logits.",
    Moment.TURN: "The output layer has its gradient; all activations are still there.",
    Moment.END: "Every gradient has come, the embedding's last; the activations have gone.",
    Moment.UPDATE: "The optimizer changes the weights by the gradients.",
    Moment.AFTER: "zero_grad(set_to_none=True) has freed the gradients.",
}
_WHILE_RUNNING = (Moment.FORWARD, Moment.LOSS, Moment.TURN)


@dataclass(frozen=True, slots=True)
class Phase:
    """One moment of a step: `terms` are what is there, the CUDA context and the margin included; they add up."""

    moment: Moment
    terms: tuple[Term, ...]

    @property
    def about(self) -> str:
        """What happens then, in a sentence."""
        return ABOUT[self.moment]

    @property
    def total(self) -> int:
        """Bytes on the GPU."""
        return sum(term.bytes for term in self.terms if not term.host)


@dataclass(frozen=True, slots=True)
class Shared:
    """What a plan over many GPUs changes.

    Over how many of them activations, gradients and the optimizer's work are shared out; `gathered` are the weights
    that are whole for a moment. `buckets`: gradients are views of DDP's buckets, which stay from step to step.
    """

    tensor_parallel: int = 1
    gradients: int = 1
    optimizer: int = 1
    gathered: Mapping[Moment, Term] = field(default_factory=dict)
    buckets: bool = False


@dataclass(frozen=True, slots=True)
class _Present:
    """What is there at one moment: `lasting` whatever the batch, bytes of each logit, and what of the layers.

    `brief` is there for an operation or two, in place of a layer that is recomputed; the larger of both counts.
    """

    lasting: tuple[Term, ...]
    brief: Term | None = None
    logit: int = 0
    stores: bool = False
    recomputes: bool = False

    @property
    def held(self) -> int:
        """Bytes on the GPU of what lasts."""
        return sum(term.bytes for term in self.lasting if not term.host)


class Step:
    """One training step; `states` are weights, gradients and optimizer states as this GPU holds them."""

    def __init__(
        self, shape: ModelShape, settings: TrainingSettings, states: Sequence[Term], shared: Shared | None = None
    ) -> None:
        self._shape, self._settings, self._states = shape, settings, states
        self._shared = shared or Shared()
        self._passing = passing(shape, settings)
        self._logit = {
            Moment.FORWARD: first_logit_bytes(shape, settings),
            Moment.LOSS: logit_bytes(shape, settings),
            Moment.TURN: 2 * output_width(settings),
            Moment.END: output_width(settings),
            Moment.UPDATE: output_width(settings),
        }

    @property
    def moments(self) -> tuple[Moment, ...]:
        """In their order. Gradients that are used up at once leave the optimizer no step of its own."""
        return tuple(moment for moment in Moment if moment is not Moment.UPDATE or not self._settings.fused_backward)

    def phases(self) -> tuple[Phase, ...]:
        """Every moment with what is there."""
        return tuple(self._phase(moment) for moment in self.moments)

    def peak(self) -> Phase:
        """The worst moment; the earliest of several."""
        return self._phase(self.worst())

    def worst(self) -> Moment:
        """Which moment is the worst one; at rest there is only what is there in every other one as well."""
        held = self._held_at(self._settings.batch, self._settings.tokens)
        return max(held, key=lambda moment: held[moment])

    def held(self, batch: Any, tokens: Any) -> Any:
        """Bytes at the worst moment without context and margin, for arrays: float64 of their common shape."""
        most: Any = 0.0
        for found in self._held_at(batch, tokens).values():
            most = np.maximum(most, found)
        return most

    # --- what is there -------------------------------------------------------------------------------------------

    def _held_at(self, batch: Any, tokens: Any) -> dict[Moment, Any]:
        """Bytes at every moment but those at rest, for numbers or arrays."""
        split = self._shared.tensor_parallel
        stored = _shares(self._passing.stored(batch, tokens), split)
        recomputed = _shares(self._passing.recomputed(batch, tokens), split)
        logits = batch * tokens * self._shape.vocabulary
        found: dict[Moment, Any] = {}
        for moment in self.moments:
            if moment in (Moment.REST, Moment.AFTER):
                continue
            there = self._present[moment]
            brief = there.brief.bytes if there.brief else 0
            held = there.held + (_larger(brief, recomputed) if there.recomputes else brief)
            if there.logit:
                held = held + _shares(there.logit * logits, split)
            found[moment] = held + stored if there.stores else held
        return found

    def _phase(self, moment: Moment) -> Phase:
        there, settings = self._present[moment], self._settings
        terms = list(there.lasting)
        if there.stores:
            terms.append(self._parallel(self._passing.stored_term(settings.batch, settings.tokens)))
        if there.logit or (moment is Moment.LOSS and settings.chunked_loss):
            note = self._logit_note(moment)
            terms.append(self._parallel(logits_term(self._shape, settings, there.logit, note)))
        if (brief := self._brief(there)) is not None:
            terms.append(brief)
        return Phase(moment, with_margin(terms, settings.cuda_context, settings.margin))

    def _brief(self, there: _Present) -> Term | None:
        if not there.recomputes:
            return there.brief
        layer = self._parallel(self._passing.recomputed_term(self._settings.batch, self._settings.tokens))
        return layer if there.brief is None or layer.bytes > there.brief.bytes else there.brief

    @cached_property
    def _present(self) -> dict[Moment, _Present]:
        recomputes = self._settings.checkpointing is not Checkpointing.NONE
        found = {}
        for moment in self.moments:
            again = recomputes and moment in (Moment.TURN, Moment.END)
            lasting, brief = tuple(self._lasting(moment)), self._more(moment)
            found[moment] = _Present(lasting, brief, self._logit.get(moment, 0), moment in _WHILE_RUNNING, again)
        return found

    def _lasting(self, moment: Moment) -> list[Term]:
        found = []
        for term in self._states:
            if term.name == COPIES:
                found += self._copies(term, moment)
            elif term.name != GRADIENTS or self._has_gradients(moment):
                found.append(replace(term, note=BUCKETS) if term.name == GRADIENTS and self._shared.buckets else term)
        if moment in self._shared.gathered:
            found.append(self._shared.gathered[moment])
        return found

    def _has_gradients(self, moment: Moment) -> bool:
        if self._shared.buckets:
            return True
        if moment in (Moment.REST, Moment.AFTER):
            return False
        if self._settings.fused_backward:
            return moment in (Moment.TURN, Moment.END)
        return moment in (Moment.END, Moment.UPDATE) or self._settings.micro_batches > 1

    def _copies(self, term: Term, moment: Moment) -> list[Term]:
        """Copies that autocast makes: with the forward pass, and until the backward pass has used them.

        Layers that are checkpointed let go of theirs as soon as the forward pass is over.
        """
        if moment not in _WHILE_RUNNING:
            return []
        if moment is Moment.FORWARD or self._settings.checkpointing is not Checkpointing.FULL:
            return [term]
        count = output_elements(self._shape)
        note = "Layers that are recomputed make theirs again."
        return [replace(term, bytes=2 * count, formula="output layer · 2", values=f"{count:,} · 2", note=note)]

    def _more(self, moment: Moment) -> Term | None:
        """What is there for an operation or two: gradients beside their sums, the optimizer's intermediate results."""
        if moment is Moment.UPDATE:
            term = self._results()
        elif self._settings.lora or moment not in (Moment.TURN, Moment.END):
            return None
        else:
            term = self._parallel(self._turning() if moment is Moment.TURN else self._ending())
        return term if term.bytes else None

    def _turning(self) -> Term:
        """The gradient of the output layer, which nothing that has gone makes room for; autocast's in 16 bits too."""
        width, count = gradient_width(self._settings), output_elements(self._shape)
        cast = 2 * (self._settings.precision is Precision.AUTOCAST)
        width = width * (not self._settings.fused_backward) + cast
        note = "The output layer's is the first one, while all activations are there."
        return Term(ON_THEIR_WAY, count * width, "output layer · bytes", f"{count:,} · {width}", note)

    def _ending(self) -> Term:
        """Copies of the embedding's gradient, which comes last: one for each use of it and their sum.

        Beyond the gradient that is counted with all others; where that is added to, or shared out, one more.
        """
        width, count = gradient_width(self._settings), self._last_gradient()
        copies = 2 * shares_embedding(self._shape) + (self._settings.micro_batches > 1 or self._shared.gradients > 1)
        note = "The embedding is used twice: two gradients and their sum." if shares_embedding(self._shape) else ""
        if copies % 2:
            note = f"{note} It is whole before it is added to the others or shared out.".strip()
        what = "embedding" if count == output_elements(self._shape) else "largest layer"
        return Term(
            ON_THEIR_WAY,
            copies * count * width,
            f"{what} · {copies} copies · bytes",
            f"{count:,} · {copies} · {width}",
            note,
        )

    def _last_gradient(self) -> int:
        """Elements of the embedding, or of a whole layer where a layer's gradients are shared out together."""
        embedding, shape = output_elements(self._shape), self._shape
        if self._shared.gradients == 1 or shares_embedding(self._shape):
            return embedding
        around = sum(shape.group(group) for group in (Group.EMBEDDINGS, Group.HEAD))
        return max(embedding, math.ceil((shape.parameters - around) / max(1, shape.layers)))

    def _results(self) -> Term:
        term = _results_of(self._shape, self._settings)
        split = self._shared.optimizer * self._shared.tensor_parallel
        if split == 1:
            return term
        return replace(term, bytes=math.ceil(term.bytes / split), values=f"{term.bytes:,} / {split}")

    def _logit_note(self, moment: Moment) -> str:
        if self._settings.chunked_loss:
            return "The loss is computed in parts."
        if moment is Moment.LOSS:
            return loss_note(self._shape, self._settings)
        if moment is Moment.FORWARD:
            return "Logits, their float32 copy where there is one, and log-softmax."
        if moment is Moment.TURN:
            return "The logits, which the model's output keeps, and their gradient."
        return "The model's output keeps them until the step ends."

    def _parallel(self, term: Term) -> Term:
        """A term under tensor parallelism with sequence parallelism: every part is shared out."""
        split = self._shared.tensor_parallel
        if split == 1:
            return term
        return replace(
            term,
            bytes=math.ceil(term.bytes / split),
            formula=f"({term.formula}) / tensor-parallel GPUs",
            values=f"({term.values}) / {split}",
            note="Sequence parallelism included: norms and dropouts are shared out too.",
        )


def _results_of(shape: ModelShape, settings: TrainingSettings) -> Term:
    """What the optimizer works with for a moment, all of it."""
    width = 2 if settings.precision is Precision.BFLOAT16 and settings.lora is None else 4
    size = _size_of_results(shape, settings.lora, settings.optimizer, settings.implementation, width)
    words = FORMULAS_OF_RESULTS.get((settings.optimizer, settings.implementation), "largest tensors")
    note = f"What {settings.optimizer} works with for a moment ({settings.implementation})."
    return Term(RESULTS, size, words, f"{size:,}", note)


@lru_cache(maxsize=64)  # goes over hundreds of tensors, whatever the batch
def _size_of_results(
    shape: ModelShape, lora: Lora | None, optimizer: Optimizer, implementation: Implementation, width: int
) -> int:
    return results_of(optimizer, implementation, trained_shapes(shape, lora), width)


def _larger(one: Any, other: Any) -> Any:
    return max(one, other) if isinstance(other, int) else np.maximum(one, other)


def _shares(size: Any, split: int) -> Any:
    """The largest part of `size` bytes."""
    if split == 1:
        return size
    return math.ceil(size / split) if isinstance(size, int) else np.ceil(size / split)


def most_of(phases: Sequence[Phase]) -> dict[str, Term]:
    """Of every component that occurs in a step the largest it ever is."""
    found: dict[str, Term] = {}
    for phase in phases:
        for term in phase.terms:
            if term.name not in found or term.bytes > found[term.name].bytes:
                found[term.name] = term
    return found
