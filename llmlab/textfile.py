"""Reads text files of any origin into a prompt, and writes results. No Qt, no execution of anything."""

from __future__ import annotations

import codecs
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llmlab.engine.errors import InputError

EDITOR_LIMIT = 2_000_000  # bytes: a larger file is previewed and asked about
PREVIEW_BYTES = 65_536
TEXT_SUFFIXES = frozenset({".txt", ".md", ".markdown", ".rst", ".text", ".prompt", ".log"})

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Text:
    """Characters of a file. `whole` is False when only its beginning was read."""

    path: Path
    text: str
    encoding: str
    size: int  # bytes of the whole file
    whole: bool


@dataclass(frozen=True, slots=True)
class Undecided:
    """Not Unicode: `candidates` are (encoding, how the beginning would read), the likeliest first."""

    path: Path
    candidates: tuple[tuple[str, str], ...]


def read(path: Path, encoding: str | None = None, limit: int | None = None) -> Text | Undecided:
    """Read `path`, at most its first `limit` bytes. Raises InputError for what is not text."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read() if limit is None else file.read(limit)
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read: {error.strerror}.", "Check that the file is still there."
        ) from None
    whole = len(data) >= size
    chosen = encoding or detect(data, whole=whole)
    if chosen is None:
        _refuse_binary(path, data)
        return Undecided(path, _candidates(data))
    try:
        text = _decode(data, chosen, whole=whole)
    except (UnicodeDecodeError, LookupError):
        raise InputError(f"{path.name} is not valid {chosen}.", "Choose another encoding.") from None
    _refuse_binary(path, data if "\0" in text else b"")
    return Text(path, text.replace("\r\n", "\n").replace("\r", "\n"), chosen, size, whole)


def detect(data: bytes, *, whole: bool = True) -> str | None:
    """The Unicode encoding of `data`: by its byte order mark, or UTF-8 if it is valid; None otherwise."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data[:PREVIEW_BYTES]:
        return _utf16_without_mark(data[:PREVIEW_BYTES])
    try:
        _decode(data, "utf-8", whole=whole)
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _utf16_without_mark(data: bytes) -> str | None:
    """Western text in UTF-16 has a zero in nearly every second byte, always on the same side."""
    half = len(data) // 2
    for encoding, high, low in (("utf-16-le", data[1::2], data[0::2]), ("utf-16-be", data[0::2], data[1::2])):
        if high.count(0) > 0.6 * half and low.count(0) == 0:
            return encoding
    return None


def _decode(data: bytes, encoding: str, *, whole: bool) -> str:
    # Not final: a beginning may end in the middle of a character, which is then left out.
    return codecs.getincrementaldecoder(encoding)().decode(data, final=whole)


def _refuse_binary(path: Path, data: bytes) -> None:
    if b"\0" in data[:PREVIEW_BYTES]:
        raise InputError(
            f"{path.name} is not a text file: it contains zero bytes.",
            "Drop a text file such as .txt or .md, or the folder of a model.",
        )


def _candidates(data: bytes) -> tuple[tuple[str, str], ...]:
    from charset_normalizer import from_bytes

    sample = data[:PREVIEW_BYTES]
    names = [match.encoding for match in from_bytes(sample)]
    names += [
        name for name in ("cp1252", "latin_1", "cp1251", "shift_jis", "gb18030", "big5", "euc_kr") if name not in names
    ]
    readable = []
    for name in names:
        try:
            readable.append((name, _decode(sample, name, whole=False)[:300]))
        except (UnicodeDecodeError, LookupError):
            continue
    return tuple(readable)


def write(path: Path, text: str) -> None:
    """Write UTF-8 so that a full disk or a killed process leaves the former file whole. Raises OSError."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as `write` does, of whatever kind. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
