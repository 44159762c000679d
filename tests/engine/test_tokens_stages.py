"""Each stage's output is what the library's own part makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.small_tokenizers import FAST, backend, opened
from tests.engine.test_tokens_encoding import ANY, MIXED

KINDS = sorted(FAST)
PLAIN = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def by_name(kind: str, text: str) -> dict[str, Any]:
    return {stage.name: stage for stage in opened(kind).stages(text)}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(text=PLAIN)
def test_normalizer_and_pre_tokenizer_are_the_librarys(kind: str, text: str) -> None:
    library, found = backend(kind), by_name(kind, text)
    if any(token.content in text for token in library.get_added_tokens_decoder().values()):
        return
    normalized = library.normalizer.normalize_str(text) if library.normalizer and text else text
    assert "".join(piece.text for piece in found["Normalizer"].output) == normalized
    if library.pre_tokenizer and normalized:
        words = [word for word, _ in library.pre_tokenizer.pre_tokenize_str(normalized)]
        assert [piece.text for piece in found["Pre-tokenizer"].output] == words


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(text=MIXED)
def test_model_makes_the_tokens_of_the_words(kind: str, text: str) -> None:
    library, found = backend(kind), by_name(kind, text)
    ids: list[int] = []
    for piece in found["Pre-tokenizer"].output:
        ids += [piece.token_id] if piece.token_id is not None else [t.id for t in library.model.tokenize(piece.text)]
    assert ids == [piece.token_id for piece in found["Model"].output]
    clean = opened(kind).encode(text).text
    full = library.encode(clean)
    assert [(p.token_id, p.text, (p.start, p.end)) for p in found["Post-processor"].output] == list(
        zip(full.ids, full.tokens, full.offsets, strict=True)
    )


@pytest.mark.parametrize("kind", [*KINDS, "slow"])
@settings(max_examples=20, deadline=None)
@given(text=MIXED)
def test_round_trip_says_what_decode_gives(kind: str, text: str) -> None:
    trip = opened(kind).round_trip(text)
    if kind != "slow":
        clean = opened(kind).encode(text).text
        ids = backend(kind).encode(clean, add_special_tokens=False).ids
        assert trip.decoded == backend(kind).decode(ids, skip_special_tokens=False)
    assert trip.equal == (trip.decoded == text) == (trip.first_difference is None)
    if trip.first_difference is not None:
        place = trip.first_difference
        assert trip.decoded[:place] == text[:place]
        assert trip.decoded[place : place + 1] != text[place : place + 1]


@settings(max_examples=20, deadline=None)
@given(text=ANY)
def test_byte_level_loses_nothing_but_surrogates(text: str) -> None:
    trip = opened("byte_level").round_trip(text)
    assert trip.equal == (not any("\ud800" <= character <= "\udfff" for character in text))


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("byte_level", "walk", "exactly"),
        ("word_piece", "Walking", "capital letters became small"),
        ("word_piece", "walking 雪", "not in the vocabulary"),
        ("trimming", "walk", "a space was added in front"),
        ("byte_level", "a\ud800", "lone surrogate"),
        ("word_piece", "foxes walk  dogs", "white space"),
    ],
)
def test_round_trip_explains_itself(kind: str, text: str, words: str) -> None:
    assert words in opened(kind).round_trip(text).explanation


def test_first_difference_far_into_a_text() -> None:
    text = "walk " * 2_000 + "W"
    assert opened("word_piece").round_trip(text).first_difference == len(text) - 1


def test_what_changed_is_said() -> None:
    found = by_name("fallback", "Walk on")
    assert "▁" in found["Normalizer"].changed
    assert found["Post-processor"].changed == "Adds 1 special token: <s> before the text."
    assert by_name("word_piece", "a")["Post-processor"].changed.startswith(
        "Adds 2 special tokens: [CLS] before and [SEP]"
    )
    assert by_name("byte_level", "Walk on")["Normalizer"].component == ""
    assert by_name("fallback", "Walk on")["Normalizer"].component == "Prepend, Replace"


def test_slow_tokenizer_tells_what_it_can() -> None:
    assert [stage.name for stage in opened("slow").stages("né")] == ["Model", "Decoder"]
    assert opened("slow").stages("né")[1].output[0].text == "né"
    assert not opened("slow").info.fast
    assert opened("slow").info.notes


def test_stages_look_at_the_beginning_only() -> None:
    found = opened("byte_level").stages("walk " * 100, limit=10)
    assert "".join(piece.text for piece in found[0].output) == "walk walk "
