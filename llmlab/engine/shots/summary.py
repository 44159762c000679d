"""What outcomes add up to. No torch: the window does this again with every setting, without asking the model."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from llmlab.engine.shots import metrics
from llmlab.engine.shots.calibration import calibrated, content_free_probabilities
from llmlab.engine.shots.metrics import Interval, McNemar
from llmlab.engine.shots.plans import Condition
from llmlab.engine.shots.results import ContentFree, Outcome, Score
from llmlab.engine.types import Float64


class Metric(StrEnum):
    """How right an answer is."""

    ACCURACY = "accuracy"
    MACRO_F1 = "macro-F1"
    EXACT = "exact match"
    REGEX = "regex match"
    TOKEN_F1 = "token F1"
    ROUGE_L = "ROUGE-L"


LABEL_METRICS = (Metric.ACCURACY, Metric.MACRO_F1)
TEXT_METRICS = (Metric.EXACT, Metric.REGEX, Metric.TOKEN_F1, Metric.ROUGE_L)


@dataclass(frozen=True, slots=True)
class Judge:
    """How outcomes are read: `score` decides which label is the answer, calibrated or not; `pattern` is for REGEX."""

    metric: Metric = Metric.ACCURACY
    score: Score = Score.SUM
    calibrate: bool = False
    pattern: str = r"(-?\d+)"

    def probabilities(self, outcome: Outcome, free: ContentFree | None) -> Float64:
        """Of each label, float64 (labels,); calibrated where that is asked for and `free` is known."""
        assert outcome.scores is not None
        plain = outcome.scores.probabilities(self.score)
        if not self.calibrate or free is None:
            return plain
        return calibrated(plain, _prior(free, self.score))

    def answer(self, outcome: Outcome, free: ContentFree | None) -> str:
        """The label with the highest probability, or what the model wrote."""
        if outcome.scores is None:
            return outcome.completion.strip()
        if not self.calibrate or free is None:
            return outcome.scores.labels[outcome.scores.best(self.score)]
        return outcome.scores.labels[int(self.probabilities(outcome, free).argmax())]

    def value(self, outcome: Outcome, free: ContentFree | None) -> float:
        """How right the answer is, 0…1. Of macro-F1, which only many answers have, whether it is right."""
        return self.grade(self.answer(outcome, free), outcome.truth)

    def grade(self, answer: str, truth: str) -> float:
        """How right an answer is, 0…1."""
        if self.metric is Metric.REGEX:
            return metrics.regex_match(self.pattern, answer, truth)
        grades = {Metric.TOKEN_F1: metrics.token_f1, Metric.ROUGE_L: metrics.rouge_l}
        return grades.get(self.metric, metrics.exact_match)(answer, truth)

    @property
    def is_share(self) -> bool:
        """Whether every single value is 0 or 1, so that the mean is a proportion."""
        return self.metric in (Metric.ACCURACY, Metric.EXACT, Metric.REGEX)


@functools.lru_cache(maxsize=64)
def _prior(free: ContentFree, score: Score) -> Float64:
    """p_cf, the same for all outcomes of a condition."""
    return content_free_probabilities(free.scores, score)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a number of shots gives: over all seeds, and for each, (seed, interval).

    The interval over several seeds counts every item once: the same item under two seeds is not two items.
    """

    count: int
    all: Interval
    seeds: tuple[tuple[int, Interval], ...]


@dataclass(frozen=True, slots=True)
class Influence:
    """What one shot does: the mean change when it is there, of the metric and of the truth's log-probability.

    The latter in nats, None for free text; both with bootstrap intervals over the items.
    """

    shot: int
    value: Interval
    log_probability: Interval | None


