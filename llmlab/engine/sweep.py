"""Many completions of one text at once: side by side in one batch, each with settings and a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from llmlab.engine.batch import BatchReader
from llmlab.engine.errors import OutOfMemoryError
from llmlab.engine.generation import Beginning, CompletionState
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, forbidden, guarded, prompt_ids
from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Feature, GenerationStep

MOST_ROWS = 32
MOST_BYTES = 1_000_000_000  # of key-value cache at once, on any device
FREE_SHARE = 0.5  # of a GPU's free memory, at most


def sweep(
    loaded: LoadedModel,
    speller: Speller,
    text: str,
    settings: Sequence[GenerationSettings],
    control: Control = UNCONTROLLED,
) -> Iterator[tuple[int, GenerationStep]]:
    """The steps of a completion for each of `settings`, with its number, as many at a time as memory allows.

    Each is what `generate` writes with the same settings, but for rounding: a batch may add up its numbers in
    another order, and a draw that falls on the edge between two tokens can fall to the other side. Where memory runs
    out nonetheless, half as many go on at a time. A full context window ends a text here, whatever its settings say.
    What makes no sense raises InputError at once.
    """
    require(loaded, Feature.GENERATE)
    for each in settings:
        each.validated()
    ending = [replace(each, overflow="stop") for each in settings]  # rows of one batch cannot slide on their own
    return _batches(loaded, speller, prompt_ids(loaded, text), ending, control)


def _batches(
    loaded: LoadedModel, speller: Speller, ids: list[int], settings: Sequence[GenerationSettings], control: Control
) -> Iterator[tuple[int, GenerationStep]]:
    """What did not fit goes on in batches half as large, after the tokens that it has already."""
    pending, most = list(range(len(settings))), MOST_ROWS
    written: dict[int, list[int]] = {number: [] for number in pending}
    while pending:
        batch = _Batch(loaded, speller, ids, [(n, settings[n], tuple(written[n])) for n in pending], most)
        try:
            for number, step in _told(batch, control):
                if step.index < len(written[number]):
                    continue
                written[number].append(step.token_id)
                yield number, step
                if step.finish_reason is not None:
                    pending.remove(number)
                    done = len(settings) - len(pending)
                    control.report(f"{done} of {len(settings)} texts", done / len(settings))
        except OutOfMemoryError:
            if batch.size <= 1:
                raise
            most = batch.size // 2


def _told(batch: _Batch, control: Control) -> Iterator[tuple[int, GenerationStep]]:
    try:
        guarded(lambda: batch.begin(control), batch.drop)
        while batch.alive:
            control.check()
            yield from guarded(batch.step, batch.drop)
    finally:
        batch.drop()


class _Batch:
    """The first completions of those `wanted`, as many as there is memory for, but no more than `most`.

    Each is wanted by its number, with its settings and the tokens that it begins with.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        speller: Speller,
        ids: list[int],
        wanted: Sequence[tuple[int, GenerationSettings, tuple[int, ...]]],
        most: int,
    ) -> None:
        self._loaded = loaded
        self._speller = speller
        self._ids = ids
        self._wanted = wanted
        self._most = most
        self._forbidden = forbidden(loaded.model)
        self._reader: BatchReader | None = None
        self._rows: list[tuple[int, CompletionState]] = []
        self.size = 0

    @property
    def alive(self) -> bool:
        """Whether a completion goes on."""
        return bool(self._rows)

    def begin(self, control: Control) -> None:
        """Read the text once for all."""
        reader = Reader(self._loaded, self._ids, control)
        logits = reader.plain_logits(reader.start)
        longest = len(reader.start) + max(settings.max_new_tokens for _, settings, _ in self._wanted)
        fitting = _rows_at_once(reader.cache_bytes * longest // len(reader.start), self._loaded)
        self.size = min(len(self._wanted), self._most, fitting)
        for number, settings, given in self._wanted[: self.size]:
            state = CompletionState(
                self._loaded, self._speller, self._ids, settings, Beginning(given), capture=False, shelf=None
            )
            state.begin_text(reader.start)
            self._rows.append((number, state))
        self._reader = BatchReader(self._loaded, reader, self.size)
        self._logits = logits.float().expand(self.size, -1)

    def step(self) -> list[tuple[int, GenerationStep]]:
        """One token in each row; rows that have ended leave."""
        assert self._reader is not None
        logits = self._logits
        if self._forbidden:
            with torch.inference_mode():
                logits = logits.clone()
                logits[:, self._forbidden] = -torch.inf
        told = [(number, state.choose(row)) for (number, state), row in zip(self._rows, logits, strict=True)]
        going = [place for place, (_, step) in enumerate(told) if step.finish_reason is None]
        if going and len(going) < len(self._rows):
            self._reader.select(going)
        self._rows = [self._rows[place] for place in going]
        if going:
            self._logits = self._reader.next_logits([told[place][1].token_id for place in going])
        return told

    def drop(self) -> None:
        """Let go of every tensor."""
        if self._reader is not None:
            self._reader.drop()
        self._reader = None


def _rows_at_once(row_bytes: int, loaded: LoadedModel) -> int:
    """How many rows of a cache fit."""
    room = MOST_BYTES
    if loaded.device.type == "cuda":
        room = min(room, int(FREE_SHARE * torch.cuda.mem_get_info(loaded.device)[0]))
    return max(1, min(MOST_ROWS, room // max(1, row_bytes)))
