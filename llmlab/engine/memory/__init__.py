"""What a model costs in memory, from its configuration alone: no weight is read, nothing is allocated.

    from llmlab.engine.memory import parameter_count, kv_cache_bytes, zero_bytes_per_gpu
    parameter_count("config.json")

Counts come from the architecture itself, built on torch's meta device; `describe` sums one up as a `ModelShape`, and
all arithmetic over a `ModelShape` (inference, training, sharding, fit, roofline) works without torch, which importing
this package does not bring. Everything is in bytes; who shows it says whether GB (10⁹) or GiB (2³⁰) is meant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from llmlab.engine.memory.formats import BITS, QUANTIZATIONS, matrix_bytes
from llmlab.engine.memory.weights import WeightLayout, weight_bytes
from llmlab.engine.memory.zero import zero_bytes_per_gpu

if TYPE_CHECKING:
    from llmlab.engine.memory.cache import cache_windows, kv_cache_bytes
    from llmlab.engine.memory.layout import ConfigLike, meta_model, parameter_count, weight_layout

__all__ = [
    "BITS",
    "QUANTIZATIONS",
    "ConfigLike",
    "WeightLayout",
    "cache_windows",
    "kv_cache_bytes",
    "matrix_bytes",
    "meta_model",
    "parameter_count",
    "weight_bytes",
    "weight_layout",
    "zero_bytes_per_gpu",
]

_WITH_TORCH = {
    "cache": ("cache_windows", "kv_cache_bytes"),
    "layout": ("ConfigLike", "meta_model", "parameter_count", "weight_layout"),
}


def __getattr__(name: str) -> object:
    """What needs torch is imported on first use."""
    for module, names in _WITH_TORCH.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
