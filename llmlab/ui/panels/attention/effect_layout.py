"""Where each head lies on the map of effects: in rows of layers, or the largest effect first. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmlab.ui.panels.attention.effect_values import KINDS, Effects, Measure, Order, Place

Box = tuple[int, int, int, int]  # left, top, width, height in pixels

GAP = 2
SMALLEST, WIDEST = 9, 64  # of a cell, in pixels
LOWEST, HIGHEST = 14, 26
LAYER_GAP = 10  # before the column of whole layers
CHIP = (64, 34)  # a head in the order of effects: its name above its effect


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside the cells: a layer, a head, or the kind of attention."""

    text: str
    box: Box
    side: str = "left"  # or "center", "right"


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Cells with their heads, in the order in which the arrow keys walk; labels; and the height of all."""

    cells: tuple[tuple[Place, Box], ...]
    labels: tuple[Label, ...]
    columns: int  # cells in a row
    height: int
    named: bool  # whether the cells carry the heads' names
    index: Mapping[Place, int]  # where each head is among the cells

    @classmethod
    def of(
        cls, cells: list[tuple[Place, Box]], labels: list[Label], columns: int, height: int, *, named: bool
    ) -> Layout:
        """With its index."""
        index = {place: n for n, (place, _) in enumerate(cells)}
        return cls(tuple(cells), tuple(labels), columns, height, named, index)

    def at(self, x: int, y: int) -> Place | None:
        """The head under a point."""
        found = (
            place
            for place, (left, top, width, height) in self.cells
            if left <= x < left + width + GAP and top <= y < top + height + GAP
        )
        return next(found, None)

    def box(self, place: Place) -> Box | None:
        """Where a head is."""
        return self.cells[self.index[place]][1] if place in self.index else None

    def neighbour(self, place: Place, across: int, down: int) -> Place:
        """The head that an arrow key leads to."""
        if place not in self.index:
            return self.cells[0][0]
        row, column = divmod(self.index[place], self.columns)
        column = min(max(column + across, 0), self.columns - 1)
        wanted = (row + down) * self.columns + column
        return self.cells[wanted][0] if 0 <= wanted < len(self.cells) else place


def lay_out(
    effects: Effects, order: Order, measure: Measure, width: int, height: int, line: int, advance: Callable[[str], int]
) -> Layout:
    """Fit the cells into `width` and, where possible, `height`; `line` and `advance` are the font's."""
    if order is Order.EFFECT:
        return _ranked(effects, measure, width)
    return _by_layer(effects, width, height, line, advance)


def _ranked(effects: Effects, measure: Measure, width: int) -> Layout:
    places = effects.ranked(measure)
    columns = max(1, width // (CHIP[0] + GAP))
    cells = [
        (place, ((n % columns) * (CHIP[0] + GAP), (n // columns) * (CHIP[1] + GAP), *CHIP))
        for n, place in enumerate(places)
    ]
    return Layout.of(cells, [], columns, -(-len(places) // columns) * (CHIP[1] + GAP), named=True)


def _by_layer(effects: Effects, width: int, height: int, line: int, advance: Callable[[str], int]) -> Layout:
    layers = sum(count for count, _ in effects.sizes.values())
    heads = max((count for _, count in effects.sizes.values()), default=1)
    several = len(effects.sizes) > 1
    left = max(advance("head"), advance(f"{max(layers, 1)}")) + 2 * GAP
    cell = min(max((width - left - LAYER_GAP) // (heads + 1) - GAP, SMALLEST), WIDEST)
    spoken = len(effects.sizes) * line * (2 if several else 1)
    tall = min(max((height - spoken) // max(layers, 1) - GAP, LOWEST), HIGHEST)
    cells: list[tuple[Place, Box]] = []
    labels: list[Label] = []
    top = 0
    for kind, (count, size) in effects.sizes.items():
        if several:
            title = KINDS[kind].strip().capitalize() + " attention"
            labels.append(Label(title, (0, top, max(advance(title), left) + GAP, line)))
            top += line
        labels += _head_labels(size, left, top, cell, line, advance)
        top += line
        for layer in range(count):
            labels.append(Label(str(layer), (0, top, left - 2 * GAP, tall), side="right"))
            for column, head in enumerate((*range(size), None)):
                x = left + column * (cell + GAP) + (LAYER_GAP if head is None else 0)
                cells.append((Place(kind, layer, head), (x, top, cell, tall)))
            top += tall + GAP
        top += 2 * GAP
    return Layout.of(cells, labels, heads + 1, top, named=False)


def _head_labels(heads: int, left: int, top: int, cell: int, line: int, advance: Callable[[str], int]) -> list[Label]:
    """The heads' numbers, thinned so that they never touch, and the name of the last column."""
    step = 1
    while (cell + GAP) * step < advance(str(heads)) + 2 * GAP:
        step *= 2
    x = left + heads * (cell + GAP) + LAYER_GAP
    whole = "layer" if cell >= advance("layer") else "all"
    return [
        Label("head", (0, top, left - 2 * GAP, line), side="right"),
        *(
            Label(
                str(head), (left + head * (cell + GAP), top, cell * step, line), side="center" if step == 1 else "left"
            )
            for head in range(0, heads, step)
        ),
        Label(whole, (x, top, max(cell, advance(whole)), line), side="center"),
    ]
