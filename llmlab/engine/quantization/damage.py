"""What a scheme does to the weights, one matrix at a time: nothing of the model is changed or kept."""

from __future__ import annotations

import numpy as np
import torch

from llmlab.engine.devices import memory_use
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.codec import Restored, restored
from llmlab.engine.quantization.matrices import (
    Matrix,
    as_floats,
    check_unquantized,
    kept,
    matrices,
    matrix,
    model_bytes,
)
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import MatrixDamage, MatrixDetail, WeightDamage
from llmlab.engine.reading import guarded
from llmlab.engine.types import Float64, Int64

BINS = 201  # odd: one bin has 0 in its middle


def weight_damage(loaded: LoadedModel, scheme: Scheme, control: Control = UNCONTROLLED) -> WeightDamage:
    """What `scheme` does to every weight matrix that it quantizes.

    Raises UnsupportedFeatureError for a model that is already quantized or has nothing to quantize, DeviceError
    without bitsandbytes, Cancelled between matrices.
    """
    return guarded(lambda: _weight_damage(loaded, scheme, control))


def _weight_damage(loaded: LoadedModel, scheme: Scheme, control: Control) -> WeightDamage:
    all_of_them = list(matrices(loaded))
    found = []
    for number, each in enumerate(all_of_them):
        control.check()
        control.report(f"{scheme.name}: {number} of {len(all_of_them)} matrices", number / len(all_of_them))
        found.append(matrix_damage(each, scheme))
    return WeightDamage(
        scheme, tuple(found), kept(loaded.model), memory_use(loaded).weights, model_bytes(loaded, scheme)
    )


def matrix_detail(loaded: LoadedModel, scheme: Scheme, name: str, bins: int = BINS) -> MatrixDetail:
    """The histograms of one matrix under `scheme`. Raises InputError for a name that is not there, and as above."""
    check_unquantized(loaded)
    return guarded(lambda: _detail(matrix(loaded, name), scheme, bins))


def matrix_damage(original: Matrix, scheme: Scheme) -> MatrixDamage:
    """What `scheme` does to one matrix. Raises DeviceError without bitsandbytes."""
    return _damage(original, restored(original.weight, scheme), scheme)


@torch.inference_mode()
def _damage(original: Matrix, after: Restored, scheme: Scheme) -> MatrixDamage:
    weight = original.weight.float()
    error = after.weight - weight
    return MatrixDamage(
        name=original.name,
        outputs=original.outputs,
        inputs=original.inputs,
        bytes_before=original.weight.nbytes,
        bytes=scheme.bytes_of(original.outputs, original.inputs),
        signal=_energy(weight),
        noise=_energy(error),
        largest=float(weight.abs().max()),
        max_error=float(error.abs().max()),
    )


def _energy(values: torch.Tensor) -> float:
    """Σ v² in float64, row by row: a copy of a whole matrix in float64 would take twice its size."""
    return float(torch.linalg.vector_norm(values, dim=1, dtype=torch.float64).square().sum())


@torch.inference_mode()
def _detail(original: Matrix, scheme: Scheme, bins: int) -> MatrixDetail:
    after = restored(original.weight, scheme)
    weight = original.weight.float()
    errors = as_floats(after.weight - weight)
    reach = float(np.abs(errors).max()) or 1.0
    error_counts, error_edges = np.histogram(errors, bins, (-reach, reach))
    levels, level_counts = _levels(after)
    if after.scale is not None:
        values, widest = as_floats(torch.where(after.scale > 0, weight / after.scale, 0.0)), 1.0
    else:
        values = as_floats(weight)
        widest = float(np.abs(values).max()) or 1.0
    # what rounding of the scale puts beyond its end belongs to the last bin
    counts, edges = np.histogram(np.clip(values, -widest, widest), bins, (-widest, widest))
    return MatrixDetail(
        damage=_damage(original, after, scheme),
        scheme=scheme,
        edges=edges.astype(np.float64),
        counts=counts.astype(np.int64),
        levels=levels,
        level_counts=level_counts,
        error_edges=error_edges.astype(np.float64),
        error_counts=error_counts.astype(np.int64),
    )


def _levels(after: Restored) -> tuple[Float64, Int64]:
    """The levels, and how many weights each takes: none for a number format, which has too many to draw."""
    if after.levels is None or after.scale is None:
        return np.empty(0), np.empty(0, np.int64)
    levels = after.levels.double().cpu().numpy()
    taken = as_floats(torch.where(after.scale > 0, after.weight / after.scale, 0.0))
    nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, taken)
    return levels, np.bincount(nearest, minlength=len(levels)).astype(np.int64)
