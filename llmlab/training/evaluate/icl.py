"""Does the decoder learn from examples in its context? Accuracy against the number of shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from llmlab.training.corpus import Corpus
from llmlab.training.draw import Rng, several
from llmlab.training.episodes import TEMPLATES, Template, instruction
from llmlab.training.evaluate.stats import Proportion
from llmlab.training.families import (
    Family,
    clinc_domains,
    clinc_intents,
    labels_of,
    natural,
    question_words,
    review_feelings,
    sentiment,
    spam,
    topics,
    unseen_intents,
    word_groups,
)
from llmlab.training.tokenizer import END_OF_TEXT, ID, PAD

SHOTS = (0, 1, 2, 4, 8)
INSTRUCTION = "Classify each {n} as {labels}.\n"
MEASURED_TEMPLATES = (TEMPLATES[0], TEMPLATES[6], TEMPLATES[12])


@dataclass(frozen=True, slots=True)
class Question:
    """One trial: a prompt and the continuations to choose from; ``right`` is the index of the true one."""

    prompt: str
    choices: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy of one family by number of shots."""

    family: str
    labels: str  # "natural" or "arbitrary"
    accuracy: dict[int, Proportion]


def question(rng: Rng, family: Family, shots: int, names: dict[str, str], template: Template) -> Question:
    """Shots of two labels in turn, in random order, then a query whose text is not among them."""
    labels = list(names)
    wanted = [labels[i % 2] for i in range(shots)]
    rng.shuffle(wanted)
    right = int(rng.integers(2))
    query = family.text(rng, labels[right])
    prompt = instruction(INSTRUCTION, family.noun, [names[label] for label in labels])
    for label in wanted:
        text = _other(rng, family, label, query)
        prompt += template.item.format(x=text, N=family.noun.capitalize()) + f" {names[label]}" + template.after
    prompt += template.item.format(x=query, N=family.noun.capitalize())
    return Question(prompt, tuple(f" {names[label]}" for label in labels), right)


def _other(rng: Rng, family: Family, label: str, avoided: str) -> str:
    for _ in range(20):
        text = family.text(rng, label)
        if text != avoided:
            return text
    return text


def questions(
    family: Family, shots: int, trials: int, arbitrary: Sequence[str] | None, seed: int = 7
) -> list[Question]:
    """``trials`` questions with two labels each; ``arbitrary`` words replace the natural labels when given."""
    rng = np.random.default_rng((seed, shots))
    asked = []
    for _ in range(trials):
        labels = labels_of(family, rng, 2)
        rng.shuffle(labels)
        words = several(rng, arbitrary, 2) if arbitrary else [natural(label) for label in labels]
        template = MEASURED_TEMPLATES[int(rng.integers(len(MEASURED_TEMPLATES)))]
        asked.append(question(rng, family, shots, dict(zip(labels, words, strict=True)), template))
    return asked


