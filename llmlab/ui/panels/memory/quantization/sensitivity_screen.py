"""What is shown of the parts of a model, and the words on it. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmlab.engine.quantization.mixed import Mixed, Ranked, rank_correlation, ranked
from llmlab.engine.quantization.parts import Grain, Part, PartDamage, Parts
from llmlab.engine.quantization.schemes import Scheme
from llmlab.ui.panels.memory.quantization.figures import small
from llmlab.ui.panels.memory.quantization.params import Sight
from llmlab.ui.panels.memory.quantization.work import Opened
from llmlab.ui.widgets.chart.plot import Plot


@dataclass(slots=True)
class Found:
    """What is known of one scheme over one text: it grows while the parts are measured."""

    damages: dict[Part, PartDamage] = field(default_factory=dict)
    mixed: dict[int, Mixed] = field(default_factory=dict)  # by the number of matrices that are kept
    opened: Opened | None = None
    _order: tuple[Ranked, ...] = ()

    def order(self, parts: Parts) -> tuple[Ranked, ...]:
        """The matrices by what keeping them is worth, once all are measured. Raises InputError as `ranked`."""
        if not self._order:
            known = [self.damages[part] for part in parts.matrices if part in self.damages]
            self._order = ranked(known) if len(known) == len(parts.matrices) else ()
        return self._order

    def total(self, parts: Parts) -> float | None:
        """The sum of the single damages, once all are measured."""
        known = [self.damages[part].divergence for part in parts.matrices if part in self.damages]
        return sum(known) if len(known) == len(parts.matrices) else None


@dataclass(frozen=True, slots=True)
class Grid:
    """The map of all matrices: of each layer and kind the part, and what is known of it."""

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    cells: Mapping[tuple[int, int], Part]
    damages: Mapping[Part, PartDamage]

    def damage(self, row: int, column: int) -> PartDamage | None:
        """What is known of a cell."""
        part = self.cells.get((row, column))
        return self.damages.get(part) if part is not None else None

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest damage that is more than none; equal ends where there are not two."""
        values = [d.divergence for d in self.damages.values() if d.part.grain is Grain.MATRIX and d.divergence > 0]
        return (min(values), max(values)) if values else (1.0, 1.0)


def grid(parts: Parts, damages: Mapping[Part, PartDamage]) -> Grid:
    """The map of a model."""
    places = {(parts.layers.index(part.layer), parts.kinds.index(part.kind)): part for part in parts.matrices}
    return Grid(parts.layers, parts.kinds, places, dict(damages))


@dataclass(frozen=True, slots=True)
class MixedRow:
    """A row of the list: how many are kept when it is the last one, its cells, and whether it was measured."""

    kept: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SensitivityScreen:
    """All that the page shows. `schemes` can be chosen from; `hint` stands where there is nothing to see yet."""

    schemes: tuple[str, ...]
    selected: int
    sight: Sight
    caption: str
    hint: str
    problem: str
    grid: Grid | None
    layers: Plot
    kinds: Plot
    proxy: Plot
    proxy_words: str
    curve: Plot
    rows: tuple[MixedRow, ...]
    kept: int
    mixed_words: str
    can_mix: bool


def caption(scheme: Scheme, parts: Parts, found: Found) -> str:
    """The whole and the sum of its parts."""
    whole = found.damages.get(parts.whole)
    if whole is None:
        return ""
    before, after = whole.perplexity_before, whole.shift.perplexity
    alone = ", weights alone" if scheme.format == "int8" else ""  # its kernel quantizes activations too
    words = f"All {len(parts.whole.matrices)} matrices as {scheme.name}{alone}: KL {small(whole.divergence)} nats"
    total = found.total(parts)
    if total is not None and whole.divergence > 0:
        words += f", one by one {small(total)} in sum ({total / whole.divergence:.0%})"
    return f"{words} · perplexity {before:.3f} → {after:.3f} · top-1 {whole.shift.agreement:.1%}"


def proxy_words(parts: Parts, found: Found) -> str:
    """Whether the noise in the weights tells which matrices matter."""
    known = [found.damages[part] for part in parts.matrices if part in found.damages]
    known = [each for each in known if each.noise > 0]
    if len(known) < 3:
        return "SQNR against KL"
    rho = rank_correlation([each.sqnr for each in known], [each.divergence for each in known])
    return "SQNR against KL" if rho is None else f"SQNR against KL: Spearman ρ = {rho:+.2f}".replace("-", "−")


def mixed_words(order: tuple[Ranked, ...], found: Found, kept: int) -> str:
    """What keeping so many saves."""
    none, some = found.mixed.get(0), found.mixed.get(kept)
    if not order:
        return "Which matrices to keep in 16 bits is known once all of them have been measured, one by one."
    words = "Every matrix is quantized" if kept == 0 else f"The first {kept} of {len(order)} are kept in 16 bits"
    if some is None:
        return f"{words}: predicted from the single damages; “Measure the curve” tells."
    if none is None or kept == 0 or none.shift.divergence == 0:
        return f"{words}: KL {small(some.shift.divergence)} nats, perplexity {some.shift.perplexity:.3f}."
    more, less = some.bytes / none.bytes - 1, 1 - some.shift.divergence / none.shift.divergence
    change = f"{abs(less):.0%} {'less' if less >= 0 else 'more'} damage"
    return f"{words}: {change} for {more:.1%} more bytes (KL {small(some.shift.divergence)} nats, measured)."
