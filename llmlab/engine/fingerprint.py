"""Which weights these are: a hash that tells two models apart, whatever folder they came from."""

from __future__ import annotations

import hashlib

import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control


@torch.inference_mode()
def weights_sha256(loaded: LoadedModel, control: Control = UNCONTROLLED) -> str:
    """SHA-256 over every tensor of the model as it is in memory: name, number format, shape and bytes, by name.

    The same files opened at another precision, or quantized, have another hash: they compute something else.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(loaded.model.state_dict().items()):
        control.check()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
