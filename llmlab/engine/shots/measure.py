"""Runs conditions over a test set: outcomes come as they are found, and what is known already is not asked again."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.shots.budget import Prompts, refuse_overflow
from llmlab.engine.shots.calibration import content_free
from llmlab.engine.shots.completion import complete, stops
from llmlab.engine.shots.compose import Composer
from llmlab.engine.shots.labels import score_labels
from llmlab.engine.shots.nearness import rank, vectors
from llmlab.engine.shots.plans import Condition
from llmlab.engine.shots.results import ContentFree, LabelScores, Outcome
from llmlab.engine.shots.types import Example, Form, Prompt, PromptSpec
from llmlab.engine.types import Int64

BLOCK = 256  # items whose prompts are made at a time, so that a large test set can be stopped at any moment
CALIBRATION = -1  # stands for the item, where a condition's content-free prompts are known


def measure(
    loaded: LoadedModel,
    conditions: Sequence[Condition],
    items: Sequence[Example],
    *,
    known: Collection[tuple[str, int]] = (),
    calibrate: bool = True,
    control: Control = UNCONTROLLED,
) -> Iterator[Outcome | ContentFree]:
    """What the model answers to every item under every condition but those (condition's key, item) that are `known`.

    Before a condition's outcomes comes what its content-free prompts say, where there are labels that all items
    share and the same shots for all. Raises InputError for items that cannot be asked, and Cancelled in between:
    everything told until then stays good, and makes up `known` when the rest is measured later.
    """
    done = set(known)
    clock = _Clock(sum((each.key, item) not in done for each in conditions for item in range(len(items))), control)
    for condition in conditions:
        missing = [item for item in range(len(items)) if (condition.key, item) not in done]
        asking = Prompts(loaded, condition.spec)
        if calibrate and (condition.key, CALIBRATION) not in done and _can_calibrate(condition, items):
            yield ContentFree(condition.key, _content_free(loaded, asking, condition, items[0], control))
        for begin in range(0, len(missing), BLOCK):
            control.check()
            for outcome in _outcomes(loaded, asking, condition, items, missing[begin : begin + BLOCK], control):
                clock.tick()
                yield outcome


def ranking(
    loaded: LoadedModel,
    spec: PromptSpec,
    pool: Sequence[Example],
    items: Sequence[Example],
    control: Control = UNCONTROLLED,
) -> Int64:
    """For every item the examples from near to far, int64 (items, pool), by the hidden states of their questions."""
    composer = Composer(replace(spec, form=Form.TEXT))
    composer.prepare([*pool, *items])
    texts = [composer.question(example) or " " for example in (*pool, *items)]
    found = vectors(loaded, texts, control)
    return rank(found[len(pool) :], found[: len(pool)])


def check_items(spec: PromptSpec, items: Sequence[Example]) -> None:
    """Raise InputError where there is nothing to measure, or an answer is none of the labels."""
    if not items:
        raise InputError("There are no items to measure with.", "Open a file with a test set, or add some.")
    composer = Composer(spec)
    composer.prepare(items)
    wrong = [
        (number, composer.answer(item))
        for number, item in enumerate(items, 1)
        if spec.labels or item.choices
        if spec.word(composer.answer(item)) not in composer.choices(item)
    ]
    if wrong:
        number, answer = wrong[0]
        more = f" So are those of {len(wrong) - 1:,} more." if len(wrong) > 1 else ""
        raise InputError(
            f"The answer of test item {number:,}, “{answer[:60]}”, is none of the labels.{more}",
            "Correct the labels or the item's output.",
        )


def _can_calibrate(condition: Condition, items: Sequence[Example]) -> bool:
    own = any(item.choices for item in items)
    return bool(condition.spec.labels) and not own and len(condition.shots) == 1 and bool(items)


def _content_free(
    loaded: LoadedModel, asking: Prompts, condition: Condition, item: Example, control: Control
) -> tuple[LabelScores, ...]:
    prompts = asking.all(condition.shots[0], content_free(item))
    for prompt in prompts:
        refuse_overflow(prompt)
    found = dict(score_labels(loaded, [prompt.rendered for prompt in prompts], control))
    return tuple(found[place] for place in range(len(prompts)))


def _outcomes(
    loaded: LoadedModel,
    asking: Prompts,
    condition: Condition,
    items: Sequence[Example],
    places: Sequence[int],
    control: Control,
) -> Iterator[Outcome]:
    prompts = asking.each([condition.of(place) for place in places], [items[place] for place in places])
    for place, prompt in zip(places, prompts, strict=True):
        _refuse(place, prompt)
    scored = [number for number, prompt in enumerate(prompts) if prompt.rendered.choices]
    written = [number for number, prompt in enumerate(prompts) if not prompt.rendered.choices]
    for at, scores in score_labels(loaded, [prompts[number].rendered for number in scored], control):
        yield _outcome(condition, places[scored[at]], prompts[scored[at]], scores, "")
    if not written:
        return
    if condition.spec.form is Form.CLOZE:
        raise InputError("A mask is filled in with one of the labels, but there are none.", "List the labels.")
    texts = [prompts[number].rendered.text for number in written]
    for at, text in complete(loaded, texts, condition.spec.room, stops(condition.spec), control):
        yield _outcome(condition, places[written[at]], prompts[written[at]], None, text)


def _refuse(place: int, prompt: Prompt) -> None:
    problem: InputError | None = None
    try:
        refuse_overflow(prompt)
    except InputError as error:
        problem = InputError(f"Test item {place + 1:,}: {error.message}", error.hint)
    if problem is not None:
        raise problem


def _outcome(condition: Condition, item: int, prompt: Prompt, scores: LabelScores | None, text: str) -> Outcome:
    return Outcome(
        condition=condition.key,
        item=item,
        truth=prompt.rendered.answer,
        scores=scores,
        completion=text,
        tokens=prompt.budget.tokens,
        dropped=len(prompt.rendered.dropped),
    )


class _Clock:
    """Says how far the measurement is, how fast it goes and how long it will take."""

    def __init__(self, total: int, control: Control) -> None:
        self._total, self._done, self._control = total, 0, control
        self._start = time.monotonic()

    def tick(self) -> None:
        self._done += 1
        speed = self._done / max(1e-6, time.monotonic() - self._start)
        left = (self._total - self._done) / speed
        text = f"{self._done:,} of {self._total:,} prompts · {speed:,.0f}/s · {_duration(left)} left"
        self._control.report(text, self._done / self._total)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
