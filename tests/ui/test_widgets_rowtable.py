"""Tables of rows that are made elsewhere: what is painted again when they change, and how cells look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.widgets.rowtable import Column, Row, RowModel, RowTable

COLUMNS = (Column("name", "Of the row", 0, number=False), Column("GB", "10⁹ bytes", 8), Column("fits", "", 6))
ROWS = (Row(("one", "1.0", "yes")), Row(("two", "2.0", "no"), faint=True), Row(("three", "3.0", "yes")))


@pytest.fixture(autouse=True)
def _scheme_of_before() -> Iterator[None]:
    yield
    theme.set_scheme("system")


def changes(model: RowModel, rows: tuple[Row, ...]) -> set[tuple[int, int]]:
    """The cells that are announced as changed, one by one: of a range Qt paints everything."""
    found: set[tuple[int, int]] = set()

    def changed(first: object, last: object) -> None:
        assert first == last
        found.add((first.row(), first.column()))  # type: ignore[attr-defined]

    model.dataChanged.connect(changed)
    model.set_rows(rows)
    model.dataChanged.disconnect(changed)
    return found


def test_only_cells_that_look_different_are_painted_again(qtbot: QtBot) -> None:
    model = RowModel(COLUMNS)
    model.set_rows(ROWS)
    assert changes(model, ROWS) == set()
    assert changes(model, (ROWS[0], Row(("two", "2.5", "no"), faint=True), Row(("three", "3.0", "no")))) == {
        (1, 1),
        (2, 2),
    }
    assert changes(model, (ROWS[0], Row(("two", "2.5", "no")), Row(("three", "3.0", "no")))) == {(1, 0), (1, 1), (1, 2)}
    assert model.rows[1].cells[1] == "2.5"


def test_another_number_of_rows_is_another_table(qtbot: QtBot) -> None:
    model = RowModel(COLUMNS)
    with qtbot.waitSignal(model.modelReset):
        model.set_rows(ROWS)
    with qtbot.waitSignal(model.modelReset):
        model.set_rows(ROWS[:1])
    assert model.rowCount() == 1


def test_the_head_is_painted_again_only_for_another_order(qtbot: QtBot) -> None:
    model = RowModel(COLUMNS)
    with qtbot.waitSignal(model.headerDataChanged):
        model.set_order(1, descending=True)
    assert model.headerData(1, Qt.Orientation.Horizontal) == "GB ↓"
    with qtbot.assertNotEmitted(model.headerDataChanged):
        model.set_order(1, descending=True)


def shown(qtbot: QtBot, rows: tuple[Row, ...], select: tuple[int, ...] = ()) -> RowTable:
    table = RowTable(COLUMNS, "Rows", several=True)
    qtbot.addWidget(table)
    table.resize(320, 160)
    table.set_rows(rows)
    table.select(select)
    table.show()
    QApplication.processEvents()
    return table


def picture(table: RowTable) -> QImage:
    return table.viewport().grab(QRect(0, 0, 300, 100)).toImage()


def test_cells_take_their_colours_from_the_scheme(qtbot: QtBot) -> None:
    theme.set_scheme("light")
    table = shown(qtbot, ROWS, (0,))
    light = picture(table)
    theme.set_scheme("dark")
    QApplication.processEvents()
    dark = picture(table)
    assert dark != light
    assert dark == picture(shown(qtbot, ROWS, (0,)))
    theme.set_scheme("light")
    QApplication.processEvents()
    assert picture(table) == light


def test_a_text_that_is_too_long_ends_in_dots(qtbot: QtBot) -> None:
    """It is cut like the same text that Qt has cut, also where letters are wider than digits."""
    for text in ("a long name of a row that does not fit into it, whatever happens", "宽" * 60):
        table = shown(qtbot, (Row((text, "1.0", "yes")),))
        width = table.columnWidth(0) - 14
        cut = table.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, width)
        assert cut != text
        assert picture(table) == picture(shown(qtbot, (Row((cut, "1.0", "yes")),)))


def test_a_cell_that_has_changed_is_painted(qtbot: QtBot) -> None:
    table = shown(qtbot, ROWS)
    table.set_rows((ROWS[0], Row(("two", "99.9", "no"), faint=True), ROWS[2]))
    QApplication.processEvents()
    assert picture(table) == picture(shown(qtbot, tuple(table.rows_model.rows)))


def test_a_column_holds_as_many_digits_as_it_says(qtbot: QtBot) -> None:
    """A digit is no whole number of pixels wide: rounded down, the last of many would be cut."""
    digits = "8" * 30
    for text in (digits, digits[:-1] + "W"):
        narrow = RowTable((Column("number", "", 30, number=False), Column("rest", "", 0)), "Numbers")
        wide = RowTable((Column("number", "", 40, number=False), Column("rest", "", 0)), "Numbers")
        for table in (narrow, wide):
            qtbot.addWidget(table)
            table.resize(500, 120)
            table.set_rows((Row((text, "")),))
            table.show()
        QApplication.processEvents()
        edge = narrow.columnWidth(0)
        assert narrow.viewport().grab(QRect(0, 0, edge, 20)).toImage() == (
            wide.viewport().grab(QRect(0, 0, edge, 20)).toImage()
        )
