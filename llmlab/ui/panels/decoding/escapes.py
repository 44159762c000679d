"""Texts on one line, with Python's escapes. No Qt."""

from __future__ import annotations

ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
MEANINGS = {"\\": "\\", "n": "\n", "t": "\t", "r": "\r"}


def escaped(text: str) -> str:
    """`text` on one line, with Python's escapes for line breaks, tabs and backslashes."""
    return "".join(ESCAPES.get(character, character) for character in text)


def unescaped(text: str) -> str:
    """What `escaped` was given; an unknown escape stays as it is."""
    result, rest = "", iter(text)
    for character in rest:
        if character == "\\":
            following = next(rest, "")
            character = MEANINGS.get(following, "\\" + following)
        result += character
    return result
