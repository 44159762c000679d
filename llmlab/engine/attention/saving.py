"""Every weight in one file that opens with numpy alone: `numpy.load(path)["self/layer_00"][head, query, key]`."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.lib import format as npy

from llmlab.engine.attention.layers import ALL, Layer, blocks
from llmlab.engine.errors import EngineError
from llmlab.engine.progress import Control

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture


def save(captured: AttentionCapture, path: Path, control: Control) -> None:
    """Write all of `captured` to `path`, which is replaced once all is written. Raises EngineError, Cancelled."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            _write(captured, file, control)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()


def _unwritable(path: Path, error: OSError) -> EngineError:
    return EngineError(
        f"“{path.name}” cannot be written: {error.strerror or error}.",
        "Choose another folder, or make room in this one.",
    )


def _write(captured: AttentionCapture, file: IO[bytes], control: Control) -> None:
    layers = [(kind, index) for kind in captured.kinds for index in captured.shape(kind).captured]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, (kind, index) in enumerate(layers):
            control.report("Saving all weights", number / len(layers))
            with archive.open(f"{kind}/layer_{index:02}.npy", "w", force_zip64=True) as member:
                _write_layer(captured.layer(kind, index), member, control)
        for name, values in _words(captured).items():
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, values, allow_pickle=False)


def _write_layer(layer: Layer, member: IO[bytes], control: Control) -> None:
    """float16 (heads, queries, keys) in the npy format, all at once or head by head in blocks of rows."""
    shape = (layer.heads, *layer.size)
    npy.write_array_header_1_0(member, {"descr": "<f2", "fortran_order": False, "shape": shape})
    queries, keys = layer.size
    if len(blocks(queries, layer.heads * keys)) == 1:
        control.check()
        member.write(_halves(layer, ALL, 0, queries))
        return
    for head in range(layer.heads):
        for start, stop in blocks(queries, keys):
            control.check()
            member.write(_halves(layer, slice(head, head + 1), start, stop))


@torch.inference_mode()
def _halves(layer: Layer, heads: slice, start: int, stop: int) -> bytes:
    return layer.rows(heads, start, stop).half().cpu().numpy().astype("<f2", copy=False).tobytes()


def _words(captured: AttentionCapture) -> dict[str, np.ndarray[Any, Any]]:
    """What stands on the axes, and what all of it is."""
    shapes = {kind: captured.shape(kind) for kind in captured.kinds}
    about = {
        "what": "attention weights, softmax of the scaled products of query and key",
        "axes": ["heads", "queries", "keys"],
        "type": "float16",
        "masked": "0 where the model may not look",
        "kinds": {
            kind: {
                "layers": shape.layers,
                "saved": list(shape.captured),
                "heads": shape.heads,
                "key_value_heads": shape.key_value_heads,
                "causal": shape.causal,
                "sliding_windows": list(shape.windows),
                "first_generated_query": shape.generated,
            }
            for kind, shape in shapes.items()
        },
    }
    arrays: dict[str, np.ndarray[Any, Any]] = {"about": np.array(json.dumps(about, ensure_ascii=False))}
    for kind, shape in shapes.items():
        arrays[f"{kind}/query_tokens"] = np.array(shape.query_tokens)
        arrays[f"{kind}/key_tokens"] = np.array(shape.key_tokens)
    return arrays
