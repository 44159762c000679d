"""Token texts as people can read them: what is invisible gets a mark. No Qt."""

from __future__ import annotations

import unicodedata

SPACE, NEWLINE, TAB, NOTHING = "␣", "↵", "⇥", "∅"
MARKS = {" ": SPACE, "\n": NEWLINE, "\t": TAB, "\r": "␍"}
MARK_CHARACTERS = frozenset((*MARKS.values(), NOTHING))
INVISIBLE = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"))


def visible(text: str) -> str:
    """`text` with every space, line break, tab and invisible character shown by a mark; ∅ for no text at all."""
    if text.isalnum():
        return text
    return "".join(map(_mark, text)) or NOTHING


def unmarked(text: str) -> str:
    """`text` as someone types it to search for: the marks of spaces, line breaks and tabs stand for those."""
    for character, mark in MARKS.items():
        text = text.replace(mark, character)
    return text


def _mark(character: str) -> str:
    if character in MARKS:
        return MARKS[character]
    if unicodedata.category(character) not in INVISIBLE:
        return character
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"
