"""How fast decoding can be at best: every weight is read once a step, and every cached key and value. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.memory.inference import InferenceSettings, cache_bytes, weight_terms
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.terms import Estimate, Term
from llmlab.engine.types import Architecture


@dataclass(frozen=True, slots=True)
class Roofline:
    """The limit that bandwidth sets: `moved` bytes a step, which gives `batch` tokens; `bandwidth` bytes a second."""

    moved: Estimate
    batch: int
    bandwidth: int

    @property
    def step(self) -> float:
        """Seconds of one step."""
        return self.moved.total / self.bandwidth

    @property
    def tokens_per_second(self) -> float:
        """The limit, all sequences together."""
        return self.batch / self.step

    def reached(self, measured: float) -> float:
        """The share of the limit that a measured speed in tokens per second is."""
        return measured / self.tokens_per_second


def decode_roofline(shape: ModelShape, settings: InferenceSettings, bandwidth: int) -> Roofline:
    """The limit for a step with `settings.tokens` tokens in the cache of each of `settings.batch` sequences.

    bytes = weights that a token goes through + cache; tokens/s ≤ batch · bandwidth / bytes. Of the embedding table only
    the rows of the tokens are read, unless it is the output layer as well. Of E experts of which k see a token, a batch
    of B is expected to need E · (1 − (1 − k/E)^B). An encoder is not read again. Raises InputError.
    """
    if bandwidth <= 0:
        raise InputError(f"The bandwidth is {bandwidth:,} bytes a second.", "Give a number above 0.")
    if shape.architecture is Architecture.ENCODER:
        raise InputError(
            f"“{shape.name}” writes no tokens one by one.", "Choose a decoder-only or encoder-decoder model."
        )
    whole = sum(
        term.bytes for term in weight_terms(shape, settings.dtype, settings.quantization, double=settings.double)
    )
    idle, why = _idle(shape, settings.batch)
    weights = round(whole * (1 - idle / shape.parameters))
    cached = cache_bytes(shape, settings)
    terms = (
        Term(
            "Weights read",
            weights,
            "weights · (parameters − not read) / parameters",
            f"{whole:,} · ({shape.parameters:,} − {idle:,}) / {shape.parameters:,}",
            why,
        ),
        Term("Cache read", cached, "all bytes of the cache", f"{cached:,}"),
    )
    return Roofline(Estimate(terms), settings.batch, bandwidth)


def _idle(shape: ModelShape, batch: int) -> tuple[int, str]:
    """Parameters that a step does not read, and what they are."""
    found, notes = 0, []
    if shape.group(Group.HEAD):
        found += shape.group(Group.EMBEDDINGS)
        notes.append("the embedding table, of which only a row a token is read")
    if shape.encodes_first:
        found += sum(t.elements for t in shape.tensors if t.name.startswith(("encoder.", "model.encoder.")))
        notes.append("the encoder, which has read its text")
    if shape.experts:
        resting = (1 - shape.active_experts / shape.experts) ** batch
        found += round(shape.group(Group.EXPERTS) * resting)
        notes.append(f"{resting:.0%} of the experts, which no token of the batch is expected to need")
    return found, f"Not read: {'; '.join(notes)}." if notes else ""
