"""JSON, YAML and the formats of other tools: what becomes rows, what becomes a prompt, what is never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine import datasets
from llmlab.engine.datasets import FieldMapping, Format, NoteKind, limits
from llmlab.engine.errors import InputError
from llmlab.engine.shots.compose import compose
from llmlab.engine.shots.types import Example, Syntax

from .conftest import VALID, read, texts

CONVERSATION = json.dumps([
    {"messages": [{"role": role, "content": role[0].upper()} for role in ("system", "user", "assistant")]}
])  # fmt: skip


def test_yaml_labels_stay_text() -> None:
    found = read("x.yaml", "- {t: a, label: Yes}\n- {t: b, label: no}\n- {t: c, label: 1.0}\n- {t: d, label: 0x1F}\n")
    assert [row[1] for row in found.rows] == ["Yes", "no", "1.0", "0x1F"]


def test_json_numbers_stay_as_written() -> None:
    long = "7" * 5000
    found = read("x.json", f'[{{"a": 1e999, "b": {long}, "c": true, "d": null, "e": 1.0, "f": NaN}}]')
    assert found.rows == (("1e999", long, "true", "", "1.0", "NaN"),)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ('{"meta": {"tags": ["x", "y"]}, "data": {"examples": [{"t": "a"}, {"t": "b"}]}}', "data.examples"),
        ('{"train": [{"t": "a"}, {"t": "b"}], "notes": [{"n": "z"}, {"n": "y"}, {"n": "x"}]}', "train"),
        ('[{"t": "a"}, {"t": "b"}]', None),
    ],
)
def test_records_are_found_under_a_key(content: str, key: str | None) -> None:
    found = read("x.json", content)
    assert (found.rows, found.options.key) == ((("a",), ("b",)), key)


def test_another_list_can_be_asked_for() -> None:
    content = '{"train": [{"t": "a"}], "test": [{"u": "b"}]}'
    found = read("x.json", content)
    assert set(found.keys) == {"train", "test"}
    assert read("x.json", content, key="train").fields == ("t",)
    with pytest.raises(InputError, match="no list"):
        read("x.json", content, key="dev")


@pytest.mark.parametrize(
    ("content", "fields", "rows"),
    [
        ('{"t": ["a", "b"], "label": ["x", "y"]}', ("t", "label"), (("a", "x"), ("b", "y"))),
        ('{"one": {"t": "a"}, "two": {"t": "b"}}', ("key", "t"), (("one", "a"), ("two", "b"))),
        ('["a", "b"]', ("text",), (("a",), ("b",))),
        ('[["a", "b"], ["c", "d"]]', ("column 1", "column 2"), (("a", "b"), ("c", "d"))),
        ('[{"q": {"text": "a", "n": 1}, "l": ["x", "y"]}]', ("q.text", "q.n", "l"), (("a", "1", '["x", "y"]'),)),
        (
            CONVERSATION,
            ("system", "input", "output"),
            (("S", "U", "A"),),
        ),
    ],
)
def test_shapes_of_json(content: str, fields: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    found = read("x.json", content)
    assert (found.fields, found.rows) == (fields, rows)


def test_json_lines_broken_at_line_seven() -> None:
    lines = [json.dumps({"t": f"text {number}"}) for number in range(1, 13)]
    lines[6] = '{"t": "text 7'
    found = read("x.jsonl", "\n".join(lines))
    assert len(found.rows) == 11
    assert [(note.kind, note.line) for note in found.notes] == [(NoteKind.SKIPPED, 7)]


def test_broken_json_gives_the_records_around_the_break() -> None:
    found = read("x.json", '{"examples": [\n{"t": "a"},\n{"t": "b", oops},\n{"t": "c"},\n{"t": "d"}\n]')
    assert [row[0] for row in found.rows] == ["a", "c", "d"]
    assert 3 in [note.line for note in found.notes if note.kind is NoteKind.SKIPPED]


def test_broken_yaml_gives_the_records_around_the_break() -> None:
    found = read("x.yaml", "- t: a\n- t: [oops\n- t: c\n- t: 'x\n- t: e\n")
    assert found.rows[0] == ("a",)
    assert "c" in [row[0] for row in found.rows]
    assert texts(found, NoteKind.SKIPPED)


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), min_size=1), min_size=1))
def test_any_records_survive_json(records: list[dict[str, str]]) -> None:
    try:
        found = read("x.json", json.dumps(records))
    except InputError:
        assert not any(any(record.values()) or record for record in records)
        return
    assert len(found.rows) == len(records)
    read_out = sum(len(cell) for row in found.rows for cell in row)
    if len({key for record in records for key in record}) <= limits.COLUMNS:
        assert read_out == sum(len(one) for record in records for one in record.values())
    else:
        assert any("left out" in text for text in texts(found, NoteKind.SKIPPED))


def test_an_alias_bomb_is_refused_and_an_honest_alias_is_not() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    with pytest.raises(InputError, match="more than"):
        read("x.yaml", bomb)
    with pytest.raises(InputError, match="part of itself"):
        read("x.yaml", "- &a [*a]\n")
    found = read("x.yaml", "base: &b {lang: en}\nitems:\n- {<<: *b, t: a}\n- {<<: *b, t: b, lang: fr}\n- {t: c}\n")
    assert found.rows == (("a", "en"), ("b", "fr"), ("c", ""))


def test_python_tags_are_listed_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    found = read("x.yaml", f"- t: !!python/object/apply:os.mkdir [{target}]\n- t: !function utils.run\n- t: good\n")
    assert not target.exists()
    assert len(texts(found, NoteKind.NOT_RUN)) == 2
    assert found.rows[-1] == ("good",)


def test_doubled_names_are_told() -> None:
    for name, content in (("x.json", '[{"a": "1", "a": "2"}]'), ("x.yaml", "- {a: 1, a: 2}\n")):
        found = read(name, content)
        assert found.rows == (("2",),)
        assert "twice" in texts(found, NoteKind.CHANGED)[0]


def test_a_task_of_the_harness() -> None:
    found = read("task.yaml", VALID["task.yaml"])
    assert found.format is Format.HARNESS
    assert found.drafts[0].spec.labels == ("Yes", "No")
    assert found.mapping == FieldMapping(("text",), "label")
    assert found.rows == (("Lovely", "Yes"), ("Dull", "No"))


def test_code_in_a_task_is_listed_and_not_run() -> None:
    task = "doc_to_text: !function utils.text\ndoc_to_target: x\nprocess_docs: !function utils.docs\n"
    found = read("task.yaml", task)
    assert len(texts(found, NoteKind.NOT_RUN)) == 2
    assert found.drafts[0].spec.template == ""


def test_templates_of_promptsource_render() -> None:
    found = read("templates.yaml", VALID["templates.yaml"])
    assert found.format is Format.PROMPTSOURCE
    (draft,) = found.drafts
    assert (draft.name, draft.spec.labels) == ("ask", ("bad", "good"))
    shot, query = Example((("text", "Lovely."), ("label", "1"))), Example((("text", "Dull."), ("label", "0")))
    text = compose(draft.spec, [shot], query).text
    assert text == "Lovely. Good or bad? good\n\nDull. Good or bad?"


def test_a_promptfoo_configuration() -> None:
    found = read("promptfooconfig.yaml", VALID["promptfooconfig.yaml"])
    assert found.format is Format.PROMPTFOO
    assert found.rows == (("Hello", "Bonjour"),)
    assert found.mapping == FieldMapping(("text",), "expected")
    assert found.drafts[0].spec.syntax is Syntax.JINJA
    assert "javascript" in texts(found, NoteKind.NOT_RUN)[0]


def test_lists_of_values_stand_for_several_tests_and_files_are_not_opened() -> None:
    found = read(
        "c.yaml",
        "prompts: [file://p.txt, 'Say {{a}} {{b}}']\nproviders: [x]\ndefaultTest: {vars: {b: z}}\n"
        "tests:\n- vars: {a: [x, y]}\n- file://more.yaml\n",
    )
    assert found.rows == (("z", "x"), ("z", "y"))
    assert len(found.drafts) == 1
    assert len(texts(found, NoteKind.SKIPPED)) == 2


def test_a_flow_of_chainforge() -> None:
    found = read("flow.cforge", VALID["flow.cforge"])
    assert found.format is Format.CHAINFORGE
    assert (found.fields, found.rows) == (("word",), (("tree",), ("bird",)))
    assert compose(found.drafts[0].spec, (), found.examples()[0]).text == "Say tree in {braces}"
    assert "evaluator" in texts(found, NoteKind.NOT_RUN)[0]


def test_prompts_of_a_text_file() -> None:
    found = read("p.txt", "one\ntwo\n---\n\nthree\n-----\n")
    assert found.rows == (("one\ntwo",), ("three",))
    assert found.lines == (1, 4)
    front = read("p.md", "---\ntitle: x\n---\nThe prompt\n")
    assert front.rows == (("The prompt",),)
    assert texts(front, NoteKind.SKIPPED)
    assert read("p.md", "---\nNot front matter\n---\nb\n").rows == (("Not front matter",), ("b",))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"t": "a"}\n{"t": "b"}\n', Format.JSONL),
        ('[{"t": "a"}]', Format.JSON),
        ("text\tlabel\na\tb\n", Format.TSV),
        ("text,label\na,b\nc,d\n", Format.CSV),
        ('text\tlabel\n"a quoted\nline"\tb\n', Format.TSV),
        ("Once upon a time, there was a dog.\nIt ran, and ran, and ran.\n", Format.PROMPTS),
        ("doc_to_text: '{{a}}'\n", Format.HARNESS),
    ],
)
def test_pasted_text_is_told_by_its_looks(text: str, kind: Format) -> None:
    assert datasets.from_text(text).format is kind


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
def test_any_encoding(encoding: str) -> None:
    text = "text,label\nGrüße aus dem Café,good\nSchöne Gärten überall,bad\n" * 3
    found = read("x.csv", text.encode(encoding))
    assert found.rows[0] == ("Grüße aus dem Café", "good")
    assert bool(texts(found, NoteKind.ASSUMED)[1:]) == (encoding in {"cp1252", "latin-1"})


def test_damaged_utf8_keeps_what_is_good() -> None:
    found = read("x.csv", "text,label\nGrüße und Küsse aus der schönen Stadt,a\n".encode() * 40 + b"x\xff,b\n")
    assert found.rows[0][0] == "Grüße und Küsse aus der schönen Stadt"
    assert found.rows[-1] == ("x\ufffd", "b")
    assert texts(found, NoteKind.CHANGED)


def test_half_characters_become_valid_text() -> None:
    found = read("x.json", r'[{"a": "\ud83d", "b": "\ud83d\ude00"}]')
    assert found.rows == (("\ufffd", "😀"),)
