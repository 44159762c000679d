"""Numbers and names as the calculator shows them. No Qt."""

from __future__ import annotations

from llmlab.engine.memory.terms import Term
from llmlab.ui.panels.memory import sizes


def count(value: float) -> str:
    """8.03 B parameters and the like: 8.03 B, 124 M, 12,345."""
    for unit, scale in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:,.0f}"


def speed(tokens_per_second: float) -> str:
    """A number of tokens a second."""
    return f"{tokens_per_second:,.0f}" if tokens_per_second >= 100 else f"{tokens_per_second:#.3g}"


def facts(term: Term) -> tuple[tuple[str, str], ...]:
    """What hovering over a component tells."""
    found = [*sizes.facts(term.bytes), ("", term.formula), ("", f"= {term.values}")]
    return tuple([*found, ("", term.note)] if term.note else found)
