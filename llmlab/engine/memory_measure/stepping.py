"""A training step on a copy of the model, with every tensor followed."""

from __future__ import annotations

import copy
import math
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


def training_step(loaded: LoadedModel, settings: MeasureSettings, control: Control) -> Run:
    """The second of two steps of AdamW: from then on the optimizer has its states while the model runs."""
    control.report("Copying the model")
    ids = drawn(loaded, settings)
    with (
        torch.random.fork_rng(devices=cuda_devices_of(loaded)),
        torch.enable_grad(),
    ):  # dropout draws from the global generator
        model = copy.deepcopy(loaded.model).train().requires_grad_(requires_grad=True)
        # fused as in transformers' Trainer, where AdamW's default would hold results as large as all parameters
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=loaded.device.type == "cuda" or None)
        own = [*model.parameters(), *model.buffers()]
        control.report("First training step, which makes the optimizer's states")
        with LiveTensors(own, control):  # followed so that it can be cancelled
            _output(model, ids, loaded.info.architecture).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        control.report("Second training step")
        return _step(model, optimizer, ids, loaded.info.architecture, control)


def _step(
    model: Any, optimizer: torch.optim.Optimizer, ids: torch.Tensor, architecture: Architecture, control: Control
) -> Run:
    parameters = list(model.parameters())
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    with LiveTensors([*parameters, *model.buffers()], control) as live:
        live.follow(states, OPTIMIZER)

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            live.label([tensor], ACTIVATIONS)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = _output(model, ids, architecture)  # kept until the step ends, as loops with a name for it do
        scores = output.logits.shape
        _label_logits(live, scores)
        saved = live.curve(lambda life: life.label == ACTIVATIONS)
        output.loss.backward()
        _label_logits(live, scores)
        gradients = [parameter.grad for parameter in parameters]
        live.label(gradients, GRADIENTS)
        held = live.bytes_of(gradients)
        optimizer.step()
    logits = live.curve(lambda life: life.label == LOGITS)
    facts = {
        GRADIENTS: held,
        OPTIMIZER: live.bytes_of(states),
        ACTIVATIONS: int(saved[-1]),
        LOGITS: int(logits.max()),
    }
    return Run(live, facts=facts)


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


def _output(model: Any, ids: torch.Tensor, architecture: Architecture) -> Any:
    """Logits, and the mean loss of guessing each token: the next one, or of an encoder the one that is there."""
    arguments = {} if architecture is Architecture.ENCODER else {"use_cache": False}
    return model(input_ids=ids, labels=ids, **arguments)
