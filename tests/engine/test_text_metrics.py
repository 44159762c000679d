"""Measures of repetition and of likeness, on texts whose values can be counted by hand."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.text_metrics import bleu, distinct_n, repeated, self_bleu, word_count

IDS = st.lists(st.integers(0, 5), max_size=30)


def test_distinct_n_counts_different_ones() -> None:
    assert distinct_n([1, 2, 1, 2], 1) == 0.5
    assert distinct_n([1, 2, 1, 2], 2) == pytest.approx(2 / 3)
    assert distinct_n([1], 2) is None


def test_repeated_marks_every_token_of_a_second_occurrence() -> None:
    assert repeated([1, 2, 3, 9, 1, 2, 3], 3) == (False,) * 4 + (True,) * 3
    assert repeated([7, 7, 7, 7], 2) == (False, True, True, True), "overlapping occurrences"
    assert repeated([1, 2], 3) == (False, False)


@given(IDS, st.integers(1, 4))
def test_a_text_without_repetition_is_fully_distinct(ids: list[int], n: int) -> None:
    marks, share = repeated(ids, n), distinct_n(ids, n)
    assert len(marks) == len(ids)
    assert share is None or (share == 1) == (not any(marks))


def test_bleu_by_hand() -> None:
    """The example of the paper's section 2.1: seven times "the" against two references."""
    the, other = [1] * 7, [[1, 2, 3, 4, 1, 5], [6, 3, 7, 2, 4, 1, 5]]
    assert bleu(the, other) == 0.0, "no bigram in common"
    candidate, reference = [1, 2, 3, 4, 9], [1, 2, 3, 4, 5]
    precisions = [4 / 5, 3 / 4, 2 / 3, 1 / 2]
    assert bleu(candidate, [reference]) == pytest.approx(math.prod(precisions) ** 0.25)
    assert bleu([1, 2, 3, 4], [[1, 2, 3, 4, 5, 6]]) == pytest.approx(math.exp(1 - 6 / 4)), "brevity penalty"


def test_self_bleu_is_1_for_the_same_and_0_for_others() -> None:
    assert self_bleu([[1, 2, 3, 4, 5]] * 3) == pytest.approx(1)
    assert self_bleu([[1, 2, 3, 4], [5, 6, 7, 8]]) == 0
    assert self_bleu([[1]]) is None


@given(st.lists(IDS, min_size=2, max_size=4))
def test_self_bleu_is_a_share(texts: list[list[int]]) -> None:
    value = self_bleu(texts)
    assert value is not None
    assert 0 <= value <= 1 + 1e-12


@given(st.text(alphabet=st.characters() | st.sampled_from(" \t\n\x1c\x85\xa0\u2003\u2028\u3000\ud800"), max_size=60))
def test_words_are_counted_as_split_does(text: str) -> None:
    assert word_count(text) == len(text.split())


def test_every_kind_of_white_space_is_known() -> None:
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert word_count("".join(f"x{space}" for space in spaces)) == len(spaces)
