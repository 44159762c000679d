"""Flows of ChainForge (.cforge): prompt nodes as templates, the table or text fields they draw from as rows."""

from __future__ import annotations

import re

from llmlab.engine.datasets.harness import Task
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Table, field_name
from llmlab.engine.datasets.types import Draft
from llmlab.engine.datasets.values import Record, Value, scalar, text_of
from llmlab.engine.shots.types import PromptSpec

_PROMPTS = frozenset({"prompt", "chat"})
_CODE = frozenset({"evaluator", "processor", "script"})
_SHOWN = frozenset({"inspect", "vis", "comment"})  # they only show what others made
_BRACE = re.compile(r"\\([{}])")


def is_flow(value: Value) -> bool:
    """Whether a JSON document is a flow."""
    flow = value.get("flow") if isinstance(value, Record) else None
    return isinstance(flow, Record) and isinstance(flow.get("nodes"), list)


def read(document: Record, notes: Notes) -> Task:
    """The prompts of the flow, and the rows of the first source of values among its nodes."""
    flow = document["flow"]
    assert isinstance(flow, Record)
    listed, edges = flow["nodes"], flow.get("edges", "")
    assert isinstance(listed, list)
    nodes = [node for node in listed if isinstance(node, Record)]
    table = Table(notes)
    drafts = []
    for number, node in enumerate(nodes, start=1):
        kind, data = scalar(node, "type"), node.get("data", "")
        data = data if isinstance(data, Record) else Record()
        title = scalar(data, "title") or scalar(node, "id") or f"node {number}"
        if kind in _PROMPTS:
            drafts += _drafts(title, data, notes)
        elif kind in {"table", "textfields", "csv"}:
            _source(kind, title, data, _wires(edges, scalar(node, "id")), table, notes)
        elif kind in _CODE:
            notes.not_run(f"“{title[:80]}” is a {kind} node; its code is not run.")
        elif kind not in _SHOWN:
            notes.unused(f"“{title[:80]}” is a node of the kind {kind or 'without a name'}, which means nothing here.")
    if "cache" in document:
        notes.unused("The answers that the flow has stored are not read.")
    return Task(tuple(drafts), table)


def _drafts(title: str, data: Record, notes: Notes) -> list[Draft]:
    prompt = data.get("prompt", "")
    texts = prompt if isinstance(prompt, list) else [prompt]
    drafts = []
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            notes.skipped(f"The prompt of “{title[:80]}” is empty.")
            continue
        name = title if len(texts) == 1 else f"{title} {number}"
        drafts.append(Draft(name, PromptSpec(template=as_fields(text), target_delimiter="\n")))
    return drafts


def as_fields(text: str) -> str:
    r"""ChainForge writes a literal brace as `\{`, we as `{{`."""
    return _BRACE.sub(lambda match: match[1] * 2, text)


def _wires(edges: Value, node: str) -> dict[str, str]:
    """What a node's outputs are called where they arrive: {output: variable}."""
    wires: dict[str, str] = {}
    for edge in edges if isinstance(edges, list) else []:
        if isinstance(edge, Record) and scalar(edge, "source") == node and scalar(edge, "targetHandle"):
            wires.setdefault(scalar(edge, "sourceHandle"), scalar(edge, "targetHandle"))
    return wires


def _source(kind: str, title: str, data: Record, wires: dict[str, str], table: Table, notes: Notes) -> None:
    records = _table_rows(data, wires) if kind == "table" else _field_rows(data, wires)
    if len(table) and records:
        notes.skipped(f"“{title[:80]}” is a second source of values; its {len(records):,} rows were left out.")
        return
    for number, record in enumerate(records, start=1):
        table.add_record(record, None, f"Row {number} of “{title[:40]}”")


def _table_rows(data: Record, wires: dict[str, str]) -> list[Record]:
    columns = data.get("columns", "")
    names = {}
    for column in columns if isinstance(columns, list) else []:
        if isinstance(column, Record):
            header = scalar(column, "header") or scalar(column, "key")
            names[scalar(column, "key")] = field_name(wires.get(header, header))
    rows = data.get("rows", "")
    result = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Record):
            record = Record()
            record.update({names.get(key, key): value for key, value in row.items() if not key.startswith("__")})
            result.append(record)
    return result


def _field_rows(data: Record, wires: dict[str, str]) -> list[Record]:
    """Text fields: one variable, a value each. They stand as a mapping, or in one text."""
    fields = data.get("fields", data.get("text", ""))
    texts: list[Value] = list(fields.values()) if isinstance(fields, Record) else [fields] if fields else []
    if isinstance(fields, list):
        texts = fields
    name = next(iter(wires.values()), "") or scalar(data, "vars") or "text"
    result = []
    for text in texts:
        record = Record()
        record[name] = text_of(text.get("text", "") if isinstance(text, Record) else text)
        result.append(record)
    return result
