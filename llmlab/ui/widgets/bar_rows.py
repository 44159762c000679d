"""The rows of a distribution, and where each lies on the canvas: nothing here grows with the vocabulary. No Qt."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from llmlab.engine.sampling import Cut, ShapedDistribution
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tokentext import visible


@dataclass(frozen=True, slots=True)
class Row:
    """One token of the distribution, in the order that is shown."""

    rank: int  # 1 is the most probable after the settings
    token_id: int
    text: str
    logit: float
    raw_probability: float
    probability: float
    cut: Cut

    @property
    def line(self) -> str:
        """The row for the clipboard: tab-separated, all digits."""
        numbers_ = map(numbers.exact, (self.logit, self.raw_probability, self.probability))
        return "\t".join((str(self.rank), visible(self.text), str(self.token_id), *numbers_))


@dataclass(frozen=True, slots=True, eq=False)
class BarRows:
    """A shaped distribution with its words.

    `text_of` gives a token's text; `reasons` says which setting a `Cut` stands for, such as "top-p 0.95".
    `cuts` are the places of the cut lines: (row before which it stands, what cut there).
    """

    shaped: ShapedDistribution
    text_of: Callable[[int], str]
    reasons: Mapping[Cut, str]
    cuts: tuple[tuple[int, Cut], ...]

    @classmethod
    def of(cls, shaped: ShapedDistribution, text_of: Callable[[int], str], reasons: Mapping[Cut, str]) -> BarRows:
        """Find the cut lines of `shaped`."""
        borders = np.flatnonzero(shaped.cut[1:] != shaped.cut[:-1]) + 1
        return cls(shaped, text_of, reasons, tuple((int(row), Cut(int(shaped.cut[row]))) for row in borders))

    def __len__(self) -> int:
        return len(self.shaped.ids)

    def row(self, index: int) -> Row:
        """What stands in row `index`."""
        shaped = self.shaped
        token_id = int(shaped.ids[index])
        return Row(
            index + 1,
            token_id,
            self.text_of(token_id),
            float(shaped.logits[index]),
            float(shaped.raw_probabilities[index]),
            float(shaped.probabilities[index]),
            Cut(int(shaped.cut[index])),
        )

    def index_of(self, token_id: int) -> int | None:
        """The row of `token_id`."""
        found = np.flatnonzero(self.shaped.ids == token_id)
        return int(found[0]) if len(found) else None

    def reason(self, cut: Cut) -> str:
        """What to call a cut."""
        return self.reasons.get(cut, cut.name.lower().replace("_", "-"))

    def facts(self, index: int) -> tuple[tuple[str, str], ...]:
        """Everything known of one row, with all digits, for the hover card."""
        row = self.row(index)
        before = float(self.shaped.raw_probabilities[: index + 1].sum(dtype=np.float64))
        return (
            ("rank", f"{row.rank:,} of {len(self):,}"),
            ("token id", str(row.token_id)),
            ("logit", numbers.exact(row.logit)),
            ("raw probability", numbers.exact(row.raw_probability)),
            ("its logarithm", numbers.log_probability(row.raw_probability)),
            ("raw, down to here", numbers.exact(before)),
            ("after settings", numbers.exact(row.probability)),
            ("its logarithm", numbers.log_probability(row.probability)),
            ("", "kept" if row.cut is Cut.KEPT else f"cut by {self.reason(row.cut)}"),
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """Rows of `row_height` pixels, with a band of `band` pixels before each row in `cuts`."""

    rows: int
    row_height: int
    band: int
    cuts: tuple[int, ...] = ()

    @property
    def height(self) -> int:
        """Of all rows and bands together."""
        return self.rows * self.row_height + len(self.cuts) * self.band

    def top(self, row: int) -> int:
        """Where `row` begins."""
        return row * self.row_height + bisect_right(self.cuts, row) * self.band

    def row_at(self, y: int) -> int:
        """The row at height `y`; for a band, the row after it; clamped to what there is."""
        row = y // self.row_height
        for passed, cut in enumerate(self.cuts):
            if y < cut * self.row_height + passed * self.band:
                break
            row = max(cut, (y - (passed + 1) * self.band) // self.row_height)
        return min(max(row, 0), self.rows - 1)
