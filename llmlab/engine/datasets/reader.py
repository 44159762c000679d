"""One door for every file with prompts or examples: what it is, what is in it, what was left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llmlab.engine.datasets import (
    chainforge,
    delimited,
    encodings,
    harness,
    jsontext,
    limits,
    project,
    promptfoo,
    prompts,
    promptsource,
    records,
    sheets,
    yamltext,
)
from llmlab.engine.datasets.formats import BY_SUFFIX
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Rows, Table, propose_mapping
from llmlab.engine.datasets.types import Dialect, FieldMapping, Format, Imported, NoteKind, Options
from llmlab.engine.datasets.values import Record, Value
from llmlab.engine.errors import InputError
from llmlab.engine.progress import Control

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_MARKDOWN = frozenset({".md", ".markdown"})


def read(path: Path, options: Options, control: Control) -> Imported:
    """See `llmlab.engine.datasets.read`."""
    control.report(f"Reading {path.name}")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(_most(path))
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read: {error.strerror}.", "Check that the file is still there."
        ) from None
    control.check()
    return from_bytes(path.name, data, options, size)


def from_bytes(name: str, data: bytes, options: Options, size: int | None = None) -> Imported:
    """Like `read`, of the first bytes of a file of `size` bytes (None: all of it). Raises InputError."""
    whole = size is None or len(data) >= size
    size = len(data) if size is None else size
    if not data:
        raise InputError(f"{name} is empty.", "Choose a file with prompts or examples.")
    suffix = Path(name).suffix.lower()
    notes = Notes()
    if data.startswith(_OLE):
        raise InputError(f"{name} is an old Excel or Word file.", "Save it as .xlsx or CSV.")
    if data.startswith(_ZIP) or BY_SUFFIX.get(suffix) is Format.XLSX:
        return _workbook(name, data, options, notes, size)
    text, encoding = encodings.decode(name, data, options.encoding, notes, whole=whole)
    if not text.strip():
        raise InputError(f"{name} holds nothing but spaces.", "Choose a file with prompts or examples.")
    if not whole:
        notes.skipped(f"The file has {size / 1e6:,.0f} MB; only the first {len(data) / 1e6:,.0f} MB were read.")
    found = BY_SUFFIX.get(suffix) or sniff(text)
    result = _from_text(name, text, found, options, notes, whole)
    options = replace(options, key=result.options.key)
    return replace(result, name=name, encoding=encoding, size=size, whole=whole, notes=notes.result(), options=options)


def from_text(text: str, options: Options, name: str) -> Imported:
    """A text from the clipboard: what it is, is told by its looks. Raises InputError."""
    return from_bytes(name, encodings.without_surrogates(text).encode(), replace(options, encoding="utf-8"))


def sniff(text: str) -> Format:
    """What a text without a suffix looks like."""
    head = text[:20_000].strip()
    lines = [line for line in head.split("\n") if line.strip()]
    if head.startswith(("[", "{")):
        several = len(lines) > 1 and all(line.startswith("{") and line.rstrip().endswith("}") for line in lines[:-1])
        return Format.JSONL if several else Format.JSON
    if any(line.startswith(("doc_to_text:", "llmlab:", "templates:", "prompts:")) for line in lines):
        return Format.YAML
    if len(lines) > 1:
        for delimiter, kind in (("\t", Format.TSV), (",", Format.CSV), (";", Format.CSV)):
            if delimited.looks_like(head, delimiter):
                return kind
    return Format.PROMPTS


def _most(path: Path) -> int:
    """How many bytes of a file are worth reading: one more than the limit tells that it was passed."""
    kind = BY_SUFFIX.get(path.suffix.lower())
    return {Format.XLSX: limits.SHEET_BYTES + 1, Format.YAML: 4 * limits.YAML_BYTES + 8}.get(kind, limits.HEAD)  # type: ignore[arg-type]


def _workbook(name: str, data: bytes, options: Options, notes: Notes, size: int) -> Imported:
    if len(data) < size and len(data) <= limits.SHEET_BYTES:
        raise InputError(f"{name} is a zip archive, whatever its name says.", "Give a workbook the suffix .xlsx.")
    rows, header, names, chosen = sheets.read(name, data, options, notes)
    result = _table(Format.XLSX, rows, notes)
    return replace(
        result, name=name, size=size, sheets=names, dialect=Dialect("", "", header), notes=notes.result(),
        options=replace(options, sheet=chosen),
    )  # fmt: skip


def _from_text(name: str, text: str, kind: Format, options: Options, notes: Notes, whole: bool) -> Imported:
    if kind in {Format.CSV, Format.TSV}:
        rows, dialect = delimited.read(text, options, notes, tabs=kind is Format.TSV, whole=whole)
        kind = Format.TSV if dialect.delimiter == "\t" else Format.CSV
        return replace(_table(kind, rows, notes), dialect=dialect)
    if kind is Format.PROMPTS:
        rows = prompts.read(text, notes, markdown=Path(name).suffix.lower() in _MARKDOWN)
        return replace(_table(kind, rows, notes), mapping=FieldMapping((prompts.FIELD,)))
    if kind is Format.YAML:
        return _from_yaml(name, text, options, notes)
    return _from_json(name, text, kind, options, notes, whole)


def _from_yaml(name: str, text: str, options: Options, notes: Notes) -> Imported:
    documents = yamltext.parse(name, text, notes)
    if len(documents) == 1:
        return _from_value(name, Format.YAML, documents[0], options, notes)
    if documents and _special(documents[0]):
        notes.skipped(f"Only the first of {len(documents)} documents in the file was read.")
        return _from_value(name, Format.YAML, documents[0], options, notes)
    return _from_value(name, Format.YAML, documents, options, notes)


def _from_json(name: str, text: str, kind: Format, options: Options, notes: Notes, whole: bool) -> Imported:
    if kind is Format.JSONL:
        trial = Notes()
        found = jsontext.parse_lines(text, trial, whole=whole)
        if found or not whole:
            notes.take(trial)
            return _from_value(name, kind, found, options, notes)
    return _from_value(name, Format.JSON, jsontext.parse(name, text, notes, whole=whole), options, notes)


def _special(value: Value) -> bool:
    tests = (project.is_project, harness.is_task, promptsource.is_collection, promptfoo.is_configuration)
    return any(test(value) for test in tests)


def _from_value(name: str, kind: Format, value: Value, options: Options, notes: Notes) -> Imported:
    if isinstance(value, Record) and options.key is None:
        special = _from_special(name, value, notes)
        if special is not None:
            return special
    table = Table(notes)
    keys, chosen = records.fill(table, value, options.key, notes)
    result = _table(kind, table.finish(), notes)
    return replace(result, keys=keys, options=replace(options, key=chosen or None))


def _from_special(name: str, value: Record, notes: Notes) -> Imported | None:
    """A document in the format of one of the tools, or our own."""
    if project.is_project(value):
        return Imported(name, Format.PROJECT, project=project.from_record(name, value, notes))
    if harness.is_task(value):
        return _task(name, Format.HARNESS, harness.read(value, notes), notes)
    if promptsource.is_collection(value):
        return Imported(name, Format.PROMPTSOURCE, drafts=promptsource.read(value, notes))
    if promptfoo.is_configuration(value):
        return _task(name, Format.PROMPTFOO, promptfoo.read(value, notes), notes)
    if chainforge.is_flow(value):
        return _task(name, Format.CHAINFORGE, chainforge.read(value, notes), notes)
    return None


def _task(name: str, kind: Format, task: harness.Task, notes: Notes) -> Imported:
    rows = task.table.finish()
    result = _table(kind, rows, notes, empty=bool(task.drafts))
    if task.mapping is not None:
        result = replace(result, mapping=task.mapping)
    return replace(result, name=name, drafts=task.drafts, choices=task.choices)


def _table(kind: Format, rows: Rows, notes: Notes, *, empty: bool = False) -> Imported:
    """Raises InputError where no row was found, unless there may be none."""
    if not rows.rows and not empty:
        why = [note.text for note in notes.result() if note.kind is NoteKind.SKIPPED][-1:]
        raise InputError(" ".join(["No row was found in the file.", *why]), _hint(kind))
    return Imported(
        "", kind, fields=rows.fields, rows=rows.rows, lines=rows.lines, mapping=propose_mapping(rows.fields, rows.rows)
    )


def _hint(kind: Format) -> str:
    wanted: dict[Format, str] = {
        Format.JSON: "A JSON file should hold a list of records, at its top or under a name such as “examples”.",
        Format.JSONL: "A JSON Lines file should hold one record in every line.",
    }
    return wanted.get(kind, "Choose a file with prompts or examples.")
