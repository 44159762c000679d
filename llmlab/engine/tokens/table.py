"""The vocabulary as a table: what each id spells, in raw, readable and binary form."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from llmlab.engine.tokens.parts import BYTE_LEVEL_BPE, SLOW, Parts, algorithm_of, keeps_every_byte, model_state
from llmlab.engine.tokens.types import TokenKind, VocabularyTable
from llmlab.engine.types import Bool, Float32, Int32

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_WORD_START = "▁"
_BYTE_READERS = ("ByT5Tokenizer", "PerceiverTokenizer")  # slow tokenizers whose pieces are single bytes


def read_parts(tokenizer: PreTrainedTokenizerBase) -> Parts:
    """Take `tokenizer` apart; about a second at a vocabulary of 150,000."""
    backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
    if backend is not None:
        backend.no_truncation()  # some tokenizer.json files cut at 512 tokens without a word
        backend.no_padding()
        model, merges = model_state(backend)
        algorithm = algorithm_of(backend, model)
        plain = backend.get_vocab(with_added_tokens=False)
    else:
        model, merges, algorithm, plain = {}, (), SLOW, dict(tokenizer.get_vocab())
    added = tokenizer.added_tokens_decoder
    size = max([*plain.values(), *added], default=-1) + 1
    pieces = [""] * size
    for piece, index in plain.items():
        pieces[index] = piece
    for index, token in added.items():
        pieces[index] = token.content
    kinds = _kinds(tokenizer, pieces, model)
    data = _data(tokenizer, pieces, kinds, algorithm, model)
    for index in np.flatnonzero(kinds == TokenKind.NORMAL):
        if not _is_text(data[index]):
            kinds[index] = TokenKind.BYTES
    texts = _texts(pieces, data, kinds, algorithm)
    table = VocabularyTable(
        tuple(pieces),
        tuple(texts),
        kinds,
        np.fromiter(map(len, data), np.int32, size),
        _ranks(size, merges, plain, model),
        _scores(size, model),
        tuple(data),
    )
    spelled = _spelled(table, added) if backend is not None and keeps_every_byte(backend) else None
    return Parts(tokenizer, backend, algorithm, model, merges, plain, frozenset(added), table, _glue(texts), spelled)


def _kinds(tokenizer: PreTrainedTokenizerBase, pieces: list[str], model: dict[str, Any]) -> Any:
    kinds = np.full(len(pieces), TokenKind.NORMAL, np.uint8)
    for index, token in tokenizer.added_tokens_decoder.items():
        kinds[index] = TokenKind.SPECIAL if token.special else TokenKind.ADDED
    special = [index for index in tokenizer.all_special_ids if index < len(pieces)]
    kinds[special] = TokenKind.SPECIAL
    prefix = model.get("continuing_subword_prefix")
    for index, piece in enumerate(pieces):
        if kinds[index] != TokenKind.NORMAL:
            continue
        if prefix and piece.startswith(prefix) and piece != prefix:
            kinds[index] = TokenKind.CONTINUATION
        elif _BYTE_TOKEN.fullmatch(piece):
            kinds[index] = TokenKind.BYTES
    unknown = _unknown_id(tokenizer, pieces, model)
    if unknown is not None:
        kinds[unknown] = TokenKind.UNKNOWN
    return kinds


def _unknown_id(tokenizer: PreTrainedTokenizerBase, pieces: list[str], model: dict[str, Any]) -> int | None:
    """The id for what cannot be spelled; None where that cannot happen (GPT-2 names one that it never uses)."""
    if not model:
        unknown = tokenizer.unk_token_id
        ends = (tokenizer.eos_token_id, tokenizer.pad_token_id)
        return None if unknown in ends or not isinstance(unknown, int) else unknown
    if model["type"] == "Unigram":
        return None if model["unk_id"] is None else int(model["unk_id"])
    token = model.get("unk_token")
    return pieces.index(token) if token in pieces else None


def _data(
    tokenizer: PreTrainedTokenizerBase, pieces: list[str], kinds: Any, algorithm: str, model: dict[str, Any]
) -> list[bytes]:
    """The UTF-8 bytes that each token stands for."""
    spell = _bytes_of_character if algorithm == BYTE_LEVEL_BPE else _plain_bytes
    if type(tokenizer).__name__ in _BYTE_READERS:
        spell = _latin
    prefix = model.get("continuing_subword_prefix") or ""
    suffix = model.get("end_of_word_suffix") or ""
    data = []
    for piece, kind in zip(pieces, kinds.tolist(), strict=True):
        if kind in (TokenKind.SPECIAL, TokenKind.UNKNOWN):
            data.append(b"")
        elif kind == TokenKind.ADDED:
            data.append(piece.encode("utf-8", "replace"))
        else:
            if kind == TokenKind.CONTINUATION:
                piece = piece.removeprefix(prefix)
            if suffix and piece.endswith(suffix):
                piece = piece.removesuffix(suffix) + " "
            data.append(spell(piece))
    return data


def _texts(pieces: list[str], data: list[bytes], kinds: Any, algorithm: str) -> list[str]:
    """What each token reads as on its own. WordPiece's ## stays: it is all that tells “##s” from “s”."""
    texts = []
    for index, (piece, raw, kind) in enumerate(zip(pieces, data, kinds.tolist(), strict=True)):
        if not piece:
            texts.append(f"<unused {index}>")
        elif kind in (TokenKind.SPECIAL, TokenKind.UNKNOWN, TokenKind.ADDED, TokenKind.CONTINUATION):
            texts.append(piece)
        else:
            texts.append(raw.decode("utf-8", "llmlab.bytes.shown"))
    return texts


