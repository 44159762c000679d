"""What a strip of tokens shows: the text with its tokens in place, cut into blocks laid out one by one. No Qt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, Protocol

import numpy as np

from llmlab.engine.types import Int32
from llmlab.ui.widgets.tokentext import INVISIBLE, MARKS, NEWLINE, TAB

LINE_BREAK = "\u2028"  # breaks a line inside one laid out block
DOT, BREAKABLE = "·", "\u200b"  # a space is a dot, behind which a line may end
TOGETHER = "\u2060\u200e"  # no line ends here, and what follows is written from the left
APART = "\u200b"  # a line may end here
CIRCLE = "◌"  # carries a combining mark that begins a token
BLOCK, LONGEST = 700, 2000  # characters: a block ends at a line break after the first, at a token before the second
BYTES = re.compile(r"(?:<0x[0-9A-Fa-f]{2}>)+")
NAMES = {
    "\u00a0": "NBSP", "\u00ad": "SHY", "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u200e": "LRM",
    "\u200f": "RLM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2060": "WJ", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\ufeff": "BOM",
}  # fmt: skip


class TokenArrays(Protocol):
    """The part of the engine's `Tokens` that a strip needs: all arrays (tokens,), places in code points of `text`."""

    @property
    def text(self) -> str:
        """What was tokenized."""

    @property
    def ids(self) -> Any: ...
    @property
    def starts(self) -> Any: ...
    @property
    def ends(self) -> Any: ...
    @property
    def groups(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Composed:
    """One block as it is shown. Places are in UTF-16 units of `text`, which Qt counts in.

    `spans` are the tokens' (start, end), one for each; `marks` the ranges that stand for something invisible;
    `names` those that name a token without text; `ties` the ranges of tokens that share a character, and `data` the
    (start, length) of their bytes in hex.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    marks: tuple[tuple[int, int], ...]
    names: tuple[tuple[int, int], ...]
    ties: tuple[tuple[int, int], ...]
    data: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class StripText:
    """Tokens cut into blocks: block b holds the tokens first[b] … first[b + 1] and begins at character places[b].

    `text_of(id)` is a token's readable text; `special(id)` whether it is shown by its name. `lines` int32 (blocks,)
    counts the line breaks of each block. Made in a worker thread: it reads the text once.
    """

    tokens: TokenArrays
    text_of: Callable[[int], str]
    special: Callable[[int], bool]
    first: Int32
    places: Int32
    lines: Int32
    positions: Int32 = field(repr=False)  # the starts, never going back where a special token has place 0

    @classmethod
    def of(cls, tokens: TokenArrays, text_of: Callable[[int], str], special: Callable[[int], bool]) -> StripText:
        """Find the blocks."""
        positions = np.maximum.accumulate(tokens.starts) if len(tokens.starts) else tokens.starts
        first, places, lines = _blocks(tokens, positions)
        return cls(tokens, text_of, special, first, places, lines, positions)

    def __len__(self) -> int:
        return len(self.first) - 1

    def block_of(self, token: int) -> int:
        """The block that `token` is in."""
        return int(np.searchsorted(self.first, token, "right")) - 1

    def token_range(self, start: int, end: int) -> tuple[int, int]:
        """First and last token that touch the characters start … end; (-1, -1) for none."""
        touching = np.flatnonzero((self.tokens.starts < end) & (self.tokens.ends > start))
        return (int(touching[0]), int(touching[-1])) if len(touching) and end > start else (-1, -1)

    def compose(self, block: int) -> Composed:
        """The block's shown text and where everything stands in it."""
        return _Composer(self).compose(block)


def _blocks(tokens: TokenArrays, positions: Int32) -> tuple[Int32, Int32, Int32]:
    text, groups, count = tokens.text, tokens.groups, len(tokens.ids)
    first, places = [0], [0]
    while first[-1] < count:
        begin = places[-1]
        token, limit = first[-1], first[-1] + BLOCK  # many tokens can share one place
        end = _block_end(text, begin)
        token = min(limit, count)
        if end < len(text):  # the place as int32: numpy would copy all positions to compare them with an int
            token = min(int(np.searchsorted(positions, np.int32(end))), token)
        token = max(token, first[-1] + 1)
        while token < count and groups[token] >= 0 and groups[token] == groups[token - 1]:
            token += 1
        first.append(token)
        places.append(int(positions[token]) if token < count else len(text))
    if len(first) == 1:
        first, places = [0, 0], [0, len(text)]
    lines = [text.count("\n", a, b) for a, b in pairwise(places)]
    return np.array(first, np.int32), np.array(places, np.int32), np.array(lines, np.int32)


def _block_end(text: str, begin: int) -> int:
    found = text.find("\n", begin + BLOCK, begin + LONGEST)
    if found >= 0:
        return found + 1
    found = text.rfind("\n", begin + BLOCK // 4, begin + BLOCK)
    if found >= 0 and begin + LONGEST < len(text):
        return found + 1
    found = text.rfind(" ", begin + BLOCK, begin + LONGEST)
    return found if found >= 0 else begin + LONGEST


class _Composer:
    """Writes one block."""

    def __init__(self, source: StripText) -> None:
        self._source = source
        self._parts: list[str] = []
        self._length = 0
        self._spans: list[tuple[int, int]] = []
        self._marks: list[tuple[int, int]] = []
        self._names: list[tuple[int, int]] = []
        self._ties: list[tuple[int, int]] = []
        self._data: list[tuple[int, int]] = []

    def compose(self, block: int) -> Composed:
        source, tokens = self._source, self._source.tokens
        low, high = int(source.first[block]), int(source.first[block + 1])
        at, place = int(source.places[block]), slice(low, high)
        rows = zip(*(a[place].tolist() for a in (tokens.ids, tokens.starts, tokens.ends, tokens.groups)), strict=True)
        for group, members in groupby(rows, key=lambda row: row[3]):
            if group >= 0:
                at = self._tied(list(members), at)
            else:
                for token_id, start, end, _ in members:
                    at = self._token(token_id, start, end, at)
        last = int(source.places[block + 1])
        self._gap(tokens.text[at:last])
        return Composed(
            "".join(self._parts), *map(tuple, (self._spans, self._marks, self._names, self._ties, self._data))
        )

    def _token(self, token_id: int, start: int, end: int, at: int) -> int:
        begin = self._length
        if start == end:
            special = self._source.special(token_id)
            self._write(self._source.text_of(token_id), self._names if special else None)
        else:
            if start > at:
                self._gap(self._source.tokens.text[at:start])
                begin = self._length
            shown = self._source.tokens.text[max(at, start) : end] or self._source.text_of(token_id)
            self._write(shown, self._names if self._source.special(token_id) else None)
        self._spans.append((begin, self._length))
        return max(at, end)

    def _tied(self, members: list[tuple[int, int, int, int]], at: int) -> int:
        """Tokens that are parts of one character: the character, then the bytes of each."""
        text = self._source.tokens.text
        low, high = max(m[1] for m in members), min(m[2] for m in members)
        if members[0][1] > at:
            self._gap(text[at : members[0][1]])
        tie = self._length
        self._write(text[low:high])
        self._mark(TOGETHER, self._data)
        for token_id, _, _, _ in members:
            begin = self._length
            self._bytes(self._source.text_of(token_id))
            self._spans.append((begin, self._length))
        self._ties.append((tie, self._length))
        self._mark(APART, self._data)
        return max(at, *(m[2] for m in members))

    def _bytes(self, spelled: str) -> None:
        """A token's text with its bare bytes in hex."""
        place = 0
        for found in BYTES.finditer(spelled):
            self._write(spelled[place : found.start()])
            self._mark(" ".join(re.findall(r"0x(..)", found[0])).upper(), self._data)
            place = found.end()
        self._write(spelled[place:])

    def _gap(self, text: str) -> None:
        """Characters that belong to no token."""
        self._write(text)

    def _write(self, text: str, names: list[tuple[int, int]] | None = None) -> None:
        if names is not None:
            self._mark("".join(shown for shown, _ in characters(text)).replace(BREAKABLE, ""), names)
            return
        if not text:
            return
        if text.isascii() and text.isprintable() and " " not in text:
            self._add(text)
            return
        for shown, is_mark in characters(text):
            if is_mark:
                self._mark(shown, self._marks)
            else:
                self._add(shown)

    def _mark(self, text: str, ranges: list[tuple[int, int]]) -> None:
        begin = self._length
        self._add(text)
        ranges.append((begin, self._length - begin))

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def characters(text: str) -> Iterator[tuple[str, bool]]:
    """`text` as runs of what can be shown as it is and marks for what cannot: (shown, whether it is a mark)."""
    if text and unicodedata.category(text[0]).startswith("M"):
        text = text if variation(text[0]) else CIRCLE + text
    for kind, run in groupby(text, _sort):
        for character in run if kind else ("".join(run),):
            yield (_marked(character), True) if kind else (character, False)


def _sort(character: str) -> int:
    """0 for what can be shown as it is; every other character is a run of its own."""
    if character.isalnum():
        return 0
    hidden = unicodedata.category(character) in INVISIBLE or variation(character)
    return 1 + ord(character) if hidden else 0


def variation(character: str) -> bool:
    """Whether it is a variation selector, which has no shape of its own."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _marked(character: str) -> str:
    if character == " ":
        return DOT + BREAKABLE
    if character == "\n":
        return NEWLINE + LINE_BREAK
    if character == "\t":
        return TAB + "  "
    if character in MARKS:
        return MARKS[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if "\ufe00" <= character <= "\ufe0f":
        return f"⟨VS{code - 0xFDFF}⟩"
    return f"⟨{NAMES.get(character) or f'U+{code:04X}'}⟩"
