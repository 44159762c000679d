"""Small files of every format, written here."""

from __future__ import annotations

import io
from collections.abc import Sequence

import openpyxl
import pytest

from llmlab.engine import datasets
from llmlab.engine.datasets import Imported, NoteKind, Options


def workbook(*sheets: tuple[str, Sequence[Sequence[object]]]) -> bytes:
    """An Excel file of (name, rows)."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def read(name: str, content: str | bytes, **options: object) -> Imported:
    """What is understood of a file."""
    data = content if isinstance(content, bytes) else content.encode()
    return datasets.from_bytes(name, data, Options(**options))  # type: ignore[arg-type]


def texts(imported: Imported, kind: NoteKind) -> list[str]:
    """The notes of one kind."""
    return [note.text for note in imported.notes if note.kind is kind]


VALID: dict[str, bytes] = {
    "reviews.csv": b'text,label\n"A lovely, warm film.",good\n"He said ""no"".",bad\nDull,bad\n',
    "reviews.tsv": "text\tlabel\nCafé on the hill\tgood\nDull\tbad\n".encode(),
    "reviews.json": (
        b'{"version": "1", "examples": [{"text": "Lovely", "label": "good"},\n{"text": "Dull", "label": "bad"}]}'
    ),
    "reviews.jsonl": b'{"text": "Lovely", "label": "good"}\n{"text": "Dull", "label": "bad"}\n',
    "reviews.yaml": b"- text: Lovely\n  label: Yes\n- text: Dull\n  label: No\n- {text: 'So so', label: 1.0}\n",
    "task.yaml": (
        b'task: t\ndoc_to_text: "{{text}}\\nFeeling:"\ndoc_to_target: "{{label}}"\ndoc_to_choice: [Yes, No]\n'
        b"fewshot_config:\n  samples:\n  - {text: Lovely, label: Yes}\n  - {text: Dull, label: No}\n"
    ),
    "promptfooconfig.yaml": (
        b"prompts:\n- 'Translate {{text}}'\nproviders: [openai:x]\ntests:\n- vars: {text: Hello}\n"
        b"  assert:\n  - {type: equals, value: Bonjour}\n  - {type: javascript, value: 'output.length > 1'}\n"
    ),
    "templates.yaml": (
        b"dataset: moods\ntemplates:\n  1a: !Template\n    answer_choices: bad ||| good\n    name: ask\n"
        b'    jinja: "{{text}} Good or bad? ||| {{ answer_choices[label] }}"\n    metadata: !TemplateMetadata {}\n'
    ),
    "flow.cforge": (
        b'{"flow": {"nodes": [{"id": "p", "type": "prompt", "data": {"prompt": "Say {word} in \\\\{braces\\\\}"}},'
        b'{"id": "t", "type": "table", "data": {"columns": [{"key": "c0", "header": "Word"}],'
        b'"rows": [{"c0": "tree", "__uid": "x"}, {"c0": "bird"}]}},'
        b'{"id": "e", "type": "evaluator", "data": {"code": "import os"}}],'
        b'"edges": [{"source": "t", "sourceHandle": "Word", "target": "p", "targetHandle": "word"}]}, "cache": {}}'
    ),
    "prompts.txt": b"Once upon a time\n---\nThe old king\nsat down.\n---\nA dog\n",
    "book.xlsx": workbook(("Moods", [("text", "label"), ("Lovely", "good"), ("Dull", "bad")])),
    "mood.shots.yaml": (
        b"llmlab: prompt-shot project\nversion: 1\nprompt: {template: '{text}', labels: [Yes, No]}\n"
        b"examples:\n- fields: {text: Lovely}\n  output: Yes\n"
    ),
}


@pytest.fixture(params=sorted(VALID))
def valid(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A name and the bytes of a file without any fault."""
    return request.param, VALID[request.param]
