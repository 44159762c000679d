"""Words that several panels use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmlab.ui.words import TIP_WIDTH, in_lines


def test_paragraphs_keep_apart_and_empty_ones_take_no_line() -> None:
    assert in_lines("a", "", "b c") == "a\nb c"


@given(st.lists(st.text("abc", min_size=1, max_size=TIP_WIDTH), max_size=60))
def test_no_line_is_too_long_and_no_word_is_lost(words: list[str]) -> None:
    broken = in_lines(" ".join(words))
    assert broken.split() == words
    assert all(len(line) <= TIP_WIDTH for line in broken.splitlines())
