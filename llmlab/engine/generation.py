"""Writing a completion, one token at a time, with every step's distribution at hand.

Our own loop instead of transformers' `generate`, which draws from the global random number generator, so that its
seeds mean nothing beside other work, and which hands out text and scores only at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from llmlab.engine.choosing import Best, Choice, best, choose, takes_the_best
from llmlab.engine.context import Context
from llmlab.engine.detokenization import Detokenizer, StopStrings
from llmlab.engine.errors import InputError
from llmlab.engine.later import Later
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require, sorted_later
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, check_ids, decoder_start, end_tokens, prompt_ids
from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.shelf import Shelf
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.static_steps import StaticSteps
from llmlab.engine.stepping import Choosing, stepwise
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import PLAIN, Alternatives, Architecture, Feature, GenerationStep, StepFigures


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first tokens of a completion, where they are given instead of chosen by the model.

    The first `known` of them have been told before, so that their steps are not told again; the others' are.
    """

    given: tuple[int, ...] = ()
    known: int = 0

    def validated(self, loaded: LoadedModel, settings: GenerationSettings) -> Beginning:
        """Itself. Raises InputError for tokens that cannot be the beginning of this completion."""
        if not 0 <= self.known <= len(self.given):
            raise InputError(
                f"{self.known:,} tokens cannot be known of the {len(self.given):,} that are given.",
                "Give all the tokens that the completion begins with.",
            )
        if len(self.given) > settings.max_new_tokens or self.known == settings.max_new_tokens:
            raise InputError(
                f"The completion begins with {len(self.given):,} tokens, of at most {settings.max_new_tokens:,}.",
                "Raise the number of new tokens, or go on from an earlier one.",
            )
        if any(not 0 <= token < loaded.info.vocabulary for token in self.given):
            raise InputError("The completion begins with a token that the model does not have.", "Choose another one.")
        check_ids(loaded, self.given)
        return self


def generate(
    loaded: LoadedModel,
    speller: Speller,
    text: str,
    settings: GenerationSettings,
    *,
    beginning: Beginning = Beginning(),
    capture: bool = False,
    special: bool = True,
    shelf: Shelf | None = None,
    steps: StaticSteps | None = None,
    control: Control = UNCONTROLLED,
) -> Iterator[GenerationStep]:
    """Continue `text`, or answer it where the model has an encoder.

    What cannot work raises InputError at once, not at the first step. `capture` keeps each step's sorted logits;
    `special`: the text is read with the special tokens that the tokenizer adds. What was read goes on the `shelf` in
    the end; a completion with a `beginning` looks there for what it need not read. Tokens after the text are read
    through `steps`, where there are any.
    """
    require(loaded, Feature.GENERATE)
    settings.validated()
    beginning.validated(loaded, settings)
    ids = prompt_ids(loaded, text, special=special)
    if settings.overflow == "refuse":
        _refuse(loaded, ids, settings)
    return stepwise(
        CompletionState(loaded, speller, ids, settings, beginning, capture, shelf, steps),
        lambda step: step.finish_reason,
        control,
    )


def _refuse(loaded: LoadedModel, ids: list[int], settings: GenerationSettings) -> None:
    """Raise InputError where the completion may come to the end of the context window; its last token is not read."""
    context = loaded.info.context
    start = len(ids) if loaded.info.architecture is Architecture.DECODER else len(decoder_start(loaded))
    over = start + settings.max_new_tokens - 1 - context if context is not None else 0
    if over > 0:
        raise InputError(
            f"The text has {start:,} tokens, and {settings.max_new_tokens:,} new ones may follow, but the model's "
            f"context window holds {context:,}.",
            f"Ask for at least {over:,} new tokens less, shorten the text, or let the window stop or slide when full.",
        )


