"""Finding tokens in a vocabulary: by text, pattern, id or bytes, and by what they are."""

from __future__ import annotations

import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np

from llmlab.engine.errors import InputError
from llmlab.engine.tokens.types import TokenDetails, TokenKind, VocabularyTable
from llmlab.engine.types import Int32

MODES = ("text", "regex", "id", "bytes")
PATTERN_SECONDS = 2.0
_SCRIPTS = {"CJK": "Han", "IDEOGRAPHIC": "Han"}
_MAX_CHARACTERS = 16


def search(
    table: VocabularyTable,
    query: str,
    mode: str = "text",
    *,
    kinds: Collection[TokenKind] | None = None,
    script: str | None = None,
    min_length: int = 0,
    max_length: int | None = None,
) -> Int32:
    """Ids of the tokens that fit, ascending. An empty query fits all of them.

    `text`: is part of the readable or the raw spelling, capitals only minded where the query has some. `regex`: the
    pattern is found in the readable text. `id`: numbers and ranges, as in “5, 10-20”. `bytes`: in hexadecimal, as in
    “E2 82”. Lengths are in characters of the readable text. `script` as in `script_of`. Raises InputError.
    """
    if mode not in MODES:
        raise InputError(f"There is no way to search called “{mode}”.", f"The ways are: {', '.join(MODES)}.")
    fits = np.fromiter(map(bool, table.pieces), np.bool_, len(table))
    if kinds is not None:
        fits &= np.isin(table.kinds, [int(kind) for kind in kinds])
    if min_length > 0 or max_length is not None:
        lengths = np.fromiter(map(len, table.texts), np.int32, len(table))
        fits &= lengths >= min_length
        if max_length is not None:
            fits &= lengths <= max_length
    if script:
        fits &= np.array(_scripts(table)) == script
    if query:
        finders: dict[str, Callable[[VocabularyTable, str], set[int]]] = {
            "text": _by_text,
            "regex": _by_pattern,
            "id": _by_id,
            "bytes": _by_bytes,
        }
        found = np.zeros(len(table), np.bool_)
        found[list(finders[mode](table, query))] = True
        fits &= found
    return np.flatnonzero(fits).astype(np.int32)


def scripts(table: VocabularyTable) -> tuple[str, ...]:
    """The scripts that occur in the vocabulary, most frequent first."""
    return tuple(script for script, _ in Counter(_scripts(table)).most_common() if script)


@lru_cache(maxsize=200_000)
def script_of(text: str) -> str:
    """The script of a text's letters, by Unicode's names of them: Latin, Han …; Mixed; empty without letters."""
    found = {script for script in map(_script, text) if script}
    return found.pop() if len(found) == 1 else "Mixed" if found else ""


@lru_cache(maxsize=50_000)
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").split(" ", 1)[0].split("-", 1)[0]
    if first in ("MODIFIER", "MASCULINE", "FEMININE", "MICRO", "SUPERSCRIPT", "SUBSCRIPT"):
        return ""
    return _SCRIPTS.get(first, first.capitalize())


@lru_cache(maxsize=8)
def _all_scripts(texts: tuple[str, ...], kinds: bytes) -> tuple[str, ...]:
    spelled = (TokenKind.NORMAL, TokenKind.CONTINUATION)
    return tuple(script_of(text) if kind in spelled else "" for text, kind in zip(texts, kinds, strict=True))


def _scripts(table: VocabularyTable) -> tuple[str, ...]:
    return _all_scripts(table.texts, table.kinds.tobytes())


def _by_text(table: VocabularyTable, query: str) -> set[int]:
    both = zip(table.texts, table.pieces, strict=True)
    if query != query.lower():
        return {index for index, (text, piece) in enumerate(both) if query in text or query in piece}
    return {index for index, (text, piece) in enumerate(both) if query in text.lower() or query in piece.lower()}


