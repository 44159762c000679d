"""Ids, pieces and places are the tokenizer's own; pieces read as the text they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from llmlab.engine.errors import InputError
from llmlab.engine.tokenization import Speller, decode, encode, tokenize
from llmlab.engine.types import TokenizedText
from tests.engine import tiny

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
LONGEST = 400


def tokenized(tokenizer: PreTrainedTokenizerFast, text: str) -> TokenizedText:
    return tokenize(tokenizer, Speller(tokenizer, len(tokenizer)), text)


@pytest.mark.parametrize("kind", tiny.TOKENIZERS)
@pytest.mark.parametrize("text", [*tiny.SENTENCES, "", " ", "\n\n", "a\x00b"])
def test_agrees_with_transformers(kind: str, text: str) -> None:
    tokenizer = tiny.TOKENIZERS[kind]()
    want = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    got = tokenized(tokenizer, text)
    assert got.ids.dtype == np.int64
    assert got.ids.tolist() == want["input_ids"]
    assert got.offsets.shape == (len(got), 2)
    assert [tuple(pair) for pair in got.offsets.tolist()] == want["offset_mapping"]
    assert got.special.tolist() == [bool(x) for x in want["special_tokens_mask"]]
    assert list(got.tokens) == tokenizer.convert_ids_to_tokens(want["input_ids"])
    assert len(got.pieces) == len(got)


@given(texts)
def test_byte_level_pieces_are_the_text(text: str) -> None:
    got = tokenized(tiny.byte_level(), text)
    by_bytes = b""
    for piece in got.pieces:  # <0xE2> stands for one byte
        by_bytes += bytes.fromhex(piece[3:5]) if piece.startswith("<0x") and len(piece) == 6 else piece.encode()
    if "<" not in text:
        assert by_bytes.decode() == text


@given(texts)
def test_offsets_count_characters(text: str) -> None:
    got = tokenized(tiny.byte_level(), text)
    for piece, (start, end) in zip(got.pieces, got.offsets.tolist(), strict=True):
        assert piece == text[start:end] or "<0x" in piece or "<" in text


def test_parts_of_a_character_are_shown_as_bytes() -> None:
    got = tokenized(tiny.byte_level(), "a🌍é")
    assert got.pieces == ("a", "<0xF0>", "<0x9F>", "<0x8C>", "<0x8D>", "<0xC3>", "<0xA9>")
    assert got.offsets.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [1, 2], [2, 3], [2, 3]]


def test_sentencepiece_pieces_begin_with_spaces() -> None:
    got = tokenized(tiny.sentencepiece(), "a time\n€")
    assert got.pieces[:2] == ("<s>", " a")
    assert got.pieces[-4:] == ("\n", "<0xE2>", "<0x82>", "<0xAC>")
    assert got.special.tolist() == [True] + [False] * (len(got) - 1)


def test_wordpiece_keeps_its_marks() -> None:
    got = tokenized(tiny.wordpiece(), "sentences")
    assert got.pieces[0] == "[CLS]"
    assert any(piece.startswith("##") for piece in got.pieces)


def test_without_a_fast_tokenizer_places_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny.byte_level()
    monkeypatch.setattr(type(tokenizer), "is_fast", property(lambda _: False))
    got = tokenized(tokenizer, "Once<s> upon")
    assert got.ids.tolist() == tokenizer("Once<s> upon")["input_ids"]
    assert not got.offsets.any()
    assert got.special.tolist() == [t == "<s>" for t in got.tokens]


def test_lone_surrogates_are_refused_with_their_place() -> None:
    with pytest.raises(InputError, match=r"Character 4 .*U\+D83D"):
        tokenized(tiny.byte_level(), "abc\ud83d")
    with pytest.raises(InputError):
        encode(tiny.byte_level(), "\udc80")


def test_a_tokenizer_file_that_cuts_does_not() -> None:
    backend = tiny.byte_level().backend_tokenizer
    backend.enable_truncation(4)
    backend.enable_padding(length=50)
    try:
        assert len(encode(tiny.byte_level(), "one two three four five six")) > 4
        assert 1 not in encode(tiny.byte_level(), "one")
    finally:
        backend.no_truncation()
        backend.no_padding()


def test_vocabulary_texts_name_every_id() -> None:
    tokenizer = tiny.byte_level()
    names = Speller(tokenizer, 330).vocabulary()
    assert len(names) == 330
    assert names[0] == "<s>"
    assert names[329] == "<unused 329>"
    alone = [decode(tokenizer, [i]) for i in range(4, len(tokenizer))]
    assert all(
        "<0x" in name if "\ufffd" in text else name == text for name, text in zip(names[4:], alone, strict=False)
    )


def test_texts_are_in_the_order_asked_for() -> None:
    speller = Speller(tiny.byte_level(), 320)
    a, b = encode(tiny.byte_level(), "a")[0], encode(tiny.byte_level(), "b")[0]
    assert speller.texts(np.array([b, a, b])) == ("b", "a", "b")


def test_a_long_text_tokenizes_whole() -> None:
    text = "Once upon a time 🌍 there was. " * 4_000
    got = tokenized(tiny.byte_level(), text)
    assert got.offsets[-1, 1] == len(text)