def choose(model: Any, tokenizer: Any, asked: Sequence[Question], batch: int = 32) -> list[int]:
    """The index of the most probable continuation of each question, over all its tokens.

    ``tokenizer`` is the ``tokenizers.Tokenizer``; the model reads ``<|endoftext|> prompt continuation``.
    """
    rows = [
        _Row(
            (ID[END_OF_TEXT], *tokenizer.encode(one.prompt, add_special_tokens=False).ids),
            tuple(tuple(tokenizer.encode(c, add_special_tokens=False).ids) for c in one.choices),
        )
        for one in asked
    ]
    order = sorted(range(len(rows)), key=lambda index: rows[index].length)
    best: dict[int, int] = {}
    for begin in range(0, len(order), batch):
        part = order[begin : begin + batch]
        for index, scores in zip(part, _scores(model, [rows[i] for i in part]), strict=True):
            best[index] = int(np.argmax(scores))
    return [best[index] for index in range(len(rows))]


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt and its continuations, one after another: each of them sees the prompt and itself only."""

    prompt: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + sum(self.choices, ())

    @property
    def length(self) -> int:
        return len(self.ids)

    def segments(self) -> list[tuple[int, int]]:
        """The (begin, end) of each continuation in ``ids``."""
        ends = np.cumsum([len(self.prompt), *map(len, self.choices)]).tolist()
        return list(pairwise(ends))


@torch.inference_mode()
def _scores(model: Any, rows: Sequence[_Row]) -> list[list[float]]:
    """Log-probability of every continuation of every row, one forward pass for all."""
    longest = max(row.length for row in rows)
    ids = torch.full((len(rows), longest), ID[PAD])
    positions = torch.arange(longest).repeat(len(rows), 1)
    seen = torch.ones(longest, longest, dtype=torch.bool).tril().repeat(len(rows), 1, 1)  # (rows, queries, keys)
    for index, row in enumerate(rows):
        ids[index, : row.length] = torch.tensor(row.ids)
        for begin, end in row.segments():
            positions[index, begin:end] = torch.arange(len(row.prompt), len(row.prompt) + end - begin)
            seen[index, begin:end, len(row.prompt) : begin] = False
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]
    device = model.device
    hidden = model.model(
        input_ids=ids.to(device), position_ids=positions.to(device), attention_mask=mask.to(device), use_cache=False
    ).last_hidden_state
    return [_row_scores(model, row, hidden[index]) for index, row in enumerate(rows)]


def _row_scores(model: Any, row: _Row, hidden: torch.Tensor) -> list[float]:
    """hidden: (tokens, size) of one row; the last token of the prompt predicts the first of every continuation."""
    scores = []
    for (begin, end), ids in zip(row.segments(), row.choices, strict=True):
        before = [len(row.prompt) - 1, *range(begin, end - 1)]
        log_probabilities = model.lm_head(hidden[before]).float().log_softmax(-1)  # (continuation, vocabulary)
        scores.append(float(log_probabilities[range(len(ids)), ids].sum()))
    return scores


def curve(
    model: Any,
    tokenizer: Any,
    family: Family,
    arbitrary: Sequence[str] | None,
    trials: int = 200,
    shots: Sequence[int] = SHOTS,
) -> Curve:
    """Accuracy at each number of shots; chance is one half."""
    accuracy = {}
    for count in shots:
        asked = questions(family, count, trials, arbitrary)
        chosen = choose(model, tokenizer, asked)
        hits = sum(c == q.right for c, q in zip(chosen, asked, strict=True))
        accuracy[count] = Proportion(hits, trials)
    return Curve(family.name, "arbitrary" if arbitrary else "natural", accuracy)


def _labelled(corpus: Corpus, name: str, shown: str, noun: str, longest: int) -> Family:
    found: dict[str, list[str]] = {}
    for record in corpus.labelled(name):
        if len(record["text"]) <= longest:
            found.setdefault(record["label"], []).append(record["text"])
    return Family(shown, {label: tuple(texts) for label, texts in sorted(found.items())}, 0.0, noun)


def measured_families(corpus: Corpus) -> tuple[tuple[str, Family], ...]:
    """(group, family): trained families on held-out sentences, then what was never trained."""
    trained = "trained family, held-out sentences"
    generated = "trained family, freshly generated"
    unseen = "never trained"
    measured = (
        (trained, clinc_intents(corpus, held_out=True)),
        (trained, clinc_domains(corpus, held_out=True)),
        (trained, spam(corpus, held_out=True)),
        (trained, review_feelings(corpus, held_out=True)),
        (generated, sentiment()),
        (generated, topics()),
        ("trained family, trained words", word_groups()),
        (unseen, unseen_intents(corpus)),
        (unseen, word_groups(unseen=True)),
        (unseen, question_words(corpus)),
        (unseen, _labelled(corpus, "eval_only_sst2_train", "film reviews (SST-2)", "review", 100)),
        (unseen, _labelled(corpus, "eval_only_ag_news_test_nc", "news topics (AG News)", "text", 160)),
    )
    return tuple((group, family) for group, family in measured if len(family.labels) >= 2)
