"""Maps as text for other programs. No Qt; called in a worker thread."""

from __future__ import annotations

import csv
import io

import numpy as np

from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture


def csv_text(picture: HeatPicture, detail: HeatPart | None, rows: tuple[int, int], columns: tuple[int, int]) -> str:
    """The cells that are seen: a line for each row, after its number and text; the cells of masked weights are empty.

    Where the map is pooled and `detail` does not cover what is seen, each cell is the maximum of several weights and
    the first line says of how many.
    """
    part = picture.base
    if detail is not None and detail.holds(rows[0], columns[0]) and detail.holds(rows[1] - 1, columns[1] - 1):
        part = detail
    per = part.per
    first, last = (rows[0] - part.row) // per, -(-(rows[1] - part.row) // per)
    left, right = (columns[0] - part.column) // per, -(-(columns[1] - part.column) // per)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    if per > 1:
        writer.writerow([f"# each cell is the maximum of {per} x {per} weights"])
    names = [picture.column_labels[part.column + column * per] for column in range(left, right)]
    writer.writerow([picture.row_name, "", *names])
    writer.writerow(["", "", *(part.column + column * per for column in range(left, right))])
    for row in range(first, last):
        unit = part.row + row * per
        weights = part.values[row, left:right]
        cells = [
            "" if masked else f"{weight:.9g}" for weight, masked in zip(weights, _masked(picture, weights), strict=True)
        ]
        writer.writerow([picture.row_labels[unit], unit, *cells])
    return out.getvalue()


def _masked(picture: HeatPicture, weights: np.ndarray) -> list[bool]:
    """Differences can be negative; what cannot be compared is NaN."""
    masked: list[bool] = (np.isnan(weights) if picture.base.heat.signed else weights < 0).tolist()
    return masked
