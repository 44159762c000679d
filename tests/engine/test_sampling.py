"""The settings mean what transformers' logits processors mean by them; those are the oracle."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llmlab.engine.errors import InputError
from llmlab.engine.sampling import (
    Cut,
    GenerationSettings,
    SamplingSettings,
    ShapedDistribution,
    SortedLogits,
    draw,
    shape,
)
from llmlab.engine.sorted_logits import sort_keys


def processors(settings: SamplingSettings) -> LogitsProcessorList:
    """What `GenerationMixin._get_logits_processor` builds from these settings, in its order."""
    chosen = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        chosen.append(RepetitionPenaltyLogitsProcessor(float(settings.repetition_penalty)))
    if settings.do_sample and settings.temperature != 1:
        chosen.append(TemperatureLogitsWarper(float(settings.temperature)))
    if settings.do_sample and settings.top_k != 0:
        chosen.append(TopKLogitsWarper(settings.top_k))
    if settings.do_sample and settings.top_p < 1:
        chosen.append(TopPLogitsWarper(settings.top_p))
    if settings.do_sample and settings.min_p > 0:
        chosen.append(MinPLogitsWarper(settings.min_p))
    return chosen


STABLE = functools.partial(torch.sort, stable=True)


def expected(
    logits: np.ndarray, context: np.ndarray, settings: SamplingSettings, sort: Callable[..., Any] = STABLE
) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens are kept, and their probabilities, in vocabulary order, by transformers' own processors.

    Their top-p sorts with `torch.sort`, which promises no order among equals and on some processors keeps none;
    where the cut goes through equal tokens, the stable sort says which of them stay.
    """
    scores = torch.from_numpy(logits.copy())[None]
    with mock.patch.object(torch, "sort", sort):
        scores = processors(settings)(torch.from_numpy(context.astype(np.int64))[None], scores)
    return scores[0].numpy() > -np.inf, scores.double().softmax(-1)[0].numpy()


def in_vocabulary_order(shaped: ShapedDistribution) -> np.ndarray:
    result = np.empty(len(shaped.ids), np.float32)
    result[shaped.ids] = shaped.probabilities
    return result


def oracle_rounding(probabilities: np.ndarray) -> float:
    """How far the float32 sums from which transformers' top-p cuts are from the true ones."""
    ascending = torch.from_numpy(np.sort(probabilities))
    in_float32 = ascending.log().float().softmax(-1).cumsum(-1)
    return 2 * (in_float32.double() - ascending.cumsum(-1)).abs().max().item() + 1e-7


def random_settings(generator: np.random.Generator, size: int) -> SamplingSettings:
    def sometimes(value: float, otherwise: float) -> float:
        return float(value) if generator.random() < 0.6 else otherwise

    return SamplingSettings(
        temperature=sometimes(generator.choice([0.1, 0.5, 0.7, 0.8, 1.3, 2.0, generator.uniform(0.05, 3)]), 1.0),
        top_k=int(sometimes(generator.choice([1, 2, 40, 50, size - 1, size, generator.integers(1, size)]), 0)),
        top_p=sometimes(generator.choice([0.0, 0.5, 0.9, 0.95, 0.99, generator.uniform()]), 1.0),
        min_p=sometimes(generator.choice([0.01, 0.05, 0.1, 1.0, generator.uniform()]), 0.0),
        repetition_penalty=sometimes(generator.choice([0.8, 1.1, 1.2, 2.0, generator.uniform(0.5, 3)]), 1.0),
    )


def random_logits(generator: np.random.Generator, size: int) -> np.ndarray:
    logits = generator.normal(0, generator.choice([0.5, 1.0, 3.0, 6.0]), size)
    kind = generator.integers(5)
    if kind == 1:  # ties everywhere
        logits = np.round(logits * 4) / 4
    elif kind == 2:  # ties as a model in bfloat16 has them
        logits = torch.from_numpy(logits).bfloat16().double().numpy()
    elif kind == 3:
        logits[generator.random(size) < generator.choice([0.01, 0.9])] = -np.inf
    elif kind == 4:
        logits[generator.integers(size, size=3)] += 12  # one token nearly certain
    logits[generator.integers(size)] = 1.0  # never all of them −inf
    return logits.astype(np.float32)


