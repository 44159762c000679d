"""Two models write greedily from the same prompt, taking turns, so that their speeds can be compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import zip_longest

from llmlab.engine.generation import generate
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.types import SideBySide, Written
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import GenerationStep

TURN = 8  # tokens that one writes before the other goes on
FEWEST = 4  # timed steps from which on a median says something


def side_by_side(
    reference: LoadedModel,
    candidate: LoadedModel,
    prompt: str,
    max_new_tokens: int,
    control: Control = UNCONTROLLED,
) -> SideBySide:
    """The greedy completions of `prompt`, and where they part. Raises InputError, or Cancelled between tokens."""
    speller = Speller(reference.tokenizer, reference.info.vocabulary)
    writers = [_Writer(model, speller, prompt, max_new_tokens, control) for model in (reference, candidate)]
    while not all(writer.done for writer in writers):
        for writer in writers:
            writer.take_turn()
        longest = max(len(writer.steps) for writer in writers)
        control.report(f"Writing: {longest} of at most {max_new_tokens} tokens", longest / max_new_tokens)
    first, second = (writer.written() for writer in writers)
    timed = min(len(writer.seconds) for writer in writers)  # only while both were at it
    speeds = [_per_second(writer.seconds[1:timed]) for writer in writers]  # the first step reads the prompt
    return SideBySide(prompt, first, second, _first_difference(first, second), *speeds)


def greedy(loaded: LoadedModel, prompt: str, max_new_tokens: int, control: Control = UNCONTROLLED) -> Written:
    """One model's greedy completion. Raises as `side_by_side`."""
    writer = _Writer(loaded, Speller(loaded.tokenizer, loaded.info.vocabulary), prompt, max_new_tokens, control)
    while not writer.done:
        writer.take_turn()
    return writer.written()


class _Writer:
    """One of the two, as far as it has come."""

    def __init__(
        self, loaded: LoadedModel, speller: Speller, prompt: str, max_new_tokens: int, control: Control
    ) -> None:
        settings = GenerationSettings(SamplingSettings(do_sample=False), max_new_tokens)
        self._going: Iterator[GenerationStep] = generate(loaded, speller, prompt, settings, control=control)
        self.steps: list[GenerationStep] = []
        self.seconds: list[float] = []
        self.done = False

    def take_turn(self) -> None:
        """A few tokens more, where it has not come to its end."""
        for _ in range(TURN):
            start = time.perf_counter()
            step = next(self._going, None)
            if step is None:
                self.done = True
                return
            self.seconds.append(time.perf_counter() - start)
            self.steps.append(step)

    def written(self) -> Written:
        """The completion."""
        return Written(
            tuple(step.token_id for step in self.steps),
            tuple(step.text for step in self.steps),
            tuple(step.token for step in self.steps),
            self.steps[-1].finish_reason or "",
        )


def _per_second(seconds: list[float]) -> float | None:
    return 1 / statistics.median(seconds) if len(seconds) >= FEWEST else None


def _first_difference(first: Written, second: Written) -> int | None:
    pairs = enumerate(zip_longest(first.ids, second.ids))
    return next((place for place, (a, b) in pairs if a != b), None)
