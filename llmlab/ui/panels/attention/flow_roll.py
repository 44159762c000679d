"""Attention rollout of one text, ready to be shown. No Qt; made in a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmlab.engine.attention.types import MASKED, AttentionShape
from llmlab.engine.types import Float32
from llmlab.ui.panels.attention import text_rows
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.text_source import Texts
from llmlab.ui.panels.attention.words import labels_of
from llmlab.ui.widgets.heatmap.codes import heat_of
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.progress import Control

WHOLE_TOKENS = 1024  # a longer text has its rollout row by row


@dataclass(frozen=True, slots=True, eq=False)
class Rolled:
    """The rollout of a text. `matrix` float32 (queries, keys), rows summing to 1, MASKED where nothing can come from.

    `picture` and `by_row`: the map in colours of its weights, and of their share of the row's largest. All three are
    None of a long text.
    """

    texts: Texts
    matrix: Float32 | None = None
    picture: HeatPicture | None = None
    by_row: HeatPicture | None = None


def rolled(capture: AttentionCapture, shape: AttentionShape, control: Control, *, hide_first: bool = False) -> Rolled:
    """The rollout of all tokens, where they are not too many; see `masked`."""
    texts = Texts.of(shape)
    if len(shape.query_tokens) > WHOLE_TOKENS:
        return Rolled(texts)
    matrix = masked(capture.rollout(shape.kind, None, control), 0, shape, hide_first=hide_first)
    labels = labels_of(shape.query_tokens, np.arange(len(matrix) + 1, dtype=np.int32))
    return Rolled(texts, matrix, *(_picture(matrix, labels, by_row=each) for each in (False, True)))


def rows_of(
    capture: AttentionCapture, shape: AttentionShape, tokens: tuple[int, ...], control: Control, *, hide_first: bool
) -> Float32:
    """The sum of the rollout's rows of `tokens`, at any length: float32 (keys,)."""
    rows = []
    for token in tokens:
        row = capture.rollout(shape.kind, slice(token, token + 1), control)
        rows.append(masked(row, token, shape, hide_first=hide_first))
    return text_rows.summed(np.concatenate(rows))


def masked(rows: Float32, first: int, shape: AttentionShape, *, hide_first: bool = False) -> Float32:
    """Rows `first` … of a rollout or flow, with what comes later than the query as what may not be seen.

    `hide_first`: without the first key that is no padding, each row rescaled to the sum it had.
    """
    made = np.array(rows, np.float32)
    if hide_first:
        key = 0 if shape.key_segments is None else int(np.argmax(shape.key_segments >= 0))
        whole = made.sum(axis=1, keepdims=True)
        made[:, key] = 0
        rest = made.sum(axis=1, keepdims=True)
        made *= np.divide(whole, rest, out=np.zeros_like(whole), where=rest > 0)
        made[:, key] = MASKED
    if shape.causal:
        later = np.arange(rows.shape[1]) > (first + np.arange(len(rows)))[:, None]
        made[later] = MASKED
    return made


def _picture(matrix: Float32, labels: tuple[str, ...], *, by_row: bool) -> HeatPicture:
    part = HeatPart(heat_of(matrix, by_row=by_row), matrix)
    return HeatPicture(part, labels, labels, row_name="token after the last layer", column_name="input token")


def obstacle(reading: Reading) -> tuple[str, str] | None:
    """Why there is no rollout, in a title and a sentence."""
    shape = reading.shape
    if reading.focus.kind == "cross":
        return (
            "Rollout follows one text through all layers",
            "Cross-attention leads from one text to another. Choose the encoder's or the decoder's own attention.",
        )
    if shape.captured and len(shape.captured) < shape.layers:
        return (
            "All layers are needed",
            "Only single layers were kept because of the memory that all of them take. Shorten the text.",
        )
    return None
