"""Records become rows of texts under common fields; which field is the answer is proposed."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.encodings import without_surrogates
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.types import FieldMapping
from llmlab.engine.datasets.values import Value, text_of

# Names of the answer in data sets in use, the surest first.
_OUTPUTS = (
    "output", "outputs", "target", "targets", "answer", "answers", "label_text", "label_name", "label", "labels",
    "completion", "response", "expected", "ideal", "gold", "reference", "solution", "summary", "highlights",
    "translation", "class", "category", "sentiment", "intent", "topic", "type", "tag", "y",
)  # fmt: skip
_PLACES = frozenset({"id", "_id", "idx", "index", "uid", "uuid", "guid", "__uid", "row", "split", "source_file"})
_MULTIPLE = 4  # a column that repeats itself so often on average looks like labels


@dataclass(frozen=True, slots=True)
class Rows:
    """A finished table; see `Imported` for the meaning of the parts."""

    fields: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]


class Table:
    """Collects rows whose fields may differ from record to record."""

    def __init__(self, notes: Notes, fields: Sequence[str] = ()) -> None:
        self._notes = notes
        self._places: dict[str, int] = {name: place for place, name in enumerate(fields)}
        self._by_raw = dict(self._places)
        self._rows: list[tuple[str, ...]] = []
        self._lines: list[int] = []
        self._left_out: dict[str, int | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def full(self) -> bool:
        """Whether no further row is taken."""
        return len(self._rows) >= limits.ROWS

    def add_record(self, record: Mapping[str, Value], line: int | None, where: str) -> bool:
        """Take a mapping; mappings within it become fields with dotted names. False where it was skipped."""
        values: dict[int, str] = {}
        for name, value in _flat(record, self._notes):
            place = self._place(name, line)
            if place is not None:
                values[place] = value
        if not values:
            self._notes.skipped(f"{where} is empty.", line)
            return False
        return self._add(tuple(values.get(place, "") for place in range(len(self._places))), line, where)

    def add_cells(self, cells: Sequence[str], line: int | None, where: str) -> bool:
        """Take the cells of a row, in the order of the fields. False where it was skipped."""
        return self._add(tuple(map(without_surrogates, cells)), line, where)

    def finish(self) -> Rows:
        """The table, every row as long as the others."""
        if self._left_out:
            names = ", ".join(name[:30] for name in list(self._left_out)[:5])
            more = f" and {len(self._left_out) - 5:,} more" if len(self._left_out) > 5 else ""
            text = f"There are more than {limits.COLUMNS} fields; left out were {names}{more}."
            self._notes.skipped(text, next(iter(self._left_out.values())))
        width = len(self._places)
        rows = tuple(row if len(row) == width else row + ("",) * (width - len(row)) for row in self._rows)
        lines = tuple(self._lines) if any(self._lines) else ()
        return Rows(tuple(self._places), rows, lines)

    def _place(self, raw: str, line: int | None) -> int | None:
        """The column of a name as the file has it; names that differ there stay apart."""
        if raw not in self._by_raw:
            if len(self._places) >= limits.COLUMNS:
                self._left_out.setdefault(raw, line)
                return None
            name = _unique(field_name(raw) or "unnamed", self._places)
            if name != raw:
                self._notes.changed(f"The field “{raw.strip()[:60]}” is called “{name}”.", line)
            self._by_raw[raw] = self._places[name] = len(self._places)
        return self._by_raw[raw]

    def _add(self, row: tuple[str, ...], line: int | None, where: str) -> bool:
        longest = max(map(len, row), default=0)
        if longest > limits.FIELD:
            self._notes.skipped(f"{where} has a value of {longest:,} characters; {limits.FIELD:,} are the limit.", line)
            return False
        self._rows.append(row)
        self._lines.append(line or 0)
        return True


def field_names(names: Iterable[str], notes: Notes, line: int | None = None) -> list[str]:
    """Names that a template can hold: not empty, not twice, without braces and line breaks, not endless."""
    result: list[str] = []
    for number, name in enumerate(names, start=1):
        wanted = field_name(name) or f"column {number}"
        unique = _unique(wanted, result)
        if unique != name.strip():
            why = "its name was empty" if not name.strip() else f"it was “{name.strip()[:60]}”"
            notes.changed(f"Column {number} is called “{unique}”: {why}.", line)
        result.append(unique)
    return result


def _unique(wanted: str, taken: Container[str]) -> str:
    name, copy = wanted, 2
    while name in taken:
        name, copy = f"{wanted} {copy}", copy + 1
    return name


def field_name(name: str) -> str:
    """`name` as a template can hold it."""
    plain = without_surrogates(" ".join(name.split()))
    return plain.replace("{", "(").replace("}", ")")[: limits.NAME]


def propose_mapping(fields: Sequence[str], rows: Sequence[Sequence[str]]) -> FieldMapping:
    """The answer by its name, else by a last column that repeats itself; what only numbers the rows is left aside."""
    output = _output(fields, rows)
    inputs = [name for name in fields if name != output and name.lower() not in _PLACES]
    return FieldMapping(tuple(inputs) or tuple(name for name in fields if name != output), output)


def _output(fields: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if len(fields) < 2:
        return ""
    by_name = {name.lower().rpartition(".")[2]: name for name in reversed(fields)}
    by_name |= {name.lower(): name for name in reversed(fields)}
    for name in _OUTPUTS:
        if name in by_name:
            return by_name[name]
    last = [row[-1] for row in rows[: limits.SAMPLE]]
    repeats = len(last) >= _MULTIPLE * len(set(last))
    return fields[-1] if repeats or len(fields) == 2 else ""


def _flat(record: Mapping[str, Value], notes: Notes, before: str = "") -> Iterable[tuple[str, str]]:
    for key, value in record.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, notes, f"{name}.")
        else:
            if isinstance(value, list):
                notes.changed_once(f"The field “{name[:60]}” holds lists; they are shown as JSON.")
            yield name, without_surrogates(text_of(value))