class Results:
    """Outcomes as they come in, by condition."""

    def __init__(self) -> None:
        self._outcomes: dict[str, dict[int, Outcome]] = {}
        self._free: dict[str, dict[int | None, ContentFree]] = {}  # by condition, and by item where it is for one
        self._read: dict[tuple[str, Judge], dict[int, tuple[str, float]]] = {}  # what was judged once
        self._intervals: dict[tuple[str, Judge], Interval] = {}

    def add(self, told: Outcome | ContentFree) -> None:
        """Take one in."""
        if isinstance(told, ContentFree):
            self._free.setdefault(told.condition, {})[told.item] = told
            self._judge_again(told)
        else:
            self._outcomes.setdefault(told.condition, {})[told.item] = told

    def _judge_again(self, free: ContentFree) -> None:
        """What was judged without `free` does not count any more."""
        for of in [of for of in self._intervals if of[0] == free.condition]:
            del self._intervals[of]
        for (key, _), read in self._read.items():
            if key == free.condition and free.item is None:
                read.clear()
            elif key == free.condition and free.item is not None:
                read.pop(free.item, None)

    @property
    def known(self) -> frozenset[tuple[str, int]]:
        """What need not be measured again; content-free prompts as `ContentFree.place`."""
        items = {(key, item) for key, found in self._outcomes.items() for item in found}
        return frozenset(items | {(key, each.place) for key, found in self._free.items() for each in found.values()})

    @property
    def count(self) -> int:
        """How many outcomes there are."""
        return sum(map(len, self._outcomes.values()))

    def count_of(self, key: str) -> int:
        """How many outcomes a condition has."""
        return len(self._outcomes.get(key, {}))

    def of(self, key: str) -> tuple[Outcome, ...]:
        """A condition's outcomes, in the order of the items."""
        found = self._outcomes.get(key, {})
        return tuple(found[item] for item in sorted(found))

    @property
    def own_free_count(self) -> int:
        """Of how many outcomes, each with shots of its own, the content-free prompts are known."""
        return sum(len(found) - (None in found) for found in self._free.values())

    def free(self, key: str, item: int) -> ContentFree | None:
        """What a condition's content-free prompts say, or an item's own, if that is known."""
        found = self._free.get(key, {})
        return found.get(item, found.get(None))

    def values(self, key: str, judge: Judge) -> dict[int, float]:
        """How right each item's answer is."""
        return {item: value for item, (_, value) in self._judged(key, judge).items()}

    def interval(self, key: str, judge: Judge) -> Interval:
        """A condition's metric with its 95 % interval."""
        known = self._intervals.get((key, judge))
        if known is not None and known.count == len(self._outcomes.get(key, {})):
            return known
        if judge.metric is Metric.MACRO_F1:
            found = metrics.bootstrap_macro_f1(*self.pairs(key, judge))
        else:
            found = _interval(list(self.values(key, judge).values()), judge)
        self._intervals[key, judge] = found
        return found

    def pairs(self, key: str, judge: Judge) -> tuple[list[str], list[str]]:
        """(answers, truths) of a condition's items, in order."""
        read = self._judged(key, judge)
        found = self.of(key)
        return [read[each.item][0] for each in found], [each.truth for each in found]

    def _judged(self, key: str, judge: Judge) -> dict[int, tuple[str, float]]:
        """(answer, value) of each item; every outcome is judged once."""
        read = self._read.setdefault((key, judge), {})
        for each in self.of(key):
            if each.item not in read:
                answer = judge.answer(each, self.free(key, each.item))
                read[each.item] = answer, judge.grade(answer, each.truth)
        return read

    def truth_log_probability(self, key: str, judge: Judge) -> dict[int, float]:
        """Natural logarithm of the probability that each item's right label has among the labels."""
        found = {}
        for each in self.of(key):
            if each.scores is not None and each.truth in each.scores.labels:
                probabilities = judge.probabilities(each, self.free(key, each.item))
                found[each.item] = float(np.log(max(probabilities[each.scores.labels.index(each.truth)], 1e-300)))
        return found


def curve(conditions: Iterable[Condition], results: Results, judge: Judge) -> tuple[CurvePoint, ...]:
    """The k sweep's points that have outcomes, by number of shots."""
    by_count: dict[int, list[Condition]] = {}
    for condition in conditions:
        if results.of(condition.key):
            by_count.setdefault(condition.count, []).append(condition)
    points = []
    for count, some in sorted(by_count.items()):
        seeds = tuple((each.seed, results.interval(each.key, judge)) for each in some)
        points.append(CurvePoint(count, seeds[0][1] if len(some) == 1 else _over(some, results, judge), seeds))
    return tuple(points)


def _over(conditions: Sequence[Condition], results: Results, judge: Judge) -> Interval:
    """The mean over the seeds; its interval that of as many items, each with the mean of its seeds."""
    if judge.metric is Metric.MACRO_F1:
        found = [results.interval(each.key, judge) for each in conditions]
        return Interval(
            statistics.fmean(each.value for each in found),
            statistics.fmean(each.low for each in found),
            statistics.fmean(each.high for each in found),
            sum(each.count for each in found),
        )
    by_item: dict[int, list[float]] = {}
    for each in conditions:
        for item, value in results.values(each.key, judge).items():
            by_item.setdefault(item, []).append(value)
    values = [statistics.fmean(some) for some in by_item.values()]
    interval = metrics.wilson(sum(values), len(values)) if judge.is_share else metrics.bootstrap(values)
    return replace(interval, count=sum(map(len, by_item.values())))


def influences(conditions: Sequence[Condition], results: Results, judge: Judge) -> tuple[Influence, ...]:
    """Of a leave-one-out plan: all shots against all but each one, over the items that both have."""
    full, *others = conditions
    found = []
    for place, other in enumerate(others):
        gained = _gain(results.values(full.key, judge), results.values(other.key, judge))
        if gained is not None:
            surer = _gain(
                results.truth_log_probability(full.key, judge), results.truth_log_probability(other.key, judge)
            )
            found.append(Influence(place, gained, surer))
    return tuple(found)


def _gain(full: Mapping[int, float], without: Mapping[int, float]) -> Interval | None:
    """The mean difference over the items of both."""
    both = sorted(full.keys() & without.keys())
    return metrics.bootstrap([full[item] - without[item] for item in both]) if both else None


def compared(first: str, second: str, results: Results, judge: Judge) -> McNemar:
    """McNemar's test of two conditions over the items that both have; right is a value of 1."""
    one, other = results.values(first, judge), results.values(second, judge)
    both = sorted(one.keys() & other.keys())
    return metrics.mcnemar([one[item] >= 1 for item in both], [other[item] >= 1 for item in both])


def _interval(values: Sequence[float], judge: Judge) -> Interval:
    if judge.is_share:
        return metrics.wilson(round(sum(values)), len(values))
    return metrics.bootstrap(values)
