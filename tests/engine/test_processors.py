"""Every setting, alone and together, in any order: transformers' own processors are the oracle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList
from transformers.generation.utils import GenerationMixin

from llmlab.engine import Engine
from llmlab.engine.context import Context
from llmlab.engine.errors import InputError
from llmlab.engine.knobs import NEUTRAL, PROCESSORS, STAGES, WARPERS, Cut, SamplingSettings
from llmlab.engine.processors import ACTS, repeated
from llmlab.engine.sampling import ShapedDistribution, SortedLogits, shape
from llmlab.engine.waterfall import Waterfall, waterfall
from tests.engine import tiny
from tests.engine.test_generation import GENERATIVE, PROMPT, by_transformers
from tests.engine.test_sampling import STABLE, in_vocabulary_order, random_logits

ENDS = (0, 3)


class Lowering(LogitsProcessor):
    """OpenAI's penalties, as their documentation writes them; transformers has none."""

    def __init__(self, presence: float, frequency: float, given: int) -> None:
        self.presence, self.frequency, self.given = presence, frequency, given

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        counts = torch.bincount(input_ids[0, self.given :], minlength=scores.shape[-1])
        return scores - (counts > 0) * self.presence - counts * self.frequency


def config(settings: SamplingSettings) -> GenerationConfig:
    """The same settings as transformers takes them."""
    made = GenerationConfig(
        do_sample=True,  # it warns of settings without an effect
        temperature=float(settings.temperature),
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p or None,
        typical_p=settings.typical_p,
        epsilon_cutoff=settings.epsilon_cutoff,
        eta_cutoff=settings.eta_cutoff,
        repetition_penalty=float(settings.repetition_penalty),
        encoder_repetition_penalty=float(settings.encoder_repetition_penalty),
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        bad_words_ids=[list(tokens) for tokens in settings.bad_words_ids] or None,
        sequence_bias=[[list(tokens), float(bias)] for tokens, bias in settings.sequence_bias] or None,
        min_new_tokens=settings.min_new_tokens,
    )
    made.do_sample = settings.do_sample
    made._eos_token_tensor = torch.tensor(ENDS)
    return made


def processors(settings: SamplingSettings, context: Context) -> LogitsProcessorList:
    """What `generate` builds, in its order."""
    own: Any = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=False))
    own._merge_criteria_processor_list = lambda default, custom: LogitsProcessorList([*default, *custom])
    lowering = Lowering(settings.presence_penalty, settings.frequency_penalty, context.given)
    return GenerationMixin._get_logits_processor(
        own,
        config(settings),
        input_ids_seq_length=context.given,
        encoder_input_ids=torch.from_numpy(context.source.astype(np.int64))[None],
        logits_processor=LogitsProcessorList([lowering]),
        device="cpu",
    )