def agrees(logits: np.ndarray, context: np.ndarray, settings: SamplingSettings) -> bool:
    """Whether the kept sets are the same; where not, only tokens may differ on which the oracle's rounding decides."""
    kept, want = expected(logits, context, settings)
    shaped = shape(SortedLogits.from_logits(logits, context), settings)
    got = in_vocabulary_order(shaped)
    disputed = (shaped.cut == Cut.KEPT) != kept[shaped.ids]
    assert np.count_nonzero(shaped.cut == Cut.KEPT) == shaped.kept
    assert math.isclose(got.sum(dtype=np.float64), 1, rel_tol=1e-5)
    if not disputed.any():
        assert np.abs(got - want).max() <= 1e-6, settings
        return True
    _, before = expected(logits, context, replace(settings, top_p=1.0, min_p=0.0))
    tails = np.cumsum(before[shaped.ids][::-1])[::-1]  # each token's mass with all less probable ones
    rounding = oracle_rounding(before)
    at_top_p = np.abs(tails[disputed] - (1 - settings.top_p)).max() <= rounding
    at_min_p = np.allclose(before[shaped.ids][disputed], settings.min_p * before.max(), rtol=1e-5, atol=0)
    limits = (settings.top_p < 1 and at_top_p) or (settings.min_p > 0 and at_min_p)
    assert limits, (settings, tails[disputed], rounding)
    return False


def compare(sizes: dict[int, int], settings: int, seed: int) -> tuple[int, int]:
    generator = np.random.default_rng(seed)
    same = total = 0
    for size, vectors in sizes.items():
        chosen = [random_settings(generator, size) for _ in range(settings)]
        for _ in range(vectors):
            logits = random_logits(generator, size)
            context = generator.integers(0, size, generator.integers(1, 300))
            for each in chosen:
                same += agrees(logits, context, each)
                total += 1
    return same, total


def test_kept_sets_are_those_of_transformers() -> None:
    same, total = compare({7: 20, 8_000: 8}, settings=40, seed=1)
    assert same == total


def test_kept_sets_are_those_of_transformers_at_152k() -> None:
    same, total = compare({152_000: 2}, settings=12, seed=2)
    assert same >= total - 1


def test_an_unstable_sort_differs_only_among_equal_tokens() -> None:
    generator = np.random.default_rng(4)
    logits = np.round(generator.normal(0, 2, 8_000) * 4).astype(np.float32) / 4
    for top_p in (0.0, 0.3, 0.9):
        settings = SamplingSettings(top_p=top_p)
        _, want = expected(logits, np.array([0]), settings, sort=torch.sort)
        got = shape(SortedLogits.from_logits(logits), settings).probabilities
        np.testing.assert_allclose(np.sort(want)[::-1], got, atol=1e-6)


@pytest.mark.slow
def test_200_settings_on_50_vectors() -> None:
    same, total = compare({8_000: 25, 152_000: 25}, settings=200, seed=3)
    assert total == 10_000
    assert same >= 0.995 * total  # the others: one or two tokens exactly at a threshold


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(top_p=0.9),
        SamplingSettings(top_p=0.5, temperature=0.7),
        SamplingSettings(top_k=3),
        SamplingSettings(top_p=0.0),
        SamplingSettings(min_p=1.0),
        SamplingSettings(temperature=0.7, top_k=5, top_p=0.3, min_p=0.5, repetition_penalty=1.3),
    ],
)
def test_equal_logits(settings: SamplingSettings) -> None:
    assert agrees(np.zeros(10, np.float32), np.array([2, 5]), settings)


