"""Greedy decoding that guesses several tokens at once from what stands in the text already, and checks the guess.

Prompt lookup (Saxena 2023), as transformers' `prompt_lookup_num_tokens`: where the last tokens of the text have
occurred before, those that followed them there are proposed; the model reads all of them in one pass and keeps
what it would have written itself. The text is greedy's own, only sooner where it repeats itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmlab.engine.context import Context
from llmlab.engine.drafting import Drafting, Guess
from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import prompt_ids
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.stepping import stepwise
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import DraftStep, Feature

LONGEST_MATCH = 2  # transformers' max_matching_ngram_size


def prompt_lookup(
    loaded: LoadedModel,
    speller: Speller,
    text: str,
    max_new_tokens: int = 50,
    num_tokens: int = 10,
    control: Control = UNCONTROLLED,
) -> Iterator[DraftStep]:
    """The text in steps of one pass each; `num_tokens` are proposed at most. Raises InputError at once."""
    require(loaded, Feature.GENERATE)
    if max_new_tokens < 1 or num_tokens < 1:
        raise InputError("There is no token to propose or to write.", "Ask for at least one of each.")
    settings = GenerationSettings(SamplingSettings(do_sample=False), max_new_tokens)
    work = Drafting(loaded, speller, prompt_ids(loaded, text), settings, _Lookup(), num_tokens)
    return stepwise(work, lambda step: step.finish_reason, control)


def proposal(ids: Sequence[int], num_tokens: int) -> list[int]:
    """What followed the last tokens of `ids` where they occurred first; empty where they never did."""
    for size in range(min(LONGEST_MATCH, len(ids) - 1), 0, -1):
        last = list(ids[-size:])
        for start in range(len(ids) - size):
            if list(ids[start : start + size]) == last:
                return list(ids[start + size : start + size + num_tokens])
    return []


class _Lookup:
    """Guesses from the text alone."""

    def begin(self, prompt: list[int], control: Control) -> None:
        """Nothing has to be read."""

    def guess(self, context: Context, count: int) -> list[Guess]:
        """What followed the last tokens before."""
        return [Guess(token) for token in proposal(context.ids.tolist(), count)]

    def drop(self) -> None:
        """There are no tensors."""
