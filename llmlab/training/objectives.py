"""The three objectives: causal, masked (Devlin et al., 2019) and span-corruption (Raffel et al., 2020) modeling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from llmlab.training.corruption import IGNORED, Ids, corrupt_spans, mask_tokens, padded, point_at_spans
from llmlab.training.draw import Rng
from llmlab.training.loop import StepLoss
from llmlab.training.mixture import DecoderRows, TextMix
from llmlab.training.recipes import Recipe
from llmlab.training.tasks import Task, TaskMaker
from llmlab.training.tokenizer import CLS, END_OF_TEXT, ID, PAD, SENTINELS, SEP, SPECIALS

Pair = tuple[list[int], list[int]]  # (input, target)
SENTINEL_IDS = [ID[sentinel] for sentinel in SENTINELS]


def weighted_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean over tokens of weight × cross-entropy, in nats.

    logits: (batch, tokens, vocabulary); targets: int64 (batch, tokens); weights: float32 (batch, tokens).
    """
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


class CausalObjective:
    """Predict every next token, weighted."""

    def __init__(self, rows: DecoderRows, recipe: Recipe, device: torch.device) -> None:
        self._rows, self._recipe, self._device = rows, recipe, device

    def __call__(self, model: nn.Module, step: int, progress: float) -> StepLoss:
        """Draw the data of the step and compute its loss."""
        rows = self._rows.batch(step, progress, self._recipe.rows, self._recipe.length)
        ids = torch.from_numpy(rows.ids).to(self._device)
        weights = torch.from_numpy(rows.weights).to(self._device)
        logits = model(input_ids=ids, use_cache=False).logits  # (rows, length, vocabulary)
        loss = weighted_cross_entropy(logits[:, :-1], ids[:, 1:], weights[:, 1:])
        return StepLoss(loss, ids.numel())


