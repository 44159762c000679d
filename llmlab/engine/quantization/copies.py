"""A second model beside the one in use: loaded where a real kernel exists, else with rounded weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llmlab.engine.devices import check_quantization, free_memory
from llmlab.engine.errors import OutOfMemoryError
from llmlab.engine.loading import LoadedModel, load
from llmlab.engine.memory.layout import layout_of
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.codec import restored
from llmlab.engine.quantization.matrices import check_unquantized, matrices, model_bytes
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import CopyCost
from llmlab.engine.types import ModelRequest
from llmlab.engine.wording import size_text

_FLOAT32 = 4


def copy_cost(loaded: LoadedModel, scheme: Scheme) -> CopyCost:
    """What `second` would take beside the model in use. Nothing is loaded. Raises as `second`.

    A real scheme's copy is a whole model in its format; a simulated one shares all but the rounded matrices with the
    model in use. Either needs, for a moment, the largest matrix in float32 as well.
    """
    check_unquantized(loaded)
    layout = layout_of(loaded.model, loaded.model.config)
    if scheme.is_simulated:
        whole = sum(each.weight.nbytes for each in matrices(loaded))
    else:
        check_quantization(None if scheme.is_float else scheme.format, loaded.device)
        whole = model_bytes(loaded, scheme)
    return CopyCost(whole + layout.largest * _FLOAT32, free_memory(loaded.device), str(loaded.device))


def second(loaded: LoadedModel, scheme: Scheme, control: Control = UNCONTROLLED) -> LoadedModel:
    """The model in use once more, with its weights under `scheme`.

    Raises OutOfMemoryError where there is no room for it, UnsupportedFeatureError for a model that is already
    quantized, DeviceError without bitsandbytes, ModelFileError where its files are gone, or Cancelled.
    """
    check_unquantized(loaded)
    cost = copy_cost(loaded, scheme)
    if not cost.fits:
        raise OutOfMemoryError(
            f"A copy of “{loaded.info.name}” as {scheme.name} needs {size_text(cost.bytes)} beside the model in use, "
            f"and {size_text(cost.available)} are free on {cost.device}.",
            "Close other programs, open the model on another device, or look at the weights alone: that needs no copy.",
        )
    if scheme.is_simulated:
        return replace(loaded, model=_rounded(loaded, scheme, control))
    return load(_request(loaded, scheme), control)


def _request(loaded: LoadedModel, scheme: Scheme) -> ModelRequest:
    """How the copy is opened: from the same files, to the same device; what is not quantized in the same format."""
    split = len(set(getattr(loaded.model, "hf_device_map", {}).values())) > 1
    return replace(
        loaded.info.request,
        device=loaded.info.request.device if split else str(loaded.device),
        dtype=scheme.format if scheme.is_float else loaded.info.dtype,
        quantization=None if scheme.is_float else scheme.format,
        double_quantization=scheme.double,
        offline=True,
    )


@torch.inference_mode()
def _rounded(loaded: LoadedModel, scheme: Scheme, control: Control) -> PreTrainedModel:
    """The model's modules once more, sharing every tensor with it but the rounded matrices."""
    twin = sharing(loaded.model)
    for each in matrices(loaded):
        control.check()
        control.report(f"{scheme.name}: {each.name}")
        module: Any = twin.get_submodule(each.name.rpartition(".")[0])
        module.weight = rounded(module, each.weight, scheme)
    return twin


def sharing(model: PreTrainedModel) -> PreTrainedModel:
    """The model's modules once more, sharing every tensor with it: what is done to them it does not notice."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in model.parameters()}
    shared |= {id(tensor): tensor for tensor in model.buffers()}
    return copy.deepcopy(model, shared)


def rounded(module: torch.nn.Module, weight: torch.Tensor, scheme: Scheme) -> torch.nn.Parameter:
    """`weight` (outputs, inputs) stored by `scheme` and read again, in its own format and as `module` keeps it."""
    after = restored(weight, scheme).weight.to(weight.dtype)
    after = after.T.contiguous() if isinstance(module, Conv1D) else after
    return torch.nn.Parameter(after, requires_grad=False)
