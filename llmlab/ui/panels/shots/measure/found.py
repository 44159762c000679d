"""What outcomes come to, ready to be drawn and written. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from llmlab.engine.shots import plans
from llmlab.engine.shots.metrics import Interval, McNemar, confusion, exact_match, wilson
from llmlab.engine.shots.plans import Condition
from llmlab.engine.shots.results import ContentFree, Outcome
from llmlab.engine.shots.summary import CurvePoint, Judge, Metric, compared, curve, influences
from llmlab.ui.panels.shots.measure.params import Comparison
from llmlab.ui.panels.shots.measure.run import Run

MOST_LABELS = 12  # that get a column of their own in the table of items


@dataclass(frozen=True, slots=True)
class Bar:
    """One condition's value with its interval, and what else is known of it. `tip` says what it is."""

    key: str
    name: str
    value: Interval
    other: Interval | None = None
    tip: str = ""


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One item under one condition. `value` is how right the answer is, 0…1.

    Of two variants, `other` is (answer, value) of the one that is not listed.
    """

    item: int
    text: str
    truth: str
    answer: str
    value: float
    probabilities: tuple[float, ...]
    tokens: int
    dropped: int
    other: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts by truth (rows) and answer (columns)."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A measurement as far as it has come.

    `chosen` is the condition whose items are listed, out of `conditions` (key, name). `second` names the bars' other
    values, `unit` what all values are in.
    """

    test: Comparison
    metric: Metric
    headline: str
    unit: str
    curve: tuple[CurvePoint, ...] = ()
    bars: tuple[Bar, ...] = ()
    second: str = ""
    conditions: tuple[tuple[str, str], ...] = ()
    chosen: str = ""
    labels: tuple[str, ...] = ()
    items: tuple[ItemLine, ...] = ()
    confusion: Confusion | None = None
    mcnemar: McNemar | None = None
    count: int = 0
    total: int = 0
    cut: int = 0  # prompts in which shots found no room


def found(run: Run, judge: Judge, chosen: str) -> Found | None:
    """What `run` has come to; None before there is an outcome. Raises InputError for a pattern that is not valid."""
    measured = [condition for condition in run.conditions if run.results.of(condition.key)]
    if not measured:
        return None
    current = next((each for each in measured if each.key == chosen), _first_choice(run, measured))
    shape = _SHAPES[run.request.test](run, measured, judge)
    lines = _items(run, current, judge)
    labels = _labels(run, current)
    return Found(
        test=run.request.test,
        metric=judge.metric,
        headline=shape.headline[:1].upper() + shape.headline[1:],
        unit=shape.unit or judge.metric.value,
        curve=shape.curve,
        bars=shape.bars,
        second=shape.second,
        conditions=tuple((each.key, each.name) for each in measured),
        chosen=current.key,
        labels=labels if len(labels) <= MOST_LABELS else (),
        items=lines,
        confusion=_confusion(lines, labels),
        mcnemar=shape.mcnemar,
        count=run.results.count,
        total=run.total,
        cut=sum(outcome.dropped > 0 for each in measured for outcome in run.results.of(each.key)),
    )


def percent(value: float, *, signed: bool = False) -> str:
    """91.7 % or 90 %, with a real minus."""
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return f"{text.removesuffix('.0').replace('-', '−')} %"


@dataclass(frozen=True, slots=True)
class _Shape:
    headline: str
    curve: tuple[CurvePoint, ...] = ()
    bars: tuple[Bar, ...] = ()
    second: str = ""
    unit: str = ""
    mcnemar: McNemar | None = None


def _sweep(run: Run, measured: list[Condition], judge: Judge) -> _Shape:
    points = curve(measured, run.results, judge)
    first, best = points[0], max(points, key=lambda point: point.all.value)
    words = f"{percent(first.all.value)} with {_shots(first.count)}"
    if len(points) > 1:
        words += f" · best {percent(best.all.value)} with {_shots(best.count)}"
    same = plans.overlap(run.request.pool, run.request.items)
    warning = f" · {same:,} items are examples too" if same else ""
    return _Shape(f"{judge.metric.value}: {words}{warning}", points)


def _order(run: Run, measured: list[Condition], judge: Judge) -> _Shape:
    bars = [Bar(each.key, each.name, run.results.interval(each.key, judge)) for each in measured]
    bars.sort(key=lambda bar: -bar.value.value)
    best, worst = bars[0], bars[-1]
    spread = best.value.value - worst.value.value
    words = f"best {percent(best.value.value)}, worst {percent(worst.value.value)}: a range of {percent(spread)}"
    return _Shape(f"{judge.metric.value} over {len(bars)} orders: {words}", bars=tuple(bars))


def _left_out(run: Run, measured: list[Condition], judge: Judge) -> _Shape:
    whole = run.results.interval(measured[0].key, judge)
    bars = []
    has_labels = run.request.has_labels
    for each in influences(measured, run.results, judge):
        shot = run.request.pool[each.shot]
        words = " · ".join(text for _, text in shot.fields)
        main = each.log_probability if each.log_probability is not None else each.value
        other = each.value if each.log_probability is not None else None
        bars.append(Bar(f"without={each.shot}", str(each.shot + 1), main, other, f"{words} → {shot.output}"))
    unit = "change of the truth's log-probability (nats)" if has_labels else f"change of {judge.metric.value}"
    return _Shape(
        f"{judge.metric.value} with all shots: {percent(whole.value)} · above 0 the shot helps", bars=tuple(bars),
        second=judge.metric.value if has_labels else "", unit=unit,
    )  # fmt: skip


