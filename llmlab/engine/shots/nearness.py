"""Which examples are nearest to a query, by the model's own hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import prompt_ids
from llmlab.engine.shots.batching import in_batches, padded
from llmlab.engine.types import Architecture, Float32, Int64


def vectors(loaded: LoadedModel, texts: Sequence[str], control: Control = UNCONTROLLED) -> Float32:
    """The mean of each text's last hidden states, brought to length 1; float32 (texts, hidden).

    Of an encoder-decoder model they are the encoder's. Raises InputError for a text that the model cannot read.
    """
    rows = [prompt_ids(loaded, text) for text in texts]
    found: dict[int, list[float]] = {}
    for places, batch in in_batches(
        lambda places: _read(loaded, [rows[i] for i in places]), list(map(len, rows)), control
    ):
        found.update(zip(places, batch, strict=True))
        control.report("Reading the examples", len(found) / len(rows))
    return np.array([found[place] for place in range(len(rows))], np.float32)


def rank(queries: Float32, pool: Float32) -> Int64:
    """The places of `pool` (pool, hidden) from near to far, by cosine, for each of `queries`; int64 (queries, pool)."""
    return np.argsort(-(queries @ pool.T), axis=1, kind="stable").astype(np.int64)


@torch.inference_mode()
def _read(loaded: LoadedModel, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    ids, mask = padded(rows, loaded.tokenizer.pad_token_id or 0)
    ids, mask = ids.to(loaded.device), mask.to(loaded.device)
    model: Any = loaded.model
    seq2seq = loaded.info.architecture is Architecture.ENCODER_DECODER
    reader = model.get_encoder() if seq2seq else model.base_model
    states = reader(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (rows, tokens, hidden)
    weights = mask[..., None].float()
    means = (states * weights).sum(1) / weights.sum(1)
    unit: list[list[float]] = torch.nn.functional.normalize(means, dim=-1).cpu().tolist()
    return unit
