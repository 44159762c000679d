"""The table's part of the presenter: filter, order, export. No Qt."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from llmlab.ui.panel import Desk
from llmlab.ui.panels.tokens import export
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.rows import Order, Rows
from llmlab.ui.panels.tokens.workshop import Workshop


class TableView(Desk, Protocol):
    """What is asked of the table."""

    def show_rows(self, rows: Rows | None) -> None:
        """Show these rows, or none."""

    def select_rows(self, first: int, last: int) -> None:
        """Mark the rows of some tokens."""


class Tabling:
    """Sorts and filters in the background, however many rows there are."""

    def __init__(self, workshop: Workshop, view: TableView) -> None:
        self._workshop = workshop
        self._view = view
        self._order = Order()
        self._wanted: tuple[Encoded, Order] | None = None
        self._rows: Rows | None = None

    @property
    def busy(self) -> bool:
        """Whether the rows on screen are not those that were asked for."""
        return self._wanted is not None and (
            self._rows is None or (self._rows.encoded, self._rows.order) != self._wanted
        )

    def bring(self, encoded: Encoded | None) -> None:
        """Show the tokens of `encoded`."""
        if encoded is None:
            self._wanted = self._rows = None
            self._view.show_rows(None)
        elif self._wanted != (encoded, self._order):
            self._wanted = wanted = (encoded, self._order)
            self._workshop.beside(self, "rows", lambda _: Rows.of(*wanted), self._came)

    def change(self, **changes: Any) -> None:
        """Another filter or order."""
        self._order = replace(self._order, **changes)
        if self._wanted is not None:
            self.bring(self._wanted[0])

    def save(self, kind: str) -> None:
        """The table as "csv" or "json" to a file, or as "copy" to the clipboard."""
        rows = self._rows
        if rows is None:
            return
        if kind == "copy":
            self._workshop.beside(self, "write", lambda _: export.rows_text(rows, kind), self._view.copy)
        else:
            text = partial(export.rows_text, rows, kind)
            self._view.ask_path(f"tokens.{kind}", (kind,), lambda path: self._workshop.write(path, text))

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _came(self, rows: Rows) -> None:
        if self._wanted is not None:
            self._rows = rows
            self._view.show_rows(rows)
