"""The weights, part by part, as they lie in memory."""

from __future__ import annotations

from llmlab.engine.loading import LoadedModel
from llmlab.engine.memory.terms import Estimate
from llmlab.engine.memory_measure.types import Component

WEIGHT_TERMS = ("Weights", "Quantized weights", "Scales and codebooks", "Weights left as they are")


def weight_components(loaded: LoadedModel, said: Estimate, weights: int) -> list[Component]:
    """The estimate's terms of the weights, each beside its bytes; `weights` are all of them."""
    packed, others = _stored(loaded)
    measured = dict(zip(WEIGHT_TERMS, (weights, packed, weights - packed - others, others), strict=True))
    return [
        Component(term.name, term.bytes, term.formula, term.values, measured[term.name], term.note)
        for term in said.terms
        if term.name in WEIGHT_TERMS
    ]


def _stored(loaded: LoadedModel) -> tuple[int, int]:
    """Bytes of what is packed into small integers, and of all other parameters and buffers; each storage once."""
    packed: dict[int, int] = {}
    others: dict[int, int] = {}
    for tensor in [*loaded.model.parameters(), *loaded.model.buffers()]:
        storage = tensor.untyped_storage()
        is_packed = type(tensor).__name__ in ("Params4bit", "Int8Params")
        (packed if is_packed else others)[storage._cdata] = storage.nbytes()
    return sum(packed.values()), sum(others.values())


def cuda_devices_of(loaded: LoadedModel) -> list[int]:
    """The GPUs that the model lies on."""
    return sorted({tensor.device.index for tensor in loaded.model.parameters() if tensor.device.type == "cuda"})
