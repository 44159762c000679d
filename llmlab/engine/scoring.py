"""How probable a model finds given continuations of a text: exact, over all their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, check_ids, check_length, prompt_ids
from llmlab.engine.tokenization import Speller, encode
from llmlab.engine.types import Architecture, Feature, Float64, Int32, Int64, ScoredContinuation

ROWS = 32  # positions whose softmax is taken at a time, in float64


def score(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control = UNCONTROLLED) -> Float64:
    """Log-probability of each continuation of `text`, float64 (continuations,), natural logarithm.

    For a decoder-only model text and continuation are tokenized together, and every token counts that does not
    belong to the text alone; where the end of the text merges with the continuation into one token, that whole token
    counts. For an encoder-decoder model the text is the encoder's, and the continuation what the decoder begins with.
    The end of the text is not part of a continuation. An empty continuation has log-probability 0.
    """
    judged = _judge(loaded, text, continuations, control)
    return np.array([float(each.log_probabilities.sum()) for each in judged], np.float64)


def score_tokens(
    loaded: LoadedModel, speller: Speller, text: str, continuations: Sequence[str], control: Control = UNCONTROLLED
) -> tuple[ScoredContinuation, ...]:
    """What `score` sums up, token by token, with each token's rank and the one the model would have preferred."""
    judged = _judge(loaded, text, continuations, control)
    return tuple(
        ScoredContinuation(
            text=continuation,
            ids=each.ids,
            tokens=speller.texts(each.ids.tolist()),
            log_probabilities=each.log_probabilities,
            ranks=each.ranks,
            best_ids=each.best_ids,
            best_tokens=speller.texts(each.best_ids.tolist()),
            best_log_probabilities=each.best_log_probabilities,
        )
        for continuation, each in zip(continuations, judged, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What the model thinks of some tokens. All arrays (tokens,)."""

    ids: Int32
    log_probabilities: Float64
    ranks: Int64
    best_ids: Int32
    best_log_probabilities: Float64

    @classmethod
    def of(cls, logits: torch.Tensor | None, ids: list[int]) -> _Judged:
        """Of `ids`, each after the position of its row in `logits` (tokens, vocabulary)."""
        parts = [] if logits is None else [_rows(logits[i : i + ROWS], ids[i : i + ROWS]) for i in _starts(ids)]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.empty(0)] * 4
        own, ranks, best_ids, best = columns
        return cls(
            np.array(ids, np.int32),
            own.astype(np.float64),
            ranks.astype(np.int64),
            best_ids.astype(np.int32),
            best.astype(np.float64),
        )


def _judge(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control) -> list[_Judged]:
    require(loaded, Feature.SCORE)
    if loaded.info.architecture is Architecture.ENCODER_DECODER:
        return _answers(loaded, text, continuations, control)
    return _continuations(loaded, text, continuations, control)


def _continuations(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control) -> list[_Judged]:
    alone = without_end(loaded, prompt_ids(loaded, text))
    whole = [_whole(loaded, alone, text, each) if each else alone for each in continuations]
    shared = min([common_length(alone, ids) for ids in whole if len(ids) > 0], default=0)
    # The last token that all share is read again with each, since its logits are what their first tokens need.
    reader = Reader(loaded, alone, control)
    if shared > 1:
        reader.next_logits(alone[: shared - 1])
    judged = []
    for ids in whole:
        control.check()
        own = common_length(alone, ids)
        if own == 0:  # nothing precedes the first token, so the model has no probability for it
            own = 1
        logits = None
        if len(ids) > own:
            begin = max(shared - 1, 0)
            logits = reader.fork().all_logits(ids[begin:-1])[own - 1 - begin :]
        judged.append(_Judged.of(logits, ids[own:]))
    return judged


def _whole(loaded: LoadedModel, alone: list[int], text: str, continuation: str) -> list[int]:
    """The tokens of both together; after an empty text the token that stands for it comes first."""
    ids = without_end(loaded, prompt_ids(loaded, text + continuation))
    return ids if text or ids[:1] == alone else alone + ids


def _answers(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control) -> list[_Judged]:
    reader = Reader(loaded, prompt_ids(loaded, text), control)
    judged = []
    for continuation in continuations:
        control.check()
        ids = encode(loaded.tokenizer, continuation, special=False, target=True)
        check_ids(loaded, ids)
        check_length(loaded, len(reader.start) + len(ids))
        logits = None
        if ids:
            logits = reader.fork().all_logits([*reader.start, *ids[:-1]])[len(reader.start) - 1 :]
        judged.append(_Judged.of(logits, ids))
    return judged


def _starts(ids: list[int]) -> range:
    return range(0, len(ids), ROWS)


@torch.inference_mode()
def _rows(logits: torch.Tensor, ids: list[int]) -> tuple[NDArray[Any], ...]:
    """Log-softmax and rank of each id, the best id there and the log-softmax of that; logits (ids, vocabulary)."""
    rows = logits.float().cpu().double()
    totals = rows.logsumexp(-1)
    chosen = rows.gather(1, torch.tensor(ids)[:, None])  # (ids, 1)
    best, best_ids = rows.max(-1)
    ranks = (rows > chosen).sum(-1)
    return tuple(column.numpy() for column in (chosen[:, 0] - totals, ranks, best_ids, best - totals))


def without_end(loaded: LoadedModel, ids: list[int]) -> list[int]:
    """Some tokenizers close every text with special tokens, which are not part of what is asked for.

    A special token that stands in the text itself, as at the end of a conversation's frame, stays.
    """
    plain, whole = encode(loaded.tokenizer, "a", special=False), encode(loaded.tokenizer, "a")
    before = next((place for place in range(len(whole)) if whole[place : place + len(plain)] == plain), 0)
    added = max(0, len(whole) - before - len(plain))
    return ids[: max(1, len(ids) - added)]


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two lists begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
