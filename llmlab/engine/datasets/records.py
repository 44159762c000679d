"""Where the records are in a JSON or YAML document, and how they become rows."""

from __future__ import annotations

from collections.abc import Sequence

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Table
from llmlab.engine.datasets.values import Record, Value, record_lists, scalar, text_of
from llmlab.engine.errors import InputError

_KEYS = (
    "examples", "data", "items", "rows", "records", "samples", "instances", "shots", "tests", "test", "train",
    "questions", "prompts", "results",
)  # fmt: skip
_SPEAKERS = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


def fill(table: Table, value: Value, key: str | None, notes: Notes) -> tuple[tuple[str, ...], str]:
    """Put the records of `value` into `table`; returns the lists that could be meant, and the one that was.

    Raises InputError where `key` names none of them.
    """
    records, keys, chosen = _records(value, key, notes)
    for number, record in enumerate(records, start=1):
        if table.full:
            notes.skipped(f"Only the first {limits.ROWS:,} records were read.")
            break
        _add(table, record, number, notes)
    return keys, chosen


def _records(value: Value, key: str | None, notes: Notes) -> tuple[Sequence[Value], tuple[str, ...], str]:
    found = dict(record_lists(value))
    keys = tuple(found)
    if key is not None:
        if key not in found:
            raise InputError(f"There is no list “{key}” in the file.", f"The lists are: {', '.join(keys)[:300]}.")
        return found[key], keys, key
    if isinstance(value, list):
        return value, keys, ""
    if isinstance(value, Record):
        columns = _columns(value)
        if columns is not None:
            notes.assumed("The file holds one list a column; they were put together row by row.")
            return columns, (), ""
        by_name = all(isinstance(one, Record) for one in value.values()) and len(value) > 1
        if by_name and not any(_of_records(one) for one in found.values()):
            notes.assumed("The file holds records by name; the names are in the field “key”.")
            return [_keyed(name, one) for name, one in value.items() if isinstance(one, Record)], (), ""
    if not found or not any(_of_records(one) for one in found.values()):
        return [value], keys, ""
    chosen = _likeliest(found)
    others = [name for name in keys if name != chosen]
    rest = f", and not: {', '.join(others)[:200]}" if others else ""
    notes.assumed(f"The records were taken from “{chosen}”{rest}.")
    return found[chosen], keys, chosen


def _likeliest(found: dict[str, list[Value]]) -> str:
    records = {name: values for name, values in found.items() if _of_records(values)}
    for name in _KEYS:
        for path in records:
            if path.rpartition(".")[2].lower() == name:
                return path
    return max(records, key=lambda path: len(records[path]))


def _of_records(values: list[Value]) -> bool:
    return any(isinstance(one, Record) for one in values)


def _columns(value: Record) -> list[Value] | None:
    """Rows of a mapping {field: [value, …]} whose lists are all of one length."""
    lists = [one for one in value.values() if isinstance(one, list)]
    if len(lists) < 2 or len(lists) != len(value) or any(_of_records(one) for one in lists):
        return None
    if len({len(one) for one in lists}) != 1:
        return None
    rows: list[Value] = []
    for cells in zip(*lists, strict=True):
        row = Record()
        row.update(zip(value, cells, strict=True))
        rows.append(row)
    return rows


def _keyed(name: str, record: Record) -> Record:
    row = Record(record.line)
    row["key"] = name
    row.update(record)
    return row


def _add(table: Table, record: Value, number: int, notes: Notes) -> None:
    where = f"Record {number}"
    if isinstance(record, Record):
        table.add_record(_unchat(record, notes), record.line, where)
        return
    row = Record()
    if isinstance(record, list):
        row.update({f"column {place}": one for place, one in enumerate(record, start=1)})
    else:
        row["text"] = text_of(record)
    table.add_record(row, None, where)


def _unchat(record: Record, notes: Notes) -> Record:
    """A conversation as fields: what the system says, what stands before the last answer, that answer."""
    for name in ("messages", "conversations", "conversation"):
        turns = record.get(name)
        if isinstance(turns, list) and turns and all(isinstance(turn, Record) for turn in turns):
            said = [_turn(turn) for turn in turns if isinstance(turn, Record)]
            if all(speaker for speaker, _ in said):
                notes.changed_once(f"The conversations in “{name}” were divided into system, input and output.")
                return _divided(record, name, said)
    return record


def _turn(turn: Record) -> tuple[str, str]:
    speaker = scalar(turn, "role") or scalar(turn, "from")
    content = turn.get("content", turn.get("value", ""))
    return _SPEAKERS.get(speaker.lower(), speaker.lower()), text_of(content)


def _divided(record: Record, name: str, said: list[tuple[str, str]]) -> Record:
    row = Record(record.line)
    row.update({key: value for key, value in record.items() if key != name})
    system = [text for speaker, text in said if speaker in {"system", "developer"}]
    turns = [(speaker, text) for speaker, text in said if speaker not in {"system", "developer"}]
    answer = turns.pop()[1] if turns and turns[-1][0] == "assistant" else ""
    asked = turns[0][1] if len(turns) == 1 else "\n".join(f"{speaker}: {text}" for speaker, text in turns)
    if system:
        row["system"] = "\n".join(system)
    row["input"] = asked
    if answer:
        row["output"] = answer
    return row
