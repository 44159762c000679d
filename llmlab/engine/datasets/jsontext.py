"""JSON and JSON Lines, with every scalar as text; what is broken costs itself and no other record."""

from __future__ import annotations

import json
import re
from typing import Any

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.values import Record, Value
from llmlab.engine.errors import InputError

_SPACE = re.compile(r"[\s,]*")
_OBJECT_LINE = re.compile(r"^[ \t]*\{", re.MULTILINE)
_FAILED = (ValueError, RecursionError)


class _Decoder:
    """Python's decoder, told to leave numbers alone and to notice names that stand twice."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._record, parse_int=str, parse_float=str, parse_constant=str, strict=False
        )
        self.line: int | None = None  # of the text that is being decoded

    def decode(self, text: str) -> Value:
        """The value that `text` is. Raises ValueError or RecursionError."""
        return _texts(self._decoder.decode(text))

    def decode_at(self, text: str, place: int) -> tuple[Value, int]:
        """The value that begins at `place`, and where it ends. Raises ValueError or RecursionError."""
        value, end = self._decoder.raw_decode(text, place)
        return _texts(value), end

    def _record(self, pairs: list[tuple[str, Any]]) -> Record:
        record = Record(self.line)
        for name, value in pairs:
            if name in record:
                former = str(record[name])[:60]
                text = f"“{name[:60]}” stands twice in one record; the later value is used, not {former!r}."
                self._notes.changed(text, self.line)
            record[name] = value
        return record


def _texts(value: Any, depth: int = 0) -> Value:
    """`value` with true, false and null as text, in place. Raises RecursionError where it is nested too deeply."""
    if isinstance(value, str):
        return value
    if depth > limits.DEPTH:
        raise RecursionError
    if isinstance(value, Record):
        for name, inner in value.items():
            if not isinstance(inner, str):
                value[name] = _texts(inner, depth + 1)
        return value
    if isinstance(value, list):
        return [_texts(inner, depth + 1) for inner in value]
    return "" if value is None else str(value).lower()


def parse(name: str, text: str, notes: Notes, *, whole: bool = True) -> Value:
    """The value of a JSON text. Of a broken one, the records that can be read. Raises InputError if there are none."""
    decoder = _Decoder(notes)
    where = ""
    if whole:
        try:
            return decoder.decode(text)
        except _FAILED as error:
            where = f" ({reason(error)}{f', line {_line_of(error)}' if _line_of(error) else ''})"
            notes.skipped(
                f"The JSON is broken here: {reason(error)}; the records that could be read are shown.", _line_of(error)
            )
    records = _salvage(text, decoder, notes, whole=whole)
    if not records:
        raise InputError(
            f"{name} is not valid JSON{where}, and no record in it could be read.",
            "Mend that place, or save the file as JSON Lines, where a broken line costs only itself.",
        )
    return records


def parse_lines(text: str, notes: Notes, *, whole: bool = True) -> list[Value]:
    """The records of JSON Lines, one a line; broken lines are noted and left out."""
    decoder = _Decoder(notes)
    records: list[Value] = []
    lines = text.split("\n")
    if not whole and len(lines) > 1:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(records) >= limits.ROWS:
            notes.skipped(f"Only the first {limits.ROWS:,} records were read.", number)
            break
        decoder.line = number
        try:
            record = decoder.decode(line)
        except _FAILED as error:
            notes.skipped(f"The line is not valid JSON: {reason(error)}.", number)
        else:
            if not isinstance(record, Record):
                record = _wrapped(record, number)
            records.append(record)
    return records


def _wrapped(value: Value, line: int) -> Record:
    record = Record(line)
    values = value if isinstance(value, list) else [value]
    record.update({f"column {number}" if len(values) > 1 else "text": inner for number, inner in enumerate(values, 1)})
    return record


def _salvage(text: str, decoder: _Decoder, notes: Notes, *, whole: bool) -> list[Value]:
    """The objects that stand in the first list of objects of a broken or cut text, one by one."""
    opening = re.search(r"\[\s*\{", text)
    place = opening.end() - 1 if opening else len(text)
    records: list[Value] = []
    passed = _Passed()
    counted, line = 0, 1  # the line that the character `counted` stands in
    while place < len(text) and len(records) < limits.ROWS:
        line += text.count("\n", counted, place)
        counted, decoder.line = place, line
        try:
            value, end = decoder.decode_at(text, place)
        except _FAILED as error:
            following = _OBJECT_LINE.search(text, place + 1)
            if following or whole:  # else it is where the beginning that was read ends
                notes.skipped(f"The record that begins here is broken: {reason(error)}.", line)
            if following is None or passed.too_many(error, place, notes, line):
                break
            place = following.end() - 1
            continue
        records.append(value)
        place = _next_record(text, end, notes)
    return records


class _Passed:
    """How much was read in vain: a file of nothing but broken records must not take minutes."""

    def __init__(self) -> None:
        self._records = 0
        self._characters = 0

    def too_many(self, error: Exception, place: int, notes: Notes, line: int) -> bool:
        """Count one more record that failed; whether it was one too many."""
        self._records += 1
        self._characters += error.pos - place if isinstance(error, json.JSONDecodeError) else 10_000
        enough = self._records > limits.BROKEN or self._characters > 2 * limits.HEAD
        if enough:
            notes.skipped("Too much of the file is broken: what stands after this record was not read.", line)
        return enough


def _next_record(text: str, place: int, notes: Notes) -> int:
    """Where the next object of the list begins; the end of the text after the last one."""
    space = _SPACE.match(text, place)
    place = space.end() if space else place
    if text[place : place + 1] == "{":
        return place
    following = _OBJECT_LINE.search(text, place)
    if text[place : place + 1] == "]" or following is None:
        return len(text)
    notes.skipped("Between two records stands something that is no record.", text.count("\n", 0, place) + 1)
    return following.end() - 1


def reason(error: Exception) -> str:
    """Why a JSON text could not be read, in words."""
    if isinstance(error, RecursionError):
        return f"it is nested deeper than {limits.DEPTH} levels"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} (character {error.colno})"
    return "it cannot be read"


def _line_of(error: Exception) -> int | None:
    return error.lineno if isinstance(error, json.JSONDecodeError) else None
