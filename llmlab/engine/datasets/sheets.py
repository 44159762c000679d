"""Excel workbooks (.xlsx), through openpyxl; what a zip archive or its XML could do to us is checked before."""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.delimited import rows_of
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Rows
from llmlab.engine.datasets.types import Options
from llmlab.engine.errors import InputError

_GAP = 1_000  # empty rows after which nothing more is expected
_HINT = "Open it in a spreadsheet program, and save it as .xlsx or CSV again."


def read(name: str, data: bytes, options: Options, notes: Notes) -> tuple[Rows, bool, tuple[str, ...], str]:
    """The rows of one sheet, whether its first row names the columns, all sheets, and the one that was read.

    Raises InputError for what is no workbook, or too large a one.
    """
    _check(name, data)
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, about styles and extensions that are of no use here
            book = openpyxl.load_workbook(
                io.BytesIO(data), read_only=True, data_only=True, keep_links=False, rich_text=False
            )
            try:
                return _read(book, options, notes)
            finally:
                book.close()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file surprises openpyxl in any way: KeyError, ParseError …
        raise InputError(f"{name} is a damaged workbook ({type(error).__name__}).", _HINT) from None


def _check(name: str, data: bytes) -> None:
    """Raises InputError for what is no workbook, and for archives that would unpack to much more than they are."""
    if len(data) > limits.SHEET_BYTES:
        raise InputError(
            f"{name} is larger than {limits.SHEET_BYTES // 1_000_000} MB.", "Save the sheet that you need as CSV."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > limits.SHEET_UNPACKED:
                raise InputError(
                    f"{name} unpacks to more than {limits.SHEET_UNPACKED // 1_000_000} MB.",
                    "Save the sheet that you need as CSV.",
                )
            if not any(part.filename.endswith("workbook.xml") for part in parts):
                raise InputError(f"{name} is a zip archive, and no Excel workbook.", _HINT)
            for part in parts:
                if part.filename.endswith((".xml", ".rels")) and _declares_entities(archive, part):
                    raise InputError(
                        f"{name} declares entities in its XML, which no workbook does; it was not read.", _HINT
                    )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, KeyError, zlib.error):
        raise InputError(f"{name} is no Excel workbook, or a damaged one.", _HINT) from None


def _declares_entities(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    with archive.open(part) as file:
        head = file.read(4096)
    return b"<!DOCTYPE" in head or b"<!ENTITY" in head


def _read(book: Any, options: Options, notes: Notes) -> tuple[Rows, bool, tuple[str, ...], str]:
    sheets = tuple(sheet.title for sheet in book.worksheets)
    if not sheets:
        raise InputError("The workbook has no sheet with cells.", _HINT)
    if options.sheet is not None and options.sheet not in sheets:
        raise InputError(f"There is no sheet “{options.sheet}”.", f"The sheets are: {', '.join(sheets)[:300]}.")
    chosen = options.sheet or sheets[0]
    others = [sheet for sheet in sheets if sheet != chosen]
    if others and options.sheet is None:
        notes.assumed(f"The sheet “{chosen}” was read, and not: {', '.join(others)[:200]}.")
    rows, header = rows_of(_cells(book[chosen], notes), options.header, notes)
    return rows, header, sheets, chosen


def _cells(sheet: Any, notes: Notes) -> Iterator[tuple[list[str], int]]:
    """Every row that holds something, with its number, without the empty cells at its end."""
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    seen, empty = 0, 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = _trimmed([_text(value) for value in row])
        seen += len(row) + 1
        empty = 0 if cells else empty + 1
        if seen > limits.SHEET_CELLS or empty > _GAP:
            why = "that many cells are read" if seen > limits.SHEET_CELLS else f"{_GAP:,} empty rows stand before it"
            notes.skipped(f"What stands from this row on was not read: {why}.", number)
            return
        if cells:
            yield cells, number


def _trimmed(cells: Sequence[str]) -> list[str]:
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return list(cells[:end])


def _text(value: Any) -> str:
    """A cell as people see it: whole numbers without a point, dates as ISO 8601, TRUE and FALSE."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(sep=" ")
    return str(value)
