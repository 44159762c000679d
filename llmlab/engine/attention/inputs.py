"""From a request to what the model is given: ids with their words and sentences, cut and padded as asked for."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from llmlab.engine.attention.types import AttentionRequest, Truncation
from llmlab.engine.attention.words import continued_words, words_of
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.reading import check_ids, decoder_start, prompt_ids
from llmlab.engine.tokenization import Speller, check_text, encode
from llmlab.engine.types import Architecture, Bool, Feature, Int32, Int64

PADDED = -1  # the segment of a padding token


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """The tokens that an encoder or a decoder reads. All arrays (tokens,).

    `words`: the word each token belongs to, -1 for special tokens; `segments`: 0 or 1, the sentence, PADDED for
    padding; `fixed`: never cut; `generated`: ids that were generated after the text.
    """

    ids: Int64
    words: Int32
    segments: Int32
    fixed: Bool
    generated: Bool

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def real(self) -> Bool:
        """Which tokens are no padding."""
        real: Bool = self.segments != PADDED
        return real

    @property
    def first_generated(self) -> int | None:
        """The first token that was generated."""
        return int(self.generated.argmax()) if self.generated.any() else None

    def take(self, kept: Int64) -> Sequence:
        """Only the tokens at these places."""
        return Sequence(self.ids[kept], self.words[kept], self.segments[kept], self.fixed[kept], self.generated[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the model reads: `text`, and of an encoder-decoder model `target`, which the decoder reads.

    `over`: so many tokens more than the context window holds, before anything was cut.
    """

    text: Sequence
    target: Sequence | None
    over: int

    def tensors(self, loaded: LoadedModel) -> dict[str, torch.Tensor]:
        """The arguments of the model's forward pass, each (1, tokens)."""
        given = {"input_ids": self.text.ids}
        accepted = inspect.signature(body(loaded).forward).parameters
        if not self.text.real.all():
            mask = self.text.real.astype(np.int64)
            given["attention_mask"] = mask
            if loaded.info.architecture is Architecture.DECODER and "position_ids" in accepted:
                given["position_ids"] = np.maximum(mask.cumsum() - 1, 0) * mask  # as in transformers' `generate`
        typed = "token_type_ids" in accepted and "token_type_ids" in loaded.tokenizer.model_input_names
        if typed and (self.text.segments == 1).any():
            given["token_type_ids"] = np.maximum(self.text.segments, 0).astype(np.int64)
        if self.target is not None:
            given["decoder_input_ids"] = self.target.ids
        return {name: torch.from_numpy(values)[None].to(loaded.device) for name, values in given.items()}


def body(loaded: LoadedModel) -> Any:
    """The model without its output layer, whose logits (tokens, vocabulary) nobody needs here."""
    return loaded.model if loaded.info.architecture is Architecture.ENCODER_DECODER else loaded.model.base_model


def read(loaded: LoadedModel, speller: Speller, request: AttentionRequest) -> Inputs:
    """What the model reads for `request`, cut where it asks for that.

    Raises InputError for a text that is too long, or that this kind of model cannot take, and UnsupportedFeatureError
    for a model without attention.
    """
    inputs = uncut(loaded, speller, request)
    if inputs.over > 0 and request.truncation is Truncation.REFUSE:
        context = loaded.info.context or 0
        raise InputError(
            f"The text has {context + inputs.over:,} tokens, but the model reads at most {context:,}.",
            f"Shorten it by at least {inputs.over:,} tokens, keep only its beginning or its end, or open a model with "
            "a longer context.",
        )
    text = _padded(loaded, _cut(loaded, inputs.text, abs(request.padding), request.truncation), request.padding)
    target = inputs.target and _cut(loaded, inputs.target, 0, request.truncation)
    return Inputs(text, target, inputs.over)


def uncut(loaded: LoadedModel, speller: Speller, request: AttentionRequest) -> Inputs:
    """What the model would read without a limit and without padding. Raises as `read`."""
    check(loaded, request)
    if loaded.info.architecture is not Architecture.ENCODER_DECODER:
        text = _text(loaded, speller, request.text, request.pair)
        text = _joined(text, _continued(loaded, speller, text, request.continued))
        return Inputs(text, None, _over(loaded, text, abs(request.padding)))
    text = _text(loaded, speller, request.text, None)
    start = plain(decoder_start(loaded), fixed=True)
    if request.continued:
        target = _joined(start, _continued(loaded, speller, start, request.continued))
    else:
        ids = encode(loaded.tokenizer, request.target or "", special=False, target=True)
        check_ids(loaded, ids)
        target = _joined(start, replace(plain(ids), words=continued_words(speller.texts(ids), -1)))
    over = max(_over(loaded, text, abs(request.padding)), _over(loaded, target, 0))
    return Inputs(text, target, over)


