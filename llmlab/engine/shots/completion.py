"""Greedy answers in free text to many prompts; what the prompts begin with in common is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, end_tokens, guarded, prompt_ids
from llmlab.engine.scoring import common_length, without_end
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

    Raises InputError for a text that is too long, and Cancelled between tokens.
    """
    require(loaded, Feature.GENERATE)
    rows = [prompt_ids(loaded, text) for text in texts]
    if loaded.info.architecture is Architecture.ENCODER_DECODER:
        for place, row in enumerate(rows):
            reader = Reader(loaded, row, control)
            yield place, _greedy(loaded, reader, list(reader.start), most, stop, control)
        return
    rows = [without_end(loaded, row) for row in rows]
    shared = common_length(min(rows), max(rows)) if rows else 0
    shared = min(shared, min(map(len, rows), default=1) - 1)
    first = Reader(loaded, rows[0] if rows else [], control)
    if shared > 0:
        guarded(lambda: first.next_logits(rows[0][:shared]), first.drop)
    for place, row in enumerate(rows):
        yield place, _greedy(loaded, first.fork(), row[max(shared, 0) :], most, stop, control)


def _greedy(
    loaded: LoadedModel, reader: Reader, ids: list[int], most: int, stop: Sequence[str], control: Control
) -> str:
    ends, written, text = end_tokens(loaded), [], ""
    room = most if loaded.info.context is None else min(most, loaded.info.context)
    for _ in range(room):
        control.check()
        logits: torch.Tensor = guarded(lambda: reader.next_logits(ids), reader.drop)  # noqa: B023 - called at once
        token = int(logits.argmax())
        if token in ends:
            break
        written.append(token)
        text = decode(loaded.tokenizer, written)
        found = [place for place in (text.find(each) for each in stop if each) if place >= 0]
        if found:
            return text[: min(found)]
        ids = [token]
    return text
