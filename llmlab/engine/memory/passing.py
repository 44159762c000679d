"""What comes and goes while a training step runs: activations, logits, gradients on their way. Imports no torch.

Bytes are functions of the numbers of sequences and tokens, which may be arrays; terms say them with their formula.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.casts import cast_bytes, cast_formula, casts_of
from llmlab.engine.memory.kept import Kept
from llmlab.engine.memory.recipe import Precision, TrainingSettings
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.terms import Term

ACTIVATIONS, RECOMPUTED, LOGITS = "Activations", "Recomputed layer", "Logits and loss"


class Passing:
    """The activations of one model trained in one way."""

    def __init__(self, shape: ModelShape, settings: TrainingSettings) -> None:
        self._shape, self._settings = shape, settings
        self._kept = layers_kept(shape, settings)
        self._casts = settings.precision is Precision.AUTOCAST and settings.lora is None
        self._full = settings.checkpointing is Checkpointing.FULL

    def stored(self, batch: Any, tokens: Any) -> Any:
        """Bytes that wait for the backward pass."""
        found = self._kept.bytes(batch, tokens)
        if self._casts and not self._full:
            found = found + cast_bytes(self._shape, batch, tokens, self._source(tokens))
        return found

    def recomputed(self, batch: Any, tokens: Any) -> Any:
        """Bytes of the largest layer while it is whole again; 0 where nothing is recomputed."""
        if self._settings.checkpointing is Checkpointing.NONE:
            return 0
        found = self._kept.largest_layer(batch, tokens)
        if self._casts:
            listens = self._shape.encodes_first
            found = found + batch * casts_of(self._shape).one(tokens, self._source(tokens), cross=listens)
        return found

    def stored_term(self, batch: int, tokens: int) -> Term:
        """`stored` with its formula."""
        words, values = self._kept.formula(batch, tokens)
        if self._casts and not self._full:
            more, put = cast_formula(self._shape, batch, tokens, self._source(tokens))
            words, values = f"{words} + {more}", f"{values} + {put}"
        return Term(ACTIVATIONS, self.stored(batch, tokens), words, values, _saved_note(self._shape, self._settings))

    def recomputed_term(self, batch: int, tokens: int) -> Term:
        """`recomputed` with its formula."""
        words, values = self._kept.layer_formula(batch, tokens)
        if self._casts:
            listens = self._shape.encodes_first
            words += " + batch · bytes of 16-bit copies"
            values += f" + {batch:,} · {casts_of(self._shape).one(tokens, self._source(tokens), cross=listens):,}"
        note = "One layer whole, while it is recomputed."
        return Term(RECOMPUTED, self.recomputed(batch, tokens), words, values, note)

    def _source(self, tokens: Any) -> Any:
        return tokens if self._settings.source_tokens is None else self._settings.source_tokens


@lru_cache(maxsize=16)  # plans over many GPUs ask for the same again and again
def passing(shape: ModelShape, settings: TrainingSettings) -> Passing:
    """The activations of one model trained in one way."""
    return Passing(shape, settings)


def layers_kept(shape: ModelShape, settings: TrainingSettings) -> Kept:
    """What the layers keep for the backward pass."""
    return Kept(
        shape,
        settings.width,
        fused=_is_fused(shape, settings),
        # nothing trains the zeros that are T5's bias there, so that a kernel of a CPU takes them
        cross_fused=settings.flash and not shape.attention_dropout if not settings.cuda else None,
        masked_fused=settings.flash and shape.fuses and (settings.cuda or not shape.attention_dropout),
        cuda=settings.cuda,
        checkpointing=settings.checkpointing,
        inputs=_sum_width(settings),
        source=settings.source_tokens,
    )


def logit_bytes(shape: ModelShape, settings: TrainingSettings) -> int:
    """Bytes of each logit at the loss's worst moment, its backward pass; 0 where the loss is computed in parts.

    The model's output keeps the logits; log-softmax, its gradient and the gradient of what it was made from are there
    beside them. transformers' own loss turns 16 bits into float32 first, as autocast does: w + 3 · 4; the losses of
    encoder-decoder models stay in 16 bits: 4 · 2. A tanh that bounds logits keeps w more. Of QLoRA the
    output layer is float32 where what is not quantized is.
    """
    if settings.chunked_loss:
        return 0
    width = output_width(settings)
    return (width + 12 if _in_float32(shape, settings) else 4 * width) + width * shape.caps_logits


def first_logit_bytes(shape: ModelShape, settings: TrainingSettings) -> int:
    """Bytes of each logit when the forward pass has computed the loss: logits, their float32 copy, log-softmax."""
    if settings.chunked_loss:
        return 0
    width = output_width(settings)
    first = width + 8 if _in_float32(shape, settings) and width < 4 else 2 * width
    return first + width * shape.caps_logits


def output_width(settings: TrainingSettings) -> int:
    """Bytes of a logit as the model's output keeps it; 0 where the loss is computed in parts."""
    if settings.chunked_loss:
        return 0
    return 4 if settings.lora and settings.lora.upcast else settings.width


