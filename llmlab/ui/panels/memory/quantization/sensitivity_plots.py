"""The pictures of the parts of a model as plots. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from llmlab.engine.quantization.mixed import Mixed, Ranked, bytes_kept, predicted
from llmlab.engine.quantization.parts import Part, PartDamage, Parts
from llmlab.ui.panels.memory.quantization.figures import small
from llmlab.ui.panels.memory.quantization.sensitivity_screen import Found
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series
from llmlab.ui.words import size

KL = "KL in nats"


def bars(parts: Parts, found: Found, *, by_kind: bool) -> Plot:
    """Every layer, or every kind: quantized together, beside the sum of its matrices quantized one by one."""
    shown = parts.by_kind if by_kind else parts.by_layer
    names = parts.kinds if by_kind else parts.layers
    together = np.array([_divergence(found.damages.get(part)) for part in shown], np.float64)
    summed = np.array([_sum(parts, found, part, by_kind=by_kind) for part in shown], np.float64)
    what = "kind of matrix" if by_kind else "layer"
    x = np.arange(len(names), dtype=np.float64)
    series = (
        Series("together", x, together, Draw.BARS, color=0),
        Series("one by one, summed", x, summed, Draw.BARS, color=1),
    )
    known = np.isfinite(together).any() or np.isfinite(summed).any()
    return Plot(
        Axis(what, names=names),
        Axis(KL, label=small),
        series if known else (),
        title=f"Damage of quantizing each {what} alone",
        empty="Not measured yet.",
    )


def _divergence(damage: PartDamage | None) -> float:
    return np.nan if damage is None else damage.divergence


def _sum(parts: Parts, found: Found, whole: Part, *, by_kind: bool) -> float:
    inside = [part for part in parts.matrices if (part.kind == whole.kind if by_kind else part.layer == whole.layer)]
    known = [found.damages[part].divergence for part in inside if part in found.damages]
    return sum(known) if len(known) == len(inside) else np.nan


def proxy(parts: Parts, found: Found) -> Plot:
    """Noise in the weights against what it does: a point for each matrix."""
    known = proxy_points(parts, found)
    return Plot(
        Axis("SQNR of the weights in dB", label=lambda value: f"{value:.4g}"),
        Axis(KL, log=True, label=small),
        (
            Series(
                "matrices",
                np.array([each.sqnr for each in known], np.float64),
                np.array([each.divergence for each in known], np.float64),
                Draw.POINTS,
                color=2,
                labels=tuple(each.part.name for each in known),
            ),
        )
        if known
        else (),
        title="Noise in the weights against the damage",
        empty="Nothing is lost." if any(part in found.damages for part in parts.matrices) else "Not measured yet.",
    )


def proxy_points(parts: Parts, found: Found) -> list[PartDamage]:
    """The matrices that have a place in that picture: those that lose something."""
    known = [found.damages[part] for part in parts.matrices if part in found.damages]
    return [each for each in known if each.divergence > 0 and np.isfinite(each.sqnr)]


def curve(order: Sequence[Ranked], found: Found, kept: int) -> Plot:
    """Bytes against damage when 0, 1, 2 … matrices stay in 16 bits."""
    x, y = Axis("bytes of the model", label=size), Axis(KL, label=small, low=0.0)
    if not order or found.opened is None:
        return Plot(x, y, empty="Measure the parts first: every matrix, one by one.")
    bytes_ = bytes_kept(order, found.opened.bytes)
    labels = tuple(f"{count} kept" for count in range(len(order) + 1))
    series = [Series("sum of the single damages", bytes_, predicted(order), color=1, labels=labels, dashed=True)]
    if found.mixed:
        series.append(_measured(found.mixed))
    return Plot(
        x,
        y,
        tuple(series),
        (Level("x", float(bytes_[kept]), f"{kept} kept"),),
        title="Bytes against damage with the most sensitive matrices in 16 bits",
    )


def _measured(mixed: Mapping[int, Mixed]) -> Series:
    counts = sorted(mixed)
    return Series(
        "measured",
        np.array([mixed[count].bytes for count in counts], np.float64),
        np.array([mixed[count].shift.divergence for count in counts], np.float64),
        color=0,
        labels=tuple(f"{count} kept" for count in counts),
    )