class CompletionState:
    """A completion as far as it has come."""

    def __init__(
        self,
        loaded: LoadedModel,
        speller: Speller,
        ids: list[int],
        settings: GenerationSettings,
        beginning: Beginning,
        capture: bool,
        shelf: Shelf | None,
        steps: StaticSteps | None = None,
    ) -> None:
        self._loaded = loaded
        self._speller = speller
        self._prompt = ids
        self._settings = settings
        self._beginning = beginning
        self._capture = capture
        self._shelf = shelf
        self._steps = steps
        self._random = torch.Generator().manual_seed(settings.seed)
        self._draws = not settings.sampling.greedy
        self._takes_the_best = capture and takes_the_best(settings.sampling)
        self._ends = end_tokens(loaded)
        self._stop = StopStrings(settings.stop)
        self._index = 0
        self._reader: Reader | None = None
        self._started = time.perf_counter()

    def begin(self, control: Control) -> None:
        """Read the text where there is an encoder; what the decoder reads is read with the first step."""
        self._started = time.perf_counter()
        known = list(self._beginning.given[: self._beginning.known])
        # Only a branch takes what was read before: a text from its start is the same whatever else ran.
        if self._beginning.given and self._shelf is not None:
            self._reader, self._unread = self._shelf.reader(self._loaded, self._prompt, known, control, self._steps)
        else:
            self._reader = Reader(self._loaded, self._prompt, control, self._steps)
            self._unread = [*self._reader.start, *known]
        self.begin_text(self._reader.start)
        self._control = control
        self._window = len(self._reader.start) + len(known)
        for token in known:
            self._pass(token)

    def begin_text(self, start: list[int]) -> None:
        """The text before the first token; `start` is what the decoder reads."""
        self._context = Context.of(start, source=self._prompt, ends=self._ends)
        goes_on = self._loaded.info.architecture is Architecture.DECODER
        self._detokenizer = Detokenizer(self._loaded.tokenizer, self._prompt if goes_on else ())

    def _pass(self, token: int) -> None:
        """Come to the state in which the completion was after `token`, without telling it."""
        self._context = self._context.with_id(token)
        self._stop.add(self._detokenizer.add(token))
        self._uniform()
        self._index += 1

    def step(self) -> GenerationStep:
        """Read what has not been read, and choose the next token."""
        assert self._reader is not None
        context = self._loaded.info.context
        if context is not None and self._window > context:
            self._reader = self._slid(context // 2)
        self._window += 1
        return self.choose(self._reader.next_logits(self._unread))

    def _slid(self, kept: int) -> Reader:
        """A reader that begins anew with the last `kept` tokens; what an encoder has read stays."""
        decodes = self._loaded.info.architecture is Architecture.DECODER
        tail = list(self._context.ids[-kept:])
        reader = Reader(self._loaded, tail if decodes else self._prompt, self._control, self._steps)
        self._unread = tail if decodes else [*reader.start, *tail]
        self._window = len(self._unread)
        return reader

    def choose(self, logits: torch.Tensor) -> GenerationStep:
        """The next token, from the logits (vocabulary,) of its place."""
        uniform, given = self._uniform(), self._given
        if given is not None:
            uniform = None
        with Choosing(self._index):
            position = sorted_later(logits, self._context)
            choice, figures = self._choice(position, uniform, given)
        token = choice.token_id
        self._unread = [token]
        self._context = self._context.with_id(token)
        text, finish_reason = self._tell(token)
        self._index += 1
        return GenerationStep(
            index=self._index - 1,
            token_id=token,
            token=self._speller.texts([token])[0],
            text=text,
            probability=choice.probability,
            raw_probability=choice.raw_probability,
            figures=figures,
            seconds=time.perf_counter() - self._started,
            finish_reason=finish_reason,
            sorted=position if self._capture else None,
            uniform=uniform,
            given=given is not None,
            computed=PLAIN if self._reader is None else self._reader.computed,
        )

    def _choice(
        self, position: SortedLogits, uniform: float | None, given: int | None
    ) -> tuple[Choice | Best, Later[StepFigures]]:
        """The token, and what is told beside it: later, where the position stays and the token is known without."""
        sampling, speller = self._settings.sampling, self._speller
        found = best(position, sampling) if self._takes_the_best and given is None else None
        if found is not None:
            return found, Later(lambda: _figures(choose(position, sampling, None), speller))
        choice = choose(position, sampling, uniform, given)
        return choice, Later.known(_figures(choice, speller))

    @property
    def _given(self) -> int | None:
        """The token that is given here."""
        given = self._beginning.given
        return given[self._index] if self._index < len(given) else None

    def end(self) -> None:
        """Keep what was read for branches, where there is a place for it."""
        if self._shelf is not None and self._reader is not None:
            self._shelf.keep(self._reader)
        elif self._reader is not None:
            self._reader.drop()

    def drop(self) -> None:
        """Let go of every tensor: there was not enough memory."""
        if self._reader is not None:
            self._reader.drop()
            self._reader = None
        if self._shelf is not None:
            self._shelf.clear()
        if self._steps is not None:
            self._steps.clear()

    def _uniform(self) -> float | None:
        """The next random number; None where the best token is taken always.

        One is drawn for every token, given or not, so that it depends on seed and place alone.
        """
        if not self._draws:
            return None
        return torch.rand((), generator=self._random, dtype=torch.float64).item()

    def _tell(self, token: int) -> tuple[str, str | None]:
        """What `token` adds to the text, and why the completion ends here, if it does."""
        text = self._stop.add(self._detokenizer.add(token))
        reason = self._finish_reason(token)
        if reason is None:
            return text, None
        text += self._stop.add(self._detokenizer.rest()) + self._stop.rest()
        return text, "stop" if self._stop.found else reason

    def _finish_reason(self, token: int) -> str | None:
        context = self._loaded.info.context
        if token in self._ends:
            return "eos"
        if self._stop.found:
            return "stop"
        if self._index + 1 == self._settings.max_new_tokens:
            return "length"
        if context is not None and len(self._context.ids) > context and self._settings.overflow != "slide":
            return "context"
        return None


def _figures(choice: Choice, speller: Speller) -> StepFigures:
    alternatives = Alternatives(
        ids=choice.ids,
        logits=choice.logits,
        raw_probabilities=choice.raw_probabilities,
        probabilities=choice.probabilities,
        texts=speller.texts(choice.ids.tolist()),
    )
    return StepFigures(choice.rank, choice.entropy, alternatives)