def expected(logits: np.ndarray, context: Context, settings: SamplingSettings) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens are kept, and their probabilities, for each row of `logits` (vectors, vocabulary)."""
    ids = torch.from_numpy(context.ids.astype(np.int64)).expand(len(logits), -1)
    with mock.patch.object(torch, "sort", STABLE):
        scores = processors(settings, context)(ids, torch.from_numpy(logits.copy()))
    return scores.numpy() > -np.inf, scores.double().softmax(-1).numpy()


def a_context(generator: np.random.Generator, size: int) -> Context:
    """A text that repeats itself, the last part of it generated."""
    length = int(generator.integers(2, 200))
    ids = generator.integers(0, min(size, 30), length)
    given = int(generator.integers(1, length + 1))
    return Context.of(ids.tolist(), given, ends=ENDS)


def random_settings(generator: np.random.Generator, context: Context, size: int) -> SamplingSettings:
    """Each knob on in a part of the settings; the words to ban and to bias often continue the context."""

    def sometimes(value: Any, otherwise: Any, often: float = 0.35) -> Any:
        return value if generator.random() < often else otherwise

    def words(count: int) -> list[tuple[int, ...]]:
        tails = [tuple(context.ids[-n:].tolist()) if n else () for n in generator.integers(0, 4, count)]
        return list(dict.fromkeys((*tail, int(generator.integers(size))) for tail in tails))

    biases = tuple((tokens, float(generator.normal(0, 5))) for tokens in words(int(generator.integers(1, 9))))
    return SamplingSettings(
        do_sample=bool(generator.random() < 0.9),
        temperature=sometimes(float(generator.uniform(0.1, 2.5)), 1.0, 0.5),
        top_k=sometimes(int(generator.integers(1, size)), 0),
        top_p=sometimes(float(generator.uniform(0.01, 1)), 1.0),
        min_p=sometimes(float(generator.uniform(0, 0.5)), 0.0),
        typical_p=sometimes(float(generator.uniform(0.05, 0.99)), 1.0),
        epsilon_cutoff=sometimes(float(10 ** generator.uniform(-6, -0.5)), 0.0),
        eta_cutoff=sometimes(float(10 ** generator.uniform(-6, -0.5)), 0.0),
        repetition_penalty=sometimes(float(generator.uniform(0.5, 2)), 1.0),
        encoder_repetition_penalty=sometimes(float(generator.uniform(0.5, 2)), 1.0),
        presence_penalty=sometimes(float(generator.uniform(-2, 2)), 0.0),
        frequency_penalty=sometimes(float(generator.uniform(-2, 2)), 0.0),
        no_repeat_ngram_size=sometimes(int(generator.integers(1 if size > 100 else 3, 5)), 0),
        min_new_tokens=sometimes(int(generator.integers(1, 150)), 0),
        bad_words_ids=sometimes(tuple(words(int(generator.integers(1, 4)))), ()),
        sequence_bias=sometimes(biases, ()),
    )


def nudges(settings: SamplingSettings) -> Iterator[SamplingSettings]:
    """One threshold moved by less than a float32 sum may be wrong."""
    for name in ("top_p", "typical_p", "min_p", "epsilon_cutoff", "eta_cutoff"):
        value = getattr(settings, name)
        if value != NEUTRAL[name]:
            yield from (replace(settings, **{name: min(1.0, value * (1 + by))}) for by in (-2e-5, 2e-5))


def kept_ids(shaped: ShapedDistribution) -> set[int]:
    return set(shaped.ids[: shaped.kept].tolist())


def agreeing(logits: np.ndarray, context: Context, settings: SamplingSettings) -> int:
    """For how many rows kept sets and probabilities agree.

    In the others it must be rounding that tells them apart: transformers in float64 decides as we do, or otherwise
    than in float32, or a threshold moved by as much as the rounding gives their result.
    """
    same = 0
    for row, kept, want in zip(logits, *expected(logits, context, settings), strict=True):
        captured = SortedLogits.from_logits(row, context)
        shaped = shape(captured, settings)
        assert np.count_nonzero(shaped.cut == Cut.KEPT) == shaped.kept
        wanted = set(np.flatnonzero(kept).tolist())
        if kept_ids(shaped) == wanted:
            assert np.abs(in_vocabulary_order(shaped) - want).max() <= 1e-6, settings
            same += 1
            continue
        exact = set(np.flatnonzero(expected(row[None].astype(np.float64), context, settings)[0][0]).tolist())
        moved = (kept_ids(shape(captured, near)) for near in nudges(settings))
        assert kept_ids(shaped) == exact or wanted != exact or wanted in moved, settings
    return same


def some_logits(generator: np.random.Generator, vectors: int, size: int) -> np.ndarray:
    """Of all kinds; tokens 40 to 60, which are in no context, are never ruled out, so that something is left."""
    logits = np.stack([random_logits(generator, size) for _ in range(vectors)])
    logits[:, 40:60] = np.maximum(logits[:, 40:60], -5)
    return logits


def compare(sizes: dict[int, int], settings: int, seed: int) -> tuple[int, int]:
    generator = np.random.default_rng(seed)
    same = 0
    for size, vectors in sizes.items():
        logits = some_logits(generator, vectors, size)
        for _ in range(settings):
            context = a_context(generator, size)
            same += agreeing(logits, context, random_settings(generator, context, size))
    return same, settings * sum(sizes.values())


def test_all_settings_mean_what_they_mean_in_transformers() -> None:
    same, total = compare({64: 12, 2_000: 6}, settings=50, seed=1)
    assert total == 900
    assert same >= 0.99 * total


@pytest.mark.slow
def test_200_settings_on_500_vectors() -> None:
    same, total = compare({64: 150, 2_000: 300, 32_000: 50}, settings=200, seed=2)
    assert total == 100_000
    assert same >= 0.997 * total


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(sequence_bias=(((7,), 3.0), ((1, 2, 8), -4.0), ((9, 9), 5.0))),
        SamplingSettings(encoder_repetition_penalty=1.4),
        SamplingSettings(repetition_penalty=1.4, do_sample=False),
        SamplingSettings(no_repeat_ngram_size=1),
        SamplingSettings(no_repeat_ngram_size=3),
        SamplingSettings(bad_words_ids=((5,), (1, 2, 6), (0,), (0, 1, 2, 4))),
        SamplingSettings(min_new_tokens=4),
        SamplingSettings(min_new_tokens=3),
        SamplingSettings(presence_penalty=0.7),
        SamplingSettings(frequency_penalty=0.7),
        SamplingSettings(typical_p=0.3),
        SamplingSettings(epsilon_cutoff=0.9),
        SamplingSettings(epsilon_cutoff=0.01),
        SamplingSettings(eta_cutoff=0.02),
    ],
)
def test_each_alone(settings: SamplingSettings) -> None:
    logits = np.random.default_rng(5).normal(0, 3, (20, 40)).astype(np.float32)
    assert agreeing(logits, Context.of((4, 1, 2, 6, 1, 1, 2), given=4, ends=ENDS), settings) == 20


def test_the_order_is_that_of_transformers() -> None:
    every = SamplingSettings(
        True, 0.7, 5, 0.9, 0.1, 1.2, 0.9, 0.01, 0.01, (((1,), 1.0),), ((2,),), 2, 1.2, 0.5, 0.5, 3
    )  # fmt: skip
    names = [type(each).__name__.lower() for each in processors(every, Context.of((1, 2, 3)))]
    stages = [name for name in STAGES if name not in ("presence_penalty", "frequency_penalty")]
    stems = {"bad_words_ids": "nobadwords", "no_repeat_ngram_size": "norepeatngram", "min_new_tokens": "minnewtokens"}
    names.remove("lowering")
    for name, stage in zip(names, stages, strict=True):
        assert name.startswith(stems.get(stage, stage.replace("_", "").removesuffix("cutoff").removesuffix("p"))), stage
    assert set(ACTS) == set(STAGES) == set(PROCESSORS) | set(WARPERS)


settings_drawn = st.builds(
    SamplingSettings,
    do_sample=st.booleans(),
    temperature=st.just(0.0) | st.floats(0.05, 5),
    top_k=st.integers(0, 30),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    typical_p=st.floats(0.01, 1),
    epsilon_cutoff=st.floats(0, 0.9),
    eta_cutoff=st.floats(0, 0.9),
    repetition_penalty=st.floats(0.2, 5),
    presence_penalty=st.floats(-3, 3),
    frequency_penalty=st.floats(-3, 3),
    no_repeat_ngram_size=st.sampled_from((0, 2, 3)),
    order=st.just(()) | st.permutations(STAGES).map(tuple),
)


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=20, max_size=30),
    st.lists(st.integers(0, 8), max_size=12),
    settings_drawn,
)
def test_any_order_leaves_a_distribution(logits: list[float], ids: list[int], settings: SamplingSettings) -> None:
    captured = SortedLogits.from_logits(np.array(logits, np.float32), Context.of(ids, given=len(ids) // 2))
    try:
        shaped = shape(captured, settings)
    except InputError:  # in another order the one token that is left may be banned: it is said
        may_ban_the_last = bool(settings.order) and settings.no_repeat_ngram_size > 0
        assert may_ban_the_last
        return
    assert sorted(shaped.ids.tolist()) == list(range(len(logits)))
    np.testing.assert_array_equal(shaped.logits, np.array(logits, np.float32)[shaped.ids])
    assert np.all(np.diff(shaped.probabilities) <= 0)
    assert shaped.probabilities.sum(dtype=np.float64) == pytest.approx(1, rel=1e-5)
    assert np.all((shaped.cut == Cut.KEPT) == (np.arange(len(logits)) < shaped.kept))
    assert 0 <= shaped.kept_mass <= 1  # what is kept after the best was banned may round to nothing in float32


@given(st.lists(st.floats(-30, 30, width=32), min_size=5, max_size=30), settings_drawn)
def test_the_short_way_is_the_long_way(logits: list[float], settings: SamplingSettings) -> None:
    """The usual settings take a short cut; a bias on nothing sends them the long way."""
    captured = SortedLogits.from_logits(np.array(logits, np.float32), Context.of((1, 2)))
    usual = SamplingSettings(
        settings.do_sample, settings.temperature, settings.top_k, settings.top_p, settings.min_p, 1.3
    )
    short, long = shape(captured, usual), shape(captured, replace(usual, sequence_bias=(((99,), 1.0),)))
    np.testing.assert_array_equal(short.ids[: short.kept], long.ids[: long.kept])
    np.testing.assert_allclose(short.probabilities, long.probabilities, atol=1e-6)
    assert (short.kept, short.kept_mass) == (long.kept, pytest.approx(long.kept_mass, abs=1e-6))
    assert short.entropy == pytest.approx(long.entropy, abs=1e-5)


def test_the_order_makes_a_difference_and_is_said() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    captured = SortedLogits.from_logits(logits)
    usual = SamplingSettings(temperature=0.5, top_p=0.75)
    other = replace(usual, order=tuple(reversed(STAGES)))
    assert shape(captured, usual).kept == 2
    assert shape(captured, other).kept == 2
    flat = SamplingSettings(temperature=3.0, top_p=0.75)
    assert shape(captured, flat).kept == 3, "temperature first: the tail has gained"
    assert shape(captured, replace(flat, order=tuple(reversed(STAGES)))).kept == 2
    assert usual.standard_order
    assert not other.standard_order
    assert replace(other, top_p=1.0).standard_order, "one setting has no order"


def test_words_of_several_tokens_are_banned_only_where_they_would_end() -> None:
    captured = SortedLogits.from_logits(np.zeros(6, np.float32), Context.of((1, 2)))
    settings = SamplingSettings(bad_words_ids=((2, 3), (1, 4), (1, 2, 5), (9,)))
    shaped = shape(captured, settings)
    assert set(shaped.ids[shaped.kept :].tolist()) == {3, 5}


def test_repeated_ngrams() -> None:
    ids = np.array([1, 2, 3, 1, 2, 4, 1, 2], np.int32)
    assert sorted(repeated(ids, 3)) == [3, 4]
    assert sorted(repeated(ids, 2)) == [3, 4]
    assert set(repeated(ids, 1)) == {1, 2, 3, 4}
    assert repeated(ids[:1], 3) == []


def test_settings_that_leave_nothing_say_so() -> None:
    captured = SortedLogits.from_logits(np.zeros(3, np.float32))
    with pytest.raises(InputError, match="every token"):
        shape(captured, SamplingSettings(bad_words_ids=((0,), (1,), (2,))))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("typical_p", 0.0), ("typical_p", 1.1), ("epsilon_cutoff", 1.0), ("eta_cutoff", -0.1),
        ("presence_penalty", float("nan")), ("frequency_penalty", 1e9), ("encoder_repetition_penalty", 0.0),
        ("no_repeat_ngram_size", -1), ("min_new_tokens", 1.5), ("bad_words_ids", ((),)), ("bad_words_ids", ([1],)),
        ("sequence_bias", (((1,), 1e9),)), ("sequence_bias", (((1,), 1.0), ((1,), 2.0))), ("order", ("top_k",)),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing(name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        SamplingSettings(**{name: value}).validated()
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")


# --- stage by stage ---------------------------------------------------------------------------------------------


def staged(logits: np.ndarray, context: Context, settings: SamplingSettings) -> list[tuple[np.ndarray, np.ndarray]]:
    """The oracle's distribution after each of the settings, turned on one after the other."""
    found, so_far = [], SamplingSettings(do_sample=settings.do_sample)
    for name in settings.stages:
        so_far = replace(so_far, **{name: getattr(settings, name)})
        kept, probabilities = expected(logits[None], context, so_far)
        found.append((kept[0], probabilities[0]))
    return found