def test_a_penalty_merges_into_ties_by_id() -> None:
    logits = np.array([2, 1, 1, 1, 0.5], np.float32)
    shaped = shape(SortedLogits.from_logits(logits, (0,)), SamplingSettings(repetition_penalty=2.0))
    assert shaped.ids.tolist() == [3, 2, 1, 0, 4]  # 2/2 = 1 joins the ones, lowest id last
    np.testing.assert_array_equal(shaped.logits, [1, 1, 1, 2, 0.5])
    assert shaped.raw_probabilities.argmax() == 3


def test_temperature_that_makes_logits_equal_changes_their_places() -> None:
    steps = (np.arange(8) + np.float32(1.9).view(np.int32)).astype(np.int32).view(np.float32)  # neighbours
    low = int(np.flatnonzero(np.diff(steps / np.float32(1.5)) == 0)[0])
    logits = np.array([steps[low + 1], steps[low], 0.99, -5], np.float32)
    settings = SamplingSettings(temperature=1.5, top_p=0.2)
    assert agrees(logits, np.array([3]), settings)
    shaped = shape(SortedLogits.from_logits(logits), settings)
    assert shaped.ids[:2].tolist() == [1, 0]
    assert shaped.logits[:2].tolist() == [steps[low], steps[low + 1]]


def test_what_cut_each_token() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04, 0.0], np.float32), where=[True] * 5 + [False],
                    out=np.full(6, -np.inf, np.float32))  # fmt: skip
    shaped = shape(SortedLogits.from_logits(logits), SamplingSettings(top_k=4, top_p=0.85, min_p=0.6))
    assert shaped.cut.tolist() == [Cut.KEPT, Cut.KEPT, Cut.MIN_P, Cut.TOP_P, Cut.TOP_K, Cut.IMPOSSIBLE]
    assert shaped.kept == 2
    assert shaped.kept_mass == pytest.approx(0.7)
    assert shaped.probabilities[:2] == pytest.approx([4 / 7, 3 / 7])
    assert shaped.entropy == pytest.approx(-4 / 7 * math.log(4 / 7) - 3 / 7 * math.log(3 / 7))
    assert shaped.raw_entropy == pytest.approx(-sum(p * math.log(p) for p in (0.4, 0.3, 0.2, 0.06, 0.04)))


def test_greedy_applies_only_the_penalty() -> None:
    logits = np.array([3, 2.9, 0], np.float32)
    settings = SamplingSettings(do_sample=False, temperature=0.3, top_k=1, repetition_penalty=1.5)
    shaped = shape(SortedLogits.from_logits(logits, (0,)), settings)
    assert shaped.kept == 3
    assert shaped.ids.tolist() == [1, 0, 2]
    assert shaped.probabilities == pytest.approx(torch.tensor([2.9, 2.0, 0]).softmax(0).numpy())


def test_temperature_zero_leaves_the_token_that_argmax_takes() -> None:
    logits = np.array([1, 4, 4, 2], np.float32)
    shaped = shape(SortedLogits.from_logits(logits), SamplingSettings(temperature=0, top_k=3))
    assert shaped.ids[0] == logits.argmax() == 1
    assert shaped.probabilities.tolist() == [1, 0, 0, 0]
    assert (shaped.kept, shaped.kept_mass, shaped.entropy) == (1, 1.0, 0.0)
    assert set(shaped.cut[1:].tolist()) == {Cut.TEMPERATURE}


finite = st.floats(-60, 60, width=32)
vectors = hnp.arrays(np.float32, st.integers(1, 40), elements=finite | st.just(-math.inf)).filter(
    lambda x: bool(np.isfinite(x).any())
)
settings_drawn = st.builds(
    SamplingSettings,
    do_sample=st.booleans(),
    temperature=st.just(0.0) | st.floats(0.01, 10),
    top_k=st.integers(0, 60),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.1, 10),
)


