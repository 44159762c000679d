"""Task files of lm-evaluation-harness: templates, labels, delimiters and inline samples. Nothing is executed.

The composition that these settings stand for is in `llmlab.engine.shots.compose`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Table
from llmlab.engine.datasets.types import Draft, FieldMapping
from llmlab.engine.datasets.values import NOTHING, Foreign, Record, Value, scalar, text_of
from llmlab.engine.shots.types import PromptSpec, Syntax

_USED = frozenset({
    "task", "task_alias", "doc_to_text", "doc_to_target", "doc_to_choice", "description", "target_delimiter",
    "fewshot_delimiter", "fewshot_config", "output_type", "dataset_path", "dataset_name", "dataset_kwargs", "metadata",
})  # fmt: skip
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_INDEX = re.compile(r"\]\s*\[\s*([A-Za-z_]\w*)\s*\]")
_SINGLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*-?\}\}")


@dataclass(frozen=True, slots=True)
class Task:
    """What a file of prompts holds: templates, rows, and which fields matter."""

    drafts: tuple[Draft, ...]
    table: Table
    mapping: FieldMapping | None = None
    choices: tuple[tuple[str, ...], ...] = ()


def is_task(value: Value) -> bool:
    """Whether a YAML document is a task file."""
    return isinstance(value, Record) and "doc_to_text" in value


def read(config: Record, notes: Notes) -> Task:
    """The task in `config`."""
    fewshot = config.get("fewshot_config", "")
    fewshot = fewshot if isinstance(fewshot, Record) else Record()
    samples = fewshot.get("samples", "")
    rows = [one for one in samples if isinstance(one, Record)] if isinstance(samples, list) else []
    _tell(config, fewshot, samples, notes)
    names = {name for row in rows for name in row}
    labels, label_field = _choices(config, names, notes)
    text = _template(config, "doc_to_text", names, notes)
    target = _template(config, "doc_to_target", names, notes)
    table, choices, output = Table(notes), [], ""
    for number, row in enumerate(rows, start=1):
        own = tuple(map(text_of, _list(row.get(label_field, "")))) if label_field else ()
        answer = _answer(target, row, own or labels)
        if answer is not None:
            output = _free_name(names)
            row = _with(row, output, answer)
        if table.add_record(row, row.line, f"Sample {number}"):
            choices.append(own)
    spec = PromptSpec(
        template=text,
        instruction=_template(config, "description", set(), notes),
        target="" if output else target,
        syntax=Syntax.JINJA,
        target_delimiter=scalar(config, "target_delimiter", " "),
        fewshot_delimiter=scalar(config, "fewshot_delimiter", "\n\n"),
        labels=labels,
    )
    single = _SINGLE.fullmatch(target)
    if not output and single and (single[1] in names or not names):
        output, spec = single[1], _without_target(spec)
    numbered = _SINGLE.fullmatch(target) if output else None  # the field that only numbers the answer
    aside = {output, numbered[1] if numbered else output}
    inputs = tuple(dict.fromkeys(name for row in rows for name in row if name not in aside))
    name = scalar(config, "task") or "task"
    mapping = FieldMapping(inputs, output) if rows else None
    return Task((Draft(name, spec),), table, mapping, tuple(choices) if any(choices) else ())


def _without_target(spec: PromptSpec) -> PromptSpec:
    """The target is a field as it stands, which the examples hold as their answer."""
    return replace(spec, target="")


def _template(config: Record, name: str, fields: set[str], notes: Notes) -> str:
    """A template as Jinja. A bare name of a field, which the harness reads as that field, becomes `{{name}}`."""
    value = config.get(name, "")
    if isinstance(value, Foreign):
        return ""  # the parser has told it already
    if not isinstance(value, str):
        notes.skipped(f"{name} is a list or a mapping, and was not understood as a template.")
        return ""
    if value in NOTHING:
        return ""
    value = with_number_index(value, name, notes)
    if value in fields or (name != "description" and not fields and _IDENTIFIER.fullmatch(value)):
        return f"{{{{{value}}}}}"
    return value


def with_number_index(template: str, name: str, notes: Notes) -> str:
    """`["no", "yes"][label]` as `["no", "yes"][label|int]`: elsewhere `label` is a number, here it is text."""
    result = _INDEX.sub(r"][\1|int]", template)
    if result != template:
        notes.changed(f"In {name}, the index of a list is made a number with |int: the fields here are text.")
    return result


def _choices(config: Record, fields: set[str], notes: Notes) -> tuple[tuple[str, ...], str]:
    """The labels, or the field that holds each item's own."""
    value = config.get("doc_to_choice", "")
    if isinstance(value, list):
        return tuple(map(text_of, value)), ""
    if not isinstance(value, str) or isinstance(value, Foreign) or value in NOTHING:
        return (), ""
    single = _SINGLE.fullmatch(value)
    name = single[1] if single else value
    if name in fields:
        return (), name
    notes.assumed(f"doc_to_choice is “{value[:80]}”: enter the labels by hand, or drop the file with the items.")
    return (), ""


def _answer(target: str, row: Record, labels: Sequence[str]) -> str | None:
    """The label that the target stands for as a number, as the harness counts them: from 0. None: no such number."""
    single = _SINGLE.fullmatch(target)
    value = row.get(single[1], "") if single else target
    if not isinstance(value, str) or not labels or value in labels or not value.isascii() or not value.isdecimal():
        return None
    return labels[int(value[:9])] if len(value) < 9 and int(value) < len(labels) else None


def _free_name(names: set[str]) -> str:
    name = "answer"
    while name in names:
        name += "_text"
    return name


def _with(row: Record, name: str, value: str) -> Record:
    result = Record(row.line)
    result.update(row)
    result[name] = value
    return result


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _tell(config: Record, fewshot: Record, samples: Value, notes: Notes) -> None:
    data = scalar(config, "dataset_path")
    if data:
        part = scalar(config, "dataset_name")
        notes.unused(
            f"The items are those of the data set {data}{f' ({part})' if part else ''}, which is not fetched: "
            "drop its file to fill the table."
        )
    _tell_samples(samples, notes)
    for name in ("doc_to_text", "doc_to_target", "doc_to_choice"):
        if name in fewshot:
            notes.unused(f"fewshot_config.{name} would write the shots unlike the query; that is not done here.")
    for name in ("include", "use_prompt"):
        if name in config:
            notes.unused(f"{name}: {text_of(config[name])[:80]} refers to another file, which is not opened.")
    rest = [name for name in config if name not in _USED and name not in {"include", "use_prompt"}]
    if rest:
        notes.unused(f"These settings have no meaning here: {', '.join(rest)[:400]}.")


def _tell_samples(samples: Value, notes: Notes) -> None:
    if isinstance(samples, str) and samples not in NOTHING and not isinstance(samples, Foreign):
        notes.skipped("fewshot_config.samples names its samples instead of holding them; they were not looked for.")
    for number, one in enumerate(_list(samples), start=1):
        if not isinstance(one, Record):
            notes.skipped(f"Sample {number} has no fields: {text_of(one)[:60]!r}.")
