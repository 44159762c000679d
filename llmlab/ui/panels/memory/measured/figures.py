"""A measurement in words: rows, sentences, files, and Python that does the same. No Qt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from llmlab.engine.memory_measure.types import BEFORE, Alive, Component, Measurement, Phase
from llmlab.engine.types import ModelInfo
from llmlab.ui.panels.memory.measured.params import Params
from llmlab.ui.panels.memory.sizes import exact
from llmlab.ui.words import size

NONE = "–"
COLUMNS = ("phase", "component", "predicted_bytes", "measured_bytes", "error", "formula", "values", "note")


def percent(error: float | None) -> str:
    """+2.70 %, or 0 where both are the same to the byte."""
    if error is None:
        return NONE
    if error == 0:
        return "0"
    return f"{100 * error:+.2f} %".replace("-", "−") if abs(error) >= 5e-5 else "≈ 0"


def cells(component: Component) -> tuple[str, ...]:
    """Name, predicted, measured, error."""
    return component.name, f"{component.predicted:,}", f"{component.measured:,}", percent(component.error)


def tip(component: Component) -> str:
    """The formula with the values put in, and exact sizes."""
    lines = [
        f"{component.name} = {component.formula}",
        f"= {component.values}",
        f"predicted: {exact(component.predicted)}",
        f"measured: {exact(component.measured)}",
    ]
    return "\n".join([*lines, component.note] if component.note else lines)


def peak_cells(phase: Phase) -> tuple[str, ...]:
    """The last row: the worst moment of all together."""
    return "Peak", f"{phase.predicted:,}", f"{phase.measured:,}", percent(phase.error)


def peak_tip(phase: Phase) -> str:
    """How the peak was predicted, and when it was."""
    lines = [
        phase.moment,
        f"predicted: {exact(phase.predicted)}",
        f"all tensors: {exact(phase.peak)}, after operation {phase.at + 1:,} ({phase.operation})",
    ]
    if phase.allocator is not None:
        lines.append(f"torch's allocator: {exact(phase.allocator)}, kernels' own memory included")
    return "\n".join(lines)


def alive_cells(tensor: Alive) -> tuple[str, ...]:
    """Its bytes, its shape, what made it."""
    return f"{tensor.bytes:,}", "×".join(map(str, tensor.shape)) or "a number", tensor.operation


def alive_tip(tensor: Alive) -> str:
    """What it is counted as, and all of it in full."""
    shape = " × ".join(map(str, tensor.shape)) or "a number"
    made = tensor.operation if tensor.operation == BEFORE else f"made by {tensor.operation}"
    return f"{tensor.kind}: {shape} of {tensor.dtype}, {made}\n{exact(tensor.bytes)}"


def headline(phase: Phase) -> str:
    """What stands above the table."""
    return (
        f"Peak: predicted {size(phase.predicted)}, measured {size(phase.measured)} ({percent(phase.error)}), "
        f"at operation {phase.at + 1:,} of {len(phase.operations):,}"
    )


def notes(found: Measurement) -> str:
    """What the framework hides, a line each."""
    return "\n".join(found.warnings)


def table_text(found: Measurement, separator: str = ",") -> str:
    """Every component of every phase."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(found))
    return buffer.getvalue()


def json_text(found: Measurement, model: ModelInfo) -> str:
    """Everything but the curves, for other programs."""
    whole: dict[str, Any] = {
        "model": model.request.spec,
        "device": found.device,
        "dtype": found.dtype,
        "quantization": found.quantization,
        "tokens": found.settings.tokens,
        "steps": found.settings.steps,
        "batch": found.settings.batch,
        "process_bytes_before": found.process_before,
        "allocator_unused_bytes": found.unused,
        "outside_allocator_bytes": found.outside,
        "warnings": list(found.warnings),
        "phases": [
            {
                "name": phase.name,
                "predicted_peak_bytes": phase.predicted,
                "tensor_peak_bytes": phase.peak,
                "allocator_peak_bytes": phase.allocator,
                "process_peak_bytes": phase.process,
                "peak_operation": phase.operation,
                "components": [dict(zip(COLUMNS[1:], row[1:], strict=True)) for row in _of_phase(phase)],
            }
            for phase in found.phases
        ],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _rows(found: Measurement) -> Iterator[tuple[Any, ...]]:
    for phase in found.phases:
        yield from _of_phase(phase)
        yield phase.name, "Peak", phase.predicted, phase.measured, phase.error, phase.moment, "", ""


def _of_phase(phase: Phase) -> Iterator[tuple[Any, ...]]:
    for each in phase.components:
        yield (
            phase.name, each.name, each.predicted, each.measured, each.error, each.formula, each.values, each.note,
        )  # fmt: skip


def snippet(params: Params, info: ModelInfo) -> str:
    """A script that measures the same."""
    opened = [repr(info.request.spec), f"device={info.device!r}", f"dtype={info.dtype!r}"]
    if info.quantization:
        opened.append(f"quantization={info.quantization!r}")
    if info.request.double_quantization:
        opened.append("double_quantization=True")
    settings = f"tokens={params.tokens}, steps={params.steps}, batch={params.batch}, train={params.train}"
    return f"""from llmlab.engine import Engine
from llmlab.engine.memory_measure import MeasureSettings, measure

engine = Engine.open({", ".join(opened)})
for phase in measure(engine.loaded, MeasureSettings({settings})).phases:
    print(f"{{phase.name}}: peak {{phase.measured:,}} bytes, predicted {{phase.predicted:,}}")
    for part in phase.components:
        print(f"  {{part.name}}: {{part.measured:,}} bytes, predicted {{part.predicted:,}} = {{part.values}}")
"""
