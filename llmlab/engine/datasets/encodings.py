"""Bytes of any origin become text, with a note where a decision was needed."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from llmlab import textfile
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.errors import InputError

_FEW = 0.01  # zero bytes, or bytes that are not UTF-8, as a share of all: more is another kind of file
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
_HIGH = re.compile(rb"[\x80-\xff]+")
_GUESS_BYTES = 65_536


def decode(name: str, data: bytes, encoding: str | None, notes: Notes, *, whole: bool = True) -> tuple[str, str]:
    """The text of `data`, line ends as newlines, and its encoding.

    Raises InputError for what is not text, or not in the `encoding` that was asked for.
    """
    found = encoding or textfile.detect(data, whole=whole)
    if found is None:
        text, found = _guess(name, data, notes)
    else:
        try:
            text = codecs.getincrementaldecoder(found)().decode(data, final=whole)
        except (UnicodeDecodeError, LookupError):
            raise InputError(f"{name} is not valid {found}.", "Choose another encoding.") from None
    return _clean(name, text.replace("\r\n", "\n").replace("\r", "\n"), notes), found


def _guess(name: str, data: bytes, notes: Notes) -> tuple[str, str]:
    if data.count(0) > max(1, _FEW * len(data)):
        raise _binary(name)
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    # Some text of other letters that is good UTF-8 speaks for UTF-8 with damage, not for another encoding.
    foreign = sum(character > "\x7f" for character in text[:_GUESS_BYTES]) - text[:_GUESS_BYTES].count("\ufffd")
    if bad <= max(1, _FEW * len(text)) and (foreign > 0 or bad == 0):
        line = text[: text.find("\ufffd")].count("\n") + 1 if bad else None
        if bad:
            notes.changed(f"{bad:,} places are not valid UTF-8; the first is marked with \ufffd.", line)
        return text, "utf-8"
    for encoding in _candidates(name, data):
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        notes.assumed(f"The file is not Unicode; it was read as {encoding}. Choose another encoding if words look odd.")
        return text, encoding
    raise _binary(name)


def _candidates(name: str, data: bytes) -> list[str]:
    """Single encodings worth trying, the likeliest first; every file is valid in the last one."""
    sample = data[:_GUESS_BYTES]
    if len(_CONTROL.findall(sample)) > max(1, _FEW * len(sample)):
        raise _binary(name)
    high = _HIGH.findall(sample)
    if sum(len(run) == 1 for run in high) > 0.7 * len(high):
        return ["cp1252", "latin_1"]  # single letters among ASCII: Western, which short texts are too short to show
    from charset_normalizer import from_bytes

    guess = from_bytes(sample).best()
    return ([guess.encoding] if guess else []) + ["cp1252", "latin_1"]


def _clean(name: str, text: str, notes: Notes) -> str:
    zeros = text.count("\0")
    if zeros > max(1, _FEW * len(text)):
        raise _binary(name)
    if zeros:
        notes.changed(
            f"{zeros:,} zero characters were left out; the first stood here.", text[: text.find("\0")].count("\n") + 1
        )
        text = text.replace("\0", "")
    return text.removeprefix("\ufeff")


def _binary(name: str) -> InputError:
    kinds = "Text, CSV, TSV, JSON, JSON Lines, YAML, .xlsx and .cforge files can be read."
    return InputError(f"{Path(name).name} is not a text file.", kinds)


def without_surrogates(text: str) -> str:
    r"""`text` as valid Unicode: half a character, such as JSON's `\ud83d` alone, becomes U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Two halves that belong together become the one character they spell.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
