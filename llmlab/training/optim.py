"""Optimisers and learning-rate schedule.

Muon (Jordan et al., 2024) on the 2-D weights inside the blocks, AdamW on embeddings, norms and biases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Rates:
    """Peak learning rates and the shape of the schedule.

    ``query`` and ``cross`` are the shares of Muon's rate that T5's query matrices, and the queries and keys of its
    cross-attention, learn with; ``warmup_steps`` counts optimiser steps; ``decay_share`` is the last part of the run in
    which the rate falls linearly to zero.
    """

    muon: float = 0.02
    query: float = 1.0
    cross: float = 1.0
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
        parts = split_parameters(model)
        self.rates = rates
        groups: list[dict[str, Any]] = [{"params": parts.matrices}]
        for share, matrices in ((rates.query, parts.queries), (rates.cross, parts.cross)):
            if matrices:
                groups.append({"params": matrices, "lr": rates.muon * share})
        muon = torch.optim.Muon(
            groups,
            lr=rates.muon,
            weight_decay=rates.weight_decay,
            momentum=0.95,
            adjust_lr_fn="original",
        )
        adamw = torch.optim.AdamW(parts.others, lr=rates.adamw, betas=(0.9, 0.95), weight_decay=0.0)
        self._parts: tuple[torch.optim.Optimizer, ...] = (muon, adamw)
        self._peaks = [[group["lr"] for group in part.param_groups] for part in self._parts]

    def step(self, step: int, progress: float) -> float:
        """One update; returns the factor of the peak rate that was used."""
        factor = self.rates.factor(step, progress)
        for optimizer, peaks in zip(self._parts, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return factor

    def state_dict(self) -> list[dict[str, Any]]:
        """The states of both, for a checkpoint."""
        return [optimizer.state_dict() for optimizer in self._parts]

    def load_state_dict(self, states: Iterable[dict[str, Any]]) -> None:
        """Take over what ``state_dict`` gave."""
        for optimizer, state in zip(self._parts, states, strict=True):
            optimizer.load_state_dict(state)


class Split(NamedTuple):
    """Matrices inside the blocks, T5's queries, queries and keys of its cross-attention, and everything else."""

    matrices: list[nn.Parameter]
    queries: list[nn.Parameter]
    cross: list[nn.Parameter]
    others: list[nn.Parameter]


def split_parameters(model: nn.Module) -> Split:
    """Which parameters learn how.

    T5 does not divide q · k by √d, so that its queries have to stay smaller. Its cross-attention has to stay soft until
    the encoder has something to tell: what is sharp too early gets no gradient any more.
    """
    embeddings = {
        id(weight) for module in model.modules() if isinstance(module, nn.Embedding) for weight in module.parameters()
    }
    split = Split([], [], [], [])
    for name, parameter in model.named_parameters():
        if parameter.ndim != 2 or id(parameter) in embeddings:
            split.others.append(parameter)
        elif name.endswith(("EncDecAttention.q.weight", "EncDecAttention.k.weight")):
            split.cross.append(parameter)
        elif name.endswith("SelfAttention.q.weight"):
            split.queries.append(parameter)
        else:
            split.matrices.append(parameter)
    return split
