"""The measurements themselves, on models whose answers are known."""

from __future__ import annotations

import lzma
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from llmlab.training.corpus import Corpus
from llmlab.training.evaluate import heads, icl, language, spans
from llmlab.training.evaluate.ngram import KneserNey
from llmlab.training.evaluate.stats import Proportion
from llmlab.training.evaluate.text import HeldOut
from llmlab.training.models import build
from llmlab.training.recipes import Recipe


def test_wilson_interval() -> None:
    low, high = Proportion(8, 10).interval  # 0.4902, 0.9433: Wilson (1927), z = 1.96
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)


def test_kneser_ney_is_a_distribution() -> None:
    rng = np.random.default_rng(0)
    stream = rng.integers(0, 7, 400)
    model = KneserNey(stream, 7, order=3)
    for history in (stream[5:7], np.array([6, 6])):
        total = sum(model.probabilities(np.append(history, token))[0] for token in range(7))
        assert total == pytest.approx(1.0, abs=1e-9)


def test_kneser_ney_learns_a_cycle() -> None:
    model = KneserNey(np.tile(np.arange(5), 200), 8, order=3)
    assert model.probabilities(np.array([1, 2, 3]))[0] > 0.95
    assert model.probabilities(np.array([1, 2, 4]))[0] < 0.01


def test_xz_counts_only_what_is_new() -> None:
    text = "".join(np.random.default_rng(0).choice(list("abcdefghij"), 4000))
    assert language.xz_bytes(text, text) < 100
    assert language.xz_bytes("", text) == pytest.approx(len(lzma.compress(text.encode())), abs=200)


def test_total_nats_agrees_with_one_document_at_a_time(
    tiny_recipe: Callable[[str], Recipe], tokenizer: Tokenizer
) -> None:
    model = build(tiny_recipe("decoder"), tokenizer.get_vocab_size()).eval()
    documents = ((50, 60, 70), (80, 90, 100, 110, 120))
    together = language.total_nats(model, HeldOut("x", documents, ""))
    alone = sum(language.total_nats(model, HeldOut("x", (one,), "")) for one in documents)
    assert together == pytest.approx(alone, rel=1e-5)
    ids = torch.tensor([[0, *documents[0]]])
    with torch.inference_mode():
        log_probabilities = model(input_ids=ids).logits.log_softmax(-1)[0]
    by_hand = -sum(float(log_probabilities[i, token]) for i, token in enumerate(documents[0]))
    assert language.total_nats(model, HeldOut("x", documents[:1], "")) == pytest.approx(by_hand, rel=1e-5)


def test_head_scores_of_an_untrained_model_are_near_chance(
    tiny_recipe: Callable[[str], Recipe], tokenizer: Tokenizer
) -> None:
    model = build(tiny_recipe("decoder"), tokenizer.get_vocab_size()).eval()
    model.set_attn_implementation("eager")
    scores = heads.head_scores(model, period=20, sequences=4)
    assert scores.previous.shape == (2, 2)
    assert scores.induction.max() < 0.1
    assert scores.repeated_accuracy < 0.2


def test_chosen_continuations_do_not_depend_on_the_batch(
    tiny_recipe: Callable[[str], Recipe], tokenizer: Tokenizer, corpus: Corpus
) -> None:
    from llmlab.training.families import clinc_domains

    model = build(tiny_recipe("decoder"), tokenizer.get_vocab_size()).eval()
    asked = icl.questions(clinc_domains(corpus, held_out=True), 2, 12, None)
    assert icl.choose(model, tokenizer, asked, batch=1) == icl.choose(model, tokenizer, asked, batch=7)


def test_scores_are_those_of_each_continuation_alone(
    tiny_recipe: Callable[[str], Recipe], tokenizer: Tokenizer
) -> None:
    model = build(tiny_recipe("decoder"), tokenizer.get_vocab_size()).eval()
    rows = [icl._Row((0, 50, 60), ((70,), (71, 72, 73))), icl._Row((0, 80), ((90, 91), (92,)))]
    for row, scores in zip(rows, icl._scores(model, rows), strict=True):
        for ids, score in zip(row.choices, scores, strict=True):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([row.prompt + ids])).logits[0].log_softmax(-1)
            alone = sum(float(logits[len(row.prompt) - 1 + i, token]) for i, token in enumerate(ids))
            assert score == pytest.approx(alone, abs=1e-4)


def test_spans_of_reads_sentinels() -> None:
    from llmlab.training.tokenizer import END_OF_TEXT, ID

    first, second = ID["<extra_id_0>"], ID["<extra_id_1>"]
    assert spans.spans_of([first, 70, 71, second, 72, ID[END_OF_TEXT], 99]) == {first: [70, 71], second: [72]}
