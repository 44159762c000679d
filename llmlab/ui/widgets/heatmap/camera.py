"""Which part of a map is seen, and how large. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace

LARGEST_CELL = 160.0  # pixels
FITTED_CELL = 56.0  # the largest cell of a map that is shown whole
SQUARE = 2.0  # maps no longer than this many times their width keep square cells
ZOOM_STEP = 1.25


@dataclass(frozen=True, slots=True)
class Camera:
    """The cell coordinates at the top left corner, and the pixels of a cell."""

    column: float = 0.0
    row: float = 0.0
    width: float = 1.0
    height: float = 1.0

    @classmethod
    def fit(cls, rows: int, columns: int, width: float, height: float) -> Camera:
        """The whole map, its cells square where that does not waste the room."""
        if not rows or not columns:
            return cls()
        across = min(FITTED_CELL, max(1.0, width) / columns)
        down = min(FITTED_CELL, max(1.0, height) / rows)
        if 1 / SQUARE <= rows / columns <= SQUARE:
            across = down = min(across, down)
        return cls(0.0, 0.0, across, down)

    def zoomed(self, factor: float, x: float, y: float) -> Camera:
        """Cells `factor` times as large, the one under pixel (x, y) staying there."""
        factor = min(factor, LARGEST_CELL / max(self.width, self.height))
        column, row = self.column + x / self.width, self.row + y / self.height
        width, height = self.width * factor, self.height * factor
        return Camera(column - x / width, row - y / height, width, height)

    def panned(self, x: float, y: float) -> Camera:
        """The map moved by pixels."""
        return replace(self, column=self.column - x / self.width, row=self.row - y / self.height)

    def bounded(self, rows: int, columns: int, width: float, height: float) -> Camera:
        """Not smaller than the whole map, and not beyond its edges."""
        whole = Camera.fit(rows, columns, width, height)
        if self.width <= whole.width and self.height <= whole.height:
            return whole
        column = min(max(0.0, self.column), max(0.0, columns - width / self.width))
        row = min(max(0.0, self.row), max(0.0, rows - height / self.height))
        return replace(self, column=column, row=row)

    def showing(self, row: float, column: float, width: float, height: float) -> Camera:
        """Moved no farther than needed to see a cell whole."""
        left, top = column + 1 - width / self.width, row + 1 - height / self.height
        return replace(self, column=min(max(self.column, left), column), row=min(max(self.row, top), row))
