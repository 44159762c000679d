"""What the weights carry: each key's value vector, seen through the head's part of the output projection."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Linear, Module
from transformers.pytorch_utils import Conv1D

from llmlab.engine.attention.layers import AttentionLayer, Layer
from llmlab.engine.errors import UnsupportedFeatureError

# What architectures call the projection of all heads' outputs back to the hidden size.
_NAMES = ("o_proj", "out_proj", "c_proj", "out_lin", "Wo", "wo", "dense", "o")


@torch.inference_mode()
def value_norms(layer: Layer) -> tuple[torch.Tensor, bool]:
    """(norms, projected): float32 (heads, keys), ‖f(xⱼ)‖ with f(x) = (x·W_V + b_V)·W_O of the head (Kobayashi et al.
    2020, eq. 4 to 6), projected True; ‖vⱼ‖ where W_O is not found or is quantized, projected False.

    Raises UnsupportedFeatureError where the architecture does not hand out its values.
    """
    if not isinstance(layer, AttentionLayer) or layer.value is None:
        raise UnsupportedFeatureError(
            "The architecture hands out its attention weights only, not the values that they carry.",
            "Open a model of another architecture to see value-weighted attention.",
        )
    value = layer.value.float()  # (key-value heads, keys, value_dim)
    weight = _projection(layer, layer.heads * value.shape[-1])
    if weight is None:
        return value.norm(dim=-1).repeat_interleave(layer.groups, dim=0), False
    parts = weight.view(weight.shape[0], layer.heads, value.shape[-1])  # (hidden, heads, value_dim)
    norms = [(value[head // layer.groups] @ parts[:, head].float().T).norm(dim=-1) for head in range(layer.heads)]
    return torch.stack(norms), True


def _projection(layer: AttentionLayer, inputs: int) -> torch.Tensor | None:
    """W_O (hidden, heads · value_dim), or None."""
    for module in (layer.module, layer.after):
        for name in _NAMES:
            weight = _matrix(getattr(module, name, None))
            if weight is not None and weight.shape[1] == inputs:
                return weight
    return None


def _matrix(module: Any) -> torch.Tensor | None:
    """A linear layer's weight (outputs, inputs), unless it is packed by a quantization."""
    if not isinstance(module, Module):
        return None
    weight: Any = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or not weight.is_floating_point() or weight.ndim != 2:
        return None
    if isinstance(module, Conv1D):  # GPT-2 keeps it the other way round
        return weight.T
    return weight if isinstance(module, Linear) else None
