"""The token sequences that scoring labels takes: as few as possible, and what they begin with in common.

Nothing is padded on the left and no row needs a mask: a causal model reads a row the same whatever stands after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmlab.engine.loading import LoadedModel
from llmlab.engine.reading import check_ids, check_length, prompt_ids
from llmlab.engine.scoring import common_length, without_end
from llmlab.engine.shots.compose import pair
from llmlab.engine.shots.types import Rendered
from llmlab.engine.tokenization import encode


@dataclass(frozen=True, slots=True)
class Label:
    """One label as tokens: `ids`, the first of which is predicted at place `begin` − 1 of row number `row`."""

    ids: tuple[int, ...]
    begin: int
    row: int


@dataclass(frozen=True, slots=True)
class Reads:
    """What the model reads to score every label of one prompt. `source` is the encoder's text, if there is one."""

    rows: tuple[tuple[int, ...], ...]
    labels: tuple[Label, ...]
    source: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(map(len, self.rows), default=0)


def continuations(loaded: LoadedModel, rendered: Rendered) -> Reads:
    """For a decoder: context and label encoded as one text, and split where the context's own tokens end.

    Where the end of the context merges with the label into one token, that whole token counts as the label's.
    """
    wholes: list[tuple[tuple[int, ...], int]] = []
    for choice in rendered.choices:
        context, continuation = pair(rendered, choice)
        alone = without_end(loaded, prompt_ids(loaded, context))
        ids = without_end(loaded, prompt_ids(loaded, context + continuation)) if continuation else alone
        if not context and ids[:1] != alone:
            ids = alone + ids
        # What precedes the first token is nothing, so the model has no probability for it.
        wholes.append((tuple(ids), max(1, common_length(alone, ids))))
    return _reads([(ids[:begin], ids[begin:]) for ids, begin in wholes])


def answers(loaded: LoadedModel, rendered: Rendered, start: Sequence[int]) -> Reads:
    """For an encoder-decoder model: the prompt is the encoder's, a label what the decoder begins with."""
    source = prompt_ids(loaded, rendered.text)
    pairs = []
    for choice in rendered.choices:
        ids = encode(loaded.tokenizer, choice.strip(), special=False, target=True)
        check_ids(loaded, ids)
        check_length(loaded, len(start) + len(ids))
        pairs.append((tuple(start), tuple(ids)))
    return _reads(pairs, tuple(source))


def _reads(pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], source: tuple[int, ...] = ()) -> Reads:
    """Rows without those that another one begins with: labels of one token all come from the context's last place."""
    needed = [context + label[:-1] for context, label in pairs]
    rows: list[tuple[int, ...]] = []
    for ids in sorted(set(needed), key=len, reverse=True):
        if not any(row[: len(ids)] == ids for row in rows):
            rows.append(ids)
    labels = []
    for (context, label), ids in zip(pairs, needed, strict=True):
        row = next(i for i, row in enumerate(rows) if row[: len(ids)] == ids)
        labels.append(Label(label, len(context), row))
    return Reads(tuple(rows), tuple(labels), source)


def shared_length(reads: Sequence[Reads]) -> int:
    """With how many tokens all rows begin in common, at least one less than the first label of any needs."""
    rows = [row for each in reads for row in each.rows]
    if not rows:
        return 0
    first, last = min(rows), max(rows)  # in lexicographic order these two differ first
    begins = min(label.begin for each in reads for label in each.labels)
    return max(0, min(common_length(first, last), begins - 1))