@given(vectors, settings_drawn, st.sets(st.integers(0, 45)))
def test_properties(logits: np.ndarray, settings: SamplingSettings, context: set[int]) -> None:
    captured = SortedLogits.from_logits(logits, np.array(sorted(context), np.int64))
    shaped = shape(captured, settings)
    assert sorted(shaped.ids.tolist()) == list(range(len(logits)))
    np.testing.assert_array_equal(shaped.logits, logits[shaped.ids])
    assert np.all(np.diff(shaped.probabilities) <= 0)
    assert shaped.probabilities.sum(dtype=np.float64) == pytest.approx(1, rel=1e-5)
    assert shaped.raw_probabilities == pytest.approx(torch.from_numpy(logits).softmax(0).numpy()[shaped.ids], abs=1e-6)
    assert 1 <= shaped.kept <= len(logits)
    assert np.all((shaped.cut == Cut.KEPT) == (np.arange(len(logits)) < shaped.kept))
    assert -1e-9 <= shaped.entropy <= math.log(shaped.kept) + 1e-5
    assert 0 < shaped.kept_mass <= 1 + 1e-6
    np.testing.assert_array_equal(captured.logits, np.sort(logits)[::-1])  # the capture itself is never written to


@given(vectors, st.floats(0, 1, exclude_max=True))
def test_draw_is_the_inverse_of_the_cumulative_distribution(logits: np.ndarray, uniform: float) -> None:
    shaped = shape(SortedLogits.from_logits(logits), SamplingSettings(top_p=0.95))
    index = draw(shaped, uniform)
    below = shaped.probabilities[:index].sum(dtype=np.float64)
    assert shaped.probabilities[index] > 0
    assert below - 1e-6 <= uniform <= below + shaped.probabilities[index] + 1e-6


def test_draw_follows_the_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 1.5, 2_000).astype(np.float32)
    shaped = shape(SortedLogits.from_logits(logits), SamplingSettings(top_k=1_500))
    uniforms = (np.arange(20_000) + 0.5) / 20_000
    counts = np.bincount([draw(shaped, u) for u in uniforms], minlength=2_000)
    assert np.abs(counts / 20_000 - shaped.probabilities).max() <= 1 / 20_000


@given(hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_sort_order_is_the_reverse_of_a_stable_ascending_sort(logits: np.ndarray) -> None:
    captured = SortedLogits.from_logits(logits)
    np.testing.assert_array_equal(captured.ids, np.argsort(logits, kind="stable")[::-1])


def test_sort_keys_treat_minus_zero_as_zero() -> None:
    keys = sort_keys(np.array([-0.0, 0.0], np.float32), np.array([1, 0], np.int32))
    assert keys[0] > keys[1]


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [-math.inf, -math.inf], [math.inf, 0.0], [-math.nan, 0.0], []])
def test_logits_that_say_nothing(bad: list[float]) -> None:
    with pytest.raises(InputError, match="no usable number"):
        SortedLogits.from_logits(np.array(bad, np.float32))


def test_context_beyond_the_vocabulary_is_left_out() -> None:
    captured = SortedLogits.from_logits(np.zeros(3, np.float32), np.array([5, 1, 1, 3]))
    assert captured.context_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1.0), ("temperature", math.nan), ("temperature", 1e-9), ("temperature", math.inf),
        ("top_k", -1), ("top_k", 2.5), ("top_k", True), ("top_p", 1.5), ("top_p", -0.1), ("top_p", math.nan),
        ("min_p", 1.01), ("min_p", "0.1"), ("repetition_penalty", 0.0), ("repetition_penalty", -2.0),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing(name: str, value: object) -> None:
    settings = SamplingSettings(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        shape(SortedLogits.from_logits(np.zeros(3, np.float32)), settings)
    assert name.replace("_", " ") in caught.value.message.replace("_", " ")
    assert caught.value.hint.endswith(".")


@pytest.mark.parametrize(
    "settings",
    [
        GenerationSettings(max_new_tokens=0),
        GenerationSettings(seed=-1),
        GenerationSettings(seed=2**63),
        GenerationSettings(stop=("",)),
        GenerationSettings(SamplingSettings(top_p=2.0)),
    ],
)
def test_generation_settings_that_mean_nothing(settings: GenerationSettings) -> None:
    with pytest.raises(InputError):
        settings.validated()


def test_imports_no_torch() -> None:
    code = "import sys, llmlab.engine.sampling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
