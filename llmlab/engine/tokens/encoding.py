"""Text to arrays of tokens, fast: long texts in blocks that are proven to fit together.

The library holds the interpreter's lock while it encodes a single text, and copies offsets into a list of a million
tuples. So everything goes through `encode_batch`, which releases the lock and uses all cores, and long texts are cut:
each block is read with some text on either side, and two neighbours must agree about the tokens around their seam.
Where they do not, the text is read in one piece.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.tokens.parts import Parts
from llmlab.engine.tokens.types import TokenKind, Tokens, UInt8
from llmlab.engine.types import Int32, Int64

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BLOCK = 16_384  # characters read at a time
BATCH = 8  # blocks given to the library at once
MARGIN = 160  # characters of a block's neighbours that it reads as well
AGREEMENT = 40  # characters after a seam for which both blocks must give the same tokens
_SEARCH = 2_048  # characters in which a seam is looked for
_LONGEST_GAP = 1_024  # bytes of white space that a slow tokenizer may drop
_REPLACEMENT = "\ufffd"
_LONE = re.compile("[\ud800-\udfff]")
_SEAMS = (re.compile(r"(?<=\w)(?= [A-Za-z])"), re.compile(r"(?<=\w)(?=\n+\w|[^\w\s]\w| \w)"))


@dataclass(frozen=True, slots=True)
class Arrays:
    """Tokens without what can be derived from them. All int32 (tokens,); `words` −1 for none."""

    ids: Int32
    starts: Int32
    ends: Int32
    words: Int32


def without_surrogates(text: str) -> tuple[str, int]:
    """`text` with each lone half of a surrogate pair as U+FFFD, and how many there were."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _LONE.subn(_REPLACEMENT, text)
    return text, 0


def encode(parts: Parts, text: str, *, special: bool = True, control: Control = UNCONTROLLED) -> Tokens:
    """`text` as the tokenizer reads it, with the special tokens it adds unless `special` is False. Any string will do.

    Raises Cancelled between blocks.
    """
    text, replaced = without_surrogates(text)
    if parts.backend is None:
        arrays, known = _slow(parts, text, special=special)
    else:
        arrays, known = _fast(parts, text, special, control), True
    ids = arrays.ids
    counts = np.bincount(ids, minlength=1)[ids].astype(np.int32) if len(ids) else ids.copy()
    groups = _groups(arrays) if known else np.full(len(ids), -1, np.int32)
    kinds = _kinds(parts, arrays)
    return Tokens(text, ids, arrays.starts, arrays.ends, arrays.words, kinds, groups, counts, replaced, known)


def _fast(parts: Parts, text: str, special: bool, control: Control) -> Arrays:
    backend = parts.backend
    assert backend is not None
    if len(text) > 2 * BLOCK:
        seams = _seams(text)
        arrays = _in_blocks(parts, text, seams, control) if seams else None
        if arrays is not None:
            return _framed(backend, arrays, text) if special else arrays
    [encoding] = backend.encode_batch([text], add_special_tokens=special)
    return _placed_at_end(_arrays(encoding), encoding.special_tokens_mask, len(text))


def _arrays(encoding: Any) -> Arrays:
    ids = np.array(encoding.ids, np.int32)
    flat = itertools.chain.from_iterable(encoding.offsets)
    offsets = np.fromiter(flat, np.int32, 2 * len(ids)).reshape(-1, 2)
    return Arrays(ids, offsets[:, 0].copy(), offsets[:, 1].copy(), _words(encoding))


def _words(encoding: Any) -> Int32:
    return np.nan_to_num(np.array(encoding.word_ids, np.float64), nan=-1.0).astype(np.int32)


def _read(parts: Parts, texts: list[str]) -> list[Arrays]:
    """Tokens of each text, without special ones."""
    assert parts.backend is not None
    encodings = parts.backend.encode_batch(texts, add_special_tokens=False)
    return [_placed(parts, text, encoding) for text, encoding in zip(texts, encodings, strict=True)]


