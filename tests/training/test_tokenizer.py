"""The shipped vocabulary: any text survives it, and each model wraps it in its own way."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from llmlab import paths
from llmlab.training.tokenizer import ASSISTANT, CLS, END, END_OF_TEXT, ID, MASK, SENTINELS, SEP, SPECIALS, USER

KINDS = ("decoder", "encoder", "seq2seq")

any_text = st.text(st.characters(exclude_categories=["Cs"]))  # every code point but lone surrogates


@cache
def shipped(kind: str) -> Any:
    return AutoTokenizer.from_pretrained(paths.bundled_model(kind), local_files_only=True)


@pytest.mark.parametrize("kind", KINDS)
@given(text=any_text)
@settings(deadline=None)
def test_any_text_survives(kind: str, text: str) -> None:
    ids = shipped(kind)(text, add_special_tokens=False).input_ids
    assert shipped(kind).decode(ids) == text


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "a  b", " 's n't .", "1234.5", "naïve 日本語 👩‍👩‍👧", "\r\n\t", "<|endoftext|>"]
)
def test_awkward_texts_survive(text: str) -> None:
    for kind in KINDS:
        assert shipped(kind).decode(shipped(kind)(text, add_special_tokens=False).input_ids) == text


def test_digits_are_single() -> None:
    assert shipped("decoder").tokenize("2026") == ["2", "0", "2", "6"]


def test_one_vocabulary_with_specials_first() -> None:
    vocabularies = [shipped(kind).get_vocab() for kind in KINDS]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    assert len(vocabularies[0]) == 4096
    assert all(vocabularies[0][token] == index for index, token in enumerate(SPECIALS))


def test_each_model_wraps_text_in_its_own_specials() -> None:
    decoder, encoder, seq2seq = (shipped(kind) for kind in KINDS)
    assert decoder("").input_ids == [ID[END_OF_TEXT]]
    assert encoder("a", "b").input_ids[0] == ID[CLS]
    assert [i for i in encoder("a", "b").input_ids if i == ID[SEP]] == [ID[SEP]] * 2
    assert seq2seq("a").input_ids[-1] == ID[END_OF_TEXT]
    assert decoder.model_max_length == encoder.model_max_length == seq2seq.model_max_length == 512


def test_special_attributes() -> None:
    decoder, encoder, seq2seq = (shipped(kind) for kind in KINDS)
    assert decoder.bos_token == decoder.eos_token == END_OF_TEXT
    assert encoder.mask_token == MASK
    assert encoder.cls_token_id == ID[CLS]
    assert seq2seq.eos_token_id == ID[END_OF_TEXT]
    assert all(one.pad_token == "<|pad|>" and one.is_fast for one in (decoder, encoder, seq2seq))
    assert set(SENTINELS) <= set(seq2seq.all_special_tokens)
    assert {USER, ASSISTANT, END} <= set(decoder.all_special_tokens)


def test_mask_and_sentinels_stand_for_a_word_with_its_space() -> None:
    for kind, special in (("encoder", MASK), ("seq2seq", SENTINELS[0])):
        ids = shipped(kind)(f"The cat {special} on", add_special_tokens=False).input_ids
        assert shipped(kind).convert_ids_to_tokens(ids) == ["The", "Ġcat", special, "Ġon"]


def test_chat_template() -> None:
    messages = [{"role": "user", "content": " Hello "}]
    text = shipped("decoder").apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == f"{END_OF_TEXT}{USER}\nHello{END}\n{ASSISTANT}\n"
    ids = shipped("decoder").apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert [ID[END_OF_TEXT], ID[USER]] == ids[:2]
