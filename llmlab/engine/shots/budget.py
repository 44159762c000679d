"""Prompts for one model: composed in its form, counted in its tokens, and kept within its context window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.shots import conversation
from llmlab.engine.shots.compose import Composer, included
from llmlab.engine.shots.types import (
    Budget,
    Example,
    Form,
    Overflow,
    Part,
    PartKind,
    PartTokens,
    Prompt,
    PromptSpec,
    Rendered,
)
from llmlab.engine.tokenization import Speller, encode, tokenize
from llmlab.engine.types import Architecture
from llmlab.engine.wording import some_of


class Prompts:
    """Makes prompts of one kind for one model. Every method raises InputError for what makes no sense."""

    def __init__(self, loaded: LoadedModel, spec: PromptSpec) -> None:
        check_form(loaded, spec)
        self.composer = Composer(spec, loaded.info.mask_token or "")
        self._loaded = loaded
        self._spec = spec
        self._speller = Speller(loaded.tokenizer, loaded.info.vocabulary)

    def all(self, shots: Sequence[Example], queries: Sequence[Example]) -> list[Prompt]:
        """One prompt for each query, within the context window; what needs a process is rendered in one go."""
        return self.each([shots] * len(queries), queries)

    def each(self, shots: Sequence[Sequence[Example]], queries: Sequence[Example]) -> list[Prompt]:
        """One prompt for each query with shots of its own."""
        self.composer.prepare({id(one): one for some in (queries, *shots) for one in some}.values())
        prompts = self._prompts(shots, queries, [included(some) for some in shots])
        while again := list(self._too_long(prompts)):
            fewer = [_fewer(self._spec, prompts[place]) for place in again]
            shorter = self._prompts([shots[place] for place in again], [queries[place] for place in again], fewer)
            for place, prompt in zip(again, shorter, strict=True):
                prompts[place] = prompt
        return prompts

    def _too_long(self, prompts: Sequence[Prompt]) -> Iterator[int]:
        if self._spec.overflow is not Overflow.REFUSE:
            for place, prompt in enumerate(prompts):
                if not prompt.budget.fits and prompt.rendered.used:
                    yield place

    def _prompts(
        self, shots: Sequence[Sequence[Example]], queries: Sequence[Example], uses: Sequence[Sequence[int]]
    ) -> list[Prompt]:
        rows = list(zip(shots, queries, uses, strict=True))
        if self._spec.form is Form.CHAT:
            rendered = self._conversations(rows)
        else:
            rendered = [self.composer.compose(*row) for row in rows]
        return [Prompt(each, self.budget(each)) for each in rendered]

    def _conversations(self, rows: Sequence[tuple[Sequence[Example], Example, Sequence[int]]]) -> list[Rendered]:
        spoken = conversation.render(self._loaded.tokenizer, [self.composer.messages(*row) for row in rows])
        return [
            Rendered(
                text=each.text,
                parts=each.parts,
                used=tuple(use),
                dropped=tuple(place for place in included(shots) if place not in set(use)),
                choices=self.composer.choices(query),
                answer=self._spec.word(self.composer.answer(query)),
            )
            for each, (shots, query, use) in zip(spoken, rows, strict=True)
        ]

    def budget(self, rendered: Rendered) -> Budget:
        """The tokens of each part, from one tokenization of the whole text."""
        starts, ends, special = self._places(rendered)
        inner = ~special
        counts = [int(((starts >= part.start) & (starts < part.end) & inner).sum()) for part in rendered.parts]
        last = np.array([part.end for part in rendered.parts], np.int64)
        here = np.searchsorted(last, starts[inner], side="right")
        across = int((ends[inner] > last[np.minimum(here, len(last) - 1)]).sum()) if len(last) else 0
        parts = [PartTokens(part, count) for part, count in zip(rendered.parts, counts, strict=True)]
        # What lies in no part: tokens that the tokenizer adds, and of an empty prompt the one that stands for it.
        added = max(len(starts), 1) - sum(counts)
        if added:
            parts.append(PartTokens(Part(PartKind.SPECIAL, len(rendered.text), len(rendered.text)), added))
        return Budget(
            tuple(parts), max(len(starts), 1), across, self._loaded.info.context, room_of(self._loaded, self._spec)
        )

    def _places(self, rendered: Rendered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each token begins and ends, and which were added; all (tokens,)."""
        tokenizer = self._loaded.tokenizer
        if tokenizer.is_fast:
            tokens = tokenize(tokenizer, self._speller, rendered.text)
            return tokens.offsets[:, 0], tokens.offsets[:, 1], tokens.special
        # A slow tokenizer tells no places: those of a part are what its end adds to the count.
        counts = [len(encode(tokenizer, rendered.text[: part.end], special=False)) for part in rendered.parts]
        starts = np.repeat([part.start for part in rendered.parts], np.diff([0, *counts]).clip(0)).astype(np.int64)
        added = len(encode(tokenizer, rendered.text)) - len(encode(tokenizer, rendered.text, special=False))
        special = np.arange(len(starts) + added) >= len(starts)
        starts = np.append(starts, np.full(added, len(rendered.text)))
        return starts, starts, special


