"""A text as one tokenizer reads it, with all that the panel tells about it. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmlab.engine.distinct import distinct
from llmlab.engine.text_metrics import word_count
from llmlab.engine.tokens.types import TokenizerInfo, TokenKind, Tokens, VocabularyTable
from llmlab.ui.widgets.strip_text import StripText
from llmlab.ui.widgets.tokentext import visible

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer

KIND_NAMES = {
    TokenKind.NORMAL: "normal",
    TokenKind.SPECIAL: "special",
    TokenKind.ADDED: "added",
    TokenKind.BYTES: "bytes",
    TokenKind.UNKNOWN: "unknown",
    TokenKind.CONTINUATION: "continuation",
}
KIND_HELP = {
    TokenKind.NORMAL: "An ordinary piece of text",
    TokenKind.SPECIAL: "Marks the beginning, the end or a gap for the model; it stands for no text",
    TokenKind.ADDED: "Was added to the vocabulary after training; always cut out whole",
    TokenKind.BYTES: "Some bytes that are no whole character",
    TokenKind.UNKNOWN: "Stands for a text that the vocabulary cannot spell",
    TokenKind.CONTINUATION: "Goes on with a word that began before",
}


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Tokens with their words, ready to be painted."""

    spec: str
    given: str  # the text as it was given; `tokens.text` may differ in what is no character
    info: TokenizerInfo
    tokens: Tokens
    table: VocabularyTable
    source: StripText
    distinct: int  # different ids
    text_bytes: int
    text_words: int  # runs of characters between white space
    special: bool  # whether the special tokens that the tokenizer adds are among them
    whole: int  # tokens that the model reads, special ones included

    @classmethod
    def of(
        cls, spec: str, opened: OpenTokenizer, text: str, tokens: Tokens | None = None, *, special: bool = True
    ) -> Encoded:
        """Encode `text`, unless its `tokens` are known. Made in a worker thread."""
        known = tokens is not None
        tokens, table = opened.encode(text, special=special) if tokens is None else tokens, opened.table
        hidden = (int(TokenKind.SPECIAL), int(TokenKind.ADDED), int(TokenKind.UNKNOWN))

        def by_name(token_id: int) -> bool:
            return int(table.kinds[token_id]) in hidden

        source = StripText.of(tokens, table.texts.__getitem__, by_name)
        different = len(distinct(tokens.ids))
        size = len(text.encode("utf-8", "surrogatepass"))
        whole = len(tokens.ids) if special or known else len(opened.encode(text).ids)
        words = word_count(text)
        return cls(spec, text, opened.info, tokens, table, source, different, size, words, special, whole)

    def __len__(self) -> int:
        return len(self.tokens.ids)

    @property
    def added(self) -> int:
        """Tokens that stand for no text: what the tokenizer puts around it."""
        tokens = self.tokens
        return int(np.count_nonzero((tokens.starts == tokens.ends) & (tokens.kinds == int(TokenKind.SPECIAL))))

    def name(self, index: int) -> str:
        """The token's text with everything visible."""
        return visible(self.table.texts[int(self.tokens.ids[index])])

    def spelled(self, index: int) -> str:
        """Its bytes in hex, such as "E2 96 81"."""
        return self.table.bytes_of(int(self.tokens.ids[index])).hex(" ").upper()

    def title(self, index: int) -> str:
        """The token's name and number."""
        return f"{self.name(index)[:60]}   token {index + 1:,} of {len(self):,}"

    def facts(self, index: int) -> tuple[tuple[str, str], ...]:
        """Everything known of one token: (name, value)."""
        tokens, table = self.tokens, self.table
        token_id = int(tokens.ids[index])
        start, end = int(tokens.starts[index]), int(tokens.ends[index])
        kind, word, group = TokenKind(int(tokens.kinds[index])), int(tokens.words[index]), int(tokens.groups[index])
        piece = visible(table.pieces[token_id])
        facts = [
            ("token id", f"{token_id}"),
            ("in the vocabulary", piece if len(piece) <= 40 else piece[:40] + "…"),
            ("bytes", _short(self.spelled(index))),
            ("characters", f"{start:,} to {end:,}" if end > start else "none"),
            ("word", f"{word + 1:,}" if word >= 0 else "none"),
            ("kind", KIND_NAMES[kind]),
            ("in this text", f"{int(tokens.counts[index]):,} ×"),
        ]
        if int(table.ranks[token_id]) >= 0:
            facts.append(("merge rank", f"{int(table.ranks[token_id]):,}"))
        if table.scores is not None:
            facts.append(("score", f"{float(table.scores[token_id]):.4f}"))
        if group >= 0:
            shared = visible(tokens.text[start:end])
            number = int(np.count_nonzero(tokens.groups == group))
            facts.append(("", f"one of {number} tokens that share {shared}"))
        return tuple(facts)

    def selected_text(self, first: int, last: int) -> str:
        """What the tokens first … last stand for."""
        starts, ends = self.tokens.starts[first : last + 1], self.tokens.ends[first : last + 1]
        real = ends > starts
        return self.tokens.text[int(starts[real].min()) : int(ends[real].max())] if real.any() else ""


def _short(text: str, limit: int = 48) -> str:
    return text if len(text) <= limit else text[:limit] + " …"
