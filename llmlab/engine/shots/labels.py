"""Exact log-probabilities of labels after many prompts: batched by length, what prompts share read once.

Equal to one plain forward pass for each label but for rounding (1e-4). Where memory runs out, batches are halved.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, decoder_start, guarded, layers
from llmlab.engine.shots import cloze
from llmlab.engine.shots.batching import BATCH_ROWS, CACHE_BYTES, LEAST_SHARED, in_batches, padded
from llmlab.engine.shots.results import LabelScores
from llmlab.engine.shots.rows import Label, Reads, answers, continuations, shared_length
from llmlab.engine.shots.types import Rendered
from llmlab.engine.types import Architecture, Feature

LOGIT_BYTES = 500_000_000  # of logits at once: 152,000 tokens take 0.6 MB a position


def score_labels(
    loaded: LoadedModel, prompts: Sequence[Rendered], control: Control = UNCONTROLLED
) -> Iterator[tuple[int, LabelScores]]:
    """(place, scores) of each prompt's choices, as they are found: not in the order of the prompts.

    Raises InputError for a prompt without choices or one that is too long, UnsupportedFeatureError, OutOfMemoryError
    where even a single row does not fit, and Cancelled between batches.
    """
    if not all(prompt.choices for prompt in prompts):
        raise InputError("There are no labels to score.", "List the answers that the model is to choose from.")
    for group in _groups(prompts):
        for place, sums, tokens in _scored(loaded, [prompts[i] for i in group], control):
            choices = prompts[group[place]].choices
            yield (
                group[place],
                LabelScores(
                    labels=choices,
                    sums=np.array(sums, np.float64),
                    tokens=np.array(tokens, np.int64),
                    characters=np.array([len(choice) for choice in choices], np.int64),
                ),
            )


def _groups(prompts: Sequence[Rendered]) -> list[list[int]]:
    """Prompts with the same shots share a long beginning, unless nearly every one has shots of its own."""
    by_shots: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        by_shots.setdefault(_before_query(prompt), []).append(place)
    many = len(by_shots) * 4 > len(prompts)
    return [list(range(len(prompts)))] if many and prompts else list(by_shots.values())


def _before_query(prompt: Rendered) -> str:
    shots = [part.end for part in prompt.parts if part.shot is not None]
    return prompt.text[: max(shots, default=0)]


def _scored(
    loaded: LoadedModel, prompts: Sequence[Rendered], control: Control
) -> Iterator[tuple[int, list[float], list[int]]]:
    if prompts and prompts[0].mask is not None:
        require(loaded, Feature.FILL_MASK)
        yield from cloze.scored(loaded, prompts, control)
        return
    require(loaded, Feature.SCORE)
    if loaded.info.architecture is Architecture.ENCODER_DECODER:
        start = decoder_start(loaded)
        reads = [answers(loaded, prompt, start) for prompt in prompts]
        scorer: _Answers | _Continuations = _Answers(loaded, reads)
    else:
        reads = [continuations(loaded, prompt) for prompt in prompts]
        scorer = _Continuations(loaded, reads, control)
    sizes = [(each.length - scorer.shared) * len(each.rows) for each in reads]
    for places, sums in in_batches(scorer, sizes, control, scorer.most):
        for place, row in zip(places, sums, strict=True):
            yield place, row, [len(label.ids) for label in reads[place].labels]


class _Continuations:
    """A decoder: the common beginning of all rows lies in a cache, copied for every batch."""

    def __init__(self, loaded: LoadedModel, reads: Sequence[Reads], control: Control) -> None:
        self._loaded = loaded
        self._reads = reads
        self._keeps = "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
        self._cache: Any = None
        self.shared, self.most = 0, BATCH_ROWS
        shared = shared_length(reads)
        if shared >= LEAST_SHARED and sum(len(each.rows) for each in reads) > 1:
            self._read_shared(list(reads[0].rows[0][:shared]), control)
        self.most = max(1, min(self.most, LOGIT_BYTES // max(1, self._logit_bytes())))

    def _logit_bytes(self) -> int:
        """What the logits of one prompt take at most, in float32."""
        longest = max((each.length for each in self._reads), default=0)
        first = min((label.begin for each in self._reads for label in each.labels), default=1) - 1
        positions = longest - (first if self._keeps else self.shared)
        return positions * max((len(each.rows) for each in self._reads), default=0) * self._loaded.info.vocabulary * 4

    def _read_shared(self, ids: list[int], control: Control) -> None:
        reader = Reader(self._loaded, ids, control)
        guarded(lambda: reader.plain_logits(ids), reader.drop)
        size = reader.cache_bytes
        cache, _, _ = reader.given_up()
        found = layers(cache)
        if found and all(hasattr(each, "keys") and hasattr(each, "batch_repeat_interleave") for each in found):
            self.shared, self._cache = len(ids), cache
            rows = max(len(each.rows) for each in self._reads)
            self.most = min(BATCH_ROWS, CACHE_BYTES // max(1, size * rows))

    @torch.inference_mode()
    def __call__(self, places: list[int]) -> list[list[float]]:
        """The sums of the labels of the prompts at `places`."""
        rows = [row[self.shared :] for place in places for row in self._reads[place].rows]
        longest = max(map(len, rows))
        needed = min(label.begin for place in places for label in self._reads[place].labels) - 1 - self.shared
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        arguments: dict[str, Any] = {"logits_to_keep": longest - needed} if self._keeps else {}
        model: Any = self._loaded.model
        logits = model(
            input_ids=ids.to(self._loaded.device),
            past_key_values=self._copies(len(rows)),
            use_cache=self._cache is not None,
            **arguments,
        ).logits
        first = self.shared + longest - logits.shape[1]  # place of the first position that has logits
        return _sums([self._reads[place] for place in places], logits, first)

    def _copies(self, rows: int) -> Any:
        if self._cache is None:
            return None
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return cache


class _Answers:
    """An encoder-decoder model: each prompt is encoded once, whatever the number of its labels."""

    def __init__(self, loaded: LoadedModel, reads: Sequence[Reads]) -> None:
        self._loaded = loaded
        self._reads = reads
        self.shared, self.most = 0, BATCH_ROWS

    @torch.inference_mode()
    def __call__(self, places: list[int]) -> list[list[float]]:
        """The sums of the labels of the prompts at `places`."""
        model: Any = self._loaded.model
        device = self._loaded.device
        reads = [self._reads[place] for place in places]
        sources, seen = padded([each.source for each in reads], self._loaded.tokenizer.pad_token_id or 0)
        seen = seen.to(device)
        states = model.get_encoder()(input_ids=sources.to(device), attention_mask=seen, return_dict=True)
        owners = torch.tensor([i for i, each in enumerate(reads) for _ in each.rows], device=device)
        targets, _ = padded([row for each in reads for row in each.rows], 0)
        logits = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states.last_hidden_state[owners]),
            attention_mask=seen[owners],
            decoder_input_ids=targets.to(device),
            use_cache=False,
        ).logits
        return _sums(reads, logits, 0)


def _sums(reads: Sequence[Reads], logits: torch.Tensor, first: int) -> list[list[float]]:
    """Log-probability of each label; logits (rows, positions, vocabulary), the first of them at place `first`."""
    offset, sums = 0, []
    for each in reads:
        sums.append([_sum(label, logits[offset + label.row], first) for label in each.labels])
        offset += len(each.rows)
    return sums


def _sum(label: Label, logits: torch.Tensor, first: int) -> float:
    """logits: (positions, vocabulary) of the label's row."""
    if not label.ids:
        return 0.0
    begin = label.begin - 1 - first
    rows = logits[begin : begin + len(label.ids)].float().double()  # (tokens, vocabulary)
    chosen = rows.gather(1, torch.tensor(label.ids, device=rows.device)[:, None])[:, 0]
    return float((chosen - rows.logsumexp(-1)).sum())


def score_one(loaded: LoadedModel, prompt: Rendered, control: Control = UNCONTROLLED) -> LabelScores:
    """The scores of one prompt's choices. Raises as `score_labels`."""
    return next(score_labels(loaded, [prompt], control))[1]
