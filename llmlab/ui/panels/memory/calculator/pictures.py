"""What the pages of the calculator show, made of an architecture and the settings. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from llmlab.engine.memory.grid import contours, totals_of
from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.inference import InferenceSettings, cache_bytes, inference
from llmlab.engine.memory.overview import Planned, areas, strategies
from llmlab.engine.memory.roofline import decode_roofline
from llmlab.engine.memory.rules import RULES
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import sharded_step, sharded_training
from llmlab.engine.memory.speed import MeasuredSpeed
from llmlab.engine.memory.step import Moment
from llmlab.engine.memory.terms import Estimate, Term
from llmlab.engine.memory.zero import zero_bytes_per_gpu
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.ui.panels.memory import sizes
from llmlab.ui.panels.memory.calculator import words
from llmlab.ui.panels.memory.calculator.params import COMPARED, LIMITS, PRECISIONS, Params
from llmlab.ui.panels.memory.colors import AROUND, area_of, color_of, distinct
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series
from llmlab.ui.words import size

POINTS = 60  # of a line
LARGEST_BATCH = 512
RULE_COLORS = {"weights": 0, "gradients": 3, "states": 1, "activations": 2}
DIFFERENCE = (
    "Rules sum up all that a step ever needs; calculated is its worst moment, for gradients come while activations go."
)
NO_GPUS = "Choose GPUs on the page “GPUs”: their lines are drawn here."


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar, in bytes. `facts` are what hovering tells of it; `faint`: a paler shade of its colour."""

    name: str
    bytes: float
    color: int  # among the theme's series
    facts: tuple[tuple[str, str], ...] = ()
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """Pieces beside each other, a note behind them; `key` is the setting that the bar stands for."""

    label: str
    parts: tuple[Part, ...]
    note: str = ""
    key: str = ""
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Stacks:
    """Bars below each other; `marks` are GPUs as (bytes, name), lines across all bars."""

    bars: tuple[Bar, ...]
    marks: tuple[tuple[int, str], ...]
    title: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The components: stacked bars to compare, and the chosen one term by term."""

    stacks: Stacks
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Sharing:
    """One training run over more and more GPUs, and the strategies beside each other at the chosen number."""

    plot: Plot
    planned: tuple[Planned, ...]
    chosen: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of thumb, each with what it counts; `sources` says whose they are."""

    stacks: Stacks
    sources: tuple[str, ...]


def estimate_of(shape: ModelShape, params: Params) -> Estimate:
    """The chosen run, or training step on each GPU. Raises InputError."""
    if params.training:
        return sharded_training(shape, params.training_settings(shape), params.plan)
    return inference(shape, params.inference_settings)


def peak_of(shape: ModelShape, params: Params) -> Moment | None:
    """The worst moment of the training step, None of a run. Raises InputError."""
    return sharded_step(shape, params.training_settings(shape), params.plan).worst() if params.training else None


def parts(shape: ModelShape, params: Params, marked: Sequence[Gpu], estimate: Estimate) -> Parts:
    """Every precision, or every strategy, as a bar; `estimate` is that of `params`. Raises InputError."""
    bars = _strategy_bars(shape, params) if params.training else _precision_bars(shape, params)
    marks = tuple((gpu.memory, gpu.name) for gpu in marked)
    title = f"Memory of {shape.name} on one GPU"
    return Parts(Stacks(bars, marks, title), estimate)


def _precision_bars(shape: ModelShape, params: Params) -> tuple[Bar, ...]:
    keys = COMPARED if params.precision in COMPARED else (params.precision, *COMPARED)
    made = [(key, inference(shape, params.run_with(key))) for key in keys]
    return tuple(
        _bar(PRECISIONS[key][0], found.terms, key, chosen=key == params.precision) for key, found in _by_size(made)
    )


def _by_size(made: list[tuple[str, Estimate]]) -> list[tuple[str, Estimate]]:
    return sorted(made, key=lambda each: -each[1].total)