def _placed(parts: Parts, text: str, encoding: Any) -> Arrays:
    """The tokens of `text`; where they cover all of its bytes in a row, their places follow from their lengths.

    That takes a fifth of the time of the library's list of pairs.
    """
    if parts.spelled is None:
        return _arrays(encoding)
    ids, raw = np.array(encoding.ids, np.int32), text.encode()
    lengths = parts.spelled[ids]
    stops = np.cumsum(lengths, dtype=np.int64)
    if not len(stops) or stops[-1] != len(raw):  # an added token took the white space around it
        return _arrays(encoding)
    return Arrays(ids, *_in_characters(raw, stops - lengths, stops), _words(encoding))


def _in_characters(raw: bytes, begins: Int64, stops: Int64) -> tuple[Int32, Int32]:
    """Places in UTF-8 bytes as places in characters, whole characters where a token has a part of one."""
    is_start = (np.frombuffer(raw, np.uint8) & 0xC0) != 0x80
    begun = np.concatenate([[0], np.cumsum(is_start)]).astype(np.int32)  # characters begun before each byte
    inside = np.append(~is_start, False)[begins]  # the token begins inside a character
    starts = (begun[begins] - inside).astype(np.int32)
    return starts, np.maximum(begun[stops], starts).astype(np.int32)


def _placed_at_end(arrays: Arrays, special_mask: list[int], length: int) -> Arrays:
    """Put added tokens that follow the text at its end: the library gives all of them the place 0."""
    mask = np.array(special_mask, np.bool_)
    after = len(mask) if mask.all() else len(mask) - int(np.argmin(mask[::-1]))
    arrays.starts[after:] = length
    arrays.ends[after:] = length
    return arrays


def _framed(backend: Tokenizer, arrays: Arrays, text: str) -> Arrays:
    """Add the special tokens before and after."""
    [sample] = backend.encode_batch([text[:MARGIN]], add_special_tokens=True)
    mask = np.array(sample.special_tokens_mask, np.bool_)
    before, after = int(np.argmin(mask)), int(np.argmin(mask[::-1]))
    ids, nothing = np.array(sample.ids, np.int32), np.zeros
    end = len(text)
    return Arrays(
        np.concatenate([ids[:before], arrays.ids, ids[len(ids) - after :]]),
        np.concatenate([nothing(before, np.int32), arrays.starts, np.full(after, end, np.int32)]),
        np.concatenate([nothing(before, np.int32), arrays.ends, np.full(after, end, np.int32)]),
        np.concatenate([np.full(before, -1, np.int32), arrays.words, np.full(after, -1, np.int32)]),
    )


def _seams(text: str) -> list[int]:
    """Places between words where blocks may meet, about `BLOCK` characters apart."""
    seams = []
    place = BLOCK
    while place < len(text) - BLOCK // 2:
        found = next((m for seam in _SEAMS if (m := seam.search(text, place, place + _SEARCH))), None)
        if found is None:
            place += _SEARCH
            continue
        seams.append(found.start())
        place = found.start() + BLOCK
    return seams


def _in_blocks(parts: Parts, text: str, seams: list[int], control: Control) -> Arrays | None:
    """The tokens of `text` without special ones, or None where blocks do not agree about a seam."""
    bounds = [0, *seams, len(text)]
    spans = [(max(0, a - MARGIN), a, b, min(len(text), b + MARGIN)) for a, b in itertools.pairwise(bounds)]
    done: list[Arrays] = []
    former: Arrays | None = None
    for first in range(0, len(spans), BATCH):
        control.check()
        batch = spans[first : first + BATCH]
        blocks = _read(parts, [text[low:high] for low, _, _, high in batch])
        for unplaced, (low, start, end, _) in zip(blocks, batch, strict=True):
            block = _shifted(unplaced, low)
            word = 0 if former is None else _word_at_seam(former, block, start)
            if word is None:
                return None
            done.append(_cut(block, start, end, word, is_last=end == len(text)))
            former = _renumbered(block, start, word)
    return Arrays(*(np.concatenate([getattr(part, name) for part in done]) for name in Arrays.__slots__))


def _shifted(arrays: Arrays, by: int) -> Arrays:
    return Arrays(arrays.ids, arrays.starts + np.int32(by), arrays.ends + np.int32(by), arrays.words)


def _first_at(arrays: Arrays, place: int) -> int:
    return int(np.searchsorted(arrays.starts, np.int32(place)))  # as int32: numpy would copy `starts` for an int


