"""What can be taken along: a table of the formats, a script. No Qt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from llmlab.engine.numberformats import Exact, Reading, class_of, decimal, spelled

HEAD = ("format", "bits", "code", "value", "formula", "kind", "error", "relative", "ulps", "below", "above")
TORCH = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def table(readings: Sequence[Reading], separator: str = ",") -> str:
    """A row for each format."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(_values(reading).values() for reading in readings)
    return buffer.getvalue()


def as_json(number: str, absmax: str, readings: Sequence[Reading]) -> str:
    """The number, the block's largest magnitude, an object for each format."""
    values = {"number": number, "absmax": absmax, "formats": [_values(reading) for reading in readings]}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def script(number: str, absmax: str, saturate: bool | None) -> str:
    """A script that prints the same values; torch's casts beside ours."""
    how = "" if saturate is None else f", saturate={saturate}"
    return f"""import torch

from llmlab.engine.numberformats import decimal, formats, parse, read

number = parse({number!r})
for kind in formats(parse({absmax!r})):
    found = read(number, kind{how})
    print(f"{{kind.name:10}} {{found.bits:32}} {{decimal(found.value)}}")
for name in {TORCH!r}:
    cast = torch.tensor(float(number), dtype=torch.float64).float().to(getattr(torch, name))
    print(f"{{name:14}} {{cast.double().item()!r}}")
"""


def _values(reading: Reading) -> dict[str, Any]:
    neighbours = ["" if value is None else decimal(value) for value in (reading.below, reading.above)]
    error = "" if reading.error is None else decimal(Exact.of(reading.error))
    values = (
        reading.format.name, reading.bits, reading.hexadecimal, decimal(reading.value), spelled(reading),
        class_of(reading), error, reading.relative, reading.ulps, *neighbours,
    )  # fmt: skip
    return dict(zip(HEAD, values, strict=True))
