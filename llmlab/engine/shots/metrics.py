"""How right answers are, and how sure one can be of that. No torch."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmlab.engine.errors import InputError

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile
RESAMPLES = 2000
REGEX_SECONDS = 0.5
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `count` values and its 95 % confidence interval."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two variants over the same items: `wins` only the second has right, `losses` only the first.

    `exact` and `mid_p` are two-sided p-values of the binomial test (Fagerland, Lydersen & Laake 2013).
    """

    both: int
    wins: int
    losses: int
    neither: int
    exact: float
    mid_p: float


def exact_match(answer: str, truth: str) -> float:
    """1 where both are the same text, white space around them aside."""
    return float(answer.strip() == truth.strip())


def regex_match(pattern: str, answer: str, truth: str) -> float:
    """1 where what `pattern` finds first in the answer, its first group if it has one, is the truth.

    Raises InputError for a pattern that is not valid, or that takes too long.
    """
    import regex  # type: ignore[import-untyped]  # re has no time limit; imported late, as the window needs no regex

    try:
        found = regex.search(pattern, answer, timeout=REGEX_SECONDS)
    except regex.error as error:
        problem = f"The regular expression is not valid: {error}."
    except TimeoutError:
        problem = f"The regular expression ran for more than {REGEX_SECONDS:g} s on one answer."
    else:
        text = "" if found is None else (found.group(1) if found.groups() else found.group())
        return float((text or "").strip() == truth.strip())
    raise InputError(problem, "Correct it; “-?\\d+” finds a whole number, for example.")


def token_f1(answer: str, truth: str) -> float:
    """F1 of the words the two share, as SQuAD counts it (Rajpurkar et al. 2016): case, punctuation, articles aside."""
    first, second = _squad_words(answer), _squad_words(truth)
    if not first or not second:
        return float(first == second)
    return _f1(sum((Counter(first) & Counter(second)).values()), len(first), len(second))


def rouge_l(answer: str, truth: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004, section 3), letters and digits in lower case, β = 1."""
    first, second = _WORD.findall(answer.lower()), _WORD.findall(truth.lower())
    if not first or not second:
        return 0.0
    return _f1(_longest_common_subsequence(first, second), len(first), len(second))


def macro_f1(answers: Sequence[str], truths: Sequence[str]) -> float:
    """The mean over all labels, right or given, of the F1 of that label against the rest; 0 without any."""
    labels = sorted({*answers, *truths})
    pairs = list(zip(answers, truths, strict=True))
    if not labels:
        return 0.0
    return math.fsum(
        _f1(
            sum(answer == truth == label for answer, truth in pairs),
            sum(answer == label for answer in answers),
            sum(truth == label for truth in truths),
        )
        for label in labels
    ) / len(labels)


def confusion(answers: Sequence[str], truths: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Counts by truth (rows) and answer (columns), in the order of `labels`, which must name them all."""
    place = {label: number for number, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for answer, truth in zip(answers, truths, strict=True):
        counts[place[truth]][place[answer]] += 1
    return counts


def wilson(right: float, count: int) -> Interval:
    """A proportion with its Wilson score interval (Wilson 1927); the whole range where there is no value.

    `right` is a mean over repetitions where it is no whole number.
    """
    if not count:
        return Interval(math.nan, 0.0, 1.0, 0)
    share, square = right / count, Z95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), count)


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """A mean with its percentile bootstrap interval (Efron 1979): the same values always give the same one."""
    sample = np.asarray(values, np.float64)
    if not len(sample):
        return Interval(math.nan, 0.0, 1.0, 0)
    drawn = np.random.default_rng(seed).integers(len(sample), size=(RESAMPLES, len(sample)))
    low, high = np.quantile(sample[drawn].mean(1), (0.025, 0.975))
    return Interval(float(sample.mean()), float(low), float(high), len(sample))


def bootstrap_macro_f1(answers: Sequence[str], truths: Sequence[str], seed: int = 0) -> Interval:
    """Macro-F1 with its percentile bootstrap interval over the items."""
    labels = sorted({*answers, *truths})
    count = len(answers)
    if not count:
        return Interval(math.nan, 0.0, 1.0, 0)
    counts = np.array(confusion(answers, truths, labels), np.float64)
    # Drawing items with replacement draws cells of the confusion matrix, each as often as it has items.
    drawn = np.random.default_rng(seed).multinomial(count, (counts / count).ravel(), size=RESAMPLES)
    cells = drawn.reshape(RESAMPLES, *counts.shape)  # (resamples, truths, answers)
    right = np.diagonal(cells, axis1=1, axis2=2)  # (resamples, labels)
    sizes = cells.sum(1) + cells.sum(2)
    totals = (2 * right / np.maximum(sizes, 1)).sum(1)
    present = (sizes > 0).sum(1)
    low, high = np.quantile(totals / np.maximum(present, 1), (0.025, 0.975))
    return Interval(macro_f1(answers, truths), float(low), float(high), count)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Whether two variants differ over the same items, of each of which it is told whether it was right."""
    pairs = Counter(zip(first, second, strict=True))
    wins, losses = pairs[False, True], pairs[True, False]
    exact, mid_p = binomial_test(wins, losses)
    return McNemar(pairs[True, True], wins, losses, pairs[False, False], exact, mid_p)


def binomial_test(wins: int, losses: int) -> tuple[float, float]:
    """(exact, mid-p), two-sided, of as uneven a split of wins and losses, if both were equally likely."""
    count, fewer = wins + losses, min(wins, losses)
    if wins == losses:
        return 1.0, 1.0 if not count else 1.0 - math.comb(count, fewer) / 2 ** (count + 1)
    tail = sum(math.comb(count, number) for number in range(fewer + 1)) / 2**count
    exact = min(1.0, 2 * tail)
    return exact, exact - math.comb(count, fewer) / 2**count


def _f1(shared: int, first: int, second: int) -> float:
    return 2 * shared / (first + second) if first + second else 0.0


def _squad_words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    row = [0] * (len(second) + 1)
    for word in first:
        former = row[:]
        for place, other in enumerate(second, 1):
            row[place] = former[place - 1] + 1 if word == other else max(former[place], row[place - 1])
    return row[-1]
