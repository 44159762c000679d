"""Assisted decoding: a smaller model with the same tokenizer guesses, and the model itself checks the guesses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llmlab.engine.choosing import choose
from llmlab.engine.context import Context
from llmlab.engine.drafting import Drafting, Guess, drawn, in_vocabulary_order
from llmlab.engine.errors import InputError, UnsupportedModelError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require, sorted_later
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, embeddings, prompt_ids
from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.stepping import stepwise
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import DraftStep, Feature


def assisted(
    loaded: LoadedModel,
    draft: LoadedModel,
    speller: Speller,
    text: str,
    settings: GenerationSettings,
    num_tokens: int = 5,
    control: Control = UNCONTROLLED,
) -> Iterator[DraftStep]:
    """The text in steps of one pass each; the model `draft` guesses up to `num_tokens` of them.

    Greedy, the text is the one that the model writes alone, but for rounding; sampled, it follows the same
    distribution, though it is not the text that `generate` draws with this seed. Raises InputError at once, and
    UnsupportedModelError where the two models do not read the same tokens.
    """
    require(loaded, Feature.GENERATE)
    settings.validated()
    if num_tokens < 1:
        raise InputError("There is no token to guess.", "Let the draft model guess at least one.")
    check_draft(loaded, draft)
    ids = prompt_ids(loaded, text)
    drafter = _Model(draft, loaded.info.vocabulary, settings)
    work = Drafting(loaded, speller, ids, settings, drafter, num_tokens)
    return stepwise(work, lambda step: step.finish_reason, control)


def check_draft(loaded: LoadedModel, draft: LoadedModel) -> None:
    """Raise UnsupportedModelError where `draft` cannot guess for `loaded`."""
    if draft.info.architecture is not loaded.info.architecture or Feature.GENERATE not in draft.info.features:
        raise UnsupportedModelError(
            f"“{draft.info.name}” is {draft.info.architecture}, but “{loaded.info.name}” is "
            f"{loaded.info.architecture}.",
            "Choose a draft model of the same kind.",
        )
    if draft is not loaded and draft.tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
        raise UnsupportedModelError(
            f"“{draft.info.name}” and “{loaded.info.name}” do not have the same tokens.",
            "Choose a draft model with the same tokenizer: usually a smaller one of the same family.",
        )


class _Model:
    """A model that guesses one token after another, drawn with the same settings."""

    def __init__(self, draft: LoadedModel, vocabulary: int, settings: GenerationSettings) -> None:
        self._draft = draft
        self._vocabulary = vocabulary
        self._sampling = settings.sampling
        self._random = np.random.default_rng((settings.seed, 1))  # apart from the numbers that the check draws
        self._readable = embeddings(draft.model)
        self._reader: Reader | None = None

    def begin(self, prompt: list[int], control: Control) -> None:
        """Its own cache, and its own encoder where it has one."""
        self._reader = Reader(self._draft, prompt, control)
        self._read: list[int] = []

    def guess(self, context: Context, count: int) -> list[Guess]:
        """Read what was written meanwhile, in place of the guesses that were not."""
        assert self._reader is not None
        ids = context.ids.tolist()
        room = self._draft.info.context
        count = count if room is None else min(count, room - len(ids))
        guesses: list[Guess] = []
        while len(guesses) < count and max(ids) < self._readable:
            guess = self._next(ids, context)
            guesses.append(guess)
            ids.append(guess.token)
            context = context.with_id(guess.token)
        return guesses

    def drop(self) -> None:
        """Let go of every tensor."""
        if self._reader is not None:
            self._reader.drop()
        self._reader = None

    def _next(self, ids: list[int], context: Context) -> Guess:
        assert self._reader is not None
        pairs = enumerate(zip(self._read, ids[:-1], strict=False))  # at least the last token is read
        common = next((i for i, (old, new) in pairs if old != new), min(len(self._read), len(ids) - 1))
        self._reader.forget(common)
        logits = self._reader.next_logits(ids[common:])[: self._vocabulary]
        self._read = list(ids)
        position = sorted_later(logits, context)
        if self._sampling.greedy:
            return Guess(choose(position, self._sampling, None).token_id)
        own = np.zeros(self._vocabulary, np.float32)
        own[: position.size] = in_vocabulary_order(position, self._sampling)
        return Guess(drawn(own, self._random), own)
