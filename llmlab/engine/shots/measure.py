"""Runs conditions over a test set: outcomes come as they are found, and what is known already is not asked again."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.shots.budget import Prompts, refuse_overflow
from llmlab.engine.shots.calibration import CONTENT_FREE, content_free
from llmlab.engine.shots.completion import complete, stops
from llmlab.engine.shots.compose import Composer
from llmlab.engine.shots.labels import score_labels
from llmlab.engine.shots.nearness import rank, vectors
from llmlab.engine.shots.plans import Condition
from llmlab.engine.shots.results import ContentFree, LabelScores, Outcome
from llmlab.engine.shots.types import Example, Form, Prompt, PromptSpec
from llmlab.engine.types import Int64

BLOCK = 256  # items whose prompts are made at a time, so that a large test set can be stopped at any moment


def measure(
    loaded: LoadedModel,
    conditions: Sequence[Condition],
    items: Sequence[Example],
    *,
    known: Collection[tuple[str, int]] = (),
    calibrate: bool | None = None,
    control: Control = UNCONTROLLED,
) -> Iterator[Outcome | ContentFree]:
    """What the model answers to every item under every condition but those (condition's key, item) that are `known`.

    Before outcomes comes what content-free prompts say, where there are labels that all items share: with the same
    shots for all items once for each condition; with `calibrate` also where every item has shots of its own, which
    takes up to three more prompts an item; without it (False) never. `known` has them as `ContentFree.place`. Raises
    InputError for items that cannot be asked, and Cancelled in between: everything told until then stays good, and
    makes up `known` when the rest is measured later.
    """
    done = frozenset(known)
    todo = [_Todo.of(condition, items, done, calibrate) for condition in conditions]
    clock = _Clock(sum(each.prompts for each in todo), control)
    clock.tick(0)
    for condition, each in zip(conditions, todo, strict=True):
        asking = Prompts(loaded, condition.spec)
        if each.shared:
            yield from _content_free(loaded, asking, condition, items, [0], clock)
        for begin in range(0, len(items), BLOCK):
            clock.check()
            places = range(begin, min(begin + BLOCK, len(items)))
            own, missing = (sorted(some.intersection(places)) for some in (each.own, each.missing))
            yield from _content_free(loaded, asking, condition, items, own, clock)
            for outcome in _outcomes(loaded, asking, condition, items, missing, clock):
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


@dataclass(frozen=True, slots=True)
class _Todo:
    """What is to be asked under one condition: the items that are `missing`, content-free prompts that all items
    share, or those of items that have their `own`.
    """

    missing: frozenset[int]
    shared: bool
    own: frozenset[int]

    @classmethod
    def of(
        cls, condition: Condition, items: Sequence[Example], known: frozenset[tuple[str, int]], calibrate: bool | None
    ) -> _Todo:
        """All but what is `known`."""
        key, places = condition.key, range(len(items))
        can = bool(condition.spec.labels) and not any(item.choices for item in items) and calibrate is not False
        alike = len(condition.shots) == 1
        own = places if can and not alike and calibrate else ()
        return cls(
            missing=frozenset(place for place in places if (key, place) not in known),
            shared=can and alike and bool(items) and (key, -1) not in known,
            own=frozenset(place for place in own if (key, -2 - place) not in known),
        )

    @property
    def prompts(self) -> int:
        """How many prompts that takes."""
        return len(self.missing) + len(CONTENT_FREE) * (self.shared + len(self.own))


def _content_free(
    loaded: LoadedModel,
    asking: Prompts,
    condition: Condition,
    items: Sequence[Example],
    places: Sequence[int],
    clock: _Clock,
) -> Iterator[ContentFree]:
    """What the content-free prompts of the items at `places` say; items with the same shots have the same prompts."""
    queries = [query for place in places for query in content_free(items[place])]
    prompts = asking.each([condition.of(place) for place in places for _ in CONTENT_FREE], queries)
    for prompt in prompts:
        refuse_overflow(prompt)
    uses = Counter(prompt.rendered.text for prompt in prompts)
    alone = {prompt.rendered.text: prompt.rendered for prompt in prompts}
    texts, found = list(alone), {}
    for at, scores in score_labels(loaded, list(alone.values()), clock):
        found[texts[at]] = scores
        clock.tick(uses[texts[at]])
    said = iter(found[prompt.rendered.text] for prompt in prompts)
    for place in places:
        scores_here = tuple(itertools.islice(said, len(CONTENT_FREE)))
        yield ContentFree(condition.key, scores_here, place if len(condition.shots) > 1 else None)


def _outcomes(
    loaded: LoadedModel,
    asking: Prompts,
    condition: Condition,
    items: Sequence[Example],
    places: Sequence[int],
    clock: _Clock,
) -> Iterator[Outcome]:
    prompts = asking.each([condition.of(place) for place in places], [items[place] for place in places])
    for place, prompt in zip(places, prompts, strict=True):
        _refuse(place, prompt)
    scored = [number for number, prompt in enumerate(prompts) if prompt.rendered.choices]
    written = [number for number, prompt in enumerate(prompts) if not prompt.rendered.choices]
    for at, scores in score_labels(loaded, [prompts[number].rendered for number in scored], clock):
        yield _outcome(condition, places[scored[at]], prompts[scored[at]], scores, "")
    if not written:
        return
    if condition.spec.form is Form.CLOZE:
        raise InputError("A mask is filled in with one of the labels, but there are none.", "List the labels.")
    texts = [prompts[number].rendered.text for number in written]
    clock.write(len(texts))
    for at, text in complete(loaded, texts, condition.spec.room, stops(condition.spec), clock):
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
    """Says how far the measurement is, how fast it goes and how long it will take; answers on their way count in part.

    It is the control of what the measurement consists of.
    """

    def __init__(self, total: int, control: Control) -> None:
        self._total, self._control = total, control
        self._done, self._base, self._writing, self._far = 0, 0, 0, 0.0
        self._start = time.monotonic()

    def check(self) -> None:
        """Raise `Cancelled` if the measurement is no longer wanted."""
        self._control.check()

    def write(self, count: int) -> None:
        """So many answers are written next."""
        self._base, self._writing = self._done, count

    def report(self, text: str, fraction: float | None = None) -> None:
        """How far those answers are."""
        self._tell(self._base + self._writing * (fraction or 0.0))

    def tick(self, prompts: int = 1) -> None:
        """So many more prompts are asked."""
        self._done += prompts
        self._tell(self._done)

    def _tell(self, far: float) -> None:
        self._far = max(self._far, far)
        speed = self._far / max(1e-6, time.monotonic() - self._start)
        text = f"{self._done:,} of {self._total:,} prompts"
        if self._far:
            left = (self._total - self._far) / speed
            text += f" · {speed:,.{0 if speed >= 10 else 1}f}/s · {_duration(left)} left"
        self._control.report(text, self._far / max(1, self._total))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
