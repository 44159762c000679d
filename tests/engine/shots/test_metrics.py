"""Metrics against figures computed by hand or published, and against brute force."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.engine.errors import InputError
from llmlab.engine.shots import metrics
from llmlab.engine.shots.calibration import CONTENT_FREE, calibrated, content_free, content_free_probabilities
from llmlab.engine.shots.results import LabelScores, softmax
from llmlab.engine.shots.types import Example

WORDS = st.lists(st.sampled_from("abcd"), max_size=7)


def test_exact_match() -> None:
    assert metrics.exact_match(" yes\n", "yes") == 1
    assert metrics.exact_match("Yes", "yes") == 0


@pytest.mark.parametrize(
    ("answer", "truth", "want"),
    [
        ("The cat sat.", "a cat sat", 1.0),  # articles and punctuation aside
        ("in the year 1066", "1066", 0.5),  # one word of three, the article aside: P = 1/3, R = 1
        ("cat cat dog", "cat", 0.5),  # counted once
        ("dog", "cat", 0.0),
        ("", "", 1.0),
        ("", "cat", 0.0),
    ],
)
def test_token_f1_of_squad(answer: str, truth: str, want: float) -> None:
    assert metrics.token_f1(answer, truth) == pytest.approx(want)


@pytest.mark.parametrize(
    ("answer", "truth", "want"),
    [
        ("police kill the gunman", "police killed the gunman", 0.75),  # Lin 2004, section 3.1
        ("the gunman kill police", "police killed the gunman", 0.5),
        ("the quick brown dog", "the quick brown fox jumps over the dog", 2 * 4 / 12),
        ("", "fox", 0.0),
    ],
)
def test_rouge_l(answer: str, truth: str, want: float) -> None:
    assert metrics.rouge_l(answer, truth) == pytest.approx(want)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_rouge_l_is_the_longest_common_subsequence(first: list[str], second: list[str]) -> None:
    def subsequences(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(itertools.compress(words, mask)) for mask in itertools.product((0, 1), repeat=len(words))}

    longest = max(map(len, subsequences(first) & subsequences(second)))
    want = 2 * longest / (len(first) + len(second)) if first and second else 0.0
    assert metrics.rouge_l(" ".join(first), " ".join(second)) == pytest.approx(want)


def test_regex_match() -> None:
    assert metrics.regex_match(r"answer is (-?\d+)", "So the answer is 12.", "12") == 1
    assert metrics.regex_match(r"-?\d+", "It is 7, not 8", "8") == 0
    assert metrics.regex_match(r"\d+", "none", "8") == 0
    with pytest.raises(InputError, match="not valid"):
        metrics.regex_match("(", "a", "a")
    began = time.monotonic()
    with pytest.raises(InputError, match="ran for more"):
        metrics.regex_match("(a|aa)+$", "a" * 60 + "b", "a")
    assert time.monotonic() - began < 10


def test_macro_f1_by_hand() -> None:
    truths = ["a", "a", "a", "b", "b", "c"]
    answers = ["a", "a", "b", "b", "a", "b"]
    # a: P 2/3 R 2/3 → 2/3; b: P 1/3 R 1/2 → 2/5; c: 0
    assert metrics.macro_f1(answers, truths) == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)
    assert metrics.macro_f1([], []) == 0
    assert metrics.confusion(answers, truths, ["a", "b", "c"]) == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]


def test_wilson_intervals() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for right, count, low, high in [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    ]:  # fmt: skip
        found = metrics.wilson(right, count)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
        assert found.value == right / count
    assert metrics.wilson(0, 0).count == 0
    assert math.isnan(metrics.wilson(0, 0).value)


def test_bootstrap_intervals() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400).tolist()
    found = metrics.bootstrap(values)
    half = 1.96 * np.std(values) / math.sqrt(400)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)
    assert metrics.bootstrap(values) == found
    answers, truths = ["a", "b"] * 40, ["a"] * 40 + ["b"] * 40
    f1 = metrics.bootstrap_macro_f1(answers, truths)
    assert f1.low < f1.value < f1.high
    assert f1.value == metrics.macro_f1(answers, truths)


def test_mcnemar() -> None:
    # Fagerland et al. 2013, table 1 and 5: 7 against 1 gives exact 0.070, mid-p 0.039
    first = [True] * 1 + [False] * 7 + [True] * 12 + [False]
    second = [False] * 1 + [True] * 7 + [True] * 12 + [False]
    found = metrics.mcnemar(first, second)
    assert (found.wins, found.losses, found.both, found.neither) == (7, 1, 12, 1)
    assert found.exact == pytest.approx(0.0703, abs=1e-4)
    assert found.mid_p == pytest.approx(0.0391, abs=1e-4)
    assert metrics.binomial_test(0, 0) == (1.0, 1.0)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_the_binomial_test_is_the_sum_over_all_splits_that_are_as_uneven(wins: int, losses: int) -> None:
    count = wins + losses
    uneven = [n for n in range(count + 1) if abs(2 * n - count) >= abs(wins - losses)]
    want = sum(math.comb(count, n) for n in uneven) / 2**count
    exact, mid_p = metrics.binomial_test(wins, losses)
    assert exact == pytest.approx(want)
    own = [n for n in uneven if abs(2 * n - count) == abs(wins - losses)]
    assert mid_p == pytest.approx(want - sum(math.comb(count, n) for n in own) / 2**count / 2 if count else 1.0)


def scores(*sums: float) -> LabelScores:
    return LabelScores(("a", "b", "c"), np.array(sums), np.ones(3, np.int64), np.ones(3, np.int64))


def test_contextual_calibration_is_the_papers_formula() -> None:
    free = [scores(-1.0, -2.0, -3.0), scores(-0.5, -4.0, -1.0), scores(-2.0, -2.0, -2.0)]
    p = scores(-1.2, -1.4, -2.0).probabilities()
    p_cf = np.mean([np.exp(each.sums) / np.exp(each.sums).sum() for each in free], axis=0)
    weights = np.linalg.inv(np.diag(p_cf))
    want = weights @ p + np.zeros(3)
    np.testing.assert_allclose(content_free_probabilities(free), p_cf, atol=1e-12)
    np.testing.assert_allclose(calibrated(p, content_free_probabilities(free)), want / want.sum(), atol=1e-6)
    np.testing.assert_allclose(calibrated(p_cf, p_cf), [1 / 3] * 3, atol=1e-12)


def test_content_free_queries_keep_their_fields() -> None:
    query = Example((("premise", "It rains."), ("hypothesis", "It is wet.")), "yes")
    made = content_free(query)
    assert [one.values["premise"] for one in made] == list(CONTENT_FREE) == ["N/A", "", "[MASK]"]
    assert all(one.values["hypothesis"] == one.values["premise"] for one in made)


def test_softmax_of_what_is_impossible_is_even() -> None:
    np.testing.assert_allclose(softmax(np.array([-np.inf, -np.inf])), [0.5, 0.5])
    np.testing.assert_allclose(softmax(np.array([-1e5, -1e5 + 1])).sum(), 1)
