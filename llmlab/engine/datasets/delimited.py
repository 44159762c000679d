"""CSV and TSV: delimiter, quoting and header are detected, and a bad row costs itself and no other."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Rows, Table, field_names
from llmlab.engine.datasets.types import Dialect, Options

Cells: TypeAlias = tuple[list[str], int]  # the values of one record, and the line it begins in
DELIMITERS = (",", "\t", ";", "|")
csv.field_size_limit(4 * limits.FIELD)  # the module's own 128 KiB would end the reading; ours costs one row

_SINGLE_QUOTED = re.compile(r"(?:^|[,;|\t])'(?:[^']|'')*'(?:[,;|\t\n]|$)")
_NUMBER = re.compile(r"[-+]?[\d.,]+%?")
_HEADER_LENGTH = 40  # characters: a longer cell is text, not the name of a column
_KNOWN = frozenset({
    "text", "input", "output", "label", "question", "answer", "sentence", "sentence1", "sentence2", "premise",
    "hypothesis", "title", "body", "prompt", "completion", "response", "target", "category", "class", "id", "idx",
    "index", "source", "translation", "summary", "review", "comment",
})  # fmt: skip


class _Unclosed(Exception):  # noqa: N818 - a finding, not an error
    """A quoted value goes on for longer than any value does."""


class _Lines:
    """Feeds a csv reader line by line, and notices a value that never ends."""

    def __init__(self, lines: Sequence[str], start: int) -> None:
        self._lines = lines
        self.next = start
        self.record = start  # the line that the record being read begins in

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.next >= len(self._lines):
            raise StopIteration
        if self.next - self.record >= limits.RECORD_LINES:
            raise _Unclosed
        self.next += 1
        return self._lines[self.next - 1]


def read(text: str, options: Options, notes: Notes, *, tabs: bool = False, whole: bool = True) -> tuple[Rows, Dialect]:
    """The rows of `text`; `tabs` prefers tabs as the delimiter; not `whole`: the last line may be cut."""
    lines = [f"{line}\n" for line in text.split("\n")]
    if lines and lines[-1] == "\n":
        lines.pop()
    if not whole and len(lines) > 1:
        lines.pop()
    quote = options.quote if options.quote is not None else _quote(lines[: 2 * limits.SAMPLE])
    delimiter = options.delimiter or _delimiter(lines, quote, tabs)
    records = _records(lines, delimiter, quote, notes)
    rows, header = rows_of(records, options.header, notes)
    return rows, Dialect(delimiter, quote, header)


def rows_of(records: Iterator[Cells], header: bool | None, notes: Notes) -> tuple[Rows, bool]:
    """The table of `records`, and whether its first one holds the names; `header` None: as it looks."""
    head = list(itertools.islice(records, limits.SAMPLE))
    named = _has_header([cells for cells, _ in head]) if header is None else header
    if header is None and head:
        found = "The first row was taken for the names of the columns" if named else "No row with names was found"
        notes.assumed(f"{found}.", head[0][1])
    return _rows(head, records, named, notes), named


def _rows(head: list[Cells], records: Iterator[Cells], header: bool, notes: Notes) -> Rows:
    if not head:
        return Rows((), (), ())
    if header:
        cells, line = head.pop(0)
        full = len(cells)
    else:
        full, line = _usual_width([cells for cells, _ in head]), head[0][1]
        cells = _numbered(full)
    names = field_names(_limited(cells, line, notes), notes, line)
    table = Table(notes, names)
    width = len(names)
    for cells, line in itertools.chain(head, records):
        if table.full:
            notes.skipped(f"Only the first {limits.ROWS:,} rows were read.", line)
            break
        if len(cells) == width or width < len(cells) <= full:
            cells = cells[:width]  # beyond the columns that have names here: told once, with the header
            table.add_cells(cells, line, "The row")
        else:
            _add_ragged(table, names, cells, line, notes)
    return table.finish()


def _add_ragged(table: Table, names: list[str], cells: list[str], line: int, notes: Notes) -> None:
    """A row of another length keeps all its values; those beyond the last name get columns of their own."""
    there, wanted = len(cells), len(names)
    if there < wanted:
        notes.changed(f"The row has {_values(there)} for {wanted} columns; the others are empty.", line)
        table.add_cells([*cells, *[""] * (wanted - there)], line, "The row")
        return
    further = _numbered(there, wanted + 1)
    notes.changed(
        f"The row has {_values(there)} for {wanted} columns; what is too many stands in “{further[0]}”"
        + (" and after." if len(further) > 1 else "."),
        line,
    )
    table.add_record(dict(zip([*names, *further], cells, strict=True)), line, "The row")


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count:,} values"


def _numbered(last: int, first: int = 1) -> list[str]:
    return [f"column {number}" for number in range(first, last + 1)]


def _limited(cells: list[str], line: int, notes: Notes) -> list[str]:
    if len(cells) > limits.COLUMNS:
        notes.skipped(f"There are {len(cells):,} columns; the first {limits.COLUMNS} were read, in all rows.", line)
    return cells[: limits.COLUMNS]


def _records(lines: Sequence[str], delimiter: str, quote: str, notes: Notes) -> Iterator[Cells]:
    """Every record with the line it begins in, from 1. A line whose quoting is broken is read without quotes."""
    start = 0
    while start < len(lines):
        source = _Lines(lines, start)
        reader = _reader(source, delimiter, quote)
        try:
            for cells in reader:
                start, source.record = source.record, source.next
                if cells and any(cell.strip() for cell in cells):
                    yield cells, start + 1
                elif cells:
                    notes.skipped("The row holds nothing but delimiters.", start + 1)
            return
        except (csv.Error, _Unclosed) as error:
            start = source.record
            why = (
                "a quoted value has no end"
                if isinstance(error, _Unclosed) or _ends(error)
                else "a quote is out of place"
            )
            notes.changed(f"In this line {why}; its quotes were taken as they stand.", start + 1)
            yield lines[start].rstrip("\n").split(delimiter), start + 1
            start += 1


def _ends(error: Exception) -> bool:
    return "unexpected end" in str(error)


def _reader(lines: Iterator[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    if not quote:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)


def _quote(lines: Sequence[str]) -> str:
    """Double quotes, unless the values of most lines stand in single ones and no double one is there."""
    single = sum(bool(_SINGLE_QUOTED.search(line)) for line in lines)
    return "'" if 2 * single > len(lines) and not any('"' in line for line in lines) else '"'


def _delimiter(lines: Sequence[str], quote: str, tabs: bool) -> str:
    """The delimiter by which most records have the same number of columns, more than one."""
    order = ("\t", *(one for one in DELIMITERS if one != "\t")) if tabs else DELIMITERS
    sample = lines[: 2 * limits.SAMPLE]
    text = "".join(sample)
    return max(order, key=lambda one: (_agreement(sample, one, quote), _is_tight(text, one), -order.index(one)))


def looks_like(text: str, delimiter: str) -> bool:
    """Whether every record of a text has the same number of values with this delimiter, more than one."""
    lines = [f"{line}\n" for line in text.split("\n") if line.strip()]
    return _agreement(lines, delimiter, '"') == 1.0 and _is_tight(text, delimiter)


def _is_tight(text: str, delimiter: str) -> bool:
    """Whether the delimiter is mostly followed by no space, as no comma in a sentence is."""
    return text.count(f"{delimiter} ") <= text.count(delimiter) / 2


def _agreement(lines: Sequence[str], delimiter: str, quote: str) -> float:
    widths = Counter(len(cells) for cells, _ in _records(lines, delimiter, quote, Notes()))
    if not widths:
        return 0.0
    width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
    return count / widths.total() if width > 1 else 0.0


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    return Counter(map(len, rows)).most_common(1)[0][0]


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: short words that the columns below do not hold themselves."""
    if len(rows) < 2:
        return bool(rows) and any(cell.strip().lower() in _KNOWN for cell in rows[0]) and len(rows[0]) > 1
    first, below = [cell.strip() for cell in rows[0]], rows[1:]
    if len(set(first)) < len(first) or any(not _could_name(cell) for cell in first):
        return False
    if any(cell.lower() in _KNOWN for cell in first):
        return True
    columns = [[row[place].strip() for row in below if place < len(row)] for place in range(len(first))]
    if any(cell in column for cell, column in zip(first, columns, strict=True)):
        return False
    return any(column and all(map(_NUMBER.fullmatch, column)) for column in columns) or _much_shorter(first, columns)


def _could_name(cell: str) -> bool:
    return 0 < len(cell) <= _HEADER_LENGTH and not _NUMBER.fullmatch(cell) and len(cell.split()) <= 4


def _much_shorter(first: list[str], columns: list[list[str]]) -> bool:
    return any(column and 3 * len(cell) <= min(map(len, column)) for cell, column in zip(first, columns, strict=True))
