"""Sums of tokens such as king − man + woman: words to tokens, and words that begin so. No Qt."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from llmlab.engine.tokens.types import TokenKind, VocabularyTable
from llmlab.ui.widgets.tokentext import unmarked, visible

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer

EXAMPLES = ("king − man + woman", "his − he + she", "mother − girl + boy", "ran − run + jump")
OFFERED = 12  # completions at a time
_SIGN = re.compile(r"(?:^|(?<=\s))([+\-−–])(?=\s)|^([+\-−–])")
_SPECIAL = (TokenKind.SPECIAL, TokenKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a sum."""

    word: str
    minus: bool


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum whose words are tokens: `plus` and `minus` are ids. `problem` says why it is none, in words."""

    text: str
    plus: tuple[int, ...] = ()
    minus: tuple[int, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A vocabulary by what its tokens stand for. `ordered`: the words to complete, sorted."""

    ids: dict[str, int]
    ordered: tuple[str, ...]

    @classmethod
    def of(cls, table: VocabularyTable) -> Words:
        """Made in a worker thread."""
        ids: dict[str, int] = {}
        for index, (text, kind) in enumerate(zip(table.texts, table.kinds.tolist(), strict=True)):
            if text and kind not in _SPECIAL:
                ids.setdefault(text, index)
        whole = {text.strip() for text in ids if text.strip().isalpha() and len(text.strip()) > 1}
        return cls(ids, tuple(sorted(whole)))

    def find(self, word: str) -> int | None:
        """The token of a word: as it stands inside a text, after a space, or at its beginning; ␣ asks for a space."""
        word = unmarked(word)
        names = (word,) if word[:1].isspace() else (f" {word}", word)
        return next((self.ids[name] for name in names if name in self.ids), None)

    def complete(self, beginning: str) -> tuple[str, ...]:
        """Words of one token that begin so."""
        if not beginning:
            return ()
        first = bisect_left(self.ordered, beginning)
        same = (word for word in self.ordered[first : first + 50 * OFFERED] if word.startswith(beginning))
        return tuple(islice(same, OFFERED))


def terms(text: str) -> tuple[Term, ...]:
    """The words of a sum; + and − stand between spaces, since words may have hyphens. Empty while unfinished."""
    parts, minus, place = [], False, 0
    for sign in _SIGN.finditer(text):
        parts.append(Term(text[place : sign.start()].strip(), minus))
        minus, place = (sign[1] or sign[2]) != "+", sign.end()
    parts.append(Term(text[place:].strip(), minus))
    if not parts[0].word and len(parts) > 1:  # it begins with a sign
        parts = parts[1:]
    return tuple(parts) if all(part.word for part in parts) else ()


def last_word(text: str) -> tuple[str, str]:
    """What comes before the word that is being typed, and that word."""
    signs = list(_SIGN.finditer(text))
    cut = signs[-1].end() if signs else 0
    rest = text[cut:]
    word = rest.lstrip()
    return text[: len(text) - len(word)], word


def read_sum(opened: OpenTokenizer, words: Words, text: str) -> Sum:
    """The tokens of a sum, or what is wrong with it. Called in a worker thread."""
    plus: list[int] = []
    minus: list[int] = []
    for term in terms(text):
        token = words.find(term.word)
        if token is None:  # a tokenizer that ignores case knows “King” as “king”
            ids = opened.encode(f" {unmarked(term.word)}", special=False).ids.tolist()
            if len(ids) != 1:
                return Sum(text, problem=_problem(opened, term.word, ids))
            token = ids[0]
        (minus if term.minus else plus).append(token)
    return Sum(text, tuple(plus), tuple(minus))


def _problem(opened: OpenTokenizer, word: str, ids: list[int]) -> str:
    pieces = " ".join(visible(opened.table.texts[index]) for index in ids[:8]) + (" …" if len(ids) > 8 else "")
    hint = "Choose a word that is one token: completion offers those."
    if re.search(r"\w\s*[+−–]|[+−–]\s*\w", word):
        hint = "Write spaces around + and −."
    return f"“{word}” is {len(ids)} tokens here: {pieces}. {hint}"