def _strategy_bars(shape: ModelShape, params: Params) -> tuple[Bar, ...]:
    found = strategies(shape, params.training_settings(shape), params.plan)
    return tuple(
        _bar(one.strategy.value, one.estimate.terms, one.strategy.value, chosen=one.strategy == params.strategy)
        if one.estimate is not None
        else Bar(one.strategy.value, (), "not possible so", one.strategy.value, chosen=one.strategy == params.strategy)
        for one in found
    )


def _bar(label: str, terms: Sequence[Term], key: str, *, chosen: bool) -> Bar:
    held = tuple(_part(term) for term in terms if not term.host)
    host = sum(term.bytes for term in terms if term.host)
    return Bar(label, held, f"+ {size(host)} in main memory" if host else "", key, chosen)


def _part(term: Term) -> Part:
    color, faint = color_of(term.name)
    return Part(term.name, term.bytes, color, words.facts(term), faint)


def contour_plot(shape: ModelShape, params: Params, marked: Sequence[Gpu]) -> Plot:
    """How long a context each GPU holds at each batch: what lies below its line fits. Raises InputError."""
    settings = params.training_settings(shape) if params.training else params.inference_settings
    totals_of(shape, settings)  # refuses what makes no sense, also where no GPU is chosen
    batches = sorted({round(float(value)) for value in np.geomspace(1, LARGEST_BATCH, POINTS)})
    most = int(LIMITS["tokens"][1])
    lines = contours(shape, settings, [gpu.memory for gpu in marked], batches, most) if marked else ()
    xs = np.array(batches, np.float64)
    series = [
        Series(gpu.name, xs, np.where(line > 0, line, np.nan), color=number)
        for number, (gpu, line) in enumerate(zip(marked, lines, strict=True))
    ]
    batch_now, tokens_now = np.array([float(params.batch)]), np.array([float(params.tokens)])
    chosen = Series("set now", batch_now, tokens_now, Draw.POINTS, 7, labels=("set now",), names_shown=True)
    levels = (Level("y", shape.context, f"the architecture reads {shape.context:,}"),) if shape.context else ()
    tokens = Axis("tokens of context that fit", log=True, low=16, high=2.0 * most, label=_whole)
    batch = Axis("sequences at once", log=True, low=0.9, high=LARGEST_BATCH * 1.1, label=_whole)
    return Plot(batch, tokens, (chosen, *series), levels, f"Context and batch of {shape.name} on each GPU", NO_GPUS)


def sharing(shape: ModelShape, params: Params) -> Sharing:
    """Memory of each GPU over 1 to 1024 of them. Raises InputError."""
    settings, plan = params.training_settings(shape), params.plan
    found = areas(shape, settings, plan)
    names = list(dict.fromkeys(area_of(term.name) for _, each in found for term in each.terms if not term.host))
    names.sort(key=lambda name: name == AROUND)  # on top of all tensors
    xs = np.array([gpus for gpus, _ in found], np.float64)
    series = tuple(
        Series(name, xs, _heights(found, name), Draw.AREA, color=color, labels=_gpus(xs))
        for name, color in distinct(names).items()
    )
    gpus = Axis("GPUs", log=True, low=1, high=1100, label=_whole)
    title = f"Training {shape.name} with {plan.strategy.value}"
    levels = (Level("x", plan.gpus, f"{plan.gpus:,}"),) if plan.gpus > 1 else ()
    plot = Plot(
        gpus,
        Axis("bytes on each GPU", low=0.0, label=size),
        series,
        levels,
        title,
        "No number of GPUs can be used with this plan.",
    )
    return Sharing(plot, strategies(shape, settings, plan), plan.strategy.value)


def _heights(found: Sequence[tuple[int, Estimate]], name: str) -> np.ndarray:
    sums = [sum(t.bytes for t in each.terms if area_of(t.name) == name and not t.host) for _, each in found]
    return np.array(sums, np.float64)


