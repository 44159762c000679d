"""Text that grows token by token is the text of all tokens; nothing is told too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from llmlab.engine.detokenization import LONGEST_WAIT, Detokenizer, StopStrings
from llmlab.engine.tokenization import decode, encode
from tests.engine import tiny

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def told(kind: str, ids: list[int], before: list[int] | None = None) -> list[str]:
    detokenizer = Detokenizer(tiny.TOKENIZERS[kind](), before or [])
    return [*map(detokenizer.add, ids), detokenizer.rest()]


@pytest.mark.parametrize("kind", tiny.TOKENIZERS)
@pytest.mark.parametrize("text", tiny.SENTENCES)
def test_parts_make_the_whole(kind: str, text: str) -> None:
    tokenizer = tiny.TOKENIZERS[kind]()
    ids = encode(tokenizer, text)
    parts = told(kind, ids)
    assert "".join(parts) == decode(tokenizer, ids)
    if text == tiny.SENTENCES[0]:
        assert all(parts[1:-2])  # every token at once; the first and the last may be special


@given(st.sampled_from(["byte-level", "sentencepiece"]), texts, texts)
def test_a_completion_continues_its_prompt(kind: str, prompt: str, completion: str) -> None:
    tokenizer = tiny.TOKENIZERS[kind]()
    before, ids = encode(tokenizer, prompt), encode(tokenizer, completion, special=False)
    assert decode(tokenizer, before) + "".join(told(kind, ids, before)) == decode(tokenizer, before + ids)


@given(st.lists(st.integers(0, 319), max_size=40))
def test_any_tokens_make_the_whole(ids: list[int]) -> None:
    assert "".join(told("byte-level", ids)) == decode(tiny.byte_level(), ids)


@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece"])
def test_a_character_is_told_when_it_is_whole(kind: str) -> None:
    ids = encode(tiny.TOKENIZERS[kind](), "🌍", special=False)[-4:]
    assert told(kind, ids) == ["", "", "", "🌍", ""]


def test_bytes_that_never_become_a_character_are_told_in_the_end() -> None:
    byte = encode(tiny.byte_level(), "🌍")[0]
    parts = told("byte-level", [byte] * (LONGEST_WAIT + 1))
    assert parts[LONGEST_WAIT - 1].startswith("\ufffd")
    assert "".join(parts) == "\ufffd" * (LONGEST_WAIT + 1)


def test_a_space_between_words_is_kept_after_a_prompt() -> None:
    tokenizer = tiny.sentencepiece()
    before, ids = encode(tokenizer, "Once upon"), encode(tokenizer, "a time", special=False)
    assert "".join(told("sentencepiece", ids, before)) == " a time"
    assert "".join(told("sentencepiece", ids, [1])) == "a time"  # only the token that begins a text precedes it


def test_special_tokens_have_no_text() -> None:
    ids = encode(tiny.byte_level(), "a time")
    assert "".join(told("byte-level", [0, *ids, 2])) == "a time"


def test_decodes_only_a_few_tokens_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny.byte_level()
    lengths: list[int] = []

    def decode_and_count(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
        lengths.append(len(ids))
        return decode(tokenizer, ids)

    monkeypatch.setattr("llmlab.engine.detokenization.decode", decode_and_count)
    ids = encode(tokenizer, "Once upon a time 🌍 " * 50)
    assert "".join(told("byte-level", ids)) == "Once upon a time 🌍 " * 50
    assert max(lengths) <= LONGEST_WAIT


def stopped(stop: list[str], parts: list[str]) -> tuple[list[str], bool]:
    strings = StopStrings(stop)
    told = []
    for part in parts:
        told.append(strings.add(part))
        if strings.found:
            break
    return [*told, strings.rest()], strings.found


def test_ends_before_the_stop_string() -> None:
    assert stopped(["\n\n"], ["a", "b\n", "\nc"]) == (["a", "b", "", ""], True)


def test_holds_back_only_what_could_begin_a_stop_string() -> None:
    assert stopped(["END"], ["go E", "N", "tire"]) == (["go ", "", "ENtire", ""], False)


def test_gives_back_what_it_held_when_no_more_follows() -> None:
    assert stopped(["END"], ["the E", "N"]) == (["the ", "", "EN"], False)


def test_the_first_of_several_stop_strings_ends_the_text() -> None:
    assert stopped(["time", "upon"], ["once upon a time"]) == (["once ", ""], True)


@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=3), st.lists(st.text("ab", max_size=4), max_size=8))
def test_stopping_is_cutting_at_the_first_stop_string(stop: list[str], parts: list[str]) -> None:
    told, found = stopped(stop, parts)
    whole = "".join(parts)
    ends = [whole.find(each) for each in stop if each in whole]
    assert found == bool(ends)
    if not found:
        assert "".join(told) == whole
    else:  # the stop string that is complete first ends the text, even where a longer one began before it
        assert whole.startswith("".join(told))
        assert not any(each in "".join(told) for each in stop)
