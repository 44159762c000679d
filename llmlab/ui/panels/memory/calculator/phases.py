"""A training step as it goes on: what is on each GPU at each of its moments, and which one is the worst. No Qt."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import sharded_phases
from llmlab.engine.memory.step import Phase
from llmlab.engine.memory.terms import GB, GIB, Term
from llmlab.engine.types import Float64
from llmlab.ui.panels.memory.calculator.params import Params
from llmlab.ui.panels.memory.colors import AROUND, area_of, distinct
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series
from llmlab.ui.words import size

ROOM = 1.12  # times the peak is the height of the plot: its name stands above the areas
HEAD = ("moment", "part", "bytes", "GB", "GiB", "where", "formula", "values", "note")


@dataclass(frozen=True, slots=True)
class Phases:
    """The moments in their order; `worst` is the place of the peak among them."""

    plot: Plot
    phases: tuple[Phase, ...]
    worst: int


def phases(shape: ModelShape, params: Params) -> Phases:
    """Every moment of a training step on one GPU. Raises InputError.

    The areas are tensors: the CUDA context, which is always there, would hide those of a small model.
    """
    found = sharded_phases(shape, params.training_settings(shape), params.plan)
    worst = max(range(len(found)), key=lambda number: found[number].total)
    names = list(dict.fromkeys(area_of(term.name) for each in found for term in each.terms if _drawn(term)))
    places = np.arange(len(found), dtype=np.float64)
    labels = tuple(f"{each.moment}, {size(each.total)}" for each in found)
    series = tuple(
        Series(name, places, _heights(found, name), Draw.AREA, color=color, labels=labels)
        for name, color in distinct(names).items()
    )
    peak = found[worst]
    tensors = sum(term.bytes for term in peak.terms if _drawn(term))
    said = f"peak {size(tensors)}, with context and margin {size(peak.total)}"
    levels = (Level("x", float(worst), said),)
    moments = Axis(names=tuple(each.moment.value for each in found))
    title = f"A training step of {shape.name}"
    height = Axis("tensors on each GPU", low=0.0, high=ROOM * tensors or 1.0, label=size)
    return Phases(Plot(moments, height, series, levels, title), found, worst)


def table(found: Sequence[Phase], separator: str = ",") -> str:
    """Every component of every moment, with its formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(HEAD)
    for each in found:
        for t in each.terms:
            where = "main memory" if t.host else "GPU"
            writer.writerow(
                (each.moment, t.name, t.bytes, t.bytes / GB, t.bytes / GIB, where, t.formula, t.values, t.note)
            )
    return buffer.getvalue()


def formulas(phase: Phase) -> str:
    """All that is there at a moment, a line each, with the numbers put in."""
    return "\n".join(map(_formula, filter(_counts, phase.terms)))


def _formula(term: Term) -> str:
    whole = f"{term.bytes:,}"
    return (
        f"{term.name}: {term.formula} = {whole} bytes"
        if term.values == whole
        else (f"{term.name}: {term.formula} = {term.values} = {whole} bytes")
    )


def parts(phase: Phase, rest: Phase) -> str:
    """What is there at a moment: what has come since the `rest` before what stays, the largest first."""
    stays = {term.name for term in rest.terms}
    there = sorted(
        filter(_counts, phase.terms), key=lambda term: (term.name in stays, area_of(term.name) == AROUND, -term.bytes)
    )
    return ", ".join(f"{term.name} {size(term.bytes)}" for term in there)


def _counts(term: Term) -> bool:
    return bool(term.bytes) and not term.host


def _drawn(term: Term) -> bool:
    return _counts(term) and area_of(term.name) != AROUND


def _heights(found: Sequence[Phase], name: str) -> Float64:
    sums = [sum(term.bytes for term in each.terms if area_of(term.name) == name and not term.host) for each in found]
    return np.array(sums, np.float64)