def column(shown: Waterfall, index: int, size: int) -> np.ndarray:
    assert len(shown.ids) == size
    result = np.empty(size)
    result[shown.ids] = shown.stages[index].probabilities
    return result


def test_the_waterfall_is_the_distribution_after_each_stage() -> None:
    generator = np.random.default_rng(7)
    checked = 0
    for _ in range(25):
        context = a_context(generator, 64)
        settings = random_settings(generator, context, 64)
        (logits,) = some_logits(generator, 1, 64)
        captured = SortedLogits.from_logits(logits, context)
        shown = waterfall(captured, settings, shown=64)
        want = staged(logits, context, settings)
        assert [stage.name for stage in shown.stages] == ["raw", *settings.stages]
        for index, (kept, probabilities) in enumerate(want, 1):
            stage = shown.stages[index]
            got = column(shown, index, 64)
            if not np.array_equal(got > 0, kept & (probabilities > 0)) and np.abs(got - probabilities).max() > 1e-6:
                continue  # at a threshold: the comparison of whole settings judges those
            checked += 1
            assert np.abs(got - probabilities).max() <= 1e-6
            assert stage.kept == np.count_nonzero(kept)
            some = probabilities[probabilities > 0]
            assert stage.entropy == pytest.approx(-(some * np.log(some)).sum(), abs=1e-4)
            assert stage.perplexity == pytest.approx(np.exp(stage.entropy))
        last = shape(captured, settings)
        assert shown.stages[-1].kept == last.kept
    assert checked > 60


