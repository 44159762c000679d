"""What the sequence-to-sequence model restores and answers, and how evenly its cross-attention is spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmlab.training.corpus import Corpus
from llmlab.training.corruption import IGNORED, corrupt_spans, padded
from llmlab.training.evaluate.stats import Proportion
from llmlab.training.evaluate.text import held_out
from llmlab.training.tasks import Task
from llmlab.training.tokenizer import END_OF_TEXT, ID, PAD, SENTINELS, SPECIALS

Pair = tuple[list[int], list[int]]
_SENTINEL_IDS = {ID[sentinel] for sentinel in SENTINELS}


@dataclass(frozen=True, slots=True)
class SpanScore:
    """Restoration of corrupted spans of one file.

    exact: spans generated greedily without any error; by_length: the same for spans of 1, 2 and 3 or more tokens;
    tokens: hidden tokens predicted right when the true ones before them are given; loss: nats a target token.
    """

    name: str
    exact: Proportion
    by_length: dict[str, Proportion]
    tokens: Proportion
    loss: float


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """entropy: float64 (layers, heads), mean entropy of the cross-attention divided by that of a uniform one (0..1)."""

    entropy: NDArray[np.float64]


def passages(corpus: Corpus, name: str, tokenizer: Any, most: int = 100, length: int = 128) -> list[Pair]:
    """Corrupted held-out passages: 15 % of the tokens, spans of 3 on average, as in training."""
    rng = np.random.default_rng(6)
    documents = held_out(corpus, name, tokenizer, most * length, length).documents
    return [corrupt_spans(rng, list(document)) for document in documents if len(document) > 30][:most]


def spans_of(ids: Sequence[int]) -> dict[int, list[int]]:
    """The tokens after each sentinel: {sentinel id: ids}."""
    found: dict[int, list[int]] = {}
    current: list[int] | None = None
    for token in ids:
        if token in _SENTINEL_IDS:
            current = found.setdefault(token, [])
        elif token == ID[END_OF_TEXT]:
            break
        elif current is not None:
            current.append(token)
    return found


@torch.inference_mode()
def generate(model: Any, inputs: Sequence[list[int]], most_tokens: int) -> list[list[int]]:
    """Greedy continuations, without the start token."""
    ids = torch.from_numpy(padded(list(inputs), ID[PAD])).to(model.device)
    made = model.generate(ids, attention_mask=(ids != ID[PAD]).long(), do_sample=False, max_new_tokens=most_tokens)
    return [row[1:] for row in made.tolist()]


def span_score(model: Any, name: str, pairs: Sequence[Pair], batch: int = 25) -> SpanScore:
    """Generate every target and compare span by span; measure loss and token accuracy on the true targets."""
    outcomes: list[tuple[int, bool]] = []
    for begin in range(0, len(pairs), batch):
        part = pairs[begin : begin + batch]
        made = generate(model, [source for source, _ in part], 60)
        for (_, target), ids in zip(part, made, strict=True):
            found = spans_of(ids)
            outcomes += [(len(span), found.get(key) == span) for key, span in spans_of(target).items() if span]
    tokens, loss = _teacher_forced(model, pairs, batch)
    by_length = {
        label: _share([right for length, right in outcomes if low <= length <= high])
        for label, low, high in (("1", 1, 1), ("2", 2, 2), ("3+", 3, 99))
    }
    return SpanScore(name, _share([right for _, right in outcomes]), by_length, tokens, loss)


def _share(outcomes: Sequence[bool]) -> Proportion:
    return Proportion(sum(outcomes), len(outcomes))


def _inputs(model: Any, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
    inputs = torch.from_numpy(padded([source for source, _ in pairs], ID[PAD])).to(model.device)
    labels = torch.from_numpy(padded([target for _, target in pairs], IGNORED)).to(model.device)
    return {"input_ids": inputs, "attention_mask": (inputs != ID[PAD]).long(), "labels": labels}


@torch.inference_mode()
def _teacher_forced(model: Any, pairs: Sequence[Pair], batch: int) -> tuple[Proportion, float]:
    hits = asked = count = 0
    nats = 0.0
    for begin in range(0, len(pairs), batch):
        tensors = _inputs(model, pairs[begin : begin + batch])
        logits, labels = model(**tensors).logits.float(), tensors["labels"]
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        nats, count = nats + float(losses), count + int((labels != IGNORED).sum())
        hidden = labels >= len(SPECIALS)
        hits, asked = hits + int((logits.argmax(-1) == labels)[hidden].sum()), asked + int(hidden.sum())
    return Proportion(hits, asked), nats / count


@torch.inference_mode()
def cross_attention(model: Any, pairs: Sequence[Pair]) -> CrossAttention:
    """Entropy of each head's cross-attention over the true targets; the model must run with eager attention."""
    entropies = []
    for pair in pairs:
        tensors = _inputs(model, [pair])
        output = model(**tensors, output_attentions=True)
        weights = torch.stack(
            [layer[0].double() for layer in output.cross_attentions]
        )  # (layers, heads, target, source)
        entropy = -(weights * weights.clamp_min(1e-30).log()).sum(-1).mean(-1)
        entropies.append(entropy / log(weights.shape[-1]))
    return CrossAttention(torch.stack(entropies).mean(0).cpu().numpy())


def task_accuracy(model: Any, tokenizer: Any, tasks: Sequence[Task], batch: int = 50) -> Proportion:
    """Tasks answered word for word (case and the final full stop aside)."""
    hits = 0
    for begin in range(0, len(tasks), batch):
        part = tasks[begin : begin + batch]
        encoded = tokenizer.encode_batch([task.prompt for task in part], add_special_tokens=False)
        made = generate(model, [[*e.ids[:511], ID[END_OF_TEXT]] for e in encoded], 40)
        for task, ids in zip(part, made, strict=True):
            text = tokenizer.decode([token for token in ids if token >= len(SPECIALS)])
            hits += _plain(text) == _plain(task.answer)
    return Proportion(hits, len(tasks))


def _plain(text: str) -> str:
    return text.strip().rstrip(".").strip().lower()
