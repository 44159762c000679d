"""Words that are banned or biased: typed as text, or named by the ids of their tokens. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llmlab.engine.knobs import Tokens
from llmlab.ui.panels.decoding.escapes import escaped
from llmlab.ui.widgets.tokentext import visible

MAX_LENGTH = 100  # characters of a word that is typed, and tokens of one that is named by ids
MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TokenWord:
    """Exactly these tokens, as bad_words_ids and sequence_bias name them: no other spelling of the same text.

    `texts` is what each of them stands for in the vocabulary that the ids belong to, empty until a model was asked.
    Where the tokens with these ids read otherwise, the vocabulary is another one, and the word means nothing there.
    """

    ids: Tokens
    texts: tuple[str, ...] = ()

    def named(self, texts_of: Callable[[Tokens], tuple[str, ...]]) -> TokenWord:
        """With the texts of its tokens."""
        return replace(self, texts=texts_of(self.ids))

    def spelled(self, vocabulary: int, texts_of: Callable[[Tokens], tuple[str, ...]]) -> tuple[Tokens, ...]:
        """Itself where a model of so many tokens spells it so, else nothing."""
        return (self.ids,) if self.within(vocabulary) and texts_of(self.ids) == self.texts else ()

    def within(self, vocabulary: int) -> bool:
        """Whether a model of so many tokens has all of them."""
        return max(self.ids) < vocabulary


Word: TypeAlias = str | TokenWord


def label(word: Word) -> str:
    """On one line: as it was typed, or token by token."""
    if isinstance(word, str):
        return escaped(word)
    return "|".join(map(visible, word.texts)) or f"tokens {', '.join(map(str, word.ids))}"


def about(word: Word) -> str:
    """What a tooltip says of it."""
    if isinstance(word, str):
        return escaped(word)
    pairs = zip(word.ids, word.texts or ("",) * len(word.ids), strict=True)
    tokens = ", ".join(f"{index} {visible(text)}" if text else str(index) for index, text in pairs)
    return f"Exactly {'this token' if len(word.ids) == 1 else 'these tokens'}, in no other spelling: {tokens}"


def checked(value: Any) -> Word | None:
    """The word that `saved` made `value` of, or None."""
    if isinstance(value, TokenWord):
        return value
    if isinstance(value, str):
        return value if 0 < len(value) <= MAX_LENGTH else None
    if not isinstance(value, Mapping):
        return None
    word, texts = of_ids(value.get("ids")), value.get("texts", [])
    if word is None or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return None
    return replace(word, texts=tuple(texts)) if len(texts) in (0, len(word.ids)) else None


def of_ids(value: Any) -> TokenWord | None:
    """The word with these ids, if they can be some."""
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MAX_LENGTH:
        return None
    fine = all(type(index) is int and 0 <= index <= MAX_ID for index in value)
    return TokenWord(tuple(value)) if fine else None


def saved(word: Word) -> str | dict[str, Any]:
    """As a JSON value."""
    return word if isinstance(word, str) else {"ids": list(word.ids), "texts": list(word.texts)}


def inactive(words: Iterable[Word], spelled: Mapping[Word, Sequence[Tokens]]) -> tuple[TokenWord, ...]:
    """Those that name tokens of another vocabulary than the one that has `spelled` them."""
    return tuple(word for word in words if isinstance(word, TokenWord) and spelled.get(word) == ())


def inactive_words(count: int) -> tuple[str, str]:
    """A message, and what to do."""
    words, them = ("word names", "it") if count == 1 else ("words name", "them")
    return (
        f"{count} {words} tokens of another tokenizer, so the settings leave {them} out.",
        f"The ids mean something else to this model. Remove {them} under Words, or type the words as text.",
    )
