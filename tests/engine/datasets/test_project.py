"""A project that was saved is read back equal, whatever it holds; what a hand has spoilt is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine import datasets
from llmlab.engine.datasets import Format, NoteKind, project
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.project import Project
from llmlab.engine.errors import InputError
from llmlab.engine.shots.types import Example, Form, InstructionRole, Overflow, PromptSpec, Syntax

from .conftest import read, texts

# What any editor holds: all of Unicode but the characters that YAML does not allow and a text editor does not make.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\n\t\x85"), max_size=40
)
LINES = st.lists(
    st.sampled_from(["", "a: b", "- x", " y", "z ", "#", "---", "'", '"', "|", "Yes", "1.0", "~", "{{ a }}"])
)
ANY = st.one_of(
    TEXT, LINES.map("\n".join), st.sampled_from(["Yes", "no", "null", "~", "1e5", "0x1F", "2024-01-01", "<<"])
)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)
EXAMPLES = st.builds(
    Example,
    fields=st.dictionaries(NAMES, ANY, max_size=3).map(lambda fields: tuple(fields.items())),
    output=ANY,
    included=st.booleans(),
    choices=st.lists(ANY, max_size=3).map(tuple),
)
SPECS = st.builds(
    PromptSpec,
    template=ANY, instruction=ANY, target=ANY, target_delimiter=ANY, fewshot_delimiter=ANY,
    syntax=st.sampled_from(Syntax), form=st.sampled_from(Form), overflow=st.sampled_from(Overflow),
    instruction_role=st.sampled_from(InstructionRole), labels=st.lists(ANY, max_size=3).map(tuple),
    verbalizer=st.dictionaries(ANY, ANY, max_size=3).map(lambda pairs: tuple(pairs.items())),
    room=st.integers(0, 10_000),
)  # fmt: skip
PROJECTS = st.builds(
    Project,
    spec=SPECS,
    examples=st.lists(EXAMPLES, max_size=3).map(tuple),
    test=st.lists(EXAMPLES, max_size=2).map(tuple),
    query=st.builds(Example, fields=st.just((("text", "Yes"),)), output=ANY),
    shots=st.none() | st.integers(0, 99),
    seed=st.integers(0, 2**32 - 1),
    name=ANY,
    note=ANY,
)


@given(PROJECTS)
def test_a_project_is_read_back_equal(made: Project) -> None:
    notes = Notes()
    assert project.loads("p", project.dumps(made), notes) == made
    assert notes.result() == ()


def test_a_saved_project_opens_like_any_file(tmp_path: Path) -> None:
    path = tmp_path / f"mood{project.SUFFIX}"
    made = Project(PromptSpec("{text}", labels=("Yes", "No")), (Example((("text", "a"),), "Yes"),), shots=1)
    project.save(path, made)
    found = datasets.read(path)
    assert (found.format, found.project) == (Format.PROJECT, made)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_what_could_not_be_opened_again_is_not_written(tmp_path: Path) -> None:
    rows = (Example((("text", "x" * 500_000),)),) * 9
    with pytest.raises(InputError, match="opened again"):
        project.save(tmp_path / "p.shots.yaml", Project(PromptSpec("{text}"), rows))
    assert not list(tmp_path.iterdir())


def test_texts_of_several_lines_are_written_as_such() -> None:
    text = project.dumps(Project(PromptSpec("Review: {text}\nMood:", instruction="Say it.\nThen stop.\n")))
    assert "template: |-\n    Review: {text}\n    Mood:\n" in text
    assert "instruction: |\n    Say it.\n    Then stop.\n" in text


def test_what_is_missing_has_its_default() -> None:
    found = read("p.yaml", "llmlab: prompt-shot project\nversion: 1\n").project
    assert found == Project(PromptSpec(""))


def test_what_is_wrong_is_told_and_the_rest_is_read() -> None:
    found = read(
        "p.yaml",
        "llmlab: prompt-shot project\nversion: 1\ncolour: red\nprompt: {template: x, form: poem, room: lots}\n"
        "examples: [{fields: {t: a}}, 7]\n",
    )
    assert found.project is not None
    assert (found.project.spec.template, found.project.spec.form) == ("x", Form.TEXT)
    assert found.project.examples == (Example((("t", "a"),)),)
    assert len(texts(found, NoteKind.CHANGED)) == 2
    assert len(texts(found, NoteKind.SKIPPED)) == 1
    assert "colour" in texts(found, NoteKind.UNUSED)[0]


def test_a_newer_project_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="newer LLM Lab"):
        read("p.yaml", "llmlab: prompt-shot project\nversion: 2\n")
