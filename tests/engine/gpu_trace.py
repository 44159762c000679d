"""What a GPU would hold, traced without one: the oracle for the predictions on CUDA.

The real transformers model runs on torch's meta device, where a tensor has a shape and a life but no memory, and every
storage is followed from its making to its end. (FakeTensorMode with tensors that say they are on "cuda" cannot run a
training step here: without CUDA's own libraries autograd refuses to make a node for such a tensor.) Three things that
a GPU does otherwise are put in: attention runs in the fused kernel that torch would choose on an Ampere GPU or newer,
a dropout keeps a mask of one byte, and each storage takes whole blocks of 512 bytes, as in torch's caching allocator.
What two kernels allocate for themselves, which has no tensor that could be seen, is added where torch's source says
how much. The CUDA context is not in it, and neither is cuBLAS's workspace.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedConfig, PreTrainedModel

from llmlab.engine.memory.layout import meta_model
from llmlab.engine.memory_measure.live import LiveTensors
from llmlab.engine.progress import UNCONTROLLED

BLOCK = 512  # c10/cuda/CUDACachingAllocator: kMinBlockSize
_aten: Any = torch.ops.aten


class AsOnCuda(TorchFunctionMode):
    """Functions whose choice of a kernel depends on the device, chosen as on a GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is torch.nn.functional.dropout:
            return _dropout(*args, **kwargs)
        return func(*args, **kwargs)


def _dropout(numbers: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if not training or p == 0:
        return numbers
    return torch.native_dropout(numbers, p, training)[0]


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """aten/native/transformers/cuda/sdp_utils.cpp: FlashAttention takes 16 bits, heads of one size and no
    mask; the memory-efficient kernel takes all that but no shared key heads; what neither takes is written out."""
    halves = query.dtype in (torch.float16, torch.bfloat16)
    if attn_mask is None and halves and query.shape[-1] == value.shape[-1]:
        return _aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, scale=scale)[0]
    if not enable_gqa:
        keeps = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
        mask = None if attn_mask is None else _aligned(attn_mask, query).expand(*query.shape[:-1], key.shape[-2])
        return _aten._scaled_dot_product_efficient_attention(
            query, key, value, mask, keeps, dropout_p, is_causal, scale=scale
        )[0]
    return _aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )[0]


def _aligned(mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """attention.cpp, preprocess_mask: numbers instead of a choice, in rows that begin at multiples of 8."""
    if mask.dtype is torch.bool:
        mask = torch.where(mask, 0.0, -torch.inf).to(query.dtype)
    length = mask.shape[-1]
    return torch.nn.functional.pad(mask, (0, -length % 8))[..., :length] if length % 8 else mask


class Trace(LiveTensors):
    """Follows every tensor, the model's own too, in blocks of the caching allocator."""

    def __init__(self) -> None:
        super().__init__([], UNCONTROLLED)
        self.scratch: dict[int, int] = {}  # operation -> bytes that its kernel allocates for itself

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _aten._local_scalar_dense.default:  # transformers asks one thing: whether sequences are packed
            return True  # they are not: position 0 begins the only one
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func is _aten._scaled_dot_product_flash_attention_backward.default:
            self.scratch[len(self.operations) - 1] = _flash_scratch(args[1], args[2])
        return result

    @property
    def blocks(self) -> np.ndarray:
        """Bytes of all blocks after each operation."""
        change = np.zeros(len(self.operations) + 1, np.int64)
        for life in self.lives:
            size = math.ceil(life.bytes / BLOCK) * BLOCK
            change[0 if life.before else life.born] += size
            if life.died is not None:
                change[life.died] -= size
        held = np.cumsum(change[:-1])
        for at, size in self.scratch.items():
            held[at] += size
        return held

    @property
    def peak(self) -> int:
        return int(self.blocks.max())


def _flash_scratch(query: torch.Tensor, key: torch.Tensor) -> int:
    """flash_api.cpp, mha_bwd: the queries' gradient summed in float32, and a number for each of their rows; gradients
    of keys and values for every query head where heads share them."""
    batch, heads, rows, size = query.shape
    padded = math.ceil(rows / 128) * 128
    shared = heads != key.shape[1]
    expanded = 2 * batch * key.shape[2] * heads * size * query.element_size() if shared else 0
    return 4 * batch * heads * padded * (math.ceil(size / 32) * 32 + 1) + expanded


def on_gpu(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The model, its weights without memory; what transformers keeps in float32 stays so."""
    model = meta_model(config)
    model.to(dtype)
    if type(model)._supports_sdpa:  # what from_pretrained chooses; else attention is written out
        model.set_attn_implementation("sdpa")
    for module in model.modules():  # rotary frequencies are float32 in every model that from_pretrained makes
        for name, buffer in module._buffers.items():
            if buffer is not None and "inv_freq" in name:
                module._buffers[name] = torch.empty(buffer.shape, device="meta")
    return model


def saved(model: PreTrainedModel, batch: int, tokens: int, source: int = 0) -> int:
    """Bytes of all storages that a forward pass keeps for the backward pass, the model's own and the ids left out.

    What is saved on a way that ends, such as the choice of experts, is gone once the way is.
    """
    own = {_place(tensor) for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[_place(tensor)] = weakref.ref(tensor.untyped_storage())
        return tensor

    ids = torch.zeros(batch, tokens, dtype=torch.long, device="meta")
    asked: dict[str, Any] = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        read = torch.zeros(batch, source, dtype=torch.long, device="meta")
        asked = {"input_ids": read, "decoder_input_ids": ids}
    with AsOnCuda(), Trace(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model.train()(**asked, use_cache=False)  # what it saves lives as long as the output does
    assert output.logits.requires_grad
    alive = [storage for place, found in kept.items() if place not in own and (storage := found()) is not None]
    return sum(storage.nbytes() for storage in alive)


def training_step(model: PreTrainedModel, batch: int, tokens: int, *, fused: bool = True) -> Trace:
    """A training step with AdamW, whose states are there already, as from the second step on.

    `fused` as in transformers' Trainer; else `foreach`, which is torch's own choice on a GPU.
    """
    model.train().requires_grad_(requires_grad=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, foreach=not fused)
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.zeros((), device="meta"),
            "exp_avg": torch.empty_like(parameter),
            "exp_avg_sq": torch.empty_like(parameter),
        }
    ids = torch.zeros(batch, tokens, dtype=torch.long, device="meta")
    states = [value for state in optimizer.state.values() for value in state.values()]
    with AsOnCuda(), Trace() as trace:
        trace.follow([*model.parameters(), *model.buffers(), *states, ids])
        output = model(input_ids=ids, labels=ids, use_cache=False)
        output.loss.backward()
        if fused:
            fused_adamw(optimizer)
        else:
            optimizer.step()
    return trace


def _place(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def fused_adamw(optimizer: torch.optim.Optimizer) -> None:
    """AdamW(fused=True), which asks for a device that has the kernel."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    state = [optimizer.state[p] for p in parameters]
    torch._fused_adamw_(
        parameters,
        [p.grad for p in parameters],
        [s["exp_avg"] for s in state],
        [s["exp_avg_sq"] for s in state],
        [],
        [s["step"] for s in state],
        lr=1e-5,
        beta1=0.9,
        beta2=0.999,
        weight_decay=0.01,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )
