"""What an imported file makes of the project. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from llmlab.engine.datasets.project import Project
from llmlab.engine.datasets.types import FieldMapping, Format, Imported
from llmlab.engine.shots.types import Example, PromptSpec, Syntax
from llmlab.ui.panels.shots.build.editing import named_fields

MOST_LABELS = 20
FIRST_SHOTS = 8  # of a file that gives examples and test set
MOST_SHOTS = 4  # that stand in the prompt at first


class Use(StrEnum):
    """What the rows of a file are to be."""

    BOTH = "both"
    EXAMPLES = "examples"
    MORE = "more"
    TEST = "test"
    INSTRUCTION = "instruction"
    PROMPT = "prompt"  # the templates alone
    PROJECT = "project"


USES: dict[Use, tuple[str, str]] = {
    Use.BOTH: ("Examples and test set", f"The first {FIRST_SHOTS} rows become examples, the others the test set"),
    Use.EXAMPLES: ("Examples, in place of the present ones", "All rows become examples; the test set stays"),
    Use.MORE: ("Further examples", "All rows are added to the examples"),
    Use.TEST: ("Test set", "All rows become the items to measure with; the examples stay"),
    Use.INSTRUCTION: ("Instruction", "The first text becomes the instruction"),
    Use.PROMPT: ("Templates only", "Instruction, templates and labels; the rows of the project stay"),
    Use.PROJECT: ("The whole project", "Takes the place of what is here; undo brings it back"),
}


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user decides in the preview. `draft` is the number of a prompt of the file, None: keep the present."""

    use: Use
    mapping: FieldMapping
    draft: int | None = None
    labels: bool = True  # take the distinct outputs as labels


def uses_of(imported: Imported) -> tuple[Use, ...]:
    """What can be made of a file, the likeliest first."""
    if imported.project is not None:
        return (Use.PROJECT,)
    if not imported.rows:
        return (Use.PROMPT,)
    rows: tuple[Use, ...] = (Use.BOTH, Use.EXAMPLES, Use.MORE, Use.TEST)
    if imported.format is Format.PROMPTS:
        return (Use.INSTRUCTION, Use.TEST) if len(imported.rows) == 1 else (Use.TEST, Use.EXAMPLES, Use.INSTRUCTION)
    if len(imported.rows) <= FIRST_SHOTS:
        rows = (Use.EXAMPLES, Use.MORE, Use.TEST)
    return (*rows, Use.PROMPT) if imported.drafts else rows


def first_choices(imported: Imported) -> Choices:
    """What is proposed."""
    return Choices(uses_of(imported)[0], imported.mapping, 0 if imported.drafts else None)


def labels_of(imported: Imported, mapping: FieldMapping) -> tuple[str, ...]:
    """The outputs as labels, in the order of their first appearance; none where they look like free text."""
    if not mapping.output:
        return ()
    place = imported.fields.index(mapping.output)
    counts = Counter(row[place] for row in imported.rows if row[place])
    few = len(counts) <= MOST_LABELS and counts.total() >= 2 * len(counts)
    return tuple(counts) if few and len(counts) > 1 else ()


def spec_after(spec: PromptSpec, imported: Imported, choices: Choices) -> PromptSpec:
    """The prompt as it would be: the file's own, the present one if it fits the fields, else a plain one."""
    if choices.use in {Use.PROJECT, Use.INSTRUCTION}:
        return imported.project.spec if imported.project is not None else spec
    if choices.draft is not None:
        draft = imported.drafts[choices.draft].spec
        labels = draft.labels or (labels_of(imported, choices.mapping) if choices.labels else ())
        return replace(
            draft, labels=labels, form=spec.form, overflow=spec.overflow, room=spec.room, verbalizer=spec.verbalizer
        )
    mapping = choices.mapping
    fits = set(named_fields(spec)) <= {*mapping.inputs, mapping.output} and bool(named_fields(spec))
    if not fits:
        spec = replace(
            spec, template=plain_template(mapping), instruction="", target="", syntax=Syntax.FIELDS, verbalizer=()
        )
    if not mapping.output:
        return spec
    labels = labels_of(imported, mapping) if choices.labels else ()
    if fits and _numbers(labels, spec.labels):
        return spec
    if set(labels) <= set(spec.labels) and fits:
        return spec
    # An instruction that lists the former labels would contradict the new ones.
    stale = any(label in spec.instruction for label in spec.labels)
    return replace(spec, labels=labels, verbalizer=(), instruction="" if stale else spec.instruction)


