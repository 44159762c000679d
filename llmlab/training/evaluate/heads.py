"""Previous-token and induction heads (Olsson et al., 2022) on repeated random tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmlab.training.tokenizer import END_OF_TEXT, ID, SPECIALS


@dataclass(frozen=True, slots=True)
class HeadScores:
    """previous, induction: float64 (layers, heads), mean attention weights in 0..1.

    previous: weight from each token to the one before it. induction: weight from each token of the repetition to
    the token that followed its first occurrence. first_loss and repeated_loss: nats a token of the two halves;
    repeated_accuracy: share of the repetition's tokens predicted right.
    """

    previous: NDArray[np.float64]
    induction: NDArray[np.float64]
    first_loss: float
    repeated_loss: float
    repeated_accuracy: float

    @staticmethod
    def best(scores: NDArray[np.float64]) -> tuple[int, int, float]:
        """(layer, head, score) of the highest score."""
        layer, head = np.unravel_index(int(scores.argmax()), scores.shape)
        return int(layer), int(head), float(scores[layer, head])


@torch.inference_mode()
def head_scores(model: Any, period: int = 50, sequences: int = 16, seed: int = 3) -> HeadScores:
    """``<|endoftext|> r r`` with random token sequences ``r``; the model must run with eager attention."""
    rng = np.random.default_rng(seed)
    half = rng.integers(len(SPECIALS), model.config.vocab_size, size=(sequences, period))
    ids = torch.from_numpy(np.concatenate([np.full((sequences, 1), ID[END_OF_TEXT]), half, half], axis=1))
    output = model(input_ids=ids.to(model.device), output_attentions=True, use_cache=False)
    attention = torch.stack([layer.float().mean(0) for layer in output.attentions])  # (layers, heads, queries, keys)
    losses, hits = _predictions(output.logits, ids.to(model.device))
    return HeadScores(
        attention.diagonal(-1, -2, -1).mean(-1).double().cpu().numpy(),
        attention.diagonal(1 - period, -2, -1)[..., 2:].mean(-1).double().cpu().numpy(),
        float(losses[:, :period].mean()),
        float(losses[:, period + 1 :].mean()),
        float(hits[:, period + 1 :].float().mean()),
    )


def _predictions(logits: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses, hits), both (sequences, tokens - 1)."""
    log_probabilities = logits[:, :-1].float().log_softmax(-1)
    targets = ids[:, 1:]
    return -log_probabilities.gather(-1, targets[..., None])[..., 0], log_probabilities.argmax(-1) == targets
