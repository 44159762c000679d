"""One query: what the model answers, how sure it is of each label, and how that changes with every shot."""

from __future__ import annotations

from collections.abc import Sequence

from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.shots.budget import Prompts, refuse_overflow
from llmlab.engine.shots.calibration import content_free
from llmlab.engine.shots.labels import score_labels
from llmlab.engine.shots.results import Answered, LabelScores
from llmlab.engine.shots.types import Example, PromptSpec

EVERY = 16  # shots up to which every number of them is looked at


def answer(
    loaded: LoadedModel,
    spec: PromptSpec,
    shots: Sequence[Example],
    query: Example,
    control: Control = UNCONTROLLED,
) -> Answered:
    """The prompt for one query and, where there are labels, their scores. Raises InputError."""
    free = () if query.choices or not spec.labels else content_free(query)
    prompts = Prompts(loaded, spec).all(shots, [query, *free])
    for each in prompts:
        refuse_overflow(each)
    if not prompts[0].rendered.choices:
        return Answered(prompts[0], None)
    found = dict(score_labels(loaded, [each.rendered for each in prompts], control))
    return Answered(prompts[0], found[0], tuple(found[place] for place in range(1, len(prompts))))


def with_every_shot(
    loaded: LoadedModel,
    spec: PromptSpec,
    shots: Sequence[Example],
    query: Example,
    control: Control = UNCONTROLLED,
) -> tuple[tuple[int, LabelScores], ...]:
    """(shots, scores) for none, the first, the first two … of the shots, as far as the context window reaches.

    Of more than 16 shots only for some numbers of them, the largest one included.
    """
    counts = _counts(len(shots))
    prompts = Prompts(loaded, spec).each([shots[:count] for count in counts], [query] * len(counts))
    pairs = zip(counts, prompts, strict=True)
    fitting = [(count, each.rendered) for count, each in pairs if each.budget.fits and not each.rendered.dropped]
    found = dict(score_labels(loaded, [rendered for _, rendered in fitting], control))
    return tuple((count, found[place]) for place, (count, _) in enumerate(fitting))


def _counts(most: int) -> list[int]:
    """Every number up to 16, beyond that 24, 32, 48, 64 … and the last."""
    powers = [step * 2**power for power in range(4, 20) for step in (1, 1.5)]
    return sorted({*range(min(most, EVERY) + 1), *(int(count) for count in powers if EVERY < count < most), most})
