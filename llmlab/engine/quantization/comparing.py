"""How far the next-token distributions of two models lie apart over a text, and what each makes of the text itself.

Both read the same blocks in turn, so that their speeds are measured under the same conditions. Decoder-only models
predict every token of the text from what precedes it; encoder-decoder models read the text and predict an answer;
encoder-only models predict each token in its place, masked (Salazar et al. 2020, Masked Language Model Scoring).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.types import TextDamage
from llmlab.engine.reading import Reader, check_ids, check_length, decoder_start, guarded, prompt_ids
from llmlab.engine.tokenization import Speller, encode
from llmlab.engine.types import Architecture, Feature, Float64, Int64

Asked = TypeVar("Asked")

BLOCK = 128  # tokens read at a time: their logits are what takes memory, 78 MB for a vocabulary of 152,000
WINDOW = 1024  # tokens that are read together at most, where the context allows more
ROWS = 32  # positions whose distributions are compared at a time, in float64
MASKED = 16  # copies of the text read at a time, each with one token masked


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The model in use and the one it is compared with."""

    reference: LoadedModel
    candidate: LoadedModel
    speller: Speller

    @property
    def both(self) -> tuple[LoadedModel, LoadedModel]:
        """Reference and candidate."""
        return self.reference, self.candidate


def text_damage(
    reference: LoadedModel,
    candidate: LoadedModel,
    text: str,
    answer: Sequence[int] | None = None,
    control: Control = UNCONTROLLED,
) -> TextDamage:
    """Compare two models over `text`; of an encoder-decoder model over the tokens `answer` to it.

    Raises InputError for a text of which nothing can be predicted or, of an encoder, that is too long, and for logits
    that are not numbers; UnsupportedFeatureError for a model without a head; Cancelled between blocks.
    """
    pair = Pair(reference, candidate, Speller(reference.tokenizer, reference.info.vocabulary))
    return guarded(lambda: _text_damage(pair, text, answer, control))


def _text_damage(pair: Pair, text: str, answer: Sequence[int] | None, control: Control) -> TextDamage:
    kind = pair.reference.info.architecture
    require(pair.reference, Feature.FILL_MASK if kind is Architecture.ENCODER else Feature.SCORE)
    if kind is Architecture.ENCODER:
        return _masked(pair, text, control)
    if kind is Architecture.ENCODER_DECODER:
        return _answered(pair, text, answer, control)
    return _predicted(pair, text, control)


@dataclass(slots=True)
class _Rows:
    """What the two say, position by position, as it is found; and how long each took to read."""

    control: Control
    total: int
    ids: list[int] = field(default_factory=list)
    parts: list[tuple[Float64, Float64, Float64, Int64, Int64]] = field(default_factory=list)
    tokens_read: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    turn: int = 0

    def read(self, tokens: int, both: Sequence[Asked], ask: Callable[[Asked], Tensor]) -> tuple[Tensor, Tensor]:
        """The logits of both for the same number of `tokens`; they take turns in who is first."""
        self.control.check()
        logits: dict[int, Tensor] = {}
        for which in (0, 1) if self.turn % 2 == 0 else (1, 0):
            start = time.perf_counter()
            logits[which] = _finished(ask(both[which]))
            self.seconds[which] += time.perf_counter() - start
        self.tokens_read += tokens
        self.turn += 1
        return logits[0], logits[1]

    def compare(self, reference: Tensor, candidate: Tensor, ids: Sequence[int]) -> None:
        """Add positions: logits (positions, vocabulary) of both, and the tokens that stand there."""
        for start in range(0, len(ids), ROWS):
            self.control.check()
            rows = slice(start, start + ROWS)
            self.parts.append(compared(reference[rows], candidate[rows], ids[rows]))
        self.ids += ids
        self.control.report(f"Comparing: {len(self.ids):,} of {self.total:,} tokens", len(self.ids) / self.total)

    def damage(self, pair: Pair, before: Sequence[int], windows: int, window: int, how: str) -> TextDamage:
        """All of it."""
        divergence, own, after, best, best_after = (np.concatenate(c) for c in zip(*self.parts, strict=True))
        speeds = [self.tokens_read / seconds if seconds else 0.0 for seconds in self.seconds]
        return TextDamage(
            before=pair.speller.texts(before),
            ids=np.array(self.ids, np.int32),
            tokens=pair.speller.texts(self.ids),
            divergence=divergence,
            log_probabilities=own,
            log_probabilities_after=after,
            best=pair.speller.texts(best.tolist()),
            best_after=pair.speller.texts(best_after.tolist()),
            agrees=best == best_after,
            windows=windows,
            window=window,
            how=how,
            read_per_second=speeds[0],
            read_per_second_after=speeds[1],
        )


def _finished(logits: Tensor) -> Tensor:
    """`logits` once they are there: a GPU answers before it is done."""
    if logits.device.type == "cuda":
        torch.cuda.synchronize(logits.device)
    return logits


