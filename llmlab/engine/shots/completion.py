"""Greedy answers in free text to many prompts, side by side where the model allows it.

Each is what the model writes to its prompt alone, but for rounding: a batch may add up its numbers in another order,
and two tokens that are equally probable but for that can change places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from llmlab.engine.errors import OutOfMemoryError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, decoder_start, end_tokens, guarded, prompt_ids
from llmlab.engine.scoring import common_length, without_end
from llmlab.engine.shots.batching import BATCH_ROWS, CACHE_BYTES
from llmlab.engine.shots.side_by_side import Batch, Prompts, Sources
from llmlab.engine.shots.types import Form, PromptSpec
from llmlab.engine.tokenization import decode
from llmlab.engine.types import Architecture, Feature


def stops(spec: PromptSpec) -> tuple[str, ...]:
    """What ends an answer, beside the model's own end: the delimiter after a shot (lm-evaluation-harness's `until`)."""
    if spec.form is not Form.TEXT:
        return ()
    return (spec.fewshot_delimiter,) if spec.fewshot_delimiter else ("\n",)


def complete(
    loaded: LoadedModel,
    texts: Sequence[str],
    most: int,
    stop: Sequence[str] = (),
    control: Control = UNCONTROLLED,
) -> Iterator[tuple[int, str]]:
    """(place, completion) of each text: the most probable token `most` times, up to an end or a `stop`, left out.

    They come as they end, not in the order of the texts. Where memory runs out, half as many go on at a time. Raises
    InputError for a text that is too long, OutOfMemoryError where not even one fits, and Cancelled between tokens.
    """
    require(loaded, Feature.GENERATE)
    rows = [prompt_ids(loaded, text) for text in texts]
    answers = loaded.info.architecture is Architecture.ENCODER_DECODER
    if not answers:
        rows = [without_end(loaded, row) for row in rows]
    written = [_Writing(loaded, len(decoder_start(loaded)) if answers else len(row), most, stop) for row in rows]
    if not rows or most < 1:
        yield from ((place, "") for place in range(len(rows)))
        return
    prompts = (Sources if answers else Prompts)(loaded, rows, most, control)
    if prompts.can_pad and len(rows) > 1:
        yield from _together(prompts, rows, written, control)
    else:
        yield from _one_by_one(loaded, rows, written, control)


class _Writing:
    """One answer as far as it is written; `begin` tokens stand before it in its window."""

    def __init__(self, loaded: LoadedModel, begin: int, most: int, stop: Sequence[str]) -> None:
        self._tokenizer = loaded.tokenizer
        self._ends = end_tokens(loaded)
        self._stop = [each for each in stop if each]
        context = loaded.info.context
        self._room = most if context is None else min(most, context - begin + 1)  # the last token is not read
        self._ids: list[int] = []
        self.text, self.ended = "", False

    @property
    def share(self) -> float:
        """How far it is, 0…1."""
        return 1 if self.ended else len(self._ids) / self._room

    def restart(self) -> None:
        """Begin anew."""
        self._ids, self.text = [], ""

    def add(self, token: int) -> None:
        """Take the next token, which may end the answer."""
        if token in self._ends:
            self.ended = True
            return
        self._ids.append(token)
        self.text = decode(self._tokenizer, self._ids)
        found = [place for place in (self.text.find(each) for each in self._stop) if place >= 0]
        if found:
            self.text = self.text[: min(found)]
        self.ended = bool(found) or len(self._ids) >= self._room


def _together(
    prompts: Prompts | Sources, rows: Sequence[Sequence[int]], written: Sequence[_Writing], control: Control
) -> Iterator[tuple[int, str]]:
    """Batches of similar length, longest first: what does not fit fails at once, and begins anew in halves."""
    pending = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
    size = max(1, min(BATCH_ROWS, CACHE_BYTES // max(1, prompts.row_bytes)))
    while pending:
        places = pending[:size]
        try:
            for place in _ending(prompts, rows, written, places, control):
                pending.remove(place)
                yield place, written[place].text
        except OutOfMemoryError:
            if len(places) == 1:
                raise
            size = len(places) // 2
            for place in places:
                if not written[place].ended:
                    written[place].restart()


def _ending(
    prompts: Prompts | Sources,
    rows: Sequence[Sequence[int]],
    written: Sequence[_Writing],
    places: Sequence[int],
    control: Control,
) -> Iterator[int]:
    """Write the answers at `places` in one batch; each place as its answer has ended."""
    batch = guarded(lambda: prompts.batch([rows[place] for place in places]))
    try:
        logits = guarded(lambda: batch.begin(control), batch.drop)
        while places:
            tokens = logits.argmax(-1).tolist()
            for place, token in zip(places, tokens, strict=True):
                written[place].add(token)
            yield from (place for place in places if written[place].ended)
            going = [row for row, place in enumerate(places) if not written[place].ended]
            _report(written, control)
            if going:
                logits = _next(batch, going, tokens)
            places = [places[row] for row in going]
    finally:
        batch.drop()


def _next(batch: Batch, going: list[int], tokens: list[int]) -> torch.Tensor:
    """The logits of the rows that go on, after their tokens."""
    if len(going) < len(tokens):
        guarded(lambda: batch.select(going), batch.drop)
    return guarded(lambda: batch.next_logits([tokens[row] for row in going]), batch.drop)


def _one_by_one(
    loaded: LoadedModel, rows: Sequence[list[int]], written: Sequence[_Writing], control: Control
) -> Iterator[tuple[int, str]]:
    """What a decoder's prompts begin with in common is read once."""
    decodes = loaded.info.architecture is Architecture.DECODER
    shared = min(common_length(min(rows), max(rows)), min(map(len, rows)) - 1) if decodes else 0
    first = Reader(loaded, rows[0], control) if decodes else None
    if first is not None and shared:
        guarded(lambda: first.plain_logits(rows[0][:shared]), first.drop)
    for place, row in enumerate(rows):
        reader = first.fork() if first is not None else guarded(lambda: Reader(loaded, row, control))  # noqa: B023 - called at once
        ids = row[shared:] if decodes else list(reader.start)
        while not written[place].ended:
            control.check()
            logits: torch.Tensor = guarded(lambda: reader.next_logits(ids), reader.drop)  # noqa: B023 - called at once
            ids = [int(logits.argmax())]
            written[place].add(ids[0])
            _report(written, control)
        yield place, written[place].text


def _report(written: Sequence[_Writing], control: Control) -> None:
    """Say how far all answers are, and learn whether they are still wanted."""
    control.check()
    control.report("Writing the answers", sum(each.share for each in written) / len(written))
