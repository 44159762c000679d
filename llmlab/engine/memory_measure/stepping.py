"""A training step on a copy of the model, with every tensor followed."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager
from typing import Any

import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.memory_measure.live import LiveTensors
from llmlab.engine.memory_measure.reading import Run, drawn
from llmlab.engine.memory_measure.types import MeasureSettings
from llmlab.engine.memory_measure.weights import cuda_devices_of
from llmlab.engine.progress import Control
from llmlab.engine.types import Architecture

GRADIENTS, OPTIMIZER, ACTIVATIONS, LOGITS = "Gradients", "Optimizer states", "Activations", "Logits and loss"
RATE = 1e-5


class TrainingRun:
    """A copy of the model and its optimizer."""

    def __init__(self, loaded: LoadedModel, settings: MeasureSettings, control: Control) -> None:
        self._control, self._architecture = control, loaded.info.architecture
        self._devices = cuda_devices_of(loaded)
        self._ids = drawn(loaded, settings)
        control.report("Copying the model")
        self._model: Any = copy.deepcopy(loaded.model).train().requires_grad_(requires_grad=True)
        # fused as in transformers' Trainer; by default AdamW on a GPU holds results as large as all parameters
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=RATE, fused=bool(self._devices) or None)

    @property
    def held(self) -> int:
        """Bytes of the copy's weights and of the optimizer's states."""
        own = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in [*self._own, *self._states]}
        return sum(own.values())

    def first_step(self) -> None:
        """The step that makes the optimizer's states, which from then on are there while the model runs."""
        self._control.report("First training step, which makes the optimizer's states")
        # dropout draws from the global generator; every tensor is followed so that it can be cancelled
        with self._forked(), torch.enable_grad(), LiveTensors(self._own, self._control):
            self._output().loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()

    def second_step(self) -> Run:
        """The step that is looked at."""
        self._control.report("Second training step")
        parameters = list(self._model.parameters())
        with self._forked(), torch.enable_grad(), LiveTensors(self._own, self._control) as live:
            live.follow(self._states, OPTIMIZER)

            def keep(tensor: torch.Tensor) -> torch.Tensor:
                live.label([tensor], ACTIVATIONS)
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                output = self._output()  # kept until the step ends, as in loops that have a name for it
            scores = output.logits.shape
            _label_logits(live, scores)
            saved = live.curve(lambda life: life.label == ACTIVATIONS)
            output.loss.backward()
            _label_logits(live, scores)
            gradients = [parameter.grad for parameter in parameters]
            live.label(gradients, GRADIENTS)
            held = live.bytes_of(gradients)
            self._optimizer.step()
        facts = {
            GRADIENTS: held,
            OPTIMIZER: live.bytes_of(self._states),
            ACTIVATIONS: int(saved[-1]),
            LOGITS: int(live.curve(lambda life: life.label == LOGITS).max()),
        }
        return Run(live, facts=facts)

    @property
    def _own(self) -> list[torch.Tensor]:
        return [*self._model.parameters(), *self._model.buffers()]

    @property
    def _states(self) -> list[torch.Tensor]:
        states = self._optimizer.state.values()
        return [value for state in states for value in state.values() if torch.is_tensor(value)]

    def _forked(self) -> AbstractContextManager[None]:
        return torch.random.fork_rng(devices=self._devices)

    def _output(self) -> Any:
        """Logits, and the mean loss of guessing each token: the next one, or of an encoder the one that is there."""
        arguments = {} if self._architecture is Architecture.ENCODER else {"use_cache": False}
        return self._model(input_ids=self._ids, labels=self._ids, **arguments)


def _label_logits(live: LiveTensors, scores: torch.Size) -> None:
    """Everything with a number for each token and each entry of the vocabulary belongs to the logits."""
    live.relabel(
        lambda life: (
            life.label in ("", ACTIVATIONS)
            and life.shape[-1:] == scores[-1:]
            and math.prod(life.shape) == scores.numel()
        ),
        LOGITS,
    )
