"""Optimisers and learning-rate schedule.

Muon (Jordan et al., 2024) on the 2-D weights inside the blocks, AdamW on embeddings, norms and biases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Rates:
    """Peak learning rates and the shape of the schedule.

    ``warmup_steps`` counts optimiser steps; ``decay_share`` is the last part of the run in which the rate falls
    linearly to zero.
    """

    muon: float = 0.02
    adamw: float = 6e-3
    weight_decay: float = 0.01
    warmup_steps: int = 60
    decay_share: float = 0.7

    def factor(self, step: int, progress: float) -> float:
        """The share of the peak rate at this step; ``progress`` in 0..1 is the part of the budget used."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        cool = min(1.0, max(0.0, 1.0 - progress) / self.decay_share)
        return min(warm, cool)


class Optimizers:
    """The two optimisers as one: step, zero_grad, state."""

    def __init__(self, model: nn.Module, rates: Rates) -> None:
        matrices, others = split_parameters(model)
        self.rates = rates
        self._parts: tuple[tuple[torch.optim.Optimizer, float], ...] = (
            (
                torch.optim.Muon(
                    matrices,
                    lr=rates.muon,
                    weight_decay=rates.weight_decay,
                    momentum=0.95,
                    adjust_lr_fn="original",
                ),
                rates.muon,
            ),
            (
                torch.optim.AdamW(others, lr=rates.adamw, betas=(0.9, 0.95), weight_decay=0.0),
                rates.adamw,
            ),
        )

    def step(self, step: int, progress: float) -> float:
        """One update; returns the factor of the peak rate that was used."""
        factor = self.rates.factor(step, progress)
        for optimizer, peak in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return factor

    def state_dict(self) -> list[dict[str, Any]]:
        """The states of both, for a checkpoint."""
        return [optimizer.state_dict() for optimizer, _ in self._parts]

    def load_state_dict(self, states: Iterable[dict[str, Any]]) -> None:
        """Take over what ``state_dict`` gave."""
        for (optimizer, _), state in zip(self._parts, states, strict=True):
            optimizer.load_state_dict(state)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices inside the blocks, everything else: embeddings, position biases, norms, biases)."""
    embeddings = {
        id(weight) for module in model.modules() if isinstance(module, nn.Embedding) for weight in module.parameters()
    }
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        inside = parameter.ndim == 2 and id(parameter) not in embeddings
        (matrices if inside else others).append(parameter)
    return matrices, others