def test_the_waterfall_says_what_removed_a_token_and_at_which_rank() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.15, 0.1, 0.05], np.float32))
    settings = SamplingSettings(bad_words_ids=((1,),), top_k=3, top_p=0.6)
    shown = waterfall(SortedLogits.from_logits(logits), settings)
    assert [shown.fate(i) for i in range(5)] == [None, ("bad_words_ids", 2), ("top_p", 2), ("top_p", 3), ("top_k", 4)]
    bad, top_k, top_p = shown.stages[1:]
    assert (bad.mass, top_k.mass, top_p.mass) == (
        pytest.approx(0.7), pytest.approx(0.65 / 0.7), pytest.approx(0.4 / 0.65)
    )  # fmt: skip
    assert [stage.kept for stage in shown.stages] == [5, 4, 3, 1]


def test_a_waterfall_shows_the_best_tokens_before_and_after_and_those_asked_for() -> None:
    logits = np.linspace(5, -5, 100).astype(np.float32)
    settings = SamplingSettings(sequence_bias=(((90,), 20.0),), top_k=3)
    shown = waterfall(SortedLogits.from_logits(logits), settings, shown=4, also=(55, 2))
    assert {0, 1, 2, 3, 90, 55} == set(shown.ids.tolist())
    assert shown.stages[0].probabilities.tolist() == sorted(shown.stages[0].probabilities.tolist(), reverse=True)
    assert shown.fate(55) == ("top_k", 57)
    greedy = waterfall(SortedLogits.from_logits(logits), replace(settings, do_sample=False))
    assert [stage.name for stage in greedy.stages] == ["raw", "sequence_bias"]


