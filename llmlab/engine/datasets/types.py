"""What was understood of a file with prompts or examples. No torch, no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from llmlab.engine.shots.types import Example, PromptSpec

if TYPE_CHECKING:
    from llmlab.engine.datasets.project import Project


class Format(StrEnum):
    """What a file was read as, in words for the preview."""

    PROMPTS = "text"
    CSV = "CSV"
    TSV = "TSV"
    JSON = "JSON"
    JSONL = "JSON Lines"
    YAML = "YAML"
    HARNESS = "lm-evaluation-harness task"
    PROMPTSOURCE = "promptsource templates"
    PROMPTFOO = "promptfoo configuration"
    XLSX = "Excel workbook"
    CHAINFORGE = "ChainForge flow"
    PROJECT = "LLM Lab project"


class NoteKind(StrEnum):
    """What happened to a piece of a file."""

    SKIPPED = "skipped"  # it is not among the rows
    CHANGED = "changed"  # it is, but not as it stood
    NOT_RUN = "not run"  # code, which is never executed
    UNUSED = "not used"  # it means something elsewhere, and nothing here
    ASSUMED = "assumed"  # a decision that can be corrected


@dataclass(frozen=True, slots=True)
class Note:
    """One thing the user should know of the file. `line` counts from 1; None where no line can be named."""

    kind: NoteKind
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """Corrections of what was detected; None leaves it to the reader.

    `delimiter` and `quote` are single characters, `header` whether the first row holds names, `sheet` a sheet of a
    workbook, `key` the list of a JSON or YAML file that holds the records, as in `data.examples`.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    sheet: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a table of text is written."""

    delimiter: str
    quote: str
    header: bool


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Which fields go in and which one is the answer; `output` is empty where there is none."""

    inputs: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt that the file proposes: templates, labels, delimiters."""

    name: str
    spec: PromptSpec


@dataclass(frozen=True, slots=True)
class Imported:
    """A file, understood. `rows` (rows, fields): every row has as many values as there are fields.

    `lines` holds where each row begins, from 1, empty where the format has no lines; `choices` each row's own answers
    to choose from, empty where the labels are the same for all. `whole` is False where only the beginning of `size`
    bytes was read. `keys` are the lists that could have been the records, `sheets` the sheets of a workbook;
    `options.key` and `options.sheet` the ones that were read. A project file fills `project` and nothing else.
    """

    name: str
    format: Format
    encoding: str = ""
    size: int = 0
    whole: bool = True
    fields: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[int, ...] = ()
    choices: tuple[tuple[str, ...], ...] = ()
    mapping: FieldMapping = FieldMapping()
    drafts: tuple[Draft, ...] = ()
    notes: tuple[Note, ...] = ()
    dialect: Dialect | None = None
    sheets: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    project: Project | None = None

    def examples(self, mapping: FieldMapping | None = None) -> tuple[Example, ...]:
        """The rows as shots or test items, with the fields of `mapping` (default: the proposed one)."""
        chosen = mapping or self.mapping
        places = [self.fields.index(name) for name in chosen.inputs]
        answer = self.fields.index(chosen.output) if chosen.output else None
        return tuple(
            Example(
                tuple((self.fields[place], row[place]) for place in places),
                "" if answer is None else row[answer],
                choices=self.choices[number] if self.choices else (),
            )
            for number, row in enumerate(self.rows)
        )
