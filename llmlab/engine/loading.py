"""Opens a model: from a `ModelRequest` to a `LoadedModel` on its device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from llmlab.engine import catalog, hub, inspection
from llmlab.engine.architecture import architecture_of, check_known, configuration, own_quantization
from llmlab.engine.checkpoint import ReadModel, read_model
from llmlab.engine.description import describe, input_device
from llmlab.engine.errors import AccessError, ModelFileError, OutOfMemoryError
from llmlab.engine.memory import weight_layout
from llmlab.engine.placement import Placement, Spare, Weights, available, place
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.types import Architecture, ModelInfo, ModelRequest
from llmlab.engine.vocabulary import check_vocabulary, read_tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model in evaluation mode on its device, with its tokenizer."""

    info: ModelInfo
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device  # where the inputs go


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """A folder that vanishes or may not be read is an error in words."""
    try:
        yield
    except OSError as error:
        raise ModelFileError(
            f"The folder of “{name}” cannot be read: {error.strerror or error}.",
            "Check that it is still there and that you may read it.",
        ) from None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is known before a single weight is read."""

    config: PreTrainedConfig
    architecture: Architecture
    weights: Weights
    placement: Placement


def load(request: ModelRequest, control: Control = UNCONTROLLED, spare: Spare | None = None) -> LoadedModel:
    """Open the model that `request` names.

    `spare` is memory that another model would give up: it is released before the weights are read, and only where
    the new model does not fit beside it. Raises an `EngineError`, or `Cancelled`; nothing of the model then remains
    in memory.
    """
    source = catalog.resolve(request.spec)
    control.report(f"Looking at {source.name}")
    folder = source.path or _hub_folder(source, request, control, spare)
    with _readable(source.name):
        values = inspection.read_config(folder)
        inspection.check_tokenizer(folder)
        stored = inspection.check_weights(folder)
    plan = _plan(folder, values, source.name, request, spare, stored)
    control.check()
    control.report("Reading the tokenizer")
    tokenizer = read_tokenizer(folder, source.name)
    notes = check_vocabulary(tokenizer, plan.config, source.name)
    control.check()
    read = _read(folder, plan, control, spare)
    control.check()
    info = describe(
        request, source.name, plan.architecture, plan.placement, read.model, tokenizer, has_head=read.has_head
    )
    info = replace(info, notes=info.notes + notes + read.notes)
    return LoadedModel(info, read.model, tokenizer, input_device(read.model))


def _plan(
    folder: Path,
    values: dict[str, Any],
    name: str,
    request: ModelRequest,
    spare: Spare | None,
    stored: str | None,
) -> _Plan:
    """Decide from the configuration how the model is opened; `stored` is the format of its weights, where known."""
    check_known(values)
    quantization, double = own_quantization(values, name)
    config = configuration(folder, name)
    architecture = architecture_of(config)
    said = str(getattr(config, "dtype", None) or "").removeprefix("torch.")
    dtype = said or stored or "float32"
    weights = Weights(name, weight_layout(values), dtype, quantization, double)
    return _Plan(config, architecture, weights, place(request, weights, spare))


def _read(folder: Path, plan: _Plan, control: Control, spare: Spare | None) -> ReadModel:
    """Read the weights, after releasing `spare` where there is no room beside it, foreseen or not."""
    if spare is None or plan.placement.needs <= available(plan.placement):
        try:
            return read_model(folder, plan.config, plan.architecture, plan.placement, plan.weights, control)
        except OutOfMemoryError:
            if spare is None:
                raise
    control.report("Freeing the model that is open first, because memory is short")
    spare.release()
    return read_model(folder, plan.config, plan.architecture, plan.placement, plan.weights, control)


def _hub_folder(source: catalog.ModelSource, request: ModelRequest, control: Control, spare: Spare | None) -> Path:
    """The model's folder in the Hugging Face cache, downloaded first where it is not all there.

    The small files come first: whether the model can be opened and fits is known before its weights are fetched.
    """
    repo = source.spec
    cached = hub.cached_folder(repo)
    if cached is not None and inspection.is_complete(cached):
        return cached
    if request.offline or hub.is_offline():
        raise AccessError(
            f"“{repo}” is {'not' if cached is None else 'only partly'} in the Hugging Face cache of this computer, "
            "and the program is offline.",
            "Connect to the network and leave the offline mode, or open one of the bundled models.",
        )
    folder = hub.fetch(repo, control)
    values = inspection.read_config(folder)
    inspection.check_tokenizer(folder)
    _plan(folder, values, source.name, request, spare, None)
    return hub.fetch(repo, control, weights=True)