def _gpus(xs: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{int(x):,} GPU{'s' if x > 1 else ''}" for x in xs)


def rules(shape: ModelShape, params: Params, estimate: Estimate) -> Rules:
    """The rules in circulation for as many parameters, ZeRO's stages, and what is calculated here, `estimate`."""
    parameters = shape.parameters
    bars = [
        Bar(
            rule.name,
            tuple(
                Part(part, parameters * size, _rule_color(part), _rule_facts(part, size, parameters))
                for part, size in rule.parts
            ),
            f"{rule.bytes_per_parameter} bytes per parameter",
        )
        for rule in RULES
    ]
    for stage in (1, 2, 3):
        held = zero_bytes_per_gpu(parameters, params.gpus, stage)
        facts = (*sizes.facts(held), ("", "arXiv:1910.02054, table 1"))
        name = f"ZeRO-{stage}, {params.gpus:,} GPU{'s' if params.gpus > 1 else ''}"
        bars.append(Bar(name, (Part("Sharded states", held, 6, facts),), _each(held, parameters)))
    if params.training:
        parts = tuple(_part(term) for term in estimate.terms if not term.host)
        bars.append(Bar("Calculated here", parts, f"{_each(estimate.total, parameters)} at the peak", chosen=True))
    title = f"Rules of thumb for training {words.count(parameters)} parameters"
    sources = (*(f"{rule.name}: {rule.source}." for rule in RULES), DIFFERENCE)
    return Rules(Stacks(tuple(bars), (), title), sources)


def _rule_color(part: str) -> int:
    if part == "Float32 weights":
        return 5
    if part == "Float32 gradients":
        return 4
    return next(color for word, color in RULE_COLORS.items() if word in part.lower())


def _rule_facts(part: str, size: int, parameters: int) -> tuple[tuple[str, str], ...]:
    whole = parameters * size
    return (
        *sizes.facts(whole),
        ("bytes per parameter", str(size)),
        ("", f"{parameters:,} · {size} = {whole:,} bytes"),
    )


def _each(size: int, parameters: int) -> str:
    return f"{size / parameters:.3g} bytes per parameter"


def speed_plot(shape: ModelShape, params: Params, marked: Sequence[Gpu], measured: MeasuredSpeed | None) -> Plot:
    """The limit that bandwidth sets to decoding, over the context; and the measured speed. Raises InputError."""
    settings = params.inference_settings
    most = max(256, min(shape.context or 131_072, int(LIMITS["tokens"][1])))
    lengths = sorted({round(float(value)) for value in np.geomspace(1, most, POINTS)})
    xs = np.array(lengths, np.float64)
    series = []
    if shape.architecture is not Architecture.ENCODER:
        weights = decode_roofline(shape, settings, 1).moved.bytes_of("Weights read")
        cached = np.array([cache_bytes(shape, replace(settings, tokens=tokens)) for tokens in lengths], np.float64)
        series = [Series(gpu.name, xs, settings.batch * gpu.bandwidth / (weights + cached)) for gpu in marked]
    if measured is not None:
        point = (np.array([float(measured.context)]), np.array([measured.tokens_per_second]))
        series.append(Series("measured", *point, Draw.POINTS, color=7, labels=("Measured, one sequence",)))
    empty = NO_GPUS if series or shape.architecture is not Architecture.ENCODER else "It writes no tokens one by one."
    tokens = Axis("tokens in the cache", log=True, label=_whole)
    limit = Axis("tokens a second, all sequences together", log=True)
    title = f"Decode limit of {shape.name}, {PRECISIONS[params.precision][0]}, batch {settings.batch}"
    levels = (Level("x", params.tokens, "chosen"),) if series else ()
    return Plot(tokens, limit, tuple(series), levels, title, empty)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def limit_of(shape: ModelShape, info: ModelInfo, measured: MeasuredSpeed, device: Gpu) -> float:
    """The decode limit, in tokens a second, of the loaded model as it was measured. Raises InputError."""
    settings = InferenceSettings(
        dtype=info.dtype,
        quantization=info.quantization,
        double=info.request.double_quantization,
        tokens=measured.context,
        cache_dtype=info.dtype,
    )
    return decode_roofline(shape, settings, device.bandwidth).tokens_per_second
