"""Excel workbooks (.xlsx), through openpyxl; what a zip archive or its XML could do to us is checked before."""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.delimited import rows_of
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Rows
from llmlab.engine.datasets.types import Options
from llmlab.engine.errors import InputError

_PIECE = 1 << 20  # bytes
_GAP = 1_000  # empty rows after which nothing more is expected
_HINT = "Open it in a spreadsheet program, and save it as .xlsx or CSV again."


def read(name: str, data: bytes, options: Options, notes: Notes) -> tuple[Rows, bool, tuple[str, ...], str]:
    """The rows of one sheet, whether its first row names the columns, all sheets, and the one that was read.

    Raises InputError for what is no workbook, or too large a one.
    """
    _check(name, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, about styles and extensions that are of no use here
            book = _open(data)
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
    """Whether `<!DOCTYPE` or `<!ENTITY` stands anywhere in a part, read piece by piece."""
    with archive.open(part) as file:
        before = b""
        while piece := file.read(_PIECE):
            if any(mark in before + piece for mark in (b"<!DOCTYPE", b"<!ENTITY")):
                return True
            before = piece[-16:]
    return False


def _open(data: bytes) -> Any:
    """The workbook, its cells still unread. openpyxl takes a second for a megabyte of texts: these are read here."""
    from openpyxl.reader.excel import ExcelReader

    class Reader(ExcelReader):  # type: ignore[misc]  # openpyxl has no types
        def read_strings(self) -> None:
            self.shared_strings = _texts(self.archive)

    reader = Reader(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    reader.read()
    return reader.wb


def _texts(archive: zipfile.ZipFile) -> list[str]:
    """The texts that cells refer to by number (ECMA-376, 18.4.9), without what tells how they are pronounced."""
    part = next((part for part in archive.infolist() if part.filename.lower() == "xl/sharedstrings.xml"), None)
    if part is None:
        return []
    if part.file_size > limits.SHEET_TEXTS:
        raise InputError(
            f"The workbook holds {part.file_size // 1_000_000} MB of texts.", "Save the sheet that you need as CSV."
        )
    root = ElementTree.fromstring(archive.read(part))  # no entities: `_check` has seen to that
    space = root.tag.removesuffix("sst")  # the namespace, which two editions of the standard spell differently
    text, run = f"{space}t", f"{space}r"
    return [_joined(item, text, run) for item in root]


def _joined(item: ElementTree.Element, text: str, run: str) -> str:
    """A text: one piece, or several with formats of their own. `text` and `run` are the tags of these."""
    if len(item) == 1 and item[0].tag == text:
        return item[0].text or ""
    pieces = [one if one.tag == text else one.find(text) for one in item if one.tag in {text, run}]
    return "".join(piece.text or "" for piece in pieces if piece is not None)


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
