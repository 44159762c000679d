"""How the weight between one query and one key came about, number by number. No Qt."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.attention.types import MASKED, MapRequest, NeuronView
from llmlab.engine.types import Float32, Int32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import snippet
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.pair_chain import Link, chain
from llmlab.ui.panels.attention.reading import Looker, Reading
from llmlab.ui.panels.attention.words import title_of
from llmlab.ui.widgets.tokentext import visible

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control

LISTED = 40  # strongest keys of the row
COLUMNS = ("dimension", "query", "key", "product")


class Order(StrEnum):
    """In which order dimensions are shown."""

    DIMENSION = "dimension"
    CONTRIBUTION = "contribution"  # largest first, most negative last
    SIZE = "size"  # whatever the sign


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A key of the same row."""

    key: int
    text: str
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One weight with everything that led to it, and the strongest keys of its row.

    `rank`: its place in the row from 1, and how many keys may be seen. `sizes`: how many queries and keys there are.
    """

    title: str
    view: NeuronView
    query_text: str
    key_text: str
    row: tuple[Neighbour, ...]
    rank: tuple[int, int]
    sizes: tuple[int, int]

    @property
    def links(self) -> tuple[Link, ...]:
        """The numbers from q·k to the weight."""
        return chain(self.view)

    def ordered(self, order: Order) -> Int32:
        """The dimensions in the order in which they are shown."""
        products = self.view.products
        if order is Order.CONTRIBUTION:
            return np.argsort(-products, kind="stable").astype(np.int32)
        if order is Order.SIZE:
            return np.argsort(-np.abs(products), kind="stable").astype(np.int32)
        return np.arange(len(products), dtype=np.int32)


class PairView(Protocol):
    """What is asked of the tab."""

    def show_pair(self, pair: Pair | None, order: Order) -> None:
        """Show one weight, or none."""

    def show_nothing(self, title: str, text: str) -> None:
        """Say why there is no single weight to look into."""

    def show_error(self, error: ErrorInfo) -> None:
        """It could not be computed."""

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file."""


class Pairing:
    """The pinned query and the chosen key; the last token and its strongest key where none is chosen."""

    def __init__(self, asking: Asking, looker: Looker, view: PairView) -> None:
        self._asking = asking
        self._looker = looker
        self._view = view
        self._reading: Reading | None = None
        self._asked: tuple[object, ...] | None = None
        self._shown: tuple[object, ...] | None = None
        self.pair: Pair | None = None
        self.order = Order.DIMENSION

    def bring(self, reading: Reading | None) -> None:
        """See `Part`."""
        self._reading = reading
        if reading is None:
            self.pair = self._asked = self._shown = None
            self._view.show_pair(None, self.order)
        elif reading.focus.at is None:
            self._asked, self._shown = None, self._wanted
            self._view.show_nothing(
                "Choose a single head",
                "A mean or maximum over several heads has no query and key vectors of its own. "
                "Click a head in the grid to see how its weights come about.",
            )
        else:
            self._ask(reading)

    @property
    def busy(self) -> bool:
        """See `Part`."""
        return self._reading is not None and self._shown != self._wanted

    def close(self) -> None:
        """See `Part`."""
        self._asking.forget(self)

    @property
    def query(self) -> int:
        """The first pinned query, or the last token."""
        assert self._reading is not None
        queries = self._reading.focus.queries
        return queries[0] if queries else len(self._reading.shape.query_tokens) - 1

    @property
    def _wanted(self) -> tuple[object, ...]:
        assert self._reading is not None
        return self._reading.number, self._reading.focus.at, self.query, self._reading.focus.key

    def _ask(self, reading: Reading) -> None:
        if not reading.readable or self._wanted in (self._asked, self._shown):
            return
        self._asked = wanted = self._wanted
        shape, at, query, key = reading.shape, reading.focus.at, self.query, reading.focus.key
        title = title_of(reading)
        assert at is not None

        def work(capture: AttentionCapture, control: Control) -> tuple[tuple[object, ...], Pair]:
            row = MapRequest(at.kind, at.layer, at.head, rows=(query, query + 1), limit=len(shape.key_tokens))
            weights = capture.map(row, control).values[0]
            place = strongest(weights) if key is None else key
            view = capture.neuron(at, query, place)
            best = tuple(
                Neighbour(int(i), visible(shape.key_tokens[i]), float(weights[i])) for i in _best(weights, LISTED)
            )
            seen = weights[weights != MASKED]
            rank = 1 + int(np.count_nonzero(seen > weights[place])), len(seen)
            texts = visible(shape.query_tokens[query]), visible(shape.key_tokens[place])
            sizes = len(shape.query_tokens), len(shape.key_tokens)
            return wanted, Pair(title, view, *texts, best, rank, sizes)

        self._asking.capture(
            self, "pair", reading.request, work, self._came, title="How a weight came about", failed=self._failed
        )

    def _came(self, answer: tuple[tuple[object, ...], Pair]) -> None:
        wanted, pair = answer
        if self._reading is None or wanted[0] != self._reading.number or self._reading.focus.at is None:
            return
        self.pair, self._shown = pair, wanted
        self._view.show_pair(pair, self.order)
        if self.busy:
            self._ask(self._reading)

    def _failed(self, error: ErrorInfo) -> None:
        self.pair = None
        self._shown = self._asked
        self._view.show_error(error)

    # --- what the user does ---------------------------------------------------------------------------------

    def choose_query(self, query: int) -> None:
        """Look into another row; its strongest key is taken."""
        self._looker.look(queries=(query,), key=None)

    def choose_key(self, key: int) -> None:
        """Look into another weight of the row."""
        if self._reading is not None:
            self._looker.look(queries=(self.query,), key=key)

    def sort(self, order: Order) -> None:
        """Show the dimensions in another order."""
        self.order = order
        if self.pair is not None:
            self._view.show_pair(self.pair, order)

    def table(self, delimiter: str = "\t") -> str:
        """All dimensions in the order in which they are shown, and the chain of numbers."""
        return "" if self.pair is None else table_text(self.pair, self.order, delimiter)

    @property
    def python(self) -> str:
        """A script that prints the same numbers; empty where there are none."""
        if self._reading is None or self.pair is None:
            return ""
        return snippet.neuron(self._reading, self.pair.view.query_index, self.pair.view.key_index)

    def save(self) -> None:
        """Write the table as a CSV file."""
        pair, order = self.pair, self.order
        if pair is not None:
            self._view.ask_path(
                "attention-pair.csv",
                ("csv",),
                lambda path: self._asking.write(path, lambda: table_text(pair, order, ",")),
            )


def strongest(weights: Float32) -> int:
    """The key with the largest weight; NaN is none."""
    return int(np.argmax(np.nan_to_num(weights, nan=-1.0)))


def _best(weights: Float32, count: int) -> Int32:
    order = np.argsort(-np.nan_to_num(weights, nan=-1.0), kind="stable")[:count]
    return order[weights[order] > 0].astype(np.int32)


def table_text(pair: Pair, order: Order, delimiter: str) -> str:
    """First the numbers of the chain as comments, then a line for each dimension."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    where = (
        f"# {pair.title}, query {pair.view.query_index} {pair.query_text}, key {pair.view.key_index} {pair.key_text}"
    )
    writer.writerow([where])
    for link in pair.links:
        writer.writerow([f"# {link.name}: {link.value!r}"])
    writer.writerow(COLUMNS)
    view = pair.view
    for index in pair.ordered(order).tolist():
        writer.writerow([index, *(f"{each[index]:.9g}" for each in (view.query, view.key, view.products))])
    return out.getvalue()
