"""A tokenizer without a library: words for tokens, emoji as single bytes; and a view that writes down."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llmlab.engine.errors import InputError, ModelNotFoundError
from llmlab.engine.tokens import types as engine_types
from llmlab.engine.tokens.types import (
    Chunk,
    MergeStep,
    MergeTrace,
    RenderedChat,
    RoundTrip,
    StagePiece,
    TokenDetails,
    TokenizerInfo,
    TokenKind,
    Tokens,
    Trace,
    VocabularyTable,
)
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.merging import Traced
from llmlab.ui.panels.tokens.params import Params
from llmlab.ui.panels.tokens.piping import Pipeline
from llmlab.ui.panels.tokens.plane import MapPicture
from llmlab.ui.panels.tokens.rows import Rows
from llmlab.ui.panels.tokens.screen import Screen
from llmlab.ui.panels.tokens.searching import Found
from llmlab.ui.panels.tokens.tooling import Chunks
from llmlab.ui.panels.tokens.vectors import Looked, Near
from llmlab.ui.screen import Stage

PIECE = re.compile(r"\s?\w+|\s+|[^\w\s]", re.DOTALL)
BOS = 0
FIRST_BYTE = 1
FIRST_WORD = 257


class FakeTokenizer:
    """Words, each with the space before it; a character beyond Latin is spelled in bytes. Grows as it reads."""

    def __init__(self, spec: str, context: int | None = 64) -> None:
        self.info = TokenizerInfo(
            spec, f"Name of {spec}", "byte-level BPE", 1000, "NFC", "", "", True, spec != "plain", context
        )
        self.words: list[str] = []
        self.read: list[str] = []

    @property
    def table(self) -> VocabularyTable:
        pieces = ("<s>", *(f"<0x{i:02X}>" for i in range(256)), *self.words)
        data = (b"", *(bytes([i]) for i in range(256)), *(word.encode("utf-8", "surrogatepass") for word in self.words))
        kinds = [TokenKind.SPECIAL, *[TokenKind.BYTES] * 256, *[TokenKind.NORMAL] * len(self.words)]
        ranks = [-1] * FIRST_WORD + list(range(len(self.words)))
        return VocabularyTable(
            pieces,
            pieces,
            np.array(kinds, np.uint8),
            np.array([len(item) for item in data], np.int32),
            np.array(ranks, np.int32),
            None,
            data,
        )

    def encode(self, text: str, _control: Any = None, *, special: bool = True) -> Tokens:
        self.read.append(text)
        rows: list[tuple[int, int, int, int, int]] = [(BOS, 0, 0, -1, -1)] * special
        for word, found in enumerate(PIECE.finditer(text)):
            if all(ord(c) < 0x250 or 0xD800 <= ord(c) < 0xE000 for c in found[0]):
                rows.append((self._id(found[0]), found.start(), found.end(), word, -1))
            else:
                for place in range(found.start(), found.end()):
                    data = text[place].encode("utf-8", "surrogatepass")
                    group = place if len(data) > 1 else -1
                    rows.extend((FIRST_BYTE + byte, place, place + 1, word, group) for byte in data)
        ids, starts, ends, words, groups = np.array(rows, np.int32).reshape(-1, 5).T.copy()
        kinds = np.where(ids == BOS, TokenKind.SPECIAL, np.where(ids < FIRST_WORD, TokenKind.BYTES, TokenKind.NORMAL))
        counts = np.bincount(ids)[ids].astype(np.int32)
        return Tokens(text, ids, starts, ends, words, kinds.astype(np.uint8), groups, counts)

    def _id(self, word: str) -> int:
        if word not in self.words:
            self.words.append(word)
        return FIRST_WORD + self.words.index(word)

    def stages(self, text: str, limit: int = 20_000) -> tuple[engine_types.Stage, ...]:
        pieces = tuple(StagePiece(m[0], m.start(), m.end()) for m in PIECE.finditer(text[:limit]))
        return (engine_types.Stage("Normalizer", "NFC", (StagePiece(text, 0, len(text)),), "Changes nothing."),
                engine_types.Stage("Pre-tokenizer", "Words", pieces, f"Makes {len(pieces)} parts."))  # fmt: skip

    def round_trip(self, text: str) -> RoundTrip:
        return RoundTrip(True, text, None, "They are equal.")

    def trace(self, word: str) -> Trace:
        if len(word) > 100:
            raise InputError("The word is too long.", "Choose a shorter one.")
        symbols, steps = tuple(word), []
        while len(symbols) > 1:
            merged = symbols[0] + symbols[1]
            pair, symbols = (symbols[0], symbols[1]), (merged, *symbols[2:])
            steps.append(MergeStep(symbols, pair, len(steps), merged, 0))
        return MergeTrace(word, tuple(word), tuple(steps), symbols, (FIRST_WORD,))

    def search(self, query: str, mode: str = "text", **_: Any) -> np.ndarray:
        if mode == "regex" and query == "(":
            raise InputError("This is no regular expression.", "Close the bracket.")
        found = [i for i, piece in enumerate(self.table.pieces) if query in piece]
        return np.array(found, np.int32)

    def scripts(self) -> tuple[str, ...]:
        return ("Latin", "Han")

    def chunks(self, text: str, size: int, overlap: int = 0) -> tuple[Chunk, ...]:
        if overlap >= size:
            raise InputError("The overlap is too large.", "Make it smaller than the chunk.")
        tokens = self.encode(text)
        starts = range(1, len(tokens.ids), size - overlap)
        return tuple(
            Chunk(int(tokens.starts[i]), int(tokens.ends[i : i + size].max()), tokens.ids[i : i + size]) for i in starts
        )

    def chat(self, messages: list[dict[str, str]], *, add_generation_prompt: bool = True) -> RenderedChat:
        if not messages:
            raise InputError("There are no messages.", "Type one.")
        text = "".join(f"[{m['role']}] {m['content']}\n" for m in messages) + "[assistant]" * add_generation_prompt
        return RenderedChat(text, self.encode(text))

    def details(self, token_id: int) -> TokenDetails:
        piece = self.table.pieces[token_id]
        kind = TokenKind(int(self.table.kinds[token_id]))
        return TokenDetails(token_id, piece, piece, piece.encode(), kind, None, None, None, "Latin", "rare", ())


class Openers:
    """Opens any spec but "missing"."""

    def __init__(self) -> None:
        self.made: dict[str, FakeTokenizer] = {}

    def __call__(self, spec: str) -> Any:
        if spec == "missing":
            raise ModelNotFoundError("There is no such tokenizer.", "Choose another one.")
        return self.made.setdefault(spec, FakeTokenizer(spec))


class FakeView:
    """Remembers the last of everything."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.params: Params | None = None
        self.encoded: Encoded | None = None
        self.rows: Rows | None = None
        self.pipeline: Pipeline | None = None
        self.word = ""
        self.traced: Traced | None = None
        self.step = -1
        self.compared: Any = None
        self.found: Found | None = None
        self.details: TokenDetails | None = None
        self.neighbours: tuple[tuple[str, float], ...] = ()
        self.embedding_stage: Stage | None = None
        self.looked: Looked | None = None
        self.layer = (0, 0)
        self.near: Near | None = None
        self.sum: tuple[str, Near | None] = ("", None)
        self.map: MapPicture | None = None
        self.chat: tuple[Encoded | None, str] = (None, "")
        self.chunks: Chunks | None = None
        self.price = (0, 0.0)
        self.errors: list[ErrorInfo] = []
        self.tokens_marked: list[tuple[int, int]] = []
        self.rows_marked: list[tuple[int, int]] = []
        self.copied: list[str] = []
        self.asked: list[str] = []
        self.path: Path | None = None

    def show(self, screen: Screen) -> None:
        self.screen = screen

    def show_params(self, params: Params) -> None:
        self.params = params

    def show_encoded(self, encoded: Encoded | None) -> None:
        self.encoded = encoded

    def select_tokens(self, first: int, last: int) -> None:
        self.tokens_marked.append((first, last))

    def show_rows(self, rows: Rows | None) -> None:
        self.rows = rows

    def select_rows(self, first: int, last: int) -> None:
        self.rows_marked.append((first, last))

    def show_pipeline(self, pipeline: Pipeline | None) -> None:
        self.pipeline = pipeline

    def show_word(self, word: str) -> None:
        self.word = word

    def show_trace(self, traced: Traced | None, step: int) -> None:
        self.traced, self.step = traced, step

    def show_compared(self, compared: Any) -> None:
        self.compared = compared

    def show_compare_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def show_found(self, found: Found | None) -> None:
        self.found = found

    def show_search_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def show_details(self, details: TokenDetails | None) -> None:
        self.details = details

    def show_neighbours(self, neighbours: tuple[tuple[str, float], ...]) -> None:
        self.neighbours = neighbours

    def show_embedding_stage(self, stage: Stage) -> None:
        self.embedding_stage = stage

    def show_looked(self, looked: Looked | None) -> None:
        self.looked = looked

    def show_layer(self, layer: int, layers: int) -> None:
        self.layer = (layer, layers)

    def show_near(self, near: Near | None) -> None:
        self.near = near

    def show_sum(self, text: str, near: Near | None) -> None:
        self.sum = (text, near)

    def show_map(self, picture: MapPicture | None) -> None:
        self.map = picture

    def show_chat(self, encoded: Encoded | None, message: str) -> None:
        self.chat = (encoded, message)

    def show_chunks(self, chunks: Chunks | None) -> None:
        self.chunks = chunks

    def show_chunk_error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def show_price(self, tokens: int, price: float) -> None:
        self.price = (tokens, price)

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        self.asked.append(name)
        if self.path is not None:
            then(self.path)
