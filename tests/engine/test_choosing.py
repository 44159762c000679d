"""A token is chosen without sorting the vocabulary exactly as it is chosen from the whole sorted distribution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from llmlab.engine import choosing
from llmlab.engine.choosing import Choice, best, choose, takes_the_best
from llmlab.engine.context import Context
from llmlab.engine.errors import InputError
from llmlab.engine.logits import sorted_later
from llmlab.engine.sampling import SamplingSettings, SortedLogits
from tests.engine import tiny
from tests.engine.test_sampling import random_logits, random_settings

ALL = ("ids", "logits", "raw_probabilities", "probabilities")


def both(logits: np.ndarray, settings: SamplingSettings, uniform: float | None) -> tuple[Choice, Choice]:
    """By the best tokens where they tell, and by sorting."""
    context = Context.of(range(0, len(logits), 7))
    sorted_first = SortedLogits.from_logits(logits, context)
    return choose(SortedLogits.later(logits, context), settings, uniform), choose(sorted_first, settings, uniform)


@pytest.mark.parametrize("size", [30, 700, 5_000])
def test_the_best_tokens_tell_what_sorting_tells(size: int) -> None:
    generator = np.random.default_rng(size)
    for _ in range(250):
        logits = random_logits(generator, size)
        settings = replace(random_settings(generator, size), do_sample=bool(generator.random() < 0.8))
        if generator.random() < 0.1:
            settings = replace(settings, temperature=0.0)
        uniform = None if settings.greedy else float(generator.random())
        quick, sure = both(logits, settings, uniform)
        assert quick.token_id == sure.token_id, settings
        assert quick.rank == sure.rank
        assert quick.probability == pytest.approx(sure.probability, rel=1e-6, abs=1e-9)
        assert quick.raw_probability == pytest.approx(sure.raw_probability, rel=1e-6, abs=1e-9)
        assert quick.entropy == pytest.approx(sure.entropy, abs=1e-5)
        for name in ALL:
            np.testing.assert_allclose(getattr(quick, name), getattr(sure, name), rtol=1e-6, atol=1e-9, err_msg=name)


def test_usual_settings_sort_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = (np.random.default_rng(0).normal(0, 3, 4_000)).astype(np.float32)
    for settings, uniform in (
        (SamplingSettings(temperature=0.8, top_k=50, top_p=0.95), 0.4),
        (SamplingSettings(temperature=0.8, top_p=0.9, repetition_penalty=1.2), 0.4),
        (SamplingSettings(min_p=0.05), 0.9),
        (SamplingSettings(), 0.5),
        (SamplingSettings(do_sample=False), None),
        (SamplingSettings(temperature=0.0), None),
    ):
        position = SortedLogits.later(logits, Context.of(range(5)))
        choose(position, settings, uniform)
        assert position.unsorted is not None, settings
    monkeypatch.setattr(choosing, "BLOCK", 2)  # a head that does not tell
    position = SortedLogits.later(logits, Context.of(range(5)))
    choose(position, SamplingSettings(), 0.99)
    assert position.unsorted is None


@pytest.mark.parametrize("size", [30, 700, 5_000])
def test_the_best_token_alone_is_the_one_that_is_chosen(size: int) -> None:
    generator = np.random.default_rng(size)
    context = Context.of(range(0, size, 7))
    for _ in range(250):
        logits = random_logits(generator, size)
        if generator.random() < 0.2:
            logits = np.round(logits)  # several best ones
        penalty = float(generator.choice([1.0, 0.7, 1.3]))
        settings = replace(SamplingSettings(do_sample=False), repetition_penalty=penalty)
        if generator.random() < 0.3:
            settings = replace(settings, do_sample=True, temperature=0.0)
        found = best(SortedLogits.later(logits, context), settings)
        sure = choose(SortedLogits.from_logits(logits, context), settings, None)
        assert found is not None
        assert found.token_id == sure.token_id, settings
        assert found.probability == pytest.approx(sure.probability, rel=1e-6, abs=1e-9)
        assert found.raw_probability == pytest.approx(sure.raw_probability, rel=1e-6, abs=1e-9)


def test_the_best_token_alone_is_for_settings_that_draw_nothing() -> None:
    for settings in (
        SamplingSettings(temperature=0.8),
        SamplingSettings(do_sample=False, bad_words_ids=((5,),)),
        SamplingSettings(do_sample=False, no_repeat_ngram_size=2),
    ):
        assert not takes_the_best(settings)
    assert takes_the_best(SamplingSettings(do_sample=False, repetition_penalty=1.2))
    assert takes_the_best(SamplingSettings(temperature=0.0))
    logits = np.array([1.0, 3.0, 3.0, 2.0], np.float32)
    in_order = SortedLogits.from_logits(logits)
    assert best(in_order, SamplingSettings(do_sample=False)) is None  # everything is known of it already
    assert in_order.best == SortedLogits.later(logits, Context.of(())).best == 1


def test_a_position_is_sorted_when_it_is_looked_at() -> None:
    logits = np.random.default_rng(1).normal(size=300).astype(np.float32)
    position, eager = SortedLogits.later(logits, Context.of((1, 2))), SortedLogits.from_logits(logits, (1, 2))
    assert position.size == eager.size == 300
    np.testing.assert_array_equal(position.context_ids, eager.context_ids)
    assert position.unsorted is not None
    np.testing.assert_array_equal(position.logits, eager.logits)
    np.testing.assert_array_equal(position.ids, eager.ids)
    assert position.unsorted is None


def test_logits_that_are_no_numbers_are_refused_at_once() -> None:
    for bad in ([1.0, float("nan")], [float("inf"), 0.0], [-float("inf")] * 2, []):
        with pytest.raises(InputError, match="no usable number"):
            SortedLogits.later(np.array(bad, np.float32), Context.of(()))


def test_a_captured_row_does_not_keep_the_others_in_memory() -> None:
    rows = torch.zeros(50, 100)
    position = sorted_later(rows[3], Context.of(()))
    assert position.unsorted is not None
    assert not np.shares_memory(position.unsorted, rows.numpy())
    alone = torch.zeros(1, 1, 100)
    kept = sorted_later(alone[0, -1], Context.of(())).unsorted
    assert kept is not None
    assert np.shares_memory(kept, alone.numpy()), "nothing is copied in vain"


def test_a_completion_keeps_its_steps_unsorted() -> None:
    engine = tiny.engine("llama")
    steps = list(engine.generate("Once upon a time", max_new_tokens=4, capture=True, temperature=0.8, top_k=20))
    assert all(step.sorted is not None and step.sorted.unsorted is not None for step in steps)
