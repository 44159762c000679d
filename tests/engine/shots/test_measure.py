"""Measurements fill in, stop, go on where they stopped, and add up to what each prompt alone would say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llmlab.engine.errors import Cancelled, InputError
from llmlab.engine.shots import measure as measuring
from llmlab.engine.shots import plans
from llmlab.engine.shots.budget import prompt
from llmlab.engine.shots.choice import Choice, choose, nearest
from llmlab.engine.shots.completion import complete
from llmlab.engine.shots.labels import score_one
from llmlab.engine.shots.measure import check_items, measure, ranking
from llmlab.engine.shots.nearness import vectors
from llmlab.engine.shots.results import ContentFree, LabelScores, Outcome
from llmlab.engine.shots.summary import Judge, Metric, Results, compared, curve, influences
from llmlab.engine.shots.types import Example, Form, PromptSpec
from tests.engine import tiny

SPEC = PromptSpec("{x}:", "Once.\n", labels=("time", "model"), fewshot_delimiter="\n", room=6)


def row(text: str, label: str) -> Example:
    return Example((("x", text),), label)


POOL = [row("once upon", "time"), row("a little", "model"), row("there", "time"), row("again", "model")]
ITEMS = [row("upon a", "time"), row("the same", "model"), row("sentence", "time"), row("read", "model")]


def collect(results: Results, told: Iterable[Outcome | ContentFree]) -> Results:
    for one in told:
        results.add(one)
    return results


def all_of(conditions: Sequence[plans.Condition], items: Sequence[Example] = ITEMS) -> Results:
    return collect(Results(), measure(tiny.engine("llama").loaded, conditions, items))


def test_a_sweep_asks_every_item_with_every_number_of_shots() -> None:
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (0, 1, 2, 4, 8), (0, 1), Choice.RANDOM)
    assert [(c.count, c.seed) for c in conditions] == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 1)]
    results = all_of(conditions)
    assert results.count == len(conditions) * len(ITEMS)
    engine = tiny.engine("llama")
    for condition in conditions:
        for place, outcome in enumerate(results.of(condition.key)):
            alone = score_one(engine.loaded, prompt(engine.loaded, SPEC, condition.of(place), ITEMS[place]).rendered)
            assert outcome.scores is not None
            np.testing.assert_allclose(outcome.scores.sums, alone.sums, atol=1e-4)
            assert outcome.truth == ITEMS[place].output
    points = curve(conditions, results, Judge())
    assert [(point.count, point.all.count, len(point.seeds)) for point in points] == [
        (0, 4, 1), (1, 8, 2), (2, 8, 2), (4, 8, 2),
    ]  # fmt: skip
    values = [results.values(c.key, Judge()) for c in conditions if c.count == 2]
    assert points[2].all.value == pytest.approx(np.mean([list(v.values()) for v in values]))


def test_cancelled_measurements_go_on_where_they_stopped() -> None:
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (0, 2), (0,), Choice.FIRST)
    engine = tiny.engine("llama")

    class Off:
        left = 6  # what content-free prompts say comes first
        said = ""

        def check(self) -> None:
            if self.left <= 0:
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None:
            self.left -= 1
            self.said = text

    off, results = Off(), Results()
    with pytest.raises(Cancelled):
        collect(results, measure(engine.loaded, conditions, ITEMS, control=off))
    done = results.count
    assert 0 < done < 8
    assert "of 14 prompts" in off.said
    rest = list(measure(engine.loaded, conditions, ITEMS, known=results.known))
    asked = [(told.condition, told.item) for told in rest if isinstance(told, Outcome)]
    assert len(asked) == len(set(asked)) == 8 - done
    assert not set(asked) & results.known
    for told in rest:
        results.add(told)
    whole = all_of(conditions)
    for condition in conditions:
        assert results.values(condition.key, Judge()) == whole.values(condition.key, Judge())
    assert not list(measure(engine.loaded, conditions, ITEMS, known=results.known))


def test_large_test_sets_are_asked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (2,), (0,), Choice.FIRST)
    want = all_of(conditions).of(conditions[0].key)
    monkeypatch.setattr(measuring, "BLOCK", 3)
    for one, other in zip(all_of(conditions).of(conditions[0].key), want, strict=True):
        assert one.scores is not None
        assert other.scores is not None
        np.testing.assert_allclose(one.scores.sums, other.scores.sums, atol=1e-5)


def test_calibration_uses_the_conditions_own_shots() -> None:
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (2,), (0,), Choice.FIRST)
    results = all_of(conditions)
    free = results.free(conditions[0].key, 0)
    assert free is results.free(conditions[0].key, 3), "all items have the same shots"
    assert isinstance(free, ContentFree)
    engine = tiny.engine("llama")
    for scores, text in zip(free.scores, ("N/A", "", "[MASK]"), strict=True):
        alone = prompt(engine.loaded, SPEC, POOL[:2], row(text, ""))
        np.testing.assert_allclose(scores.sums, score_one(engine.loaded, alone.rendered).sums, atol=1e-4)
    plain = results.of(conditions[0].key)[0]
    even = Judge(calibrate=True).probabilities(plain, replace(free, scores=(plain.scores,) * 3))  # type: ignore[arg-type]
    np.testing.assert_allclose(even, [0.5, 0.5])


def test_free_text_is_graded() -> None:
    spec = replace(SPEC, labels=())
    conditions = plans.k_sweep(spec, POOL, ITEMS, (1,), (0,), Choice.TICKED)
    results = all_of(conditions)
    engine = tiny.engine("llama")
    for outcome, item in zip(results.of(conditions[0].key), ITEMS, strict=True):
        text = prompt(engine.loaded, spec, POOL[:1], item).rendered.text
        ids = engine.loaded.tokenizer(text, return_tensors="pt")["input_ids"]
        out = engine.loaded.model.generate(ids, do_sample=False, max_new_tokens=6, pad_token_id=1)
        want = engine.loaded.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        assert outcome.completion == want.split("\n")[0]
    judge = Judge(Metric.TOKEN_F1)
    assert 0 <= results.interval(conditions[0].key, judge).value <= 1
    with pytest.raises(InputError, match="regular expression"):
        results.interval(conditions[0].key, Judge(Metric.REGEX, pattern="("))


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_completions_stop_where_they_should(kind: str) -> None:
    engine = tiny.engine(kind)
    texts = ["Once upon a time", "Once upon a little", "read"]
    found = dict(complete(engine.loaded, texts, 8))
    for place, text in enumerate(texts):
        steps = engine.generate(text, max_new_tokens=8, do_sample=False)
        assert found[place] == "".join(step.text for step in steps)
    for place, text in found.items():
        if len(text) > 2:
            stopped = dict(complete(engine.loaded, texts, 8, [text[1:3]]))
            assert stopped[place] == text[: text.find(text[1:3])]
    assert kind == "t5" or max(map(len, found.values())) > 2


def test_orders() -> None:
    found = plans.orders(SPEC, POOL[:3])
    assert len(found) == 6
    assert found[0].of(0) == tuple(POOL[:3])
    assert {condition.of(0) for condition in found} == set(itertools.permutations(POOL[:3]))
    many = plans.orders(SPEC, [row(str(number), "time") for number in range(6)], seed=3)
    assert len({condition.key for condition in many}) == plans.ORDERS
    assert many == plans.orders(SPEC, [row(str(number), "time") for number in range(6)], seed=3)
    with pytest.raises(InputError, match="one order"):
        plans.orders(SPEC, POOL[:1])


def test_leaving_one_out_tells_what_each_shot_does() -> None:
    conditions = plans.leave_one_out(SPEC, POOL[:3])
    results = all_of(conditions)
    found = influences(conditions, results, Judge())
    assert [one.shot for one in found] == [0, 1, 2]
    for one, other in zip(found, conditions[1:], strict=True):
        assert len(other.of(0)) == 2
        assert POOL[one.shot] not in other.of(0)
        full, less = (results.truth_log_probability(key, Judge()) for key in ("all", other.key))
        assert one.log_probability is not None
        assert one.log_probability.value == pytest.approx(np.mean([full[i] - less[i] for i in range(4)]))
        assert one.value.value == pytest.approx(
            results.interval("all", Judge()).value - results.interval(other.key, Judge()).value
        )


def test_labels_are_exchanged() -> None:
    found = {one.key: one for one in plans.label_swap(SPEC, POOL)}
    assert [shot.output for shot in found[plans.SWAPPED].of(0)] == ["model", "time", "model", "time"]
    assert found[plans.NO_SHOTS].of(0) == ()
    assert {shot.output for shot in found[plans.RANDOM_LABELS].of(0)} <= set(SPEC.labels)
    assert plans.swap(replace(SPEC, labels=("a", "b", "c")), "c") == "a"
    for bad in (replace(SPEC, labels=("a",)), replace(SPEC, target="{output}")):
        with pytest.raises(InputError):
            plans.label_swap(bad, POOL)


def test_two_variants_over_the_same_items() -> None:
    first, second = plans.variants((SPEC, POOL), (replace(SPEC, instruction=""), POOL[:1]))
    results = Results()
    for key, answers in (("A", "tmtm"), ("B", "tttt")):
        for item, answer in enumerate(answers):
            sums = np.log([0.9, 0.1] if answer == "t" else [0.2, 0.8])
            scores = LabelScores(SPEC.labels, sums, np.ones(2, np.int64), np.ones(2, np.int64))
            results.add(Outcome(key, item, ITEMS[item].output, scores, "", 9, 0))
    found = compared(first.key, second.key, results, Judge())
    assert (found.both, found.wins, found.losses, found.neither) == (2, 0, 2, 0)
    assert found.exact == 0.5


def test_shots_are_chosen() -> None:
    assert choose(POOL, 2, Choice.FIRST) == (0, 1)
    assert choose([replace(POOL[0], included=False), *POOL[1:]], 2, Choice.TICKED) == (1, 2)
    for seed in range(5):
        drawn = choose(POOL, 4, Choice.RANDOM, seed)
        assert sorted(drawn) == [0, 1, 2, 3]
        assert choose(POOL, 2, Choice.RANDOM, seed) == drawn[:2]
        assert {POOL[place].output for place in choose(POOL, 2, Choice.BALANCED, seed)} == {"time", "model"}
    assert len({choose(POOL, 4, Choice.RANDOM, seed) for seed in range(20)}) > 5
    assert nearest(np.array([3, 0, 1, 2]), 2) == (0, 3)


@pytest.mark.parametrize("kind", ["llama", "t5", "bert"])
def test_the_nearest_shots_are_those_with_similar_hidden_states(kind: str) -> None:
    engine = tiny.engine(kind)
    found = vectors(engine.loaded, ["once upon", "a little model", "once upon"])
    states = engine.hidden_states("a little model", len(getattr(engine.loaded.model.config, "layer_types", ())) or 2)
    if kind != "t5":  # its stack normalises after the last layer
        unit = states.mean(0) / np.linalg.norm(states.mean(0))
        if kind == "bert":
            np.testing.assert_allclose(found[1], unit, atol=1e-5)
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_an_item_is_never_its_own_shot() -> None:
    engine = tiny.engine("llama")
    items = [POOL[1], ITEMS[0]]
    order = ranking(engine.loaded, SPEC, POOL, items)
    assert order.shape == (2, 4)
    assert order[0, 0] == 1
    conditions = plans.k_sweep(SPEC, POOL, items, (0, 3), (0, 1), Choice.NEAREST, order)
    assert [condition.count for condition in conditions] == [0, 3]
    assert POOL[1] not in conditions[1].of(0)
    assert len(conditions[1].of(0)) == 3
    results = collect(Results(), measure(engine.loaded, conditions, items))
    assert len(results.of(conditions[1].key)) == 2
    assert plans.overlap(POOL, items) == 1


def test_items_with_shots_of_their_own_are_calibrated_with_those() -> None:
    engine = tiny.engine("llama")
    order = ranking(engine.loaded, SPEC, POOL, ITEMS)
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (0, 2), (0,), Choice.NEAREST, order)
    key, judge = conditions[1].key, Judge(calibrate=True)
    assert len({conditions[1].of(item) for item in range(4)}) > 1
    plain = collect(Results(), measure(engine.loaded, conditions, ITEMS))
    assert plain.free(conditions[0].key, 2) is not None, "without shots all items share them"
    assert plain.free(key, 0) is None, "three more prompts an item only where that is asked for"
    before = plain.truth_log_probability(key, judge)
    interval = plain.interval(key, judge)
    told = list(measure(engine.loaded, conditions, ITEMS, known=plain.known, calibrate=True))
    assert [(one.condition, one.item) for one in told if isinstance(one, ContentFree)] == [(key, i) for i in range(4)]
    assert len(told) == 4, "the answers are known"
    collect(plain, told)
    whole = collect(Results(), measure(engine.loaded, conditions, ITEMS, calibrate=True))
    assert whole.known == plain.known
    assert whole.own_free_count == 4
    assert not list(measure(engine.loaded, conditions, ITEMS, known=whole.known, calibrate=True))
    for item, outcome in enumerate(whole.of(key)):
        free = [prompt(engine.loaded, SPEC, conditions[1].of(item), row(text, "")) for text in ("N/A", "", "[MASK]")]
        p_cf = np.mean([score_one(engine.loaded, one.rendered).probabilities() for one in free], axis=0)
        assert outcome.scores is not None
        want = outcome.scores.probabilities() / p_cf
        found = judge.probabilities(outcome, whole.free(key, item))
        np.testing.assert_allclose(found, want / want.sum(), atol=1e-4)
    after = plain.truth_log_probability(key, judge)
    assert after == pytest.approx(whole.truth_log_probability(key, judge), abs=1e-4)
    assert after != pytest.approx(before, abs=1e-4), "what was judged without is judged again"
    assert plain.interval(key, judge) == whole.interval(key, judge)
    assert interval.count == plain.interval(key, judge).count


def test_content_free_prompts_that_are_the_same_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    order = np.tile(np.arange(4), (4, 1))  # the same shots for all
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (2,), (0,), Choice.NEAREST, order)
    asked: list[int] = []
    plain = measuring.score_labels

    def counted(loaded: Any, prompts: Sequence[Any], control: Any) -> Any:
        asked.append(len(prompts))
        return plain(loaded, prompts, control)

    monkeypatch.setattr(measuring, "score_labels", counted)
    told = list(measure(engine.loaded, conditions, ITEMS, calibrate=True))
    assert asked == [3, 4]
    assert sum(isinstance(one, ContentFree) for one in told) == 4
    never = measure(engine.loaded, conditions, ITEMS, calibrate=False)
    assert not any(isinstance(one, ContentFree) for one in never)


def test_progress_counts_every_prompt_and_never_goes_back() -> None:
    engine = tiny.engine("gpt2")
    said: list[tuple[str, float]] = []

    class Listening:
        def check(self) -> None:
            """Goes on."""

        def report(self, text: str, fraction: float | None = None) -> None:
            assert fraction is not None
            said.append((text, fraction))

    order = ranking(engine.loaded, SPEC, POOL, ITEMS)
    conditions = plans.k_sweep(SPEC, POOL, ITEMS, (1,), (0,), Choice.NEAREST, order)
    list(measure(engine.loaded, conditions, ITEMS, calibrate=True, control=Listening()))
    assert said[-1][1] == 1
    assert "16 of 16 prompts" in said[-1][0]
    said.clear()
    free = plans.k_sweep(replace(SPEC, labels=()), POOL, ITEMS, (1,), (0,), Choice.FIRST)
    list(measure(engine.loaded, free, ITEMS, control=Listening()))
    fractions = [fraction for _, fraction in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert any(0 < fraction < 0.25 for fraction in fractions), "answers on their way count in part"


def test_items_that_cannot_be_asked() -> None:
    with pytest.raises(InputError, match="no items"):
        check_items(SPEC, [])
    with pytest.raises(InputError, match=r"item 2, “other”, is none of the labels\. So are those of 1 more"):
        check_items(SPEC, [ITEMS[0], row("a", "other"), row("b", "none")])
    check_items(SPEC, ITEMS)
    check_items(replace(SPEC, labels=()), [row("a", "anything")])
    check_items(SPEC, [replace(row("a", "up"), choices=("up", "down"))])
    engine = tiny.engine("gpt2")
    with pytest.raises(InputError, match="Test item 2"):
        list(
            measure(
                engine.loaded,
                plans.k_sweep(SPEC, POOL, ITEMS, (0,), (0,), Choice.FIRST),
                [ITEMS[0], row("a " * 80, "time")],
            )
        )


def test_a_cloze_is_measured_by_its_labels_alone() -> None:
    tokenizer = tiny.copy.deepcopy(tiny.byte_level())
    tokenizer.add_special_tokens({"mask_token": tokenizer.convert_ids_to_tokens(5)})
    engine = tiny.wrap(tiny.engine("bert").loaded.model, tokenizer, tiny.Architecture.ENCODER, context=48)
    spec = PromptSpec("{x} {mask}.", form=Form.CLOZE, labels=("time", "model"), fewshot_delimiter="\n")
    conditions = plans.k_sweep(spec, POOL, ITEMS, (0, 1), (0,), Choice.FIRST)
    assert collect(Results(), measure(engine.loaded, conditions, ITEMS)).count == 8
    with pytest.raises(InputError, match="one of the labels"):
        list(measure(engine.loaded, plans.leave_one_out(replace(spec, labels=()), POOL[:1]), ITEMS))