def _ranks(size: int, merges: tuple[tuple[str, str], ...], plain: dict[str, int], model: dict[str, Any]) -> Int32:
    ranks = np.full(size, -1, np.int32)
    prefix = model.get("continuing_subword_prefix") or ""
    for rank, (left, right) in enumerate(merges):
        index = plain.get(left + right.removeprefix(prefix))
        if index is not None and ranks[index] < 0:
            ranks[index] = rank
    return ranks


def _scores(size: int, model: dict[str, Any]) -> Float32 | None:
    if model.get("type") != "Unigram":
        return None
    scores = np.full(size, np.nan, np.float32)
    scores[: len(model["scores"])] = model["scores"]
    return scores


def _spelled(table: VocabularyTable, added: Iterable[int]) -> Int32:
    """How many bytes of a text each token covers: of an added one, its name."""
    lengths = table.byte_lengths.copy()
    for index in added:
        lengths[index] = len(table.pieces[index].encode())
    return lengths


def _glue(texts: list[str]) -> Bool:
    """Two columns, (vocabulary, 2): begins, ends with a letter, mark or digit."""
    bare = [text.removeprefix("##") for text in texts]
    begins = np.fromiter((text[:1].isalnum() for text in bare), np.bool_, len(bare))
    ends = np.fromiter((text[-1:].isalnum() for text in bare), np.bool_, len(bare))
    return np.stack([begins, ends], axis=1)


def _byte_of_character() -> dict[int, int]:
    """Byte-level BPE writes each byte as a printable character: itself where it is one, else from 256 on (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: byte for byte in printable} | {256 + place: byte for place, byte in enumerate(others)}


_BYTES = _byte_of_character()


def _bytes_of_character(piece: str) -> bytes:
    try:
        return piece.translate(_BYTES).encode("latin-1")
    except UnicodeEncodeError:  # a token that is not spelled in bytes, as some converted vocabularies have
        return piece.encode("utf-8", "replace")


def _plain_bytes(piece: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(piece)
    if byte:
        return bytes([int(byte[1], 16)])
    return piece.replace(_WORD_START, " ").encode("utf-8", "replace")


def _latin(piece: str) -> bytes:
    return piece.encode("latin-1", "replace")


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _show_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"<0x{byte:02X}>" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("llmlab.bytes.shown", _show_bytes)
