"""Which weights a scheme is about: those of linear layers that transformers hands to bitsandbytes, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llmlab.engine.devices import DTYPES
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.memory import weight_bytes
from llmlab.engine.memory.describe import group_of
from llmlab.engine.memory.layout import layout_of, quantized_weights
from llmlab.engine.memory.shape import Group
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import Kept
from llmlab.engine.types import Float32

_REASONS = {
    Group.EMBEDDINGS: "embeddings, which are looked up and not multiplied",
    Group.HEAD: "the output layer, whose errors would go straight into the logits",
    Group.NORMS: "norms, a few numbers each",
    Group.EXPERTS: "experts fused into one tensor, which bitsandbytes passes over",
}
_REST = "biases and other small parameters"
_WHOLE = "matrices that transformers keeps as they are"


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """One weight matrix of the model in use, `weight` (outputs, inputs) as it lies there."""

    name: str
    weight: torch.Tensor

    @property
    def outputs(self) -> int:
        """Rows."""
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        """Columns."""
        return int(self.weight.shape[1])


def check_unquantized(loaded: LoadedModel) -> None:
    """Raise UnsupportedFeatureError for a model whose original weights are gone."""
    if loaded.info.quantization is not None:
        raise UnsupportedFeatureError(
            f"“{loaded.info.name}” is open as {loaded.info.quantization}, so its exact weights are not known here.",
            "Open it without a quantization; the comparison quantizes copies of it.",
        )


def matrices(loaded: LoadedModel) -> Iterator[Matrix]:
    """Every matrix that would be quantized, in the model's order. Raises UnsupportedFeatureError."""
    check_unquantized(loaded)
    for name in _names(loaded):
        yield matrix(loaded, name)


def matrix(loaded: LoadedModel, name: str) -> Matrix:
    """The matrix called `name`. Raises InputError."""
    module_name, _, _ = name.rpartition(".")
    try:
        module = loaded.model.get_submodule(module_name)
    except AttributeError:
        raise InputError(f"The model has no weight matrix “{name}”.", "Choose one of the table.") from None
    weight: torch.Tensor = module.weight  # type: ignore[assignment]
    # GPT-2's linear layer lies as (inputs, outputs); it is transposed before it is quantized
    return Matrix(name, weight.detach().T if isinstance(module, Conv1D) else weight.detach())


def _names(loaded: LoadedModel) -> list[str]:
    names = list(quantized_weights(loaded.model))
    if not names:
        raise UnsupportedFeatureError(
            f"“{loaded.info.name}” has no linear layer that transformers would quantize.",
            "Open another model, such as bundled:decoder.",
        )
    return names


def kept(model: PreTrainedModel) -> tuple[Kept, ...]:
    """What is not quantized, by the reason why."""
    quantized = quantized_weights(model)
    found: dict[str, list[tuple[str, int]]] = {}
    for name, parameter in model.named_parameters():
        if name in quantized:
            continue
        small = _WHOLE if parameter.dim() > 1 else _REST
        reason = _REASONS.get(group_of(name, tuple(parameter.shape)), small)
        found.setdefault(reason, []).append((name, parameter.numel()))
    return tuple(
        Kept(reason, tuple(name for name, _ in rows), sum(size for _, size in rows)) for reason, rows in found.items()
    )


def model_bytes(loaded: LoadedModel, scheme: Scheme) -> int:
    """Bytes of the whole model under a scheme, buffers included; what is not quantized keeps the model's format."""
    layout = layout_of(loaded.model, loaded.model.config)
    own = str(loaded.model.dtype).removeprefix("torch.")
    own = own if own in DTYPES else "float32"
    if scheme.is_float:
        return weight_bytes(layout, scheme.format)
    if not scheme.is_simulated:
        return weight_bytes(layout, own, scheme.format, double=scheme.double)
    matrices_now = sum(outputs * inputs for outputs, inputs in layout.matrices) * DTYPES[own].itemsize
    stored = sum(scheme.bytes_of(outputs, inputs) for outputs, inputs in layout.matrices)
    return weight_bytes(layout, own) - matrices_now + stored


def as_floats(tensor: torch.Tensor) -> Float32:
    """A tensor's numbers as float32, flat."""
    values: Float32 = tensor.detach().float().cpu().reshape(-1).numpy()
    return values


def skip_modules(loaded: LoadedModel, kept: Sequence[str] = ()) -> tuple[str, ...]:
    """What `llm_int8_skip_modules` must name so that transformers quantizes all matrices but those `kept`.

    Once it is given, transformers no longer leaves out the output layer and what is tied to it by itself.
    """
    from transformers.quantizers.base import get_keys_to_not_convert

    own = [name for name in get_keys_to_not_convert(loaded.model) if _is_module(loaded.model, name)]
    return (*sorted(own), *(name.removesuffix(".weight") for name in kept))


def _is_module(model: PreTrainedModel, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True