class MaskedObjective:
    """Restore masked tokens. Most steps read short rows; some read longer ones, up to the whole context."""

    lengths = ((1, 0.70), (2, 0.20), (4, 0.10))  # (multiple of the recipe's length, share of the steps)

    def __init__(self, text: TextMix, recipe: Recipe, vocabulary: int, device: torch.device) -> None:
        self._text, self._recipe, self._vocabulary, self._device = text, recipe, vocabulary, device

    def __call__(self, model: nn.Module, step: int, progress: float) -> StepLoss:
        """Draw the data of the step and compute its loss."""
        rng = np.random.default_rng((self._recipe.seed, step))
        multiple = int(rng.choice([m for m, _ in self.lengths], p=[share for _, share in self.lengths]))
        ids = self.rows(rng, max(1, self._recipe.rows // multiple), self._recipe.length * multiple)
        inputs, labels = mask_tokens(rng, ids, self._vocabulary)
        return StepLoss(self.loss(model, inputs, labels), ids.size)

    def rows(self, rng: Rng, rows: int, length: int) -> Ids:
        """``<|cls|> text <|sep|>``, where a document ends inside the row also a ``<|sep|>``."""
        ids = np.stack([self._text.window(rng, length) for _ in range(rows)])
        ids = np.where(ids == ID[END_OF_TEXT], ID[SEP], ids)
        ids[:, 0], ids[:, -1] = ID[CLS], ID[SEP]
        return ids

    def loss(self, model: nn.Module, inputs: Ids, labels: Ids) -> torch.Tensor:
        """Mean cross-entropy of the asked tokens; the vocabulary layer sees only those."""
        asked = torch.from_numpy(labels != IGNORED).to(self._device)
        hidden = model.model(input_ids=torch.from_numpy(inputs).to(self._device)).last_hidden_state  # type: ignore[operator]
        logits = model.decoder(model.head(hidden[asked]))  # type: ignore[operator]  # (asked, vocabulary)
        targets = torch.from_numpy(labels).to(self._device)[asked]
        return functional.cross_entropy(logits.float(), targets)


class SpanObjective:
    """Span corruption, and beside it questions, summaries and classifications, in every step."""

    shares = (0.15, 0.30)  # of a passage that is hidden; more than T5's 15 % so that a short run has more to learn from
    reading_rows, reading_weight = 4, 0.5
    labels_rows, labels_weight = 12, 0.3
    pointing_rows, pointing_weight = 8, 0.5
    gap_weight = 1.0

    def __init__(
        self, text: TextMix, tasks: TaskMaker, recipe: Recipe, tokenizer: Tokenizer, device: torch.device
    ) -> None:
        self._text, self._tasks, self._recipe = text, tasks, recipe
        self._tokenizer, self._device = tokenizer, device
        self._pool = np.arange(len(SPECIALS), tokenizer.get_vocab_size())

    def __call__(self, model: nn.Module, step: int, progress: float) -> StepLoss:
        """Draw the data of the step and compute its loss."""
        rng = np.random.default_rng((self._recipe.seed, step))
        spans = [
            corrupt_spans(rng, self._passage(rng), float(rng.uniform(*self.shares))) for _ in range(self._recipe.rows)
        ]
        pointing = [point_at_spans(rng, self._pool) for _ in range(self.pointing_rows)]
        reading = self._supervised(rng, self._tasks.reading, self.reading_rows)
        labels = self._supervised(rng, self._tasks.classification, self.labels_rows)
        loss = (
            self.loss(model, spans)
            + self.pointing_weight * self.loss(model, pointing)
            + self.reading_weight * self.loss(model, reading)
            + self.labels_weight * self.loss(model, labels)
        )
        return StepLoss(loss, sum(len(a) + len(b) for part in (spans, pointing, reading, labels) for a, b in part))

    def _passage(self, rng: Rng) -> list[int]:
        """A run of tokens within one document; one row in eight is twice as long."""
        length = self._recipe.length * (2 if rng.random() < 0.125 else 1)
        ids = self._text.window(rng, length + 1, 0.5).tolist()
        parts = _split(ids, ID[END_OF_TEXT])
        return max(parts, key=len)[: 2 * self._recipe.length]

    def _supervised(self, rng: Rng, draw: Callable[[Rng], Task], rows: int) -> list[Pair]:
        tasks = [draw(rng) for _ in range(rows)]
        return list(zip(self._ids([t.prompt for t in tasks]), self._ids([t.answer for t in tasks]), strict=True))

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [[*encoding.ids[:511], ID[END_OF_TEXT]] for encoding in encodings]

    def loss(self, model: nn.Module, pairs: list[Pair]) -> torch.Tensor:
        """Mean cross-entropy of the target tokens of (input, target) pairs, and of what the encoder expects in gaps."""
        inputs = torch.from_numpy(padded([a for a, _ in pairs], ID[PAD])).to(self._device)
        labels = torch.from_numpy(padded([b for _, b in pairs], IGNORED)).to(self._device)
        output = model(input_ids=inputs, attention_mask=(inputs != ID[PAD]).long(), labels=labels)
        logits = output.logits.flatten(0, 1).float()
        loss = functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED)
        gaps = torch.from_numpy(np.isin(inputs.cpu().numpy(), SENTINEL_IDS)).to(self._device)
        if not bool(gaps.any()):
            return loss
        return loss + self.gap_weight * self._gap_loss(model, output.encoder_last_hidden_state[gaps], pairs)

    def _gap_loss(self, model: Any, hidden: torch.Tensor, pairs: list[Pair]) -> torch.Tensor:
        """Let the encoder itself predict the first token of every gap, at its sentinel; ``hidden`` (gaps, d_model).

        The decoder can only learn to look at a gap once the encoder knows something there, and the encoder learns
        that much faster when it is asked directly. Special tokens are no answer: with tied embeddings the encoder
        would have to forget which sentinel it stands on, by which the decoder finds it.
        """
        first = [
            target[target.index(token) + 1] for source, target in pairs for token in source if token in SENTINEL_IDS
        ]
        logits = model.lm_head(hidden * model.config.d_model**-0.5)  # as T5 does with tied embeddings
        words = logits[:, len(SPECIALS) :].float()
        return functional.cross_entropy(words, torch.tensor(first, device=hidden.device) - len(SPECIALS))


def _split(ids: list[int], separator: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for token in ids:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if len(part) > 1] or [ids]
