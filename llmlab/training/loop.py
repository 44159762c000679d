"""The training loop: an iterator of step records, so that a command line or a live view can drive it.

The budget is a number of tokens, a number of minutes, or both; progress is the larger of the two shares and drives
the learning rate and the curriculum. Checkpoints hold everything a run needs to go on exactly where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from llmlab.training import device as machine
from llmlab.training.optim import Optimizers
from llmlab.training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimiser step. loss: nats, weighted; rate: share of the peak learning rate; seconds: since the start."""

    step: int
    tokens: int
    seconds: float
    progress: float
    loss: float
    rate: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class StepLoss:
    """What an objective computed for one step: the loss to descend and the tokens it read."""

    loss: torch.Tensor
    tokens: int


class Objective(Protocol):
    """Draws the data of a step and computes the loss; a pure function of (model, step, progress)."""

    def __call__(self, model: nn.Module, step: int, progress: float) -> StepLoss:
        """Compute the loss of one step."""
        ...


class Trainer:
    """A model, its optimiser and how far it has come."""

    def __init__(self, model: nn.Module, objective: Objective, recipe: Recipe, device: torch.device) -> None:
        self.model, self.objective, self.recipe, self.device = model.to(device), objective, recipe, device
        self.optimizers = Optimizers(self.model, recipe.rates)
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        self.machine = machine.describe(device)

    @property
    def progress(self) -> float:
        """The part of the budget used, 0..1."""
        shares = [0.0]
        if self.recipe.tokens:
            shares.append(self.tokens / self.recipe.tokens)
        if self.recipe.minutes:
            shares.append(self.seconds / (60 * self.recipe.minutes))
        return min(1.0, max(shares))

    def run(self) -> Iterator[StepRecord]:
        """Step until the budget is used up. Stopping the iteration at any record leaves a state to save."""
        self.model.train()
        while self.progress < 1.0:
            began = time.monotonic()
            record = self._step()
            self.seconds += time.monotonic() - began
            yield record

    def _step(self) -> StepRecord:
        progress = self.progress
        with torch.autocast(self.device.type, torch.bfloat16):
            computed = self.objective(self.model, self.step, progress)
        computed.loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        rate = self.optimizers.step(self.step, progress)
        self.step += 1
        self.tokens += computed.tokens
        loss = float(computed.loss.detach())
        return StepRecord(self.step, self.tokens, self.seconds, progress, loss, rate, float(norm))

    def save(self, path: Path) -> None:
        """Write the whole state; the old file stays until the new one is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "machine": self.machine,
            "torch_rng": torch.get_rng_state(),
        }
        temporary = path.with_suffix(".new")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.machine = state.get("machine", self.machine)
        torch.set_rng_state(state["torch_rng"].cpu())
