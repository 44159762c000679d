"""The standard test for heads that continue repetitions: random tokens, read twice (Olsson et al. 2022)."""

from __future__ import annotations

import numpy as np
import torch

from llmlab.engine.attention.capture import run
from llmlab.engine.attention.inputs import Inputs, plain
from llmlab.engine.attention.layers import ALL
from llmlab.engine.errors import UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import Control
from llmlab.engine.reading import embeddings
from llmlab.engine.types import Architecture, Float32, Int64

PERIOD = 50  # random tokens, which then come again
SEQUENCES = 16
SEED = 3


@torch.inference_mode()
def head_scores_on_repeats(loaded: LoadedModel, control: Control) -> tuple[Float32, Float32]:
    """(previous, induction), float32 (layers, heads): mean weights on the token before, and, in the repetition, on the
    token that followed the first occurrence. The same random tokens each time.

    Raises UnsupportedFeatureError for a model that does not read from left to right.
    """
    if loaded.info.architecture is not Architecture.DECODER:
        raise UnsupportedFeatureError(
            "Only decoder-only models continue a repetition, which is what this test looks for.",
            "Open a decoder-only model, such as bundled:decoder.",
        )
    scores = []
    for number, (ids, period) in enumerate(_sequences(loaded)):
        control.check()
        control.report("Testing the heads on repeated random tokens", number / SEQUENCES)
        layers = run(loaded, Inputs(plain(ids.tolist()), None, 0), None, control)["self"].all()
        weights = [layer.rows(ALL, 0, len(ids)) for layer in layers]  # (heads, queries, keys)
        scores.append([(_diagonal(each, 1), _diagonal(each, period - 1)[:, 2:].mean(-1)) for each in weights])
    table = [[torch.stack([previous.mean(-1), induction]).cpu() for previous, induction in one] for one in scores]
    means = torch.stack([torch.stack(one) for one in table]).mean(0).float().numpy()  # (layers, 2, heads)
    return np.ascontiguousarray(means[:, 0]), np.ascontiguousarray(means[:, 1])


def _diagonal(weights: torch.Tensor, distance: int) -> torch.Tensor:
    """(heads, queries − distance): the weight of each query on the key so many tokens before it."""
    return weights.diagonal(-distance, -2, -1)


def _sequences(loaded: LoadedModel) -> list[tuple[Int64, int]]:
    """What marks a text's beginning, and random tokens twice; no special token among them."""
    tokenizer, context = loaded.tokenizer, loaded.info.context or 2 * PERIOD + 1
    period = max(2, min(PERIOD, (context - 1) // 2))
    known = min(embeddings(loaded.model), len(tokenizer))
    ordinary = np.setdiff1d(np.arange(known), [*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()])
    start = next((each for each in (tokenizer.bos_token_id, tokenizer.eos_token_id) if each is not None), ordinary[0])
    halves = np.random.default_rng(SEED).choice(ordinary, (SEQUENCES, period))
    return [(np.concatenate([[start], half, half]).astype(np.int64), period) for half in halves]
