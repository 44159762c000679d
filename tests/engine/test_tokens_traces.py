"""Traces end in the tokenizer's own tokens, for random words and Unicode."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from llmlab.engine.errors import InputError
from llmlab.engine.tokens.opened import OpenTokenizer
from llmlab.engine.tokens.types import LongestMatchTrace, MergeTrace, UnigramTrace, WholeTrace
from tests.engine.small_tokenizers import CORPUS, FAST, backend, opened

KINDS = sorted(FAST)
LETTERS = "".join(sorted(set("".join(CORPUS))))
WORDS = st.one_of(
    st.text(st.sampled_from(LETTERS + "Ġ▁"), max_size=30),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    st.sampled_from(" ".join(CORPUS).split()),
    st.lists(st.sampled_from(["walk", "ing", "again", "ag", "the", "雪", "😀"]), max_size=5).map("".join),
)


def own(tokens: list[Any]) -> list[tuple[int, str]]:
    return [(token.id, token.value) for token in tokens]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(word=WORDS)
def test_trace_of_a_part_ends_in_the_models_tokens(kind: str, word: str) -> None:
    trace = opened(kind).trace_part(word)
    expected = own(backend(kind).model.tokenize(word))
    assert list(zip(trace.ids, trace.symbols, strict=True)) == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(word=WORDS)
def test_trace_of_a_word_begins_the_encoding(kind: str, word: str) -> None:
    trace = opened(kind).trace(word)
    ids = backend(kind).encode(word, add_special_tokens=False).ids
    assert list(trace.ids) == ids[: len(trace.ids)]


@settings(max_examples=40, deadline=None)
@given(word=WORDS)
def test_each_merge_joins_its_pair(word: str) -> None:
    trace = opened("byte_level").trace_part(word)
    assert isinstance(trace, MergeTrace)
    state = json.loads(backend("byte_level").to_str())["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(state["merges"])}
    symbols = list(trace.initial)
    for step in trace.steps:
        pairs = enumerate(itertools.pairwise(symbols))
        assert (step.rank, step.index) == min((ranks[pair], place) for place, pair in pairs if pair in ranks)
        assert tuple(symbols[step.index : step.index + 2]) == step.pair
        symbols[step.index : step.index + 2] = [step.result]
        assert tuple(symbols) == step.symbols
    assert tuple(symbols) == trace.symbols


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_random_merge_tables(data: st.DataObject) -> None:
    """Merges in any order, several ways to one piece: the library's order of merging is followed exactly."""
    vocabulary = {letter: place for place, letter in enumerate("abc")}
    merges: list[tuple[str, str]] = []
    for _ in range(data.draw(st.integers(1, 14))):
        pair = (data.draw(st.sampled_from(sorted(vocabulary))), data.draw(st.sampled_from(sorted(vocabulary))))
        if pair not in merges and len("".join(pair)) < 9:
            merges.append(pair)
            vocabulary.setdefault("".join(pair), len(vocabulary))
    merges = data.draw(st.permutations(merges))
    library = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer = OpenTokenizer(PreTrainedTokenizerFast(tokenizer_object=library))
    for word in data.draw(st.lists(st.text("abcd", max_size=24), max_size=8)):
        trace = tokenizer.trace_part(word)
        assert list(zip(trace.ids, trace.symbols, strict=True)) == own(library.model.tokenize(word))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_random_unigram_models(data: st.DataObject) -> None:
    """Few different scores, so that ties occur; the best segmentation is the library's, the others are in order."""
    pieces = data.draw(st.lists(st.text("abc▁", min_size=1, max_size=4), min_size=1, max_size=12, unique=True))
    scores = [-float(data.draw(st.integers(1, 4))) for _ in pieces]
    library = Tokenizer(models.Unigram([("<unk>", 0.0), *zip(pieces, scores, strict=True)], 0, False))
    tokenizer = OpenTokenizer(PreTrainedTokenizerFast(tokenizer_object=library))
    for word in data.draw(st.lists(st.text("abcd▁", min_size=1, max_size=12), max_size=6)):
        trace = tokenizer.trace_part(word)
        assert isinstance(trace, UnigramTrace)
        assert list(zip(trace.ids, trace.symbols, strict=True)) == own(library.model.tokenize(word))
        totals = [segmentation.total for segmentation in trace.segmentations]
        assert totals == sorted(totals, reverse=True)
        assert len({segmentation.pieces for segmentation in trace.segmentations}) == len(totals)
        for segmentation in trace.segmentations:
            assert "".join(segmentation.pieces) == word
            assert math.isclose(sum(segmentation.scores), segmentation.total)


def test_all_segmentations_of_a_short_word() -> None:
    vocabulary = [("<unk>", 0.0), ("a", -1.0), ("b", -1.5), ("ab", -2.0), ("ba", -9.0)]
    library = Tokenizer(models.Unigram(vocabulary, 0, False))
    trace = OpenTokenizer(PreTrainedTokenizerFast(tokenizer_object=library)).trace_part("aba")
    assert isinstance(trace, UnigramTrace)
    assert [s.pieces for s in trace.segmentations] == [("ab", "a"), ("a", "b", "a"), ("a", "ba")]
    assert [s.total for s in trace.segmentations] == [-3.0, -3.5, -10.0]


def test_longest_match_tries_from_the_longest() -> None:
    trace = opened("word_piece").trace("Walking")
    assert isinstance(trace, LongestMatchTrace)
    assert trace.word == "walking"
    for step in trace.steps:
        assert step.tried[-1] == step.piece
        assert step.rest.startswith(str(step.piece))
        assert [len(piece) for piece in step.tried] == sorted((len(piece) for piece in step.tried), reverse=True)
    unknown = opened("word_piece").trace("雪")
    assert unknown.symbols == ("[UNK]",)
    assert "whole word" in unknown.note
    assert "more than 30 characters" in opened("word_piece").trace("a" * 40).note


def test_words_that_are_looked_up_whole() -> None:
    assert isinstance(opened("word_level").trace("walk"), WholeTrace)
    assert opened("byte_level").trace("fox-trot").symbols == ("fox-trot",)
    whole = opened("modern").trace("again")
    assert isinstance(whole, MergeTrace)
    assert (whole.steps, whole.symbols) == ((), ("again",))
    assert isinstance(opened("slow").trace("né"), WholeTrace)
    assert len(opened("slow").trace("né").ids) == 3


def test_long_words_are_refused() -> None:
    with pytest.raises(InputError, match="100,000 characters"):
        opened("byte_level").trace("a" * 100_000)
