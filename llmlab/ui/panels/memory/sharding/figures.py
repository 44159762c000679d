"""A sharded run in words: rows, files, and Python that does the same. No Qt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from llmlab.engine.sharding.types import Compared, MethodResult, ShardingRequest, ShardingRun
from llmlab.ui.panels.memory.sizes import exact

NONE = "–"
NOTICED = 0.1  # an error that is explained under the table
COLUMNS = ("method", "quantity", "predicted_bytes", "rank", "measured_bytes", "formula", "note")


def percent(error: float | None) -> str:
    """+2.70 %, or 0 where both are the same to the byte."""
    if error is None:
        return NONE
    if error == 0:
        return "0"
    return f"{100 * error:+.2f} %".replace("-", "−") if abs(error) >= 5e-5 else "≈ 0"


def cells(method: str, row: Compared, ranks: int) -> tuple[str, ...]:
    """Method, quantity, predicted, each rank's, error."""
    measured = [f"{value:,.0f}" for value in row.measured]
    measured += [""] * (ranks - len(measured))
    return method, row.name, f"{row.predicted:,.0f}", *measured, percent(row.error)


def tip(row: Compared) -> str:
    """The formula with the values put in, exact sizes, and what the framework does otherwise."""
    lines = [
        f"{row.name} = {row.formula}",
        f"predicted: {exact(row.predicted)}",
        *(f"rank {rank}: {exact(value)}" for rank, value in enumerate(row.measured)),
    ]
    return "\n".join([*lines, row.note] if row.note else lines)


def headline(results: Sequence[MethodResult], run: ShardingRun | None) -> str:
    """What stands above the pictures."""
    if run is None:
        return f"{len(results)} done"
    where = f"{run.request.ranks} processes on the {'GPUs' if run.device == 'cuda' else 'CPU'}"
    return f"{where} · losses agree with one process within {run.largest_difference:.1e} nats"


def notes(results: Sequence[MethodResult]) -> str:
    """What each method sends against DDP, and what the framework does otherwise than the formula."""
    sent = " · ".join(
        f"{result.method} {result.relative_measured:.3g}× ({result.relative_predicted:.3g}×)" for result in results
    )
    odd = [f"{result.method}: {row.note}" for result in results for row in result.compared if _is_odd(row)]
    return "\n".join([f"Sent in a step against DDP, measured (by the formula): {sent}", *odd])


def _is_odd(row: Compared) -> bool:
    """Whether the framework does otherwise than the formula has it."""
    return bool(row.note) and row.error is not None and abs(row.error) > NOTICED


def table_text(results: Sequence[MethodResult], separator: str = ",") -> str:
    """Every quantity of every method and rank."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(results))
    return buffer.getvalue()


def _rows(results: Sequence[MethodResult]) -> Iterator[tuple[Any, ...]]:
    for result in results:
        for row in result.compared:
            for rank, value in enumerate(row.measured):
                yield result.method, row.name, row.predicted, rank, value, row.formula, row.note


def json_text(run: ShardingRun) -> str:
    """Everything, for other programs."""
    return json.dumps(asdict(run), ensure_ascii=False, indent=1) + "\n"


def snippet(request: ShardingRequest) -> str:
    """A script that runs the same."""
    methods = ", ".join(f"Strategy.{method.name}" for method in request.methods)
    return f"""from llmlab.engine.memory.sharding import Strategy
from llmlab.engine.sharding import ShardingRequest, run

request = ShardingRequest(
    methods=({methods},),
    ranks={request.ranks},
    steps={request.steps},
    batch={request.batch},
    tokens={request.tokens},
    device={request.device!r},
)
if __name__ == "__main__":
    for result in run(request).results:
        print(result.method, [round(loss, 4) for loss in result.losses])
        for row in result.compared:
            print(f"  {{row.name}}: predicted {{row.predicted:,.0f}} bytes, ranks hold {{row.measured}}")
"""