def check_form(loaded: LoadedModel, spec: PromptSpec) -> None:
    """Raise InputError where the loaded model cannot read prompts of this form."""
    encoder = loaded.info.architecture is Architecture.ENCODER
    if encoder and spec.form is not Form.CLOZE:
        raise InputError(
            f"“{loaded.info.name}” is encoder-only: it fills in a mask and continues no text.",
            "Choose the form cloze.",
        )
    if not encoder and spec.form is Form.CLOZE:
        raise InputError(
            f"“{loaded.info.name}” has no mask to fill in.",
            "Choose the form text or chat, or open an encoder-only model such as bundled:encoder.",
        )


def room_of(loaded: LoadedModel, spec: PromptSpec) -> int:
    """Tokens that must remain in the window: for the longest label, or what was asked for.

    None of them where the answer has a window of its own (encoder-decoder) or stands inside the prompt (cloze).
    """
    if loaded.info.architecture is not Architecture.DECODER:
        return 0
    if not spec.labels:
        return spec.room
    words = [spec.target_delimiter + spec.word(label) for label in spec.labels]
    return max(len(encode(loaded.tokenizer, word, special=False)) for word in words)


def refuse_overflow(prompt: Prompt) -> None:
    """Raise InputError for a prompt that is too long."""
    budget = prompt.budget
    if budget.fits:
        return
    assert budget.left is not None
    raise InputError(
        f"The prompt has {budget.tokens:,} tokens and needs {budget.room:,} more for the answer, but the model reads "
        f"at most {budget.context:,}.",
        "Use fewer or shorter shots, let whole shots be dropped, or open a model with a longer context."
        if prompt.rendered.used
        else "Shorten the instruction or the query, or open a model with a longer context.",
    )


def dropped_in_words(prompt: Prompt) -> str:
    """Which shots were left out; empty where none were."""
    dropped = prompt.rendered.dropped
    if not dropped:
        return ""
    numbers = some_of([str(place + 1) for place in dropped], 8)
    return f"Left out because the context window is full: shot{'s' * (len(dropped) > 1)} {numbers}."


def _fewer(spec: PromptSpec, prompt: Prompt) -> list[int]:
    """The shots that remain once enough of them are dropped, one at least."""
    budget = prompt.budget
    assert budget.left is not None
    excess = budget.room - budget.left
    sizes = {each.part.shot: each.tokens for each in budget.parts if each.part.shot is not None}
    remaining = list(prompt.rendered.used)
    while remaining:
        place = remaining.pop(0 if spec.overflow is Overflow.DROP_FIRST else -1)
        excess -= sizes.get(place, excess)  # where the template hides the parts, one after another
        if excess <= 0:
            break
    return remaining


def prompt(loaded: LoadedModel, spec: PromptSpec, shots: Sequence[Example], query: Example) -> Prompt:
    """One prompt; where it is too long, whole shots are dropped if `spec` says so, otherwise its budget tells."""
    return Prompts(loaded, spec).all(shots, [query])[0]