@torch.inference_mode()
def compared(
    reference: Tensor, candidate: Tensor, ids: Sequence[int]
) -> tuple[Float64, Float64, Float64, Int64, Int64]:
    """KL(p ‖ q), log p and log q of `ids`, and the best token of each, all (positions,).

    Logits (positions, vocabulary), of which four copies in float64 are made. Raises InputError for logits that are not
    numbers.
    """
    p, q = (_log_softmax(logits) for logits in (reference, candidate))
    divergence = (p.exp() * (p - q)).sum(1).clamp_min(0.0)  # rounding alone can make it negative
    chosen = torch.tensor(ids, device=p.device)[:, None]
    own, after = (log.gather(1, chosen)[:, 0] for log in (p, q))
    found = (divergence, own, after, p.argmax(1), q.argmax(1))
    return tuple(values.cpu().numpy() for values in found)  # type: ignore[return-value]  # five of them


def _log_softmax(logits: Tensor) -> Tensor:
    rows = logits.float()
    rows = (rows.cpu() if rows.device.type == "mps" else rows).double()  # MPS has no float64
    if not bool(torch.isfinite(rows).all()):
        raise InputError(
            "The model's logits are not numbers at this precision: something became larger than the format can hold.",
            "float16 ends at 65,504; choose bfloat16, which has float32's range.",
        )
    return rows.log_softmax(1)


def _predicted(pair: Pair, text: str, control: Control) -> TextDamage:
    """Every token but the first, from those before it in its window."""
    ids = text_ids(pair.reference, text)
    window = window_of(pair.reference)
    rows = _Rows(control, len(ids) - 1)
    windows = 0
    for first in range(0, len(ids) - 1, window):
        windows += 1
        readers = [Reader(model, ids[first : first + window], control) for model in pair.both]
        for start, stop in _blocks(first, min(first + window, len(ids) - 1)):
            given = ids[start:stop]
            both = rows.read(len(given), readers, partial(Reader.all_logits, ids=given))
            rows.compare(*both, ids[start + 1 : stop + 1])
        for reader in readers:
            reader.drop()
    how = "each token predicted from those before it"
    return rows.damage(pair, ids[:1], windows, window, how)


def text_ids(loaded: LoadedModel, text: str) -> list[int]:
    """The tokens of a text of any length: it is read in windows. Raises InputError where there are not two."""
    ids = encode(loaded.tokenizer, text)
    check_ids(loaded, ids)
    if len(ids) < 2:
        raise InputError(
            "The text has a single token, so there is none to be predicted from another.", "Use a longer text."
        )
    return ids


def window_of(loaded: LoadedModel) -> int:
    """How many tokens of a text are read together."""
    return min(loaded.info.context or WINDOW, WINDOW)


def _blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + BLOCK, last)) for start in range(first, last, BLOCK))


def _answered(pair: Pair, text: str, answer: Sequence[int] | None, control: Control) -> TextDamage:
    """Every token of an answer, from the text and the answer before it."""
    source, ids = answered_ids(pair.reference, text, answer)
    readers = [Reader(model, source, control) for model in pair.both]
    start = readers[0].start
    rows = _Rows(control, len(ids))
    given = [*start, *ids[:-1]]
    skipped = len(start) - 1
    for begin, stop in _blocks(0, len(given)):
        block = given[begin:stop]
        both = rows.read(len(block), readers, partial(Reader.all_logits, ids=block))
        skip = max(0, skipped - begin)
        labels = ids[max(0, begin - skipped) : stop - skipped]
        rows.compare(both[0][skip:], both[1][skip:], labels)
    return rows.damage(
        pair, (), 1, len(given), "each token of the answer predicted from the text and the answer so far"
    )


def answered_ids(loaded: LoadedModel, text: str, answer: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """The tokens of the text, and those of the answer to it. Raises InputError where there is none."""
    ids = list(answer or ())
    if not ids:
        raise InputError(
            "The model's answer to the text is empty, so there is nothing to compare.", "Use another text."
        )
    check_length(loaded, len(decoder_start(loaded)) + len(ids))
    return prompt_ids(loaded, text), ids


def _masked(pair: Pair, text: str, control: Control) -> TextDamage:
    """Every token that is no special one, masked in its place."""
    ids, places = masked_ids(pair.reference, text)
    mask = pair.reference.tokenizer.mask_token_id
    rows = _Rows(control, len(places))
    for begin in range(0, len(places), MASKED):
        chosen = places[begin : begin + MASKED]
        inputs = torch.tensor([ids] * len(chosen))  # (copies, tokens)
        inputs[torch.arange(len(chosen)), chosen] = mask
        both = rows.read(inputs.numel(), pair.both, partial(_at_masks, inputs=inputs, places=chosen))
        rows.compare(*both, [ids[place] for place in chosen])
    how = "each token predicted in its place, masked; the perplexity is a pseudo-perplexity"
    return rows.damage(pair, (), 1, len(ids), how)


def masked_ids(loaded: LoadedModel, text: str) -> tuple[list[int], list[int]]:
    """The tokens of the text, and the places of those that are masked in turn. Raises InputError."""
    ids = prompt_ids(loaded, text)
    special = set(loaded.tokenizer.all_special_ids)
    places = [place for place, token in enumerate(ids) if token not in special]
    if not places:
        raise InputError("The text has no token that could be masked.", "Type some text.")
    return ids, places


@torch.inference_mode()
def _at_masks(loaded: LoadedModel, inputs: Tensor, places: list[int]) -> Tensor:
    """Logits (copies, vocabulary), of each copy at its masked place."""
    logits: Tensor = loaded.model(input_ids=inputs.to(loaded.device)).logits
    return logits[torch.arange(len(places)), places]
