"""Text to tokens and back: ids, the text each token stands for, and where it stands in the text."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from llmlab.engine.errors import InputError
from llmlab.engine.types import TokenizedText

WORD_START = "▁"  # how SentencePiece writes the space before a word
BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def check_text(text: str) -> None:
    """Raise InputError for text that no tokenizer can read: half of a surrogate pair stands for no character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        place, code = error.start, ord(text[error.start])
    else:
        return
    raise InputError(
        f"Character {place + 1:,} of the text is half of a surrogate pair (U+{code:04X}), which is not a character.",
        "Remove it; text copied from a damaged file or cut in the middle of an emoji has such halves.",
    )


def encode(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = True, target: bool = False) -> list[int]:
    """The token ids of `text`, with the special tokens the tokenizer adds unless `special` is False.

    `target`: the text is for the decoder, which some translation models spell with a vocabulary of its own.
    Raises InputError for lone surrogates.
    """
    check_text(text)
    if tokenizer.is_fast and not target:
        ids: list[int] = _fast_encoding(tokenizer, text, special=special).ids
        return ids
    key = "text_target" if target else "text"
    encoded = tokenizer(**{key: text}, add_special_tokens=special, verbose=False)
    return list(encoded["input_ids"])


def word_ids(tokenizer: PreTrainedTokenizerBase, word: str, *, target: bool = False) -> tuple[tuple[int, ...], ...]:
    """The tokens of `word` in the middle of a text: with a space before it, and as it stands.

    Raises InputError for lone surrogates.
    """
    spelled = (encode(tokenizer, text, special=False, target=target) for text in (f" {word}", word))
    return tuple(dict.fromkeys(tuple(ids) for ids in spelled if ids))


def decode(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text of `ids`, exactly as the tokens spell it, without special tokens."""
    if tokenizer.is_fast:  # transformers' own decode only adds to this, at three times the cost
        return str(tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True))
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def joins_bytes(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a text is its tokens' bytes one after another, so that a token's text is the same wherever it stands."""
    return tokenizer.is_fast and [decoder["type"] for decoder in _decoders(tokenizer)] == ["ByteLevel"]


def tokenize(tokenizer: PreTrainedTokenizerBase, speller: Speller, text: str) -> TokenizedText:
    """`text` as the model reads it. Raises InputError for lone surrogates.

    Without a fast tokenizer the places in the text are not known: `offsets` are all 0 then.
    """
    check_text(text)
    if tokenizer.is_fast:
        encoding = _fast_encoding(tokenizer, text)
        ids = encoding.ids
        flat = chain.from_iterable(encoding.offsets)  # numpy reads a list of pairs ten times slower
        offsets = np.fromiter(flat, np.int64, 2 * len(ids)).reshape(-1, 2)
        special = np.fromiter(encoding.special_tokens_mask, np.bool_, len(ids))
    else:
        ids = encode(tokenizer, text)
        offsets = np.zeros((len(ids), 2), np.int64)
        special = np.isin(ids, tokenizer.all_special_ids)
    tokens, pieces = speller.spell(ids)
    return TokenizedText(text, np.array(ids, np.int64), tokens, pieces, offsets, special)


def _fast_encoding(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = True) -> Any:
    """The Rust tokenizer's own answer: transformers' call copies it into lists that take longer than tokenizing."""
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()  # some tokenizer.json files cut at 512 tokens without a word
    if backend.padding is not None:
        backend.no_padding()
    return backend.encode(text, add_special_tokens=special)


class Speller:
    """The text that each token stands for on its own, remembered for every id that was asked for.

    Byte-level tokens are decoded, bytes that are no whole character stay as <0xE2>; the ▁ of SentencePiece is a
    space; the ## of WordPiece stays, since it is all that tells “##s” from “s”.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._spell = _spelling(tokenizer)
        self._added = {index: str(token) for index, token in tokenizer.added_tokens_decoder.items()}
        self._tokens: dict[int, str] = {}
        self._texts: dict[int, str] = {}
        self._all: tuple[str, ...] | None = None

    def texts(self, ids: Iterable[int]) -> tuple[str, ...]:
        """One text for each of `ids`."""
        wanted = list(map(int, ids))
        try:  # most have been asked for before, step after step
            return tuple(map(self._texts.__getitem__, wanted))
        except KeyError:
            self._learn(wanted)
        return tuple(map(self._texts.__getitem__, wanted))

    def spell(self, ids: list[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The vocabulary's own spelling of each of `ids`, and the text each stands for."""
        self._learn(ids)
        return tuple(map(self._tokens.__getitem__, ids)), tuple(map(self._texts.__getitem__, ids))

    def vocabulary(self) -> tuple[str, ...]:
        """The text of every id the model can produce; about 0.2 s at a vocabulary of 152,000, once."""
        if self._all is None:
            self._all = self.texts(range(self._vocabulary))
        return self._all

    def _learn(self, ids: list[int]) -> None:
        missing = list(set(ids) - self._texts.keys())
        if missing:
            tokens = self._tokenizer.convert_ids_to_tokens(missing)
            texts = map(self._text, missing, tokens)
            self._tokens.update(zip(missing, (token or "" for token in tokens), strict=True))
            self._texts.update(zip(missing, texts, strict=True))

    def _text(self, index: int, token: str | None) -> str:
        if index in self._added:
            return self._added[index]
        return f"<unused {index}>" if token is None else self._spell(token)


def _spelling(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
    """How this tokenizer's pieces become text, as its own decoder says."""
    decoders = _decoders(tokenizer)
    kinds = {decoder["type"] for decoder in decoders}
    if "ByteLevel" in kinds:
        return _from_byte_level
    suffixes = [decoder["suffix"] for decoder in decoders if decoder["type"] == "BPEDecoder"]
    if suffixes:
        return lambda token: token.replace(suffixes[0], " ")
    if "WordPiece" in kinds:
        return str
    return _from_sentencepiece


def _decoders(tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.decoder is None:
        return []
    state = json.loads(backend.decoder.__getstate__())
    return list(state["decoders"]) if state["type"] == "Sequence" else [state]


def _byte_of_character() -> dict[int, int]:
    """Byte-level BPE writes each byte as a printable character: itself where it is one, else from 256 on (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: byte for byte in printable} | {256 + i: byte for i, byte in enumerate(others)}


_BYTES = _byte_of_character()


def _show_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"<0x{byte:02X}>" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("llmlab.bytes", _show_bytes)


def _from_byte_level(token: str) -> str:
    try:
        data = token.translate(_BYTES).encode("latin-1")
    except UnicodeEncodeError:  # a token that is not spelled in bytes, as some converted vocabularies have
        return token
    return data.decode("utf-8", "llmlab.bytes")


def _from_sentencepiece(token: str) -> str:
    byte = BYTE_TOKEN.fullmatch(token)
    if byte and (code := int(byte[1], 16)) < 0x80:
        return chr(code)
    return token.replace(WORD_START, " ")
