"""The pictures of the scaling laws as plots. No Qt."""

from __future__ import annotations

import numpy as np

from llmlab.engine.scaling.known import KnownModel
from llmlab.engine.scaling.laws import (
    APPROACH_3_PRINTED,
    LAWS,
    PER_TOKEN,
    KaplanLaw,
    Law,
    ParametricLaw,
    PowerLaw,
    optimal_tokens,
)
from llmlab.engine.scaling.planning import Plan
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series
from llmlab.ui.words import count

COMPUTES = np.logspace(14, 28, 29)  # operations that the lines are drawn over
AROUND = np.logspace(-2, 2, 41)  # sizes around the optimum
CONTOURS = (1e-6, 1e-4, 1e-2, 1.0, 1e2)  # of the budget: the losses at their optima get a line each
MOST_TOKENS = 3e14  # of the axis
SIZES = Axis("parameters", log=True, low=1e6, high=3e12, label=count)
TOKENS = Axis("tokens", log=True, low=5e6, high=MOST_TOKENS, label=count)
COMPUTE = Axis("compute in FLOP", log=True, low=1e14, high=1e28)
LINES = tuple(range(len(LAWS)))  # every law keeps its colour
MODELS, RUN = 7, 6  # colours of what is no law


def sizes(plan: Plan, models: tuple[KnownModel, ...], loaded: float | None) -> Plot:
    """Parameters against tokens: your run, what the laws call best, who trained what; lines of equal loss."""
    law, c = plan.law, plan.operations
    across = np.logspace(6, 12.5, 27)
    series = [
        _run(plan.parameters, plan.tokens),
        *(_frontier(each, LINES[i], chosen=each is law) for i, each in _drawn(law)),
        Series("your compute", across, c / (PER_TOKEN * across), color=RUN, dashed=True),
        *_contours(law, c),
    ]
    if models:
        series.append(_trained(models, [each.active for each in models], [each.tokens for each in models]))
    return Plot(SIZES, TOKENS, tuple(series), _size_of(loaded), title="Parameters against tokens")


def computes(plan: Plan, models: tuple[KnownModel, ...], loaded: float | None) -> Plot:
    """The best size for every budget, by every law."""
    series = [_run(plan.operations, plan.parameters)]
    for number, law in _drawn(plan.law):
        best = law.optimal_parameters(COMPUTES)
        series.append(Series(law.name, COMPUTES, best, color=LINES[number], dashed=law is not plan.law))
    if models:
        series.append(_trained(models, [each.operations for each in models], [each.active for each in models]))
    level = (Level("y", loaded, "loaded model"),) if loaded else ()
    return Plot(COMPUTE, SIZES, tuple(series), level, title="The best size for every budget")


def losses(plan: Plan, loaded: float | None) -> Plot:
    """What every law with a loss predicts for all sizes that this budget can be spent on."""
    c = plan.operations
    series = []
    for number, law in _drawn(plan.law):
        if isinstance(law, PowerLaw):
            continue
        best = float(law.optimal_parameters(c))
        across = best * AROUND
        series.append(
            Series(law.name, across, law.loss(across, c / (PER_TOKEN * across)), color=LINES[number],
                   dashed=law is not plan.law)
        )  # fmt: skip
    if plan.loss is not None:
        series.insert(0, _run(plan.parameters, plan.loss))
    return Plot(
        Axis("parameters, at your compute", log=True, label=count),
        Axis("predicted loss in nats a token; the laws' data differ", label=lambda value: f"{value:.3f}"),
        tuple(series),
        _size_of(loaded),
        title="Loss of every size at your compute",
    )


def _drawn(chosen: Law) -> list[tuple[int, Law]]:
    """The laws with their places. What the paper printed stands for approach 3 only where it is chosen."""
    return [(place, law) for place, law in enumerate(LAWS) if law is chosen or law is not APPROACH_3_PRINTED]


def _run(x: float, y: float) -> Series:
    return Series(
        "your run", np.array([x]), np.array([y]), Draw.POINTS, color=RUN, labels=("Your run",), names_shown=True
    )


def _trained(models: tuple[KnownModel, ...], x: list[float], y: list[float]) -> Series:
    """Each under its name, with where its figures were read."""
    names, sources = zip(*((each.name, each.source) for each in models), strict=True)
    return Series(
        "trained models", np.array(x), np.array(y), Draw.POINTS, MODELS, labels=names, notes=sources, names_shown=True
    )


def _frontier(law: Law, color: int, *, chosen: bool) -> Series:
    best = law.optimal_parameters(COMPUTES)
    return Series(law.name, best, optimal_tokens(law, COMPUTES), color=color, dashed=not chosen)


def _contours(law: Law, c: float) -> list[Series]:
    """Lines of equal loss of the chosen law, where it has one."""
    if not isinstance(law, ParametricLaw | KaplanLaw):
        return []
    found = []
    across = np.logspace(6, 12.5, 66)
    for share in CONTOURS:
        best = law.optimal_parameters(c * share)
        loss = float(law.loss(best, optimal_tokens(law, c * share)))
        tokens = law.tokens_for(loss, across)
        shown = np.where(np.isfinite(tokens) & (tokens < MOST_TOKENS), tokens, np.nan)
        found.append(Series("", across, shown, color=MODELS, dashed=True, labels=(f"loss {loss:.3f}",) * len(across)))
    return found


def _size_of(loaded: float | None) -> tuple[Level, ...]:
    return (Level("x", loaded, "loaded model"),) if loaded else ()
