"""The heads whose lines are shown, their colours, and the lines between the two columns. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmlab.engine.attention.types import Reduction
from llmlab.engine.types import Int32
from llmlab.ui.panels.attention.lines_edges import Edges


@dataclass(frozen=True, slots=True, order=True)
class Shown:
    """One head, or several as one: `layer`, `head` None stand for all of them."""

    layer: int | None
    head: int | None
    reduction: Reduction = Reduction.MEAN

    @property
    def label(self) -> str:
        """Short enough for a legend: "layer.head"."""
        word = "mean" if self.reduction is Reduction.MEAN else "max"
        if self.layer is None and self.head is None:
            return f"{word} of all"
        if self.head is None:
            return f"{word} of layer {self.layer}"
        return f"{word} of heads {self.head}" if self.layer is None else f"{self.layer}.{self.head}"

    @property
    def name(self) -> str:
        """In full."""
        single = self.layer is not None and self.head is not None
        return f"layer {self.layer}, head {self.head}" if single else self.label


@dataclass(frozen=True, slots=True)
class Chip:
    """A head in the legend. `slot` counts through the colours; None: its lines are not shown. `fixed`: in focus."""

    head: Shown
    slot: int | None
    fixed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class HeadLines:
    """The lines of one head in one colour."""

    head: Shown
    slot: int
    edges: Edges


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Everything between the two columns. `covered`: the rows (start, stop) whose lines are known.

    `query_edges`, `key_edges`: the first token of each row, a word or a token, and of the one after the last.
    `top`: the weight of a line that is fully opaque. `longest`: characters of the longest label.
    """

    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]
    query_edges: Int32
    key_edges: Int32
    heads: tuple[HeadLines, ...]
    covered: tuple[int, int]
    top: float = 1.0
    longest: int = 8

    def row_of(self, query: int) -> int:
        """The row that query token `query` is in."""
        return int(np.searchsorted(self.query_edges, query, "right")) - 1