def _swapped(run: Run, measured: list[Condition], judge: Judge) -> _Shape:
    spec, results = run.request.spec, run.results
    exchanged = {spec.word(label): spec.word(plans.swap(spec, label)) for label in spec.labels}
    bars = []
    for condition in measured:
        answers, truths = results.pairs(condition.key, judge)
        follow = sum(
            exact_match(answer, exchanged.get(truth, truth)) for answer, truth in zip(answers, truths, strict=True)
        )
        bars.append(
            Bar(condition.key, condition.name, results.interval(condition.key, judge), wilson(follow, len(answers)))
        )
    return _Shape(_verdict(bars), bars=tuple(bars), second="answers that are the exchanged label")


def _verdict(bars: list[Bar]) -> str:
    by_key: Mapping[str, Bar] = {bar.key: bar for bar in bars}
    swapped = by_key.get(plans.SWAPPED)
    if swapped is None or swapped.other is None:
        return "Are the shots' labels read, or only their form?"
    follow = percent(swapped.other.value)
    if swapped.other.low > 0.5:
        return f"The labels are read: {follow} of the answers follow the exchanged ones."
    if swapped.value.low > 0.5:
        return f"Only the form matters: with exchanged labels {percent(swapped.value.value)} are still right."
    return f"With exchanged labels {percent(swapped.value.value)} are right, and {follow} follow the exchange."


def _variants(run: Run, measured: list[Condition], judge: Judge) -> _Shape:
    bars = tuple(Bar(each.key, each.name, run.results.interval(each.key, judge)) for each in measured)
    if len(bars) < 2:
        return _Shape(f"{bars[0].name}: {percent(bars[0].value.value)}", bars=bars)
    test = compared(bars[0].key, bars[1].key, run.results, judge)
    words = (
        f"B wins {test.wins:,} items and loses {test.losses:,} · both right {test.both:,}, neither {test.neither:,} · "
        f"McNemar exact p = {test.exact:.3g}, mid-p = {test.mid_p:.3g}"
    )
    return _Shape(words, bars=bars, mcnemar=test)


_SHAPES = {
    Comparison.SWEEP: _sweep,
    Comparison.ORDER: _order,
    Comparison.LEAVE_ONE_OUT: _left_out,
    Comparison.SWAP: _swapped,
    Comparison.VARIANTS: _variants,
}


def _first_choice(run: Run, measured: list[Condition]) -> Condition:
    """The most shots of a sweep, the first of anything else."""
    return measured[-1] if run.request.test is Comparison.SWEEP else measured[0]


def _shots(count: int) -> str:
    return f"{count} shot{'s' * (count != 1)}"


def _labels(run: Run, condition: Condition) -> tuple[str, ...]:
    """The labels, where all items share them."""
    spec = condition.spec
    return () if any(item.choices for item in run.request.items) else tuple(map(spec.word, spec.labels))


def _items(run: Run, condition: Condition, judge: Judge) -> tuple[ItemLine, ...]:
    """The lines of one condition; each is made once, however often they are looked at while more come in."""
    made = run.lines.setdefault((condition.key, judge), {})
    for outcome in run.results.of(condition.key):
        if outcome.item not in made:
            made[outcome.item] = _line(run, outcome, judge, run.results.free(condition.key, outcome.item))
    others = _others(run, condition, judge)
    lines = (made[item] for item in sorted(made))
    return tuple(replace(line, other=others.get(line.item)) for line in lines) if others else tuple(lines)


def _line(run: Run, outcome: Outcome, judge: Judge, free: ContentFree | None) -> ItemLine:
    answer = judge.answer(outcome, free)
    return ItemLine(
        item=outcome.item,
        text=" · ".join(text for _, text in run.request.items[outcome.item].fields),
        truth=outcome.truth,
        answer=answer,
        value=judge.grade(answer, outcome.truth),
        probabilities=_probabilities(outcome, judge, free),
        tokens=outcome.tokens,
        dropped=outcome.dropped,
    )


def _others(run: Run, condition: Condition, judge: Judge) -> dict[int, tuple[str, float]]:
    """(answer, value) of every item under the other one of two variants."""
    if run.request.test is not Comparison.VARIANTS:
        return {}
    key = next(each.key for each in run.conditions if each.key != condition.key)
    answers, _ = run.results.pairs(key, judge)
    values = run.results.values(key, judge)
    asked = run.results.of(key)
    return {each.item: (answer, values[each.item]) for each, answer in zip(asked, answers, strict=True)}


def _probabilities(outcome: Outcome, judge: Judge, free: ContentFree | None) -> tuple[float, ...]:
    return () if outcome.scores is None else tuple(judge.probabilities(outcome, free).tolist())


def _confusion(lines: tuple[ItemLine, ...], labels: tuple[str, ...]) -> Confusion | None:
    known = tuple(dict.fromkeys(labels))
    if not known or len(known) > MOST_LABELS or any(line.truth not in known for line in lines):
        return None
    counts = confusion([line.answer for line in lines], [line.truth for line in lines], known)
    return Confusion(known, tuple(map(tuple, counts)))
