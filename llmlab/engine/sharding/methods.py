"""Each way to share out a model over ranks, with torch's own means."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from llmlab.engine.memory.sharding import Strategy

RATE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model that is shared out: `module` is called, `model` has the parameters that this rank holds."""

    module: nn.Module
    model: PreTrainedModel
    optimizer: torch.optim.Optimizer

    def state_tensors(self) -> list[torch.Tensor]:
        """What the optimizer keeps on this rank."""
        inner: Any = getattr(self.optimizer, "optim", self.optimizer)  # ZeRO's own share of it
        return [value for state in inner.state.values() for value in state.values() if torch.is_tensor(value)]


def alone(model: PreTrainedModel) -> Trained:
    """The whole model in one process."""
    return Trained(model, model, torch.optim.AdamW(model.parameters(), lr=RATE))


def shared_out(model: PreTrainedModel, method: Strategy, device: torch.device) -> Trained:
    """`model`, turned into one rank's part of it."""
    if method in (Strategy.DDP, Strategy.ZERO_1):
        return _replicated(model, method, device)
    mesh = DeviceMesh(device.type, list(range(dist.get_world_size())))
    # FULL_SHARD frees each layer's weights after use; SHARD_GRAD_OP keeps them for the backward pass
    free = method is Strategy.FULL_SHARD
    for layer in layers(model):
        fully_shard(layer, mesh=mesh, reshard_after_forward=free)
    fully_shard(model, mesh=mesh, reshard_after_forward=free)
    return alone(model)


def layers(model: nn.Module) -> Iterable[nn.Module]:
    """The model's blocks: the module list that holds most of its parameters."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda found: sum(parameter.numel() for parameter in found.parameters()))


def storages(tensors: Iterable[torch.Tensor | None]) -> dict[int, int]:
    """Address → bytes of the memory behind `tensors` on this rank, each once; of a DTensor that is its own shard."""
    found = {}
    for tensor in tensors:
        if tensor is not None:
            local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            storage = local.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return found


def _replicated(model: PreTrainedModel, method: Strategy, device: torch.device) -> Trained:
    # Without gradient_as_bucket_view DDP keeps all gradients twice: as they are, and in the buckets it sends.
    module = DistributedDataParallel(
        model, device_ids=[device.index] if device.type == "cuda" else None, gradient_as_bucket_view=True
    )
    if method is Strategy.DDP:
        return Trained(module, model, torch.optim.AdamW(model.parameters(), lr=RATE))
    return Trained(module, model, _zero_redundancy_optimizer()(model.parameters(), torch.optim.AdamW, lr=RATE))


def _zero_redundancy_optimizer() -> Any:
    """The class, imported without what its neighbours say of torch.jit while that happens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.distributed.optim import ZeroRedundancyOptimizer
    return ZeroRedundancyOptimizer