def _by_pattern(table: VocabularyTable, query: str) -> set[int]:
    """Uses `regex`, not `re`: it can be given a time limit, and lets other threads run while it searches."""
    import regex  # type: ignore[import-untyped]

    try:
        pattern = regex.compile(query)
    except (regex.error, RecursionError, OverflowError) as error:
        message = f"The pattern is not a regular expression: {error}."
        raise InputError(message, "Correct it, or search by text.") from None
    end = time.monotonic() + PATTERN_SECONDS
    found = set()
    try:
        for index, text in enumerate(table.texts):
            if pattern.search(text, timeout=max(end - time.monotonic(), 0.001), concurrent=True):
                found.add(index)
    except TimeoutError:
        raise InputError(
            f"Searching for the pattern took more than {PATTERN_SECONDS:g} s and was stopped.",
            "Patterns such as (a+)+ take forever; write it without repetitions inside repetitions.",
        ) from None
    return found


def _by_id(table: VocabularyTable, query: str) -> set[int]:
    found: set[int] = set()
    for part in query.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash) and len(part) < 40):
            raise InputError(f"“{part[:40]}” is not a token id.", "Write numbers or ranges, such as 5, 10-20.")
        found.update(range(int(first), min(int(last) if dash else int(first), len(table) - 1) + 1))
    return found


def _by_bytes(table: VocabularyTable, query: str) -> set[int]:
    try:
        wanted = bytes.fromhex(query.lower().replace("0x", " ").replace(",", " "))
    except ValueError:
        raise InputError(
            f"“{query[:40]}” is not a row of bytes.", "Write them with two hexadecimal digits each, such as E2 82 AC."
        ) from None
    return {index for index, data in enumerate(table.data) if wanted in data and data}


def characters(text: str) -> tuple[str, ...]:
    """The code points of a text with their names."""
    named = (f"U+{ord(c):04X} {unicodedata.name(c, unicodedata.category(c))}" for c in text[:_MAX_CHARACTERS])
    return tuple(named)


def details(table: VocabularyTable, token_id: int, merges: tuple[tuple[str, str], ...], algorithm: str) -> TokenDetails:
    """Everything about one token. Raises InputError for an id that no token has."""
    if not 0 <= token_id < len(table) or not table.pieces[token_id]:
        raise InputError(f"No token has the id {token_id:,}.", f"Ids go from 0 to {len(table) - 1:,}.")
    kind = TokenKind(int(table.kinds[token_id]))
    rank = int(table.ranks[token_id])
    score = None if table.scores is None or np.isnan(table.scores[token_id]) else float(table.scores[token_id])
    text = table.texts[token_id]
    spelled = kind in (TokenKind.NORMAL, TokenKind.CONTINUATION)
    return TokenDetails(
        id=token_id,
        piece=table.pieces[token_id],
        text=text,
        data=table.data[token_id],
        kind=kind,
        rank=rank if rank >= 0 else None,
        merge=merges[rank] if rank >= 0 else None,
        score=score,
        script=script_of(text) if spelled else "",
        frequency=_frequency(table, kind, rank, len(merges), score, algorithm),
        characters=characters(text) if kind is not TokenKind.BYTES else (),
    )


def _frequency(
    table: VocabularyTable, kind: TokenKind, rank: int, merges: int, score: float | None, algorithm: str
) -> str:
    """How common the token was in training, as far as its rank or score tells."""
    if kind in (TokenKind.SPECIAL, TokenKind.ADDED, TokenKind.UNKNOWN):
        return "Not learned from text."
    if rank >= 0:
        return f"Merge {rank + 1:,} of {merges:,}, {_class(rank / merges)}: earlier merges were more frequent."
    if merges:
        return "Part of the alphabet that the merges began with."
    if score is not None and table.scores is not None:
        above = int(np.count_nonzero(table.scores > score))
        total = int(np.count_nonzero(~np.isnan(table.scores)))
        return f"Number {above + 1:,} of {total:,} by probability, {_class(above / total)}."
    return f"{algorithm} keeps no frequencies."


def _class(share: float) -> str:
    """Where in the order of frequency: the shares are of the vocabulary."""
    limits = ((0.01, "among the most frequent 1 %"), (0.1, "among the most frequent 10 %"), (0.5, "in the first half"))
    return next((words for limit, words in limits if share < limit), "in the second half")
