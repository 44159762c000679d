"""Run in a process of its own: the peak of resident memory while attention is captured, for each number of tokens."""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path

import torch

from llmlab.engine.devices import release_memory
from tests.benchmarks import bench_attention as bench


def main(lengths: list[int]) -> None:
    """Print two lines: bytes at the peak, bytes of tensors held afterwards; one number for each length."""
    engine = bench._engine(bench._llama())
    bench._fresh(engine, 64)
    peaks, held = [], []
    for tokens in lengths:
        engine._captures.clear()
        gc.collect()
        release_memory()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        before = _status("VmRSS")
        captured = bench._fresh(engine, tokens)
        peaks.append(_status("VmHWM") - before)
        held.append(_held(captured))
    print(*peaks)
    print(*held)


def _status(field: str) -> int:
    """Bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _held(captured: object) -> int:
    tensors = [
        tensor
        for kind in captured.kinds
        for layer in captured.of(kind).kept.values()
        for tensor in (layer.query, layer.key, layer.value)
        if isinstance(tensor, torch.Tensor)
    ]
    return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]])