def plain_template(mapping: FieldMapping) -> str:
    """A template that names every field: `Text: {text}`, and the answer's name at the end."""
    lines = [f"{_title(name)}: {{{name}}}" for name in mapping.inputs]
    if mapping.output:
        lines.append(f"{_title(mapping.output)}:")
    return "\n".join(lines)


def applied(project: Project, imported: Imported, choices: Choices) -> Project:
    """The project with the file in it."""
    if imported.project is not None:
        return imported.project
    spec = spec_after(project.spec, imported, choices)
    if choices.use is Use.PROMPT:
        return replace(project, spec=spec)
    if choices.use is Use.INSTRUCTION:
        text = imported.rows[0][0]
        literal = text.replace("{", "{{").replace("}", "}}") if spec.syntax is Syntax.FIELDS else _raw(text)
        return replace(project, spec=replace(spec, instruction=f"{literal}\n\n"))
    rows = _named(_examples(spec, imported, choices.mapping), spec)
    if choices.use is Use.MORE:
        return replace(project, spec=spec, examples=(*project.examples, *rows))
    if choices.use is Use.TEST:
        return replace(project, spec=spec, test=rows, query=_query(project, rows))
    shots = rows[:FIRST_SHOTS] if choices.use is Use.BOTH else rows
    test = rows[FIRST_SHOTS:] if choices.use is Use.BOTH else project.test
    first = min(MOST_SHOTS, len(shots))
    query = test[0] if choices.use is Use.BOTH and test else _query(project, rows)
    return replace(project, spec=spec, examples=shots, test=test, shots=first, query=query, seed=0)


def _examples(spec: PromptSpec, imported: Imported, mapping: FieldMapping) -> tuple[Example, ...]:
    """The rows. An answer that the templates name, as those of a task file may, is among the fields as well."""
    if mapping.output and mapping.output in named_fields(spec) and mapping.output not in mapping.inputs:
        mapping = replace(mapping, inputs=(*mapping.inputs, mapping.output))
    return imported.examples(mapping)


def _numbers(outputs: Collection[str], labels: Sequence[str]) -> bool:
    """Whether the outputs are the numbers of the labels, from 0, as data sets for task files have them."""
    numbered = {str(number) for number in range(len(labels))}
    return bool(outputs) and set(outputs) <= numbered and not set(outputs) & set(labels)


def _named(rows: tuple[Example, ...], spec: PromptSpec) -> tuple[Example, ...]:
    """The rows with labels in place of their numbers; a template for the answer does that itself."""
    if spec.target or not _numbers({row.output for row in rows}, spec.labels):
        return rows
    return tuple(replace(row, output=spec.labels[int(row.output)]) for row in rows)


def _query(project: Project, rows: Sequence[Example]) -> Example:
    """The present query while it has the fields of the rows; else the last row, without its answer in the prompt."""
    fields = [name for name, _ in rows[-1].fields] if rows else []
    return project.query if not rows or [name for name, _ in project.query.fields] == fields else rows[-1]


def _title(name: str) -> str:
    plain = name.replace("_", " ").strip()
    return plain[:1].upper() + plain[1:]


def _raw(text: str) -> str:
    """A text that Jinja leaves alone."""
    return f"{{% raw %}}{text}{{% endraw %}}" if "{{" in text or "{%" in text or "{#" in text else text