def check(loaded: LoadedModel, request: AttentionRequest) -> None:
    """Raise an EngineError where the loaded model cannot read such a request at all."""
    info = loaded.info
    if Feature.ATTENTION not in info.features:
        raise UnsupportedFeatureError(
            f"“{info.name}” has no attention to look at: models of the type {info.model_type} carry what they have "
            "read from token to token in a state of fixed size, or mix all tokens in a fixed way.",
            "Open a model with attention: bundled:decoder, bundled:encoder or bundled:seq2seq, for example.",
        )
    if request.pair is not None and info.architecture is not Architecture.ENCODER:
        raise InputError(
            "Only encoder-only models read a pair of sentences.", "Leave the second sentence out, or open an encoder."
        )
    if request.continued and info.architecture is Architecture.ENCODER:
        raise InputError(
            "An encoder-only model does not generate text that could be read on.", "Leave the generated tokens out."
        )
    if request.target and info.architecture is not Architecture.ENCODER_DECODER:
        raise InputError(
            "Only encoder-decoder models read a second text in a decoder.", "Leave the text for the decoder out."
        )


def _text(loaded: LoadedModel, speller: Speller, text: str, pair: str | None) -> Sequence:
    sequence = _encoded(loaded, speller, text, pair)
    if not len(sequence):  # an empty prompt is the token that marks the beginning of a text
        sequence = plain(prompt_ids(loaded, text), fixed=True)
    check_ids(loaded, sequence.ids.tolist())
    return sequence


def _encoded(loaded: LoadedModel, speller: Speller, text: str, pair: str | None) -> Sequence:
    check_text(text)
    check_text(pair or "")
    tokenizer = loaded.tokenizer
    if not tokenizer.is_fast:
        ids = tokenizer(text, pair, verbose=False)["input_ids"]
        special = np.isin(ids, tokenizer.all_special_ids)
        segments = tokenizer(text, pair, verbose=False).get("token_type_ids") or [0] * len(ids)
        words = np.where(special, -1, continued_words(speller.texts(ids), -1))
        return _sequence(ids, words, segments, special)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    encoding = backend.encode(text) if pair is None else backend.encode(text, pair)
    special = np.array(encoding.special_tokens_mask, np.bool_)
    words = words_of(encoding, speller.texts(encoding.ids))
    return _sequence(encoding.ids, words, _sentences(encoding.sequence_ids), special)


def _sentences(sequence_ids: list[int | None]) -> list[int]:
    """The sentence of each token; a token that was added belongs to the sentence before it, as in BERT's type ids."""
    sentences, now = [], 0
    for each in sequence_ids:
        now = now if each is None else each
        sentences.append(now)
    return sentences


def _sequence(ids: Any, words: Any, segments: Any, fixed: Any) -> Sequence:
    return Sequence(
        np.array(ids, np.int64),
        np.array(words, np.int32),
        np.array(segments, np.int32),
        np.array(fixed, np.bool_),
        np.zeros(len(ids), np.bool_),
    )


def plain(ids: list[int], *, fixed: bool = False) -> Sequence:
    """Ids without words, of one sentence."""
    return _sequence(ids, [-1] * len(ids), [0] * len(ids), [fixed] * len(ids))


def _continued(loaded: LoadedModel, speller: Speller, before: Sequence, ids: tuple[int, ...]) -> Sequence:
    if any(index < 0 for index in ids):
        raise InputError("A token id cannot be negative.", "Give the ids that the model generated.")
    check_ids(loaded, ids)
    text = speller.texts(ids)
    special = np.isin(ids, loaded.tokenizer.all_special_ids)
    last = speller.texts(before.ids[-1:].tolist())[0] if len(before) and before.words[-1] >= 0 else ""
    words = np.where(special, -1, continued_words(text, int(before.words.max(initial=-1)), last))
    return replace(plain(list(ids)), words=words.astype(np.int32), generated=np.ones(len(ids), np.bool_))


def _joined(first: Sequence, second: Sequence) -> Sequence:
    names = ("ids", "words", "segments", "fixed", "generated")
    return Sequence(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))


def _over(loaded: LoadedModel, sequence: Sequence, padding: int) -> int:
    context = loaded.info.context
    return 0 if context is None else max(0, len(sequence) + padding - context)


def _cut(loaded: LoadedModel, sequence: Sequence, padding: int, truncation: Truncation) -> Sequence:
    """`sequence` without what is too much, from the end or the beginning of the longer sentence first."""
    over = _over(loaded, sequence, padding)
    if not over:
        return sequence
    places = [np.flatnonzero(~sequence.fixed & (sequence.segments == each)) for each in (0, 1)]
    second = min(len(places[1]), over, max(0, (over + len(places[1]) - len(places[0]) + 1) // 2))
    counts = min(len(places[0]), over - second), second
    dropped = [
        part[:count] if truncation is Truncation.KEEP_END else part[len(part) - count :]
        for part, count in zip(places, counts, strict=True)
    ]
    return sequence.take(np.setdiff1d(np.arange(len(sequence)), np.concatenate(dropped)))


def _padded(loaded: LoadedModel, sequence: Sequence, padding: int) -> Sequence:
    if not padding:
        return sequence
    tokenizer = loaded.tokenizer
    named = (tokenizer.pad_token_id, getattr(loaded.model.config, "pad_token_id", None), tokenizer.eos_token_id, 0)
    index = next(each for each in named if isinstance(each, int) and each >= 0)
    pads = replace(plain([index] * abs(padding), fixed=True), segments=np.full(abs(padding), PADDED, np.int32))
    return _joined(sequence, pads) if padding > 0 else _joined(pads, sequence)
