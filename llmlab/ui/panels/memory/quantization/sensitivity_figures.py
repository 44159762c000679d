"""The numbers of the parts of a model as tables. No Qt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmlab.engine.quantization.mixed import Ranked, bytes_kept, predicted
from llmlab.engine.quantization.parts import Parts
from llmlab.engine.quantization.schemes import Scheme
from llmlab.ui.panels.memory.quantization.figures import NONE, finite, small
from llmlab.ui.panels.memory.quantization.sensitivity_screen import Found, MixedRow
from llmlab.ui.words import size

PART_COLUMNS = (
    "scheme", "grain", "layer", "kind", "matrices", "weights", "bytes_in_use", "bytes", "sqnr_db", "kl_nats",
    "top1_agreement", "perplexity", "perplexity_in_use",
)  # fmt: skip
MIXED_COLUMNS = (
    "scheme", "kept", "matrix", "kl_nats_alone", "extra_bytes", "kl_nats_per_mb", "model_bytes", "kl_nats_predicted",
    "kl_nats_measured", "top1_agreement", "perplexity",
)  # fmt: skip


def part_values(parts: Parts, found: Found) -> Iterator[tuple[Any, ...]]:
    """Exact numbers of all parts that have been measured, in the order of `PART_COLUMNS`."""
    for part in parts.all:
        each = found.damages.get(part)
        if each is not None:
            yield (
                each.scheme.name, part.grain.value, part.layer, part.kind, " ".join(part.matrices), each.elements,
                each.bytes_before, each.bytes, finite(each.sqnr), each.divergence, each.shift.agreement,
                each.shift.perplexity, each.perplexity_before,
            )  # fmt: skip


def mixed_values(scheme: Scheme, order: Sequence[Ranked], found: Found) -> Iterator[tuple[Any, ...]]:
    """Exact numbers of 0, 1, 2 … matrices kept, in the order of `MIXED_COLUMNS`."""
    expected, bytes_ = predicted(order), bytes_kept(order, found.opened.bytes if found.opened else 0)
    for kept in range(len(order) + 1):
        last = order[kept - 1] if kept else None
        shift = found.mixed[kept].shift if kept in found.mixed else None
        yield (
            scheme.name, kept, " ".join(last.part.matrices) if last else None, last.divergence if last else None,
            last.extra_bytes if last else None, last.gain if last else None, int(bytes_[kept]), float(expected[kept]),
            shift.divergence if shift else None, shift.agreement if shift else None,
            shift.perplexity if shift else None,
        )  # fmt: skip


def mixed_rows(scheme: Scheme, order: Sequence[Ranked], found: Found) -> tuple[MixedRow, ...]:
    """The list: which matrix comes next, what it costs, and what remains."""
    rows = []
    for values in mixed_values(scheme, order, found) if order else ():
        _, kept, _, alone, extra, gain, bytes_, expected, measured, *_ = values
        cells = (
            str(kept),
            order[kept - 1].part.name if kept else "none is kept",
            NONE if alone is None else small(alone),
            NONE if extra is None else f"+{size(extra)}",
            NONE if gain is None else f"{gain:.3g}",
            size(bytes_),
            small(expected),
            NONE if measured is None else small(measured),
        )
        rows.append(MixedRow(kept, cells))
    return tuple(rows)


def halving(order: Sequence[Ranked]) -> int:
    """How many to keep until half of the damage is gone, by prediction."""
    expected = predicted(order)
    return next((kept for kept, rest in enumerate(expected.tolist()) if rest <= expected[0] / 2), 0)
