"""How probable a model finds given continuations of a text: exact, over all their tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, check_ids, check_length, prompt_ids
from llmlab.engine.tokenization import encode
from llmlab.engine.types import Architecture, Feature, Float64

ROWS = 32  # positions whose softmax is taken at a time, in float64


def score(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control = UNCONTROLLED) -> Float64:
    """Log-probability of each continuation of `text`, float64 (continuations,), natural logarithm.

    For a decoder-only model text and continuation are tokenized together, and every token counts that does not
    belong to the text alone; where the end of the text merges with the continuation into one token, that whole token
    counts. For an encoder-decoder model the text is the encoder's, and the continuation what the decoder begins with.
    The end of the text is not part of a continuation. An empty continuation has log-probability 0.
    """
    require(loaded, Feature.SCORE)
    if loaded.info.architecture is Architecture.ENCODER_DECODER:
        return _answers(loaded, text, continuations, control)
    return _continuations(loaded, text, continuations, control)


def _continuations(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control) -> Float64:
    alone = _without_end(loaded, prompt_ids(loaded, text))
    whole = [_whole(loaded, alone, text, each) if each else alone for each in continuations]
    shared = min([_common(alone, ids) for ids in whole if len(ids) > 0], default=0)
    # The last token that all share is read again with each, since its logits are what their first tokens need.
    reader = Reader(loaded, alone, control)
    if shared > 1:
        reader.next_logits(alone[: shared - 1])
    scores = np.zeros(len(whole))
    for place, ids in enumerate(whole):
        control.check()
        own = _common(alone, ids)
        if own == 0:  # nothing precedes the first token, so the model has no probability for it
            own = 1
        if len(ids) > own:
            begin = max(shared - 1, 0)
            logits = reader.fork().all_logits(ids[begin:-1])[own - 1 - begin :]
            scores[place] = _log_probability(logits, ids[own:])
    return scores


def _whole(loaded: LoadedModel, alone: list[int], text: str, continuation: str) -> list[int]:
    """The tokens of both together; after an empty text the token that stands for it comes first."""
    ids = _without_end(loaded, prompt_ids(loaded, text + continuation))
    return ids if text or ids[:1] == alone else alone + ids


def _answers(loaded: LoadedModel, text: str, continuations: Sequence[str], control: Control) -> Float64:
    reader = Reader(loaded, prompt_ids(loaded, text), control)
    scores = np.zeros(len(continuations))
    for place, continuation in enumerate(continuations):
        control.check()
        ids = encode(loaded.tokenizer, continuation, special=False, target=True)
        check_ids(loaded, ids)
        check_length(loaded, len(reader.start) + len(ids))
        if ids:
            logits = reader.fork().all_logits([*reader.start, *ids[:-1]])[len(reader.start) - 1 :]
            scores[place] = _log_probability(logits, ids)
    return scores


@torch.inference_mode()
def _log_probability(logits: torch.Tensor, ids: list[int]) -> float:
    """The sum over tokens of log softmax(logits)[token]; logits (tokens, vocabulary)."""
    total = 0.0
    for start in range(0, len(ids), ROWS):
        rows = logits[start : start + ROWS].float().cpu().double()
        chosen = torch.tensor(ids[start : start + ROWS])[:, None]
        total += float((rows.gather(1, chosen)[:, 0] - rows.logsumexp(-1)).sum())
    return total


def _without_end(loaded: LoadedModel, ids: list[int]) -> list[int]:
    """Some tokenizers close every text with a special token, which is not part of what is asked for."""
    special = set(loaded.tokenizer.all_special_ids)
    end = len(ids)
    while end > 1 and ids[end - 1] in special:
        end -= 1
    return ids[:end]


def _common(first: list[int], second: list[int]) -> int:
    """How many tokens two lists begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
