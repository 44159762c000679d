"""Search, comparison, chunks, details and chats."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.tokens import chatting, searching
from llmlab.engine.tokens.comparing import compare
from llmlab.engine.tokens.opened import OpenTokenizer
from llmlab.engine.tokens.searching import script_of
from llmlab.engine.tokens.types import TokenKind
from tests.engine.small_tokenizers import FAST, byte_level, opened
from tests.engine.test_tokens_encoding import ANY, MIXED

KINDS = sorted(FAST)
CHATML = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)


def texts(kind: str, ids: np.ndarray) -> set[str]:
    return {opened(kind).table.texts[index] for index in ids.tolist()}


def test_search_by_text_minds_capitals_only_where_there_are_some() -> None:
    table = opened("byte_level").table
    assert texts("byte_level", opened("byte_level").search("th")) == {
        t for t, p in zip(table.texts, table.pieces, strict=True) if "th" in t.lower() or "th" in p.lower()
    }
    assert texts("byte_level", opened("byte_level").search("Th")) == {t for t in table.texts if "Th" in t}
    assert len(opened("byte_level").search("")) == len(table)


def test_search_by_pattern_id_and_bytes() -> None:
    table = opened("byte_level").table
    assert texts("byte_level", opened("byte_level").search("^ w.+g$", "regex")) <= {" walking", " walkin", " wing"}
    assert opened("byte_level").search("3, 7-9 490-99999", "id").tolist() == [3, 7, 8, 9, *range(490, len(table))]
    found = opened("byte_level").search("C3 A9", "bytes").tolist()
    assert found == [index for index in range(len(table)) if b"\xc3\xa9" in table.bytes_of(index)]


def test_search_filters() -> None:
    special = opened("byte_level").search("", kinds=[TokenKind.SPECIAL])
    assert texts("byte_level", special) == {"<unk>", "<s>", "</s>", "<mask>"}
    assert all(
        3 <= len(text) <= 4 for text in texts("byte_level", opened("byte_level").search("", min_length=3, max_length=4))
    )
    han = opened("unigram").search("", script="Han")
    assert texts("unigram", han)
    assert all(script_of(text) == "Han" for text in texts("unigram", han))
    assert set(opened("unigram").scripts()) >= {"Latin", "Han", "Arabic"}


@pytest.mark.parametrize(
    ("query", "mode", "words"),
    [
        ("(", "regex", "not a regular"),
        ("x", "id", "not a token id"),
        ("zz", "bytes", "not a row"),
        ("a", "?", "no way"),
    ],
)
def test_wrong_searches_are_explained(query: str, mode: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        opened("byte_level").search(query, mode)
    assert caught.value.hint


def test_patterns_that_take_forever_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PATTERN_SECONDS", 0.1)
    tokenizer = byte_level()
    tokenizer.add_tokens(["a" * 60 + "!"])
    with pytest.raises(InputError, match="was stopped"):
        OpenTokenizer(tokenizer).search("^(a|a|b?a)+$", "regex")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("walk", "Latin"),
        (" é", "Latin"),
        ("天气", "Han"),
        ("мир", "Cyrillic"),
        ("سلام", "Arabic"),
        ("aж", "Mixed"),
        ("12!", ""),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script


@pytest.mark.filterwarnings("ignore:This sequence already has")  # ByT5, of a text that ends in </s>
@settings(max_examples=20, deadline=None)
@given(text=MIXED)
def test_comparison_marks_tokens_that_others_do_not_begin(text: str) -> None:
    comparison = compare([opened("byte_level"), opened("modern"), opened("slow")], text)
    columns = comparison.columns
    assert all(column.tokens.has_offsets for column in columns)
    begins = [set(c.tokens.starts[c.tokens.ends > c.tokens.starts].tolist()) for c in columns]

    def visible(place: int) -> int:
        clean = columns[0].tokens.text
        return len(clean) - len(clean[place:].lstrip())

    common = set.intersection(*({visible(place) for place in places} for places in begins))
    for column, places in zip(columns, begins, strict=True):
        assert set(column.differing.tolist()) == {place for place in places if visible(place) not in common}
    assert set(comparison.differing.tolist()) == set().union(*(c.differing.tolist() for c in columns))


def test_same_tokenizer_differs_nowhere_from_itself() -> None:
    comparison = compare([opened("byte_level"), opened("byte_level")], "walking 😀 dogs")
    assert len(comparison.differing) == 0


def test_statistics_leave_added_tokens_out() -> None:
    [column] = compare([opened("word_piece")], "foxes 雪 again").columns
    stats = column.stats
    assert stats.tokens == len(column.tokens)
    own = stats.tokens - 2
    assert stats.unknown == 1
    assert stats.characters_per_token == pytest.approx(13 / own)
    assert stats.bytes_per_token == pytest.approx(15 / own)
    assert stats.tokens_per_word == pytest.approx(own / 3)
    empty = compare([opened("word_piece")], "").columns[0].stats
    assert (empty.characters_per_token, empty.tokens_per_word, empty.bytes_per_token) == (0, 0, 0)


@pytest.mark.parametrize("kind", [*KINDS, "slow"])
@settings(max_examples=15, deadline=None)
@given(text=MIXED, size=st.integers(16, 30), overlap=st.integers(0, 12))
def test_chunks_cover_the_text(kind: str, text: str, size: int, overlap: int) -> None:
    try:
        parts = opened(kind).chunks(text, size, overlap)
    except InputError:  # one character may become a whole sentence (NFKC)
        assert kind == "unigram"
        return
    except UnsupportedFeatureError:  # its tokens do not always tell where they are
        assert kind == "slow"
        return
    clean = opened(kind).encode(text).text
    assert all(len(part.ids) <= size for part in parts)
    if parts:
        assert (parts[0].start, parts[-1].end) == (0, len(clean))
    for one, other in pairwise(parts):
        assert one.start < other.end
        assert other.start <= one.end
        assert overlap or other.start == one.end


@settings(max_examples=15, deadline=None)
@given(text=ANY)
def test_chunks_of_bytes_never_tear_a_character(text: str) -> None:
    table = opened("byte_level").table
    for part in opened("byte_level").chunks(text, 4):
        clean = opened("byte_level").encode(text).text
        assert b"".join(map(table.bytes_of, part.ids.tolist())).decode() == clean[part.start : part.end]


def test_impossible_chunks_are_refused() -> None:
    for size, overlap in ((0, 0), (4, 4), (4, -1)):
        with pytest.raises(InputError, match="cannot be made"):
            opened("byte_level").chunks("walk", size, overlap)
    with pytest.raises(InputError, match="fewer than one character"):
        opened("byte_level").chunks("\U00012345", 2)


def test_details() -> None:
    tokenizer = opened("byte_level")
    [index] = [i for i, text in enumerate(tokenizer.table.texts) if text == " walk"]
    found = tokenizer.details(index)
    assert "".join(found.merge or ()) == found.piece == "Ġwalk"
    assert (found.data, found.script, found.kind) == (b" walk", "Latin", TokenKind.NORMAL)
    assert found.characters[1] == "U+0077 LATIN SMALL LETTER W"
    assert f"Merge {(found.rank or 0) + 1:,} of" in found.frequency
    assert tokenizer.details(1).frequency == "Not learned from text."
    assert opened("unigram").details(10).score == pytest.approx(float(opened("unigram").table.scores[10]))  # type: ignore[index]
    with pytest.raises(InputError, match="No token has the id"):
        tokenizer.details(10**6)


@pytest.fixture
def chatty() -> PreTrainedTokenizerFast:
    tokenizer = byte_level()
    tokenizer.chat_template = CHATML
    return tokenizer


MESSAGES = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Walk, fox-trot? 😀"}]


def test_chat_is_rendered_as_transformers_does(chatty: PreTrainedTokenizerFast) -> None:
    for prompt in (True, False):
        chat = OpenTokenizer(chatty).chat(MESSAGES, add_generation_prompt=prompt)
        assert chat.text == chatty.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=prompt)
        assert chat.tokens.ids.tolist() == chatty(chat.text, add_special_tokens=False)["input_ids"]
        assert TokenKind.SPECIAL in chat.tokens.kinds


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m | tojson }}{% endfor %}",
        "{%- for m in messages %}\n    {% generation %}{{ bos_token }}{{ m.content }}{% endgeneration %}\n{% endfor %}",
        "{{ messages[0].content | upper }}{% if tools is none %}none{% endif %}{{ eos_token }}",
    ],
)
def test_what_templates_may_use(chatty: PreTrainedTokenizerFast, template: str) -> None:
    chatty.chat_template = template
    assert OpenTokenizer(chatty).chat(MESSAGES).text == chatty.apply_chat_template(MESSAGES, tokenize=False)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('only one message') }}", "refuses these messages: only one message"),
        ("{% for m in messages %}", "not valid Jinja"),
        ("{{ ''.__class__.__mro__ }}", "may not do"),
        ("{{ missing.field }}", "was not given"),
        ("{{ '%5000000000d' | format(1) }}", "too much memory"),
        ("{{ 1 / 0 }}", "failed: division by zero"),
    ],
)
def test_templates_that_fail_say_why(chatty: PreTrainedTokenizerFast, template: str, words: str) -> None:
    chatty.chat_template = template
    with pytest.raises(InputError, match=words) as caught:
        OpenTokenizer(chatty).chat(MESSAGES)
    assert caught.value.hint


def test_templates_that_loop_are_stopped(chatty: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatting, "SECONDS", 0.3)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    chatty.chat_template = loop
    with pytest.raises(InputError, match="ran for more than"):
        OpenTokenizer(chatty).chat(MESSAGES)


def test_without_a_template_there_is_no_chat() -> None:
    with pytest.raises(InputError, match="no chat template"):
        opened("unigram").chat(MESSAGES)
    assert not opened("unigram").info.has_chat_template
