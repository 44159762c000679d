"""What a mixture of experts keeps for the backward pass, beside the MLPs of its experts. Imports no torch."""

from __future__ import annotations

from llmlab.engine.memory.blocks import Router
from llmlab.engine.memory.shape import ModelShape

_INDEX = 8  # bytes of an int64


def mixed(shape: ModelShape, width: int) -> int:
    """Bytes of a token that goes through e of E experts, with transformers' grouped_mm and numbers of `width` bytes w.

    A copy of the input and an output for each of the e, w·2h; of its weight in the answer one number; three indices:
    the order by experts, for inputs and for weights, and back. What chooses them: `routing`. Of an expert that every
    token goes through and that has a gate of its own, the gate and the answer, w·(h + 1).
    Llama 4: of all E a copy of the input, that times its weight, and the weight.
    """
    router = shape.block.router
    if router is Router.ALL:
        return shape.experts * width * (2 * shape.hidden + 1) + routing(shape, width)
    weight = 4 if router in (Router.SOFTMAX_FLOAT32, Router.GROUPS) else width
    each = 2 * width * shape.hidden + weight + 3 * _INDEX
    gate = width * (shape.hidden + 1) * shape.gates_shared_expert
    return shape.active_experts * each + routing(shape, width) + gate


def routing(shape: ModelShape, width: int) -> int:
    """Bytes of a token that the choice of e among E experts keeps.

    All: e indices. Softmax: 4·E. Its weights divided by their sum: 4·(e + 1). gpt-oss: softmax of the chosen, w·e, and
    e indices more, for the biases of experts. DeepSeek-V3: the input in float32 (4·h in 16 bits) and 4·E of a
    sigmoid; what chooses its groups is on a way that ends, so that nothing of it stays.
    """
    experts, chosen = shape.experts, shape.active_experts
    if shape.block.router is Router.CHOSEN:
        return chosen * (2 * _INDEX + width)
    divided = 4 * (chosen + 1) * shape.divides_weights
    copied = 4 * shape.hidden * (width < 4 and shape.block.router is Router.GROUPS)
    return 4 * experts + _INDEX * chosen + divided + copied


def mixed_once(shape: ModelShape, width: int) -> int:
    """Bytes of a layer however many tokens it reads.

    Where each expert's tokens end, 4·E, and of DeepSeek-V3 the router's weights in float32, 4·E·h in 16 bits.
    """
    if shape.block.router is Router.ALL:
        return 0
    copy = shape.hidden * (width < 4 and shape.block.router is Router.GROUPS)
    return 4 * shape.experts * (1 + copy)