def _word_at_seam(former: Arrays, block: Arrays, seam: int) -> int | None:
    """The word number, as the former block counts, of the first token after the seam; None where they disagree."""
    regions = []
    for arrays in (former, block):
        if np.any(np.diff(arrays.starts) < 0):
            return None
        a, b = _first_at(arrays, seam), _first_at(arrays, seam + AGREEMENT)
        if a == b or np.any(arrays.ends[:a] > seam):
            return None
        regions.append((arrays.ids[a:b], arrays.starts[a:b], arrays.words[a:b]))
    (ids, starts, words), (other_ids, other_starts, other_words) = regions
    same = np.array_equal(ids, other_ids) and np.array_equal(starts, other_starts)
    if not same or not np.array_equal(words - words[0], other_words - other_words[0]):
        return None
    return int(words[0])


def _renumbered(block: Arrays, seam: int, word: int) -> Arrays:
    first = _first_at(block, seam) if seam else 0
    shift = word - int(block.words[first]) if len(block.words) > first else 0
    return Arrays(block.ids, block.starts, block.ends, block.words + np.int32(shift))


def _cut(block: Arrays, start: int, end: int, word: int, *, is_last: bool) -> Arrays:
    """The tokens that begin in start…end, their words counted on."""
    block = _renumbered(block, start, word)
    a = _first_at(block, start) if start else 0
    b = len(block.ids) if is_last else _first_at(block, end)
    return Arrays(block.ids[a:b], block.starts[a:b], block.ends[a:b], block.words[a:b])


def _slow(parts: Parts, text: str, *, special: bool) -> tuple[Arrays, bool]:
    """A slow tokenizer's ids, and whether their places are known: where the tokens spell the text, in its order."""
    encoded = parts.tokenizer(text, add_special_tokens=special, verbose=False)
    ids = np.array(encoded["input_ids"], np.int32).reshape(-1)
    words = np.full(len(ids), -1, np.int32)
    raw = text.encode()
    spans = _spelled(parts, ids.tolist(), raw)
    if spans is None:
        nowhere = np.zeros(len(ids), np.int32)
        return Arrays(ids, nowhere, nowhere.copy(), words), False
    begins, stops = np.array(spans, np.int64).reshape(-1, 2).T
    return Arrays(ids, *_in_characters(raw, begins, stops), words), True


def _spelled(parts: Parts, ids: list[int], raw: bytes) -> list[tuple[int, int]] | None:
    """Where each token's bytes stand in the text's; None where they do not follow each other.

    Between tokens there may be white space that the tokenizer drops. A special token has bytes only where the text
    has it written out; the space in front of the first word may have been added.
    """
    spans, place = [], 0
    for index in ids:
        data = parts.table.data[index]
        written = data or parts.table.pieces[index].encode()
        if not raw.startswith(written, place):
            ahead = raw[place : place + _LONGEST_GAP]
            after_gap = place + len(ahead) - len(ahead.lstrip())
            if raw.startswith(written, after_gap):
                place = after_gap
            elif data and raw.startswith(data.lstrip(), place):
                written = data.lstrip()
            elif data:
                return None
            else:
                written = b""
        spans.append((place, place + len(written)))
        place += len(written)
    return None if raw[place:].strip() else spans


def _groups(arrays: Arrays) -> Int32:
    """The same number for neighbours that overlap: together they spell a character."""
    groups = np.full(len(arrays.ids), -1, np.int32)
    shared = (arrays.starts[1:] < arrays.ends[:-1]) & (arrays.ends[1:] > arrays.starts[:-1])
    member = np.zeros(len(arrays.ids), np.bool_)
    member[1:] |= shared
    member[:-1] |= shared
    begins = member.copy()
    begins[1:] &= ~shared
    groups[member] = (np.cumsum(begins) - 1)[member]
    return groups


def _kinds(parts: Parts, arrays: Arrays) -> UInt8:
    kinds: UInt8 = parts.table.kinds[arrays.ids]
    if len(kinds) > 1:
        begins, ends = parts.glue[arrays.ids].T
        normal = (kinds == TokenKind.NORMAL) | (kinds == TokenKind.CONTINUATION)
        inside = normal[1:] & normal[:-1] & begins[1:] & ends[:-1]
        inside &= (arrays.words[1:] == arrays.words[:-1]) & (arrays.words[1:] >= 0)
        kinds[1:][inside] = TokenKind.CONTINUATION
    return kinds