def test_neutral_values_are_the_defaults() -> None:
    assert SamplingSettings(**NEUTRAL).stages == ()


# --- in a model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GENERATIVE)
def test_greedy_text_with_every_processor_is_that_of_transformers(kind: str) -> None:
    """The context that the settings need reaches them: the prompt, what the encoder read, the end tokens."""
    engine = tiny.engine(kind)
    free = by_transformers(engine, PROMPT, do_sample=False, max_new_tokens=16)
    first, second = (*free, 7, 9)[:2]
    settings = SamplingSettings(
        do_sample=False,
        no_repeat_ngram_size=2,
        min_new_tokens=10,
        repetition_penalty=1.1,
        encoder_repetition_penalty=0.8,
        bad_words_ids=((first,), (second, second)),
        sequence_bias=(((second,), 1.5), ((second, 5), 2.5)),
    )
    as_lists = {"bad_words_ids": [[first], [second, second]], "sequence_bias": [[[second], 1.5], [[second, 5], 2.5]]}
    knobs = {name: getattr(settings, name) for name in settings.stages} | as_lists
    want = by_transformers(engine, PROMPT, do_sample=False, max_new_tokens=16, **knobs)
    steps = list(engine.generate(PROMPT, max_new_tokens=16, capture=True, **settings.knobs()))
    assert [step.token_id for step in steps] == want
    assert want != free
    last = steps[-1].sorted
    assert last is not None
    assert last.context.generated.tolist() == want[:-1]
    assert last.context.ends


def test_words_of_a_tokenizer_are_spelled_with_and_without_a_space() -> None:
    engine = tiny.engine("gpt2")
    for spelled in engine.word_ids(("time", "there was")):
        assert len(spelled) == 2
        texts = {engine.loaded.tokenizer.decode(list(ids)) for ids in spelled}
        assert {text.strip() for text in texts} <= {"time", "there was"}
        assert {text[0] == " " for text in texts} == {True, False}


@pytest.mark.slow
def test_a_banned_word_is_never_written() -> None:
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    (girl,) = engine.word_ids(("girl",))
    options: dict[str, Any] = {"max_new_tokens": 60, "seed": 3, "temperature": 0.8}
    text = "Once upon a time, there was a little"
    assert any("girl" in "".join(s.text for s in engine.generate(text, **{**options, "seed": n})) for n in range(6))
    for seed in range(6):
        steps = engine.generate(text, bad_words_ids=girl, **{**options, "seed": seed})
        assert "girl" not in "".join(step.text for step in steps).split()


def test_the_mass_is_told_where_nearly_all_of_it_was_banned() -> None:
    logits = np.zeros(20, np.float32)
    logits[0] = 60
    captured = SortedLogits.from_logits(logits, Context.of((0, 0), given=1))
    shaped = shape(captured, SamplingSettings(no_repeat_ngram_size=2))
    assert shaped.kept_mass == pytest.approx(19 * math.exp(-60), rel=1e-5)
