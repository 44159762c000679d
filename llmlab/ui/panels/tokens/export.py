"""Tokens and chunks as CSV, JSON or text for the clipboard. No Qt; called in a worker thread."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from llmlab.engine.tokens.types import TokenKind
from llmlab.ui.panels.tokens.encoded import KIND_NAMES, Encoded
from llmlab.ui.panels.tokens.rows import Rows

if TYPE_CHECKING:
    from llmlab.engine.tokens.types import Chunk

TOKEN_COLUMNS = (
    "index", "token_id", "token", "text", "bytes_hex", "start", "end", "word", "kind", "count_in_text", "merge_rank",
)  # fmt: skip


def rows_text(rows: Rows, kind: str) -> str:
    """The table as it is filtered and sorted: "csv", "json", or tab-separated as "copy"."""
    lines = _token_rows(rows)
    if kind == "json":
        content = {
            "tokenizer": rows.encoded.spec,
            "text": rows.encoded.tokens.text,
            "add_special_tokens": rows.encoded.special,
            "tokens": [dict(zip(TOKEN_COLUMNS, line, strict=True)) for line in lines],
        }
        return json.dumps(content, ensure_ascii=False, indent=1)
    return table_text(TOKEN_COLUMNS, lines, "\t" if kind == "copy" else ",")


def chunks_text(encoded: Encoded, chunks: Iterable[Chunk], kind: str) -> str:
    """Chunks with their places: "csv" or "json"."""
    text = encoded.tokens.text
    lines = [
        (number + 1, len(chunk.ids), chunk.start, chunk.end, text[chunk.start : chunk.end])
        for number, chunk in enumerate(chunks)
    ]
    columns = ("chunk", "tokens", "start", "end", "text")
    if kind == "json":
        content = {"tokenizer": encoded.spec, "chunks": [dict(zip(columns, line, strict=True)) for line in lines]}
        return json.dumps(content, ensure_ascii=False, indent=1)
    return table_text(columns, lines)


def table_text(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], delimiter: str = ",") -> str:
    """Rows under a header."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _token_rows(rows: Rows) -> Iterator[tuple[Any, ...]]:
    encoded = rows.encoded
    tokens, table = encoded.tokens, encoded.table
    columns = (tokens.ids, tokens.starts, tokens.ends, tokens.words, tokens.kinds, tokens.counts)
    picked = (column[rows.indices].tolist() for column in columns)
    names = {int(kind): name for kind, name in KIND_NAMES.items()}
    assert set(names) == {int(kind) for kind in TokenKind}
    for index, token_id, start, end, word, kind, count in zip(rows.indices.tolist(), *picked, strict=True):
        rank = int(table.ranks[token_id])
        yield (
            index,
            token_id,
            table.pieces[token_id],
            table.texts[token_id],
            table.bytes_of(token_id).hex(" ").upper(),
            start,
            end,
            word if word >= 0 else None,
            names[kind],
            count,
            rank if rank >= 0 else None,
        )
