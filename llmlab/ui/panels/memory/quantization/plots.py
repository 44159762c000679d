"""The pictures of the laboratory as plots. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import MatrixDetail, WeightDamage
from llmlab.engine.types import Float64, Int64
from llmlab.ui.panels.memory.quantization.work import Asked, Weighed
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series
from llmlab.ui.words import size

ROOM = 0.2  # beside the points, of the range they span, for their names
MOST_LEVELS = 33  # drawn as lines; more would hide the weights


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Parameter names without what all begin and end with: 0.self_attn.q_proj."""
    parts = [name.removesuffix(".weight").split(".") for name in names]
    same = 0
    while all(len(each) > same + 1 for each in parts) and len({each[same] for each in parts}) == 1:
        same += 1
    return tuple(".".join(each[same:]) for each in parts)


def matrices(damages: Sequence[WeightDamage], *, waiting: bool = False) -> Plot:
    """SQNR of every matrix under every scheme with scales; number formats lie far above, or lose nothing at all."""
    shown = [damage for damage in damages if not damage.scheme.is_float]
    names = short_names([each.name for each in shown[0].matrices]) if shown else ()
    series = tuple(
        Series(
            damage.scheme.name,
            np.arange(len(names), dtype=np.float64),
            _finite([each.sqnr for each in damage.matrices]),
            labels=names,
        )
        for damage in shown
    )
    return Plot(
        Axis("matrix", names=names),
        Axis("SQNR in dB: higher is closer to the original"),
        series,
        title="Signal to quantization noise of every matrix",
        empty="The weights are being looked at." if waiting else "No scheme could be applied to the weights.",
    )


def weights(detail: MatrixDetail | None) -> Plot:
    """The weights of a matrix, and the levels that are left of them, both as densities."""
    if detail is None:
        return Plot(Axis(), Axis(), empty="A matrix is looked into here.")
    density = _density(detail.counts, detail.edges)
    series = [Series("weights", detail.edges, density, Draw.STEPS, color=0, labels=_counted(detail.counts, "weights"))]
    levels: tuple[Level, ...] = ()
    if detail.is_scaled:
        edges = np.concatenate([[-1.0], (detail.levels[1:] + detail.levels[:-1]) / 2, [1.0]])
        series.insert(
            0,
            Series(
                "rounded to levels",
                edges,
                _density(detail.level_counts, edges),
                Draw.STEPS,
                color=1,
                labels=tuple(
                    f"level {level:.4g}: {count:,} weights"
                    for level, count in zip(detail.levels.tolist(), detail.level_counts.tolist(), strict=True)
                ),
            ),
        )
        if len(detail.levels) <= MOST_LEVELS:
            levels = tuple(Level("x", level) for level in detail.levels.tolist())
    unit = "weight / largest of those that share its scale" if detail.is_scaled else "weight"
    return Plot(Axis(unit), Axis("density"), tuple(series), levels, title=f"Weights of {detail.damage.name}")


def errors(detail: MatrixDetail | None) -> Plot:
    """How far the weights of a matrix are moved."""
    if detail is None:
        return Plot(Axis(), Axis())
    if detail.damage.noise == 0:
        return Plot(Axis(), Axis(), empty="Every weight comes back exactly.")
    return Plot(
        Axis("error: stored − original"),
        Axis("density"),
        (
            Series(
                "",
                detail.error_edges,
                _density(detail.error_counts, detail.error_edges),
                Draw.STEPS,
                color=2,
                labels=_counted(detail.error_counts, "weights"),
            ),
        ),
        title=f"Errors of {detail.damage.name}",
    )


def damage(weighed: Iterable[Weighed], asked: Mapping[Scheme, Asked]) -> Plot:
    """Bytes against damage: KL divergence where it was measured, else the noise in the weights."""
    found = [each.damage for each in weighed if each.damage is not None]
    measured = {scheme: each.measured for scheme, each in asked.items() if each.measured is not None}
    if any(each.scheme in measured for each in found):
        points = [(each, measured[each.scheme].text.mean_divergence) for each in found if each.scheme in measured]
        y = Axis("mean KL divergence in nats: lower is better", log=True, label=lambda value: f"{value:.3g}")
        points = [(each, value) for each, value in points if value > 0]
        empty = "None of these changes a prediction."
    else:
        points = [(each, each.sqnr) for each in found]
        y = Axis("SQNR of the weights in dB: higher is better; measure to see predictions")
        empty = "The weights are being looked at."
    xs, ys = (np.array([pair[i] for pair in _pairs(points)], np.float64) for i in (0, 1))
    room = ROOM * (float(xs.max() - xs.min()) or 1.0) if len(xs) else 1.0
    low, high = (float(xs.min()) - room, float(xs.max()) + room) if len(xs) else (0.0, 1.0)
    return Plot(
        Axis("bytes of the model", low=low, high=high, label=size),
        y,
        (
            Series(
                "schemes",
                xs,
                np.where(np.isfinite(ys), ys, np.nan),
                Draw.POINTS,
                labels=tuple(_short(each.scheme) for each, _ in points),
                names_shown=True,
            ),
        ),
        title="Bytes against damage",
        empty=empty,
    )


def _short(scheme: Scheme) -> str:
    """A name that has room beside a point."""
    return f"int{scheme.bits} per {scheme.granularity}" if scheme.is_simulated else scheme.name


def _pairs(points: Sequence[tuple[WeightDamage, float]]) -> list[tuple[float, float]]:
    return [(float(each.bytes), value) for each, value in points]


def _density(counts: Int64, edges: Float64) -> Float64:
    widths = np.diff(edges)
    return counts / np.maximum(widths, 1e-30) / max(1, int(counts.sum()))


def _counted(counts: Int64, what: str) -> tuple[str, ...]:
    return tuple(f"{count:,} {what}" for count in counts.tolist())


def _finite(values: Sequence[float]) -> Float64:
    array = np.array(values, np.float64)
    return np.where(np.isfinite(array), array, np.nan)
