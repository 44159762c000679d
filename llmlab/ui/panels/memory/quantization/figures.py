"""The numbers of the laboratory as a table, and what is written to files. No Qt."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import Measured, TextDamage, WeightDamage
from llmlab.engine.types import ModelInfo
from llmlab.ui.panels.memory.quantization.work import Asked, Weighed
from llmlab.ui.words import size

NONE = "–"
COLUMNS = (
    "scheme", "bits_per_weight", "model_bytes", "bytes_in_use", "sqnr_db", "max_error", "mean_kl_nats", "max_kl_nats",
    "top1_agreement", "perplexity", "decode_tokens_per_second", "decode_tokens_per_second_in_use",
    "read_tokens_per_second", "read_tokens_per_second_in_use",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SchemeRow:
    """A row of the table: its texts, and why numbers are missing, if an error is the reason."""

    scheme: Scheme | None  # None: the model in use
    cells: tuple[str, ...]
    problem: str = ""


def reference_row(info: ModelInfo, damage: WeightDamage | None, measured: Measured | None) -> SchemeRow:
    """The model as it is open, which everything else is compared with."""
    bits, bytes_ = NONE, NONE
    if damage is not None:
        bits = f"{_bits_before(damage):.2f}"
        bytes_ = size(damage.bytes_before)
    text = measured.text if measured else None
    speed = None
    if measured is not None:
        sides = measured.side_by_side
        speed = sides.per_second if sides else measured.text.read_per_second
    cells = (
        f"in use: {info.dtype}",
        bits,
        bytes_,
        NONE,
        NONE,
        NONE,
        NONE,
        f"{text.perplexity:.3f}" if text else NONE,
        f"{speed:.0f}" if speed else NONE,
    )
    return SchemeRow(None, cells)


def _bits_before(damage: WeightDamage) -> float:
    elements = sum(matrix.elements for matrix in damage.matrices)
    return 8 * sum(matrix.bytes_before for matrix in damage.matrices) / elements


def scheme_row(scheme: Scheme, weighed: Weighed | None, asked: Asked | None) -> SchemeRow:
    """What is known of a scheme so far."""
    damage = weighed.damage if weighed else None
    measured = asked.measured if asked else None
    error = (asked.error if asked else None) or (weighed.error if weighed else None)
    known = (NONE,) * 4 if damage is None else _weights(damage)
    found = (NONE,) * 4 if measured is None else _model(measured)
    return SchemeRow(scheme, (scheme.name, *known, *found), f"{error.message} {error.hint}" if error else "")


def _weights(damage: WeightDamage) -> tuple[str, ...]:
    return f"{damage.bits_per_weight:.2f}", size(damage.bytes), decibels(damage.sqnr), small(damage.max_error)


def _model(measured: Measured) -> tuple[str, ...]:
    text = measured.text
    return (
        small(text.mean_divergence),
        f"{text.agreement:.1%}",
        f"{text.perplexity_after:.3f}",
        _speed(measured),
    )


def _speed(measured: Measured) -> str:
    """47 · 0.33×: tokens per second, and as a share of those of the model in use in the same turns."""
    text, sides = measured.text, measured.side_by_side
    before, after = (sides.per_second, sides.per_second_after) if sides else (
        text.read_per_second, text.read_per_second_after
    )  # fmt: skip
    if measured.scheme.is_simulated or before is None or after is None:
        return NONE
    return f"{after:.0f} · {after / before:.2f}×"


def decibels(value: float) -> str:
    """42.8, or ∞ where nothing is lost."""
    return "∞" if math.isinf(value) and value > 0 else f"{value:.1f}"


def small(value: float) -> str:
    """0, 0.0285 or 3.1e-06."""
    if value == 0:
        return "0"
    return f"{value:.4f}" if value >= 0.001 else f"{value:.1e}"


def scheme_values(weighed: Mapping[Scheme, Weighed], asked: Mapping[Scheme, Asked], schemes: Sequence[Scheme]) -> Any:
    """Exact numbers of all schemes, in the order of `COLUMNS`; None where something is not known."""
    for scheme in schemes:
        damage = weighed[scheme].damage if scheme in weighed else None
        measured = asked[scheme].measured if scheme in asked else None
        text = measured.text if measured else None
        sides = measured.side_by_side if measured else None
        yield (
            scheme.name,
            damage.bits_per_weight if damage else None,
            damage.bytes if damage else None,
            damage.bytes_before if damage else None,
            finite(damage.sqnr) if damage else None,
            damage.max_error if damage else None,
            text.mean_divergence if text else None,
            float(text.divergence.max()) if text else None,
            text.agreement if text else None,
            text.perplexity_after if text else None,
            sides.per_second_after if sides else None,
            sides.per_second if sides else None,
            text.read_per_second_after if text else None,
            text.read_per_second if text else None,
        )


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


MATRIX_COLUMNS = (
    "scheme", "matrix", "outputs", "inputs", "bytes_in_use", "bytes", "bits_per_weight", "sqnr_db", "max_weight",
    "max_error",
)  # fmt: skip


def matrix_values(damages: Iterable[WeightDamage]) -> Any:
    """Exact numbers of all matrices of all schemes, in the order of `MATRIX_COLUMNS`."""
    for damage in damages:
        for each in damage.matrices:
            yield (
                damage.scheme.name, each.name, each.outputs, each.inputs, each.bytes_before, each.bytes,
                each.bits_per_weight, finite(each.sqnr), each.largest, each.max_error,
            )  # fmt: skip


TOKEN_COLUMNS = (
    "scheme", "token_id", "token", "kl_nats", "log_probability", "log_probability_after", "best", "best_after",
)  # fmt: skip


def token_values(scheme: Scheme, text: TextDamage) -> Any:
    """Every predicted token, in the order of `TOKEN_COLUMNS`."""
    columns = (
        text.ids.tolist(), text.tokens, text.divergence.tolist(), text.log_probabilities.tolist(),
        text.log_probabilities_after.tolist(), text.best, text.best_after,
    )  # fmt: skip
    return ((scheme.name, *row) for row in zip(*columns, strict=True))


def values(
    what: str, weighed: Mapping[Scheme, Weighed], asked: Mapping[Scheme, Asked], schemes: Sequence[Scheme]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows of the "schemes", of the "matrices" or of the "tokens" of all schemes."""
    if what == "matrices":
        known = (weighed[scheme].damage for scheme in schemes if scheme in weighed)
        return MATRIX_COLUMNS, list(matrix_values(damage for damage in known if damage is not None))
    if what == "tokens":
        found = [(scheme, each.measured.text) for scheme, each in asked.items() if each.measured]
        return TOKEN_COLUMNS, [row for scheme, text in found for row in token_values(scheme, text)]
    return COLUMNS, list(scheme_values(weighed, asked, schemes))


def table_text(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], kind: str) -> str:
    """Rows as "csv", as a list of objects in "json", or tab-separated as "copy"."""
    if kind == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False, indent=1)
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t" if kind == "copy" else ",", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return buffer.getvalue()
