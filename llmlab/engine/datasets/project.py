r"""The prompt-shot project as a file: YAML that people can read, compare and write by hand (docs/shots-files.md).

The format, version 1; every setting but the first two may be missing and then has the value shown.

    llmlab: prompt-shot project    what the file is
    version: 1
    name: ''                       shown in the title
    note: ''                       what the project shows
    shots: null                    how many of the ticked examples stand in the prompt; null: all of them
    seed: 0                        the examples were shuffled with
    prompt:
      form: text                   text, chat or cloze
      syntax: fields               fields: {name}; jinja: {{ name }}
      instruction: ''              before the shots
      template: ''                 the question of a shot and of the query
      target: ''                   a template for the answer; empty: the output as it stands
      target_delimiter: ' '        between question and answer
      fewshot_delimiter: "\n\n"      after each shot
      labels: []                   the answers to choose from; empty: free text
      verbalizer: {}               label: the word that stands for it in the prompt
      instruction_role: system     system or user, in the chat form
      overflow: refuse             refuse, drop first or drop last
      room: 32                     tokens that must remain for the completion
    query:
      fields: {}
      output: ''                   the answer that is expected, where it is known
    examples: []                   the shots, each {fields: {name: text}, output: '', included: true, choices: []}
    test: []                       the items to measure with, written like the examples

Every text is taken as it is written: a label `Yes` is not made a truth value, `1.0` not a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from llmlab import textfile
from llmlab.engine.datasets import limits
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.values import Record, Value, is_nothing, is_true, text_of
from llmlab.engine.errors import InputError
from llmlab.engine.shots.types import Example, PromptSpec

KIND = "prompt-shot project"
VERSION = 1
SUFFIX = ".shots.yaml"
LARGEST_ROOM = 1_000_000
NO_QUERY = Example(())
LARGEST_SEED = 2**32 - 1

T = TypeVar("T", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Project:
    """All that the panel holds. `shots` None: every ticked example stands in the prompt."""

    spec: PromptSpec
    examples: tuple[Example, ...] = ()
    query: Example = NO_QUERY
    test: tuple[Example, ...] = ()
    shots: int | None = None
    seed: int = 0
    name: str = ""
    note: str = ""


def dumps(project: Project) -> str:
    """The project as YAML."""
    import yaml

    spec = project.spec
    data = {
        "llmlab": KIND,
        "version": VERSION,
        "name": project.name,
        "note": project.note,
        "shots": project.shots,
        "seed": project.seed,
        "prompt": {
            "form": spec.form.value,
            "syntax": spec.syntax.value,
            "instruction": spec.instruction,
            "template": spec.template,
            "target": spec.target,
            "target_delimiter": spec.target_delimiter,
            "fewshot_delimiter": spec.fewshot_delimiter,
            "labels": list(spec.labels),
            "verbalizer": dict(spec.verbalizer),
            "instruction_role": spec.instruction_role.value,
            "overflow": spec.overflow.value,
            "room": spec.room,
        },
        "query": {"fields": project.query.values, "output": project.query.output},
        "examples": [_example(one) for one in project.examples],
        "test": [_example(one) for one in project.test],
    }
    return str(yaml.dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=2**20))


def save(path: Path, project: Project) -> None:
    """Write the project so that a full disk or a killed process leaves the former file whole.

    Raises OSError, and InputError for more than could be read back.
    """
    text = dumps(project)
    if len(text) > limits.YAML_BYTES:
        raise InputError(
            f"The project has {len(text):,} characters; {limits.YAML_BYTES:,} are the most that can be opened again.",
            "Keep a smaller test set in the project, and the large one in a CSV file.",
        )
    textfile.write(path, text)


def loads(name: str, text: str, notes: Notes) -> Project:
    """The project in `text`. Raises InputError for what is none; what is wrong in a part of it is noted."""
    from llmlab.engine.datasets import yamltext

    documents = yamltext.parse(name, text, notes)
    if not documents or not is_project(documents[0]):
        raise InputError(f"{name} is no project of LLM Lab.", "A project begins with “llmlab: prompt-shot project”.")
    document = documents[0]
    assert isinstance(document, Record)
    return from_record(name, document, notes)


def is_project(value: Value) -> bool:
    """Whether a YAML document is a project."""
    return isinstance(value, Record) and value.get("llmlab") == KIND


def from_record(name: str, document: Record, notes: Notes) -> Project:
    """The project in a YAML document. Raises InputError for a version that is not known."""
    reader = _Reader(notes)
    version = reader.number(document, "version", VERSION, 0, 10**6)
    if version != VERSION:
        raise InputError(
            f"{name} was written by a newer LLM Lab: its format is version {version}, this one reads {VERSION}.",
            "Open it with the newer LLM Lab.",
        )
    known = {"llmlab", "version", "name", "note", "shots", "seed", "prompt", "query", "examples", "test"}
    reader.unknown(document, known, "project")
    shots = None if is_nothing(document.get("shots", "")) else reader.number(document, "shots", 0, 0, 10**6)
    return Project(
        spec=_spec(reader, reader.record(document, "prompt")),
        examples=reader.examples(document, "examples"),
        query=reader.example(reader.record(document, "query"), "query"),
        test=reader.examples(document, "test"),
        shots=shots,
        seed=reader.number(document, "seed", 0, 0, LARGEST_SEED),
        name=reader.text(document, "name"),
        note=reader.text(document, "note"),
    )


def _spec(reader: _Reader, prompt: Record) -> PromptSpec:
    default = PromptSpec("")
    reader.unknown(prompt, set(PromptSpec.__dataclass_fields__), "prompt")
    return PromptSpec(
        template=reader.text(prompt, "template"),
        instruction=reader.text(prompt, "instruction"),
        target=reader.text(prompt, "target"),
        syntax=reader.choice(prompt, "syntax", default.syntax),
        form=reader.choice(prompt, "form", default.form),
        target_delimiter=reader.text(prompt, "target_delimiter", default.target_delimiter),
        fewshot_delimiter=reader.text(prompt, "fewshot_delimiter", default.fewshot_delimiter),
        labels=reader.texts(prompt, "labels"),
        verbalizer=reader.pairs(prompt, "verbalizer"),
        instruction_role=reader.choice(prompt, "instruction_role", default.instruction_role),
        overflow=reader.choice(prompt, "overflow", default.overflow),
        room=reader.number(prompt, "room", default.room, 0, LARGEST_ROOM),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes settings out of mappings; what is of the wrong kind is noted, and the default used."""

    notes: Notes
    _told: set[str] = field(default_factory=set)

    def unknown(self, record: Record, known: set[str], where: str) -> None:
        for name in record.keys() - known:
            self.notes.unused(f"The {where} has a setting “{name[:60]}”, which is not known.", record.line)

    def text(self, record: Record, name: str, default: str = "") -> str:
        value = record.get(name, default)
        if isinstance(value, str):
            return value
        self._wrong(record, name, "a text")
        return default

    def texts(self, record: Record, name: str) -> tuple[str, ...]:
        value = record.get(name, [])
        if isinstance(value, list):
            return tuple(map(text_of, value))
        if not is_nothing(value):
            self._wrong(record, name, "a list")
        return ()

    def pairs(self, record: Record, name: str) -> tuple[tuple[str, str], ...]:
        return tuple((key, text_of(value)) for key, value in self.record(record, name).items())

    def record(self, record: Record, name: str) -> Record:
        value = record.get(name, "")
        if isinstance(value, Record):
            return value
        if not is_nothing(value):
            self._wrong(record, name, "a mapping")
        return Record(record.line)

    def number(self, record: Record, name: str, default: int, least: int, most: int) -> int:
        text = record.get(name, str(default))
        if isinstance(text, str) and re.fullmatch(r"\d{1,15}", text, re.ASCII) and least <= int(text) <= most:
            return int(text)
        self._wrong(record, name, f"a whole number from {least} to {most:,}")
        return default

    def choice(self, record: Record, name: str, default: T) -> T:
        value = record.get(name, default.value)
        kind = type(default)
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        self._wrong(record, name, f"one of {', '.join(kind)}")
        return default

    def examples(self, document: Record, name: str) -> tuple[Example, ...]:
        value = document.get(name, [])
        if not isinstance(value, list):
            if not is_nothing(value):
                self._wrong(document, name, "a list")
            return ()
        found = []
        for number, one in enumerate(value, start=1):
            if isinstance(one, Record):
                found.append(self.example(one, f"{name} {number}"))
            else:
                self.notes.skipped(f"Number {number} of {name} is no mapping: {text_of(one)[:60]!r}.", document.line)
        return tuple(found)

    def example(self, record: Record, where: str) -> Example:
        self.unknown(record, {"fields", "output", "included", "choices"}, where)
        return Example(
            fields=self.pairs(record, "fields"),
            output=self.text(record, "output"),
            included=is_true(record.get("included", "true")),
            choices=self.texts(record, "choices"),
        )

    def _wrong(self, record: Record, name: str, wanted: str) -> None:
        self.notes.changed(f"“{name}” is not {wanted}; its default is used.", record.line)


def _example(one: Example) -> dict[str, Any]:
    data: dict[str, Any] = {"fields": one.values, "output": one.output}
    if not one.included:
        data["included"] = False
    if one.choices:
        data["choices"] = list(one.choices)
    return data


def _dumper() -> Any:
    """Texts of several lines as blocks, so that a project reads like its prompts."""
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]  # C or Python, as PyYAML was built
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(str, _represent)
    return Dumper


def _represent(dumper: Any, text: str) -> Any:
    # A block can hold neither a space at a line's end nor an odd line break: those are quoted, by PyYAML's own choice.
    block = "\n" in text.strip("\n") and not re.search(r"[ \t]$|^[ \t]|[\r\x85\u2028\u2029\ufeff]", text, re.MULTILINE)
    style = "|" if block else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def example_fields(examples: Sequence[Example]) -> tuple[str, ...]:
    """The fields that any of the examples has, in the order of their first appearance."""
    names: Mapping[str, None] = dict.fromkeys(name for one in examples for name, _ in one.fields)
    return tuple(names)
