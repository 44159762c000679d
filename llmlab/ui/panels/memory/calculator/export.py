"""What can be taken along of the calculator: CSV and JSON. No Qt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from llmlab.engine.memory.overview import GpuFit
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.terms import GB, GIB, Estimate
from llmlab.ui.panels.memory.calculator.gpurows import precision_name

TERM_HEAD = ("part", "bytes", "GB", "GiB", "where", "formula", "values", "note")
GPU_HEAD = ("name", "memory", "bandwidth", "needs", "fits", "headroom", "context", "batch", "precision", "tokens/s")


def terms_csv(estimate: Estimate, separator: str = ",") -> str:
    """A row for each component."""
    rows = (
        (t.name, t.bytes, t.bytes / GB, t.bytes / GIB, "main memory" if t.host else "GPU", t.formula, t.values, t.note)
        for t in estimate.terms
    )
    return _csv(TERM_HEAD, rows, separator)


def terms_json(shape: ModelShape, settings: dict[str, Any], estimate: Estimate) -> str:
    """The model, the settings, every component, the total."""
    groups = {group.value: size for group, size in shape.groups.items()}
    terms = [
        {"name": t.name, "bytes": t.bytes, "host": t.host, "formula": t.formula, "values": t.values, "note": t.note}
        for t in estimate.terms
    ]
    whole = {
        "model": shape.name,
        "parameters": shape.parameters,
        "parameters_by_group": groups,
        "settings": settings,
        "terms": terms,
        "total": estimate.total,
        "host": estimate.host,
        "warnings": list(estimate.warnings),
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def gpus_csv(rows: Sequence[GpuFit], separator: str = ",") -> str:
    """A row for each GPU, in the order shown."""
    return _csv(GPU_HEAD, (tuple(values.values()) for values in map(_gpu, rows)), separator)


def gpus_json(rows: Sequence[GpuFit]) -> str:
    """An object for each GPU, in the order shown, with the source of its figures."""
    values = [_gpu(row) | {"source": row.gpu.source} for row in rows]
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _gpu(row: GpuFit) -> dict[str, Any]:
    values = (
        row.gpu.name, row.gpu.memory, row.gpu.bandwidth, row.needs, row.fits, row.headroom, row.context, row.batch,
        precision_name(row) if row.precision else None, row.tokens_per_second,
    )  # fmt: skip
    return dict(zip(GPU_HEAD, values, strict=True))


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]], separator: str) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return buffer.getvalue()
