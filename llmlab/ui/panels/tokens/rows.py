"""The rows of the table: which tokens, in which order. No Qt; found in a worker thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmlab.engine.tokens.types import TokenKind
from llmlab.engine.types import Int32
from llmlab.ui.panels.tokens.encoded import KIND_NAMES, Encoded
from llmlab.ui.widgets.tokentext import visible

COLUMNS = ("#", "token", "id", "bytes", "from", "to", "word", "kind", "in text", "rank")
NUMBERS = frozenset(("#", "id", "from", "to", "word", "in text", "rank"))


@dataclass(frozen=True, slots=True)
class Order:
    """What the table shows: tokens that contain `query`, of the kind `kind`, by `column`."""

    query: str = ""
    kind: int = -1  # a TokenKind, or -1 for all
    column: int = 0
    descending: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """`indices` int32 (rows,): the tokens in the order that is shown."""

    encoded: Encoded
    order: Order
    indices: Int32

    @classmethod
    def of(cls, encoded: Encoded, order: Order) -> Rows:
        """Filter, then sort; equal ones stay in the text's order."""
        kept = np.arange(len(encoded), dtype=np.int32)
        if order.query:
            kept = kept[_matching(encoded, order.query)]
        if order.kind >= 0:
            kept = kept[encoded.tokens.kinds[kept] == order.kind]
        if order.column or order.descending:
            keys = _keys(encoded, order.column)[kept]
            kept = kept[np.argsort(-keys if order.descending else keys, kind="stable")]
        return cls(encoded, order, kept)

    def __len__(self) -> int:
        return len(self.indices)

    def row_of(self, token: int) -> int:
        """Where `token` stands, -1 if it is filtered out."""
        if not self.order.query and self.order.kind < 0 and not self.order.column and not self.order.descending:
            return token
        found = np.flatnonzero(self.indices == token)
        return int(found[0]) if len(found) else -1

    def cell(self, row: int, column: int) -> str:
        """The text of one cell."""
        return cell(self.encoded, int(self.indices[row]), column)


def cell(encoded: Encoded, index: int, column: int) -> str:
    """What column `column` says of token `index`."""
    tokens = encoded.tokens
    name = COLUMNS[column]
    if name == "#":
        return f"{index + 1}"
    if name == "token":
        return encoded.name(index)
    if name == "bytes":
        return encoded.spelled(index)
    if name == "kind":
        return KIND_NAMES[TokenKind(int(tokens.kinds[index]))]
    if name == "rank":
        value = int(encoded.table.ranks[int(tokens.ids[index])])
        return str(value) if value >= 0 else ""
    if name == "word":
        word = int(tokens.words[index])
        return str(word + 1) if word >= 0 else ""
    array = {"id": tokens.ids, "from": tokens.starts, "to": tokens.ends, "in text": tokens.counts}[name]
    return str(int(array[index]))


def _matching(encoded: Encoded, query: str) -> np.ndarray:
    """Bool (tokens,): whose text contains the query, or whose id it is."""
    ids, places = np.unique(encoded.tokens.ids, return_inverse=True)
    wanted, texts = query.casefold(), encoded.table.texts
    seen = visible(wanted)
    hits = [
        wanted in texts[i].casefold() or seen in visible(texts[i]).casefold() or str(i) == query for i in ids.tolist()
    ]
    return np.array(hits, np.bool_)[places]


def _keys(encoded: Encoded, column: int) -> np.ndarray:
    """int64 (tokens,): what to sort by."""
    tokens, table, name = encoded.tokens, encoded.table, COLUMNS[column]
    if name == "#":
        return np.arange(len(encoded), dtype=np.int64)
    if name in ("token", "bytes"):
        ids, places = np.unique(tokens.ids, return_inverse=True)
        key = table.bytes_of if name == "bytes" else table.texts.__getitem__
        words = [key(i) for i in ids.tolist()]
        rank = np.empty(len(ids), np.int64)
        rank[sorted(range(len(ids)), key=lambda i: words[i])] = np.arange(len(ids))
        return rank[places]
    arrays: dict[str, np.ndarray] = {
        "id": tokens.ids,
        "from": tokens.starts,
        "to": tokens.ends,
        "word": tokens.words,
        "kind": tokens.kinds,
        "in text": tokens.counts,
        "rank": table.ranks[tokens.ids] if len(tokens.ids) else tokens.ids,
    }
    return arrays[name].astype(np.int64)
