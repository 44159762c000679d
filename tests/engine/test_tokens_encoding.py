"""Ids, places and words are the library's own, for any string, short or long."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.engine.errors import Cancelled
from llmlab.engine.tokens import encoding
from llmlab.engine.tokens.opened import OpenTokenizer
from llmlab.engine.tokens.types import TokenKind, Tokens
from tests.engine.small_tokenizers import CORPUS, FAST, SPECIAL, backend, opened

ANY = st.text(st.characters(exclude_categories=()), max_size=40)  # surrogates too
MIXED = st.lists(
    st.one_of(ANY, st.sampled_from([*SPECIAL, "[MASK]", "fox-trot", " ", "\n", "é", "👩‍👩‍👧", *CORPUS[0].split()])),
    max_size=8,
).map("".join)
KINDS = sorted(FAST)
STRANGE = ["", "\0", "a\0b", "\ufffd", "a" * 100_000, "猫" * 40_000, " " * 50_000, "e\u0301" * 20_000]


def repr_of(text: str) -> str:
    return f"{len(text)} × {text[:2]!a}"


def assert_is_librarys(tokens: Tokens, kind: str) -> None:
    expected = backend(kind).encode(tokens.text)
    assert tokens.ids.tolist() == expected.ids
    assert tokens.words.tolist() == [-1 if word is None else word for word in expected.word_ids]
    added = np.array(expected.special_tokens_mask, np.bool_)
    places = list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    assert [p for p, a in zip(places, added, strict=True) if not a] == [
        p for p, a in zip(expected.offsets, added, strict=True) if not a
    ]
    assert all(start == end in (0, len(tokens.text)) for (start, end), a in zip(places, added, strict=True) if a)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(text=MIXED)
def test_any_string_is_read_as_the_library_reads_it(kind: str, text: str) -> None:
    tokens = opened(kind).encode(text)
    assert len(tokens.text) == len(text)
    assert tokens.replaced == sum("\ud800" <= character <= "\udfff" for character in text)
    assert_is_librarys(tokens, kind)
    assert tokens.counts.tolist() == [tokens.ids.tolist().count(index) for index in tokens.ids.tolist()]


@settings(max_examples=25, deadline=None)
@given(text=ANY)
def test_slow_tokenizer_tells_places_where_bytes_do(text: str) -> None:
    tokens = opened("slow").encode(text)
    assert tokens.has_offsets
    own = tokens.kinds != TokenKind.SPECIAL
    for index, start, end in zip(tokens.ids[own], tokens.starts[own], tokens.ends[own], strict=True):
        assert end == start + 1
        assert opened("slow").table.bytes_of(index) in tokens.text[start:end].encode()


@settings(max_examples=25, deadline=None)
@given(text=ANY)
def test_tokens_of_one_character_are_grouped(text: str) -> None:
    tokens = opened("byte_level").encode(text)
    for group in set(tokens.groups.tolist()) - {-1}:
        member = np.flatnonzero(tokens.groups == group)
        assert len(member) >= 2
        assert member.tolist() == list(range(member[0], member[-1] + 1))
        data = b"".join(opened("byte_level").table.bytes_of(index) for index in tokens.ids[member])
        assert data.decode() == tokens.text[tokens.starts[member[0]] : tokens.ends[member[-1]]]
    alone = tokens.groups == -1
    assert not np.any(tokens.kinds[alone] == TokenKind.BYTES)


def long_text(seed: int, size: int) -> str:
    rng = random.Random(seed)
    words = [word for line in CORPUS for word in line.split()] + ["don't", "x", "½", "👩‍👩‍👧", "<mask>", "fox-trot"]
    gaps = [" "] * 12 + ["\n", "  ", "\n\n", "\t", ". ", ",", ""]
    parts: list[str] = []
    while len(parts) < size // 5:
        parts += [rng.choice(words), rng.choice(gaps)]
    return "".join(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_long_text_in_blocks_is_as_in_one_piece(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 700)
    for seed in range(6):
        assert_is_librarys(opened(kind).encode(long_text(seed, 6_000)), kind)


@pytest.mark.parametrize("kind", ["byte_level", "modern", "unigram", "word_piece", "fallback"])
def test_blocks_are_really_used(kind: str) -> None:
    text = long_text(7, 60_000)
    seams = encoding._seams(text)
    assert seams
    read = encoding._in_blocks(opened(kind)._parts, text, seams, encoding.UNCONTROLLED)
    assert read is not None
    assert read.ids.tolist() == backend(kind).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text", ["", "\0", "a\0b", "\ufffd", "a" * 100_000, "猫" * 40_000, " " * 50_000, "e\u0301" * 20_000]
)
def test_strange_strings(kind: str, text: str) -> None:
    if kind == "unigram" and len(text) > 45_000:
        text = text[:45_000]
    assert_is_librarys(opened(kind).encode(text), kind)


@settings(max_examples=25, deadline=None)
@given(text=MIXED)
def test_places_follow_from_lengths_of_bytes(text: str) -> None:
    clean = encoding.without_surrogates(text)[0]
    for kind in ("byte_level", "modern"):
        assert opened(kind)._parts.spelled is not None
        [read] = encoding._read(opened(kind)._parts, [clean])
        expected = backend(kind).encode(clean, add_special_tokens=False)
        assert read.ids.tolist() == expected.ids
        assert list(zip(read.starts.tolist(), read.ends.tolist(), strict=True)) == expected.offsets
        assert read.words.tolist() == expected.word_ids


def test_seams_that_do_not_hold_are_noticed() -> None:
    former = encoding.Arrays(*(np.array(v, np.int32) for v in ([1, 2, 3], [0, 4, 9], [4, 9, 12], [0, 1, 2])))
    other = encoding.Arrays(*(np.array(v, np.int32) for v in ([7, 3], [4, 9], [9, 12], [0, 1])))
    same = encoding.Arrays(*(np.array(v, np.int32) for v in ([2, 3], [4, 9], [9, 12], [0, 1])))
    across = encoding.Arrays(*(np.array(v, np.int32) for v in ([2, 3], [3, 9], [9, 12], [0, 1])))
    assert encoding._word_at_seam(former, same, 4) == 1
    assert encoding._word_at_seam(former, other, 4) is None
    assert encoding._word_at_seam(former, across, 4) is None


def test_cancelled_between_blocks() -> None:
    class Impatient:
        def check(self) -> None:
            raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    with pytest.raises(Cancelled):
        opened("byte_level").encode("word " * 20_000, Impatient())


def test_kinds() -> None:
    table = opened("byte_level").table
    tokens = opened("byte_level").encode("walkings <mask> fox-trot 😀")
    kinds = {table.texts[i]: TokenKind(int(k)) for i, k in zip(tokens.ids, tokens.kinds, strict=True)}
    assert kinds["<s>"] is kinds["<mask>"] is TokenKind.SPECIAL
    assert kinds["fox-trot"] is TokenKind.ADDED
    assert kinds["s"] is TokenKind.CONTINUATION
    assert all(kind is TokenKind.BYTES for text, kind in kinds.items() if text.startswith("<0x"))
    bert = opened("word_piece")
    pieces = bert.encode("foxeswalk 雪")
    assert TokenKind.CONTINUATION in pieces.kinds
    assert pieces.kinds[-2] == TokenKind.UNKNOWN
    llama = opened("fallback")
    assert TokenKind.BYTES in llama.encode("雪").kinds


@pytest.mark.parametrize("kind", [*KINDS, "slow"])
def test_table_names_every_token(kind: str) -> None:
    table = opened(kind).table
    assert len(table.pieces) == len(table.texts) == len(table.kinds) == len(table.ranks) == len(table)
    if kind != "slow":
        assert all(backend(kind).id_to_token(i) == piece for i, piece in enumerate(table.pieces) if piece)
        assert opened(kind).info.vocabulary == backend(kind).get_vocab_size()
    assert [table.byte_lengths[i] for i in range(len(table))] == [len(table.bytes_of(i)) for i in range(len(table))]


@settings(max_examples=20, deadline=None)
@given(text=st.text(max_size=30))
def test_bytes_of_tokens_are_the_text(text: str) -> None:
    tokens = opened("byte_level").encode(text)
    assert b"".join(map(opened("byte_level").table.bytes_of, tokens.ids.tolist())) == text.encode()


def test_the_last_text_is_read_once_for_everyone_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = OpenTokenizer(FAST["byte_level"]())
    read: list[tuple[str, bool]] = []
    original = encoding.encode

    def counted(parts: Any, text: str, *, special: bool = True, **rest: Any) -> Any:
        read.append((text, special))
        return original(parts, text, special=special, **rest)

    monkeypatch.setattr(encoding, "encode", counted)
    first = tokenizer.encode("the same text")
    bare = tokenizer.encode("the same text", special=False)
    assert tokenizer.encode("the same text") is first
    assert tokenizer.encode("the same text", special=False) is bare
    assert read == [("the same text", True), ("the same text", False)]
    assert tokenizer.encode("another").ids.tolist() != first.ids.tolist()
    assert np.array_equal(tokenizer.encode("the same text").ids, first.ids)
    with ThreadPoolExecutor(4) as pool:
        read.clear()
        given = list(pool.map(tokenizer.encode, ["asked by all at once"] * 8))
    assert len(read) == 1
    assert all(tokens is given[0] for tokens in given)