def logits_term(shape: ModelShape, settings: TrainingSettings, each: int, note: str) -> Term:
    """The logits of all tokens, `each` of so many bytes."""
    batch, tokens = settings.batch, settings.tokens
    return Term(
        LOGITS,
        each * batch * tokens * shape.vocabulary,
        "batch · tokens · vocabulary · bytes per logit",
        f"{batch:,} · {tokens:,} · {shape.vocabulary:,} · {each}",
        note,
    )


def loss_note(shape: ModelShape, settings: TrainingSettings) -> str:
    """What `logit_bytes` are."""
    return _loss_note(logit_bytes(shape, settings), settings.width)


def _in_float32(shape: ModelShape, settings: TrainingSettings) -> bool:
    return shape.float32_loss or settings.precision is Precision.AUTOCAST


def _sum_width(settings: TrainingSettings) -> int:
    """Bytes of a number in the sum that runs through the layers."""
    whole = settings.precision is Precision.AUTOCAST or (settings.lora is not None and settings.lora.upcast)
    return 4 if whole else settings.width


def _is_fused(shape: ModelShape, settings: TrainingSettings) -> bool:
    """Whether attention runs in a kernel that never writes its scores out, as torch chooses it (sdp_utils.cpp).

    Some families have no code that calls one. None on CUDA takes float32 where heads share keys; the one on a CPU
    takes no dropout, no bias that is trained and no values of another width than the keys.
    """
    if not shape.fuses:
        return False
    if settings.cuda:
        return settings.flash and not (settings.width == 4 and shape.shares_keys)
    return settings.flash and not (shape.position_bias or shape.attention_dropout or shape.latent)


def _saved_note(shape: ModelShape, settings: TrainingSettings) -> str:
    if settings.checkpointing is Checkpointing.FULL:
        return "The input of each layer; everything else is recomputed."
    if not shape.counted:
        return "An estimate: as a similar architecture, 30 % too little to 40 % too much a layer where it was tried."
    note = _counted_note(shape, settings)
    if settings.precision is Precision.AUTOCAST and settings.lora is None and not shape.casts_counted:
        note += " An estimate in one respect: autocast's 16-bit copies of them are counted as in similar families."
    return note


def _counted_note(shape: ModelShape, settings: TrainingSettings) -> str:
    if shape.experts:
        return "With transformers' grouped_mm; its batched_mm also keeps a copy of each token's experts."
    if settings.flash and not shape.fuses:
        return "What autograd saves in transformers' code, which for this family writes scores out."
    if settings.cuda and settings.flash and not _is_fused(shape, settings):
        return "What autograd saves in transformers' code; no fused kernel takes float32 where heads share keys."
    return "What autograd saves in transformers' code."


def _loss_note(each: int, width: int) -> str:
    if width == 4:
        return "Logits, log-softmax and two gradients, 4 bytes each."
    if each in (2 * width + 12, 5 * width):
        return "Logits and their tanh; log-softmax and two gradients of their float32 copy, 4 bytes each."
    if each == 4 * width:
        return "Logits, log-softmax and two gradients, 2 bytes each: this class does not turn them into float32."
    return "Logits; log-softmax and two gradients of their float32 copy, 4 bytes each."
