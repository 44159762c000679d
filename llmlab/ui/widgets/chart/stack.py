"""What a picture of stacked bars shows. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmlab.ui.widgets.chart.plot import short


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar. `facts` are what hovering tells of it; `faint` pieces have a paler shade of their colour."""

    name: str
    value: float
    color: int  # in the theme's series
    facts: tuple[tuple[str, str], ...] = ()
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """Pieces beside each other. `note` stands behind them; `key` is what picking the bar carries."""

    label: str
    parts: tuple[Part, ...]
    note: str = ""
    key: str = ""
    chosen: bool = False

    @property
    def total(self) -> float:
        """All pieces together."""
        return sum(part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across all bars."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """Bars below each other, over one axis that begins at 0."""

    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    axis: str = ""  # its title
    label: Callable[[float], str] = short
    title: str = ""  # for assistive technology
    empty: str = ""

    @property
    def largest(self) -> float:
        """The longest bar."""
        return max((bar.total for bar in self.bars), default=0.0)

    @property
    def names(self) -> dict[str, Part]:
        """The pieces that occur, each name once, as the legend shows them."""
        found: dict[str, Part] = {}
        for bar in self.bars:
            for part in bar.parts:
                if part.value:
                    found.setdefault(part.name, part)
        return found


def rows(stacks: Stacks) -> Iterator[tuple[str, ...]]:
    """All numbers as a table, the names of its columns first."""
    yield "bar", "part", stacks.axis or "value"
    for bar in stacks.bars:
        for part in bar.parts:
            yield bar.label, part.name, repr(part.value)
