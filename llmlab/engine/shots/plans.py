"""Which prompts a measurement compares: conditions over the same items. No torch."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmlab.engine.errors import InputError
from llmlab.engine.shots.choice import Choice, choose, nearest
from llmlab.engine.shots.types import Example, PromptSpec
from llmlab.engine.types import Int64

ALL_ORDERS = 4  # shots up to which every order is tried
ORDERS = 24  # as many are sampled of more shots: the number of orders of four
COUNTS = (0, 1, 2, 4, 8, 16, 32)

AS_GIVEN, SWAPPED, RANDOM_LABELS, NO_SHOTS = "as given", "swapped", "random", "none"


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to ask every item of a test set. `key` tells it apart, `name` is for people.

    `shots` is one list for all items, or one for each. `count` is how many shots, `seed` what they were drawn with.
    """

    key: str
    name: str
    spec: PromptSpec
    shots: tuple[tuple[Example, ...], ...]
    count: int = 0
    seed: int = 0

    def of(self, item: int) -> tuple[Example, ...]:
        """The shots of one item."""
        return self.shots[item] if len(self.shots) > 1 else self.shots[0]


def k_sweep(
    spec: PromptSpec,
    pool: Sequence[Example],
    items: Sequence[Example],
    counts: Sequence[int],
    seeds: Sequence[int],
    how: Choice,
    ranking: Int64 | None = None,
) -> tuple[Condition, ...]:
    """One condition for each number of shots and each seed that makes a difference; larger numbers than there are
    examples are left out. `ranking` int64 (items, pool) is needed for NEAREST, which leaves the item itself out.
    """
    conditions = []
    most = sum(example.included for example in pool) if how is Choice.TICKED else len(pool)
    for count in sorted(set(counts)):
        if count > most:
            continue
        for seed in dict.fromkeys(seeds if how.drawn and count else (0,)):
            name = f"{count} shot{'s' * (count != 1)}" + (f", seed {seed}" if how.drawn and count else "")
            if how is Choice.NEAREST:
                assert ranking is not None
                shots = _near(pool, items, ranking, count)
            else:
                shots = (tuple(ticked(pool[place]) for place in choose(pool, count, how, seed)),)
            conditions.append(Condition(f"k={count} seed={seed}", name, spec, shots, count, seed))
    return tuple(conditions)


def ticked(example: Example) -> Example:
    """A chosen example is used, whatever its tick says."""
    return example if example.included else replace(example, included=True)


def overlap(pool: Sequence[Example], items: Sequence[Example]) -> int:
    """How many items have the same fields as an example that may become a shot: the model may just copy."""
    known = {example.fields for example in pool}
    return sum(item.fields in known for item in items)


def orders(spec: PromptSpec, shots: Sequence[Example], seed: int = 0) -> tuple[Condition, ...]:
    """Every order of up to four shots; of more, as many different ones drawn with `seed`. The given one is first."""
    numbers = tuple(range(len(shots)))
    if len(shots) < 2:
        raise InputError("There is only one order of fewer than two shots.", "Tick at least two shots.")
    if len(shots) <= ALL_ORDERS:
        found = list(itertools.permutations(numbers))
    else:
        source = random.Random(seed)
        found = [numbers]
        while len(found) < min(ORDERS, math.factorial(len(shots))):
            order = tuple(source.sample(numbers, len(numbers)))
            if order not in found:
                found.append(order)
    return tuple(
        Condition(
            key="order=" + ",".join(str(place) for place in order),
            name=" ".join(str(place + 1) for place in order),
            spec=spec,
            shots=(tuple(ticked(shots[place]) for place in order),),
            count=len(shots),
        )
        for order in found
    )


def leave_one_out(spec: PromptSpec, shots: Sequence[Example]) -> tuple[Condition, ...]:
    """All shots, and all but each one. Raises InputError where there is none."""
    if not shots:
        raise InputError("There are no shots to leave out.", "Tick at least one shot.")
    used = tuple(map(ticked, shots))
    conditions = [Condition("all", "all shots", spec, (used,), len(used))]
    for place in range(len(used)):
        rest = used[:place] + used[place + 1 :]
        conditions.append(Condition(f"without={place}", f"without shot {place + 1}", spec, (rest,), len(rest)))
    return tuple(conditions)


def label_swap(spec: PromptSpec, shots: Sequence[Example], seed: int = 0) -> tuple[Condition, ...]:
    """The shots as given, with every label exchanged for the next one, with labels drawn at random, and none.

    Whether answers follow the exchanged labels tells if the shots are read (Wei et al. 2023); that random labels
    cost little, if only their form matters (Min et al. 2022). Raises InputError without labels to exchange.
    """
    if len(spec.labels) < 2 or not shots:
        raise InputError(
            "There is nothing to exchange.", "List at least two labels, and tick at least one shot with one of them."
        )
    if spec.target:
        raise InputError(
            "The answers are made by a template, so the shots' labels cannot be exchanged.",
            "Leave the template of the answer empty, and let the output column hold the labels.",
        )
    used = tuple(map(ticked, shots))
    source = random.Random(seed)
    swapped = tuple(replace(shot, output=swap(spec, shot.output)) for shot in used)
    drawn = tuple(replace(shot, output=source.choice(spec.labels)) for shot in used)
    return (
        Condition(AS_GIVEN, "labels as given", spec, (used,), len(used)),
        Condition(SWAPPED, "labels exchanged", spec, (swapped,), len(used)),
        Condition(RANDOM_LABELS, "labels at random", spec, (drawn,), len(used), seed),
        Condition(NO_SHOTS, "no shots", spec, ((),)),
    )


def swap(spec: PromptSpec, label: str) -> str:
    """The next label, the first one after the last; what is no label stays."""
    if label not in spec.labels:
        return label
    return spec.labels[(spec.labels.index(label) + 1) % len(spec.labels)]


def variants(
    first: tuple[PromptSpec, Sequence[Example]], second: tuple[PromptSpec, Sequence[Example]]
) -> tuple[Condition, ...]:
    """Two prompts over the same items, each with its ticked shots."""
    return tuple(
        Condition(key, f"variant {key}", spec, (used,), len(used))
        for key, (spec, shots) in (("A", first), ("B", second))
        for used in [tuple(shot for shot in shots if shot.included)]
    )


def _near(
    pool: Sequence[Example], items: Sequence[Example], ranking: Int64, count: int
) -> tuple[tuple[Example, ...], ...]:
    if not count:
        return ((),)
    chosen = []
    for item, order in zip(items, ranking, strict=True):
        others = order[[pool[place].fields != item.fields for place in order.tolist()]]
        chosen.append(tuple(ticked(pool[place]) for place in nearest(others, count)))
    return tuple(chosen)
