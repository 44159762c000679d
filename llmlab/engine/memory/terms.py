"""A figure together with how it came about: every number of the calculator can show its formula. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

GIB = 2**30
GB = 10**9


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a sum. `formula` names the quantities; `values` is the same formula with the numbers put in.

    `bytes` may lie in `host` memory (offloaded) instead of the GPU's. `note` says what an estimate leaves out, or what
    the framework hides; empty where there is nothing to say.
    """

    name: str
    bytes: int
    formula: str
    values: str
    note: str = ""
    host: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """Terms that add up. `warnings` are sentences about the whole: what a framework silently does otherwise."""

    terms: tuple[Term, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        """Bytes on the GPU."""
        return sum(term.bytes for term in self.terms if not term.host)

    @property
    def host(self) -> int:
        """Bytes in the computer's main memory."""
        return sum(term.bytes for term in self.terms if term.host)

    def bytes_of(self, name: str) -> int:
        """Bytes of the terms called `name`; 0 where there is none."""
        return sum(term.bytes for term in self.terms if term.name == name)


def with_margin(terms: Iterable[Term], context: int, margin: float) -> tuple[Term, ...]:
    """`terms`, what the CUDA context takes, and a margin for fragmentation: a share of what is on the GPU so far."""
    found = tuple(terms)
    held = sum(term.bytes for term in found if not term.host)
    return (
        *found,
        Term(
            "CUDA context",
            context,
            "what the driver and its kernels take before the first tensor",
            f"{context:,}",
            "Public logs show 140 MiB (T4) to 1.3 GiB (V100 with older libraries); measure it on your own GPU.",
        ),
        Term(
            "Fragmentation",
            round(held * margin),
            "margin · (all above but the context)",
            f"{margin:g} · {held:,}",
            "The caching allocator rounds blocks up and keeps freed ones, and cuBLAS takes its workspace there (8 MiB, "
            "32 on Hopper); an estimate.",
        ),
    )


def plain(value: float) -> str:
    """A factor as a formula shows it: 2, 0.5, 8.5008."""
    return f"{value:,.10g}"
