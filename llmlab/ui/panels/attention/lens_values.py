"""The logit lens in words and shares of a colour scale, and as text for other programs. No Qt."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from llmlab.engine.attention.types import Lens, LensRow
from llmlab.engine.types import Float32
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tokentext import visible

PLACES = {"embedding": "embedding", "attention": "after the attention of layer {}", "layer": "after layer {}"}
SHORT = {"embedding": "embed", "attention": "attn {}", "layer": "layer {}"}
RANK_DECADES = 4  # ranks from 10,000 on look alike


class LensMeasure(StrEnum):
    """What colours a cell."""

    PROBABILITY = "p"  # of the token that the whole model puts first
    RANK = "rank"  # of that token
    ENTROPY = "entropy"
    KL = "kl"  # of the whole model's distribution from the cell's


def row_name(row: LensRow) -> str:
    """In words."""
    return PLACES[row.place].format(row.layer)


def row_short(row: LensRow) -> str:
    """In little room."""
    return SHORT[row.place].format(row.layer)


@dataclass(frozen=True, slots=True, eq=False)
class LensTable:
    """The rows of a lens that are shown: `rows` are their numbers in it."""

    lens: Lens
    rows: tuple[int, ...]

    @classmethod
    def of(cls, lens: Lens, *, attention: bool) -> LensTable:
        """All rows, or without those after attention."""
        rows = (n for n, row in enumerate(lens.rows) if attention or row.place != "attention")
        return cls(lens, tuple(rows))

    @property
    def columns(self) -> int:
        """Positions."""
        return len(self.lens.positions)

    def text(self, row: int, column: int) -> str:
        """The best token there."""
        return visible(self.lens.texts[int(self.lens.ids[self.rows[row], column, 0])])

    def is_final(self, row: int, column: int) -> bool:
        """Whether that is already what the whole model puts first."""
        return int(self.lens.ids[self.rows[row], column, 0]) == int(self.lens.final_ids[column])

    def shares(self, measure: LensMeasure) -> Float32:
        """Where each cell stands on the colour scale, 0 to 1, float32 (rows shown, columns)."""
        rows = list(self.rows)
        if measure is LensMeasure.PROBABILITY:
            return self.lens.final_probability[rows]
        if measure is LensMeasure.RANK:
            ranks = np.log10(self.lens.final_rank[rows].astype(np.float32) + 1)
            return np.clip(1 - ranks / RANK_DECADES, 0, 1)
        values: Float32 = self.lens.entropy[rows] if measure is LensMeasure.ENTROPY else self.lens.kl[rows]
        shares: Float32 = np.clip(np.nan_to_num(values / self.limit(measure), nan=0.0, posinf=1.0), 0, 1)
        return shares

    def limit(self, measure: LensMeasure) -> float:
        """The end of the scale of entropies or divergences: of all rows, so that hiding some changes no colour."""
        values = self.lens.entropy if measure is LensMeasure.ENTROPY else self.lens.kl
        finite = values[np.isfinite(values)]
        return max(math.ceil(float(finite.max(initial=0.0))), 1)

    def ends(self, measure: LensMeasure) -> tuple[str, str]:
        """The numbers at both ends of the colour scale."""
        if measure is LensMeasure.PROBABILITY:
            return "0", "1"
        if measure is LensMeasure.RANK:
            return f"{10**RANK_DECADES:,}", "1"
        return "0", f"{self.limit(measure):g}"

    def facts(self, row: int, column: int) -> tuple[tuple[str, str], ...]:
        """All that is known of a cell, besides its best tokens."""
        lens, at = self.lens, (self.rows[row], column)
        final = visible(lens.texts[int(lens.final_ids[column])])
        return (
            ("the model's own first token", final),
            ("its probability here", numbers.exact(float(lens.final_probability[at]))),
            ("its rank here", f"{int(lens.final_rank[at]) + 1:,}"),
            ("entropy here", f"{float(lens.entropy[at]):.4f} nats"),
            ("KL(final ‖ here)", f"{float(lens.kl[at]):.4f} nats"),
        )

    def best(self, row: int, column: int) -> tuple[tuple[str, float], ...]:
        """The best tokens of a cell with their probabilities."""
        lens, at = self.lens, (self.rows[row], column)
        pairs = zip(lens.ids[at].tolist(), lens.probabilities[at].tolist(), strict=True)
        return tuple((visible(lens.texts[index]), probability) for index, probability in pairs)


def csv_text(lens: Lens) -> str:
    """A line for each place and position, with the best tokens."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    best = range(lens.ids.shape[-1])
    writer.writerow(
        ["place", "layer", "position", "token", "final_token", "final_probability", "final_rank", "entropy_nats",
         "kl_nats", *(name for n in best for name in (f"token_{n + 1}", f"probability_{n + 1}"))]
    )  # fmt: skip
    for number, row in enumerate(lens.rows):
        for column, position in enumerate(lens.positions.tolist()):
            at = number, column
            writer.writerow(
                [row.place, "" if row.place == "embedding" else row.layer, position, lens.tokens[column],
                 lens.texts[int(lens.final_ids[column])], numbers.exact(float(lens.final_probability[at])),
                 int(lens.final_rank[at]) + 1, numbers.exact(float(lens.entropy[at])),
                 numbers.exact(float(lens.kl[at])),
                 *(cell for n in best for cell in (lens.texts[int(lens.ids[at][n])],
                                                   numbers.exact(float(lens.probabilities[at][n]))))]
            )  # fmt: skip
    return out.getvalue()


def json_text(lens: Lens) -> str:
    """Everything: places, positions, and for each cell its best tokens and numbers."""
    cells = [
        [
            {
                "best": [
                    {"id": index, "text": lens.texts[index], "probability": probability}
                    for index, probability in zip(
                        lens.ids[row, column].tolist(), lens.probabilities[row, column].tolist(), strict=True
                    )
                ],
                "final_probability": _number(lens.final_probability[row, column]),
                "final_rank": int(lens.final_rank[row, column]) + 1,
                "entropy_nats": _number(lens.entropy[row, column]),
                "kl_nats": _number(lens.kl[row, column]),
            }
            for column in range(len(lens.positions))
        ]
        for row in range(len(lens.rows))
    ]
    content = {
        "what": "logit lens: the model's final norm and head on the hidden states between its layers",
        "rows": [{"place": row.place, "layer": row.layer} for row in lens.rows],
        "positions": lens.positions.tolist(),
        "tokens": list(lens.tokens),
        "final": [{"id": index, "text": lens.texts[index]} for index in lens.final_ids.tolist()],
        "cells": cells,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
