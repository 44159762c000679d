"""What can be done to the rows of a project, as pure functions. No Qt."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import StrEnum

from llmlab.engine.datasets.project import Project, example_fields
from llmlab.engine.errors import InputError
from llmlab.engine.shots import templates
from llmlab.engine.shots.compose import MASK
from llmlab.engine.shots.types import Example, Form, PromptSpec

OUTPUT = "output"

Rows = tuple[Example, ...]


class Listed(StrEnum):
    """Which rows the table shows."""

    EXAMPLES = "examples"
    TEST = "test"


def rows_of(project: Project, listed: Listed) -> Rows:
    """The rows of one list."""
    return project.examples if listed is Listed.EXAMPLES else project.test


def with_rows(project: Project, listed: Listed, rows: Rows) -> Project:
    """The project with other rows."""
    return replace(project, examples=rows) if listed is Listed.EXAMPLES else replace(project, test=rows)


def named_fields(spec: PromptSpec) -> tuple[str, ...]:
    """The fields that the templates name; none of a template that is not valid yet."""
    names: dict[str, None] = {}
    for source in (spec.template, spec.instruction, spec.target):
        try:
            found = templates.fields(source, spec.syntax)
        except InputError:
            continue
        names |= dict.fromkeys(found)
    apart = {MASK, *((OUTPUT,) if spec.target else ())} if spec.form is Form.CLOZE else {OUTPUT}
    return tuple(name for name in names if name and name not in apart)


def columns(project: Project) -> tuple[str, ...]:
    """The fields of all rows and of the query, then those that only the templates name."""
    found = example_fields((*project.examples, project.query, *project.test))
    return tuple(dict.fromkeys((*found, *named_fields(project.spec))))


def moved(rows: Rows, places: Collection[int], before: int) -> tuple[Rows, int]:
    """Rows taken out and put in again before the row that was number `before`; where the first of them is now."""
    taken = [rows[place] for place in sorted(places)]
    target = before - sum(place < before for place in places)
    rest = [row for place, row in enumerate(rows) if place not in set(places)]
    return (*rest[:target], *taken, *rest[target:]), target


def duplicated(rows: Rows, places: Collection[int]) -> Rows:
    """Each of `places` twice."""
    return tuple(row for place, row in enumerate(rows) for _ in range(1 + (place in places)))


def without(rows: Rows, places: Collection[int]) -> Rows:
    """The other rows."""
    return tuple(row for place, row in enumerate(rows) if place not in places)


def shuffled(rows: Rows, seed: int) -> Rows:
    """The rows in the order of the seed: the same seed, the same order."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return tuple(order)


def with_tick(rows: Rows, places: Collection[int], included: bool) -> Rows:
    """The rows with the tick before some of them set or taken away."""
    return tuple(replace(row, included=included) if place in places else row for place, row in enumerate(rows))


def with_cell(rows: Rows, place: int, column: str | None, text: str) -> Rows:
    """A row with another text in one field, or another output (`column` None)."""
    row = rows[place]
    changed = replace(row, output=text) if column is None else with_field(row, column, text)
    return (*rows[:place], changed, *rows[place + 1 :])


def with_field(example: Example, name: str, text: str) -> Example:
    """An example with another text in one field, which is added where it was not there."""
    values = example.values
    values[name] = text
    return replace(example, fields=tuple(values.items()))


def blank(names: Sequence[str]) -> Example:
    """A row to be filled in."""
    return Example(tuple((name, "") for name in names))


def place_in_prompt(project: Project) -> dict[int, int]:
    """{row of the examples: which shot of the prompt it is}, of those that stand in it."""
    ticked = [place for place, one in enumerate(project.examples) if one.included]
    wanted = ticked if project.shots is None else ticked[: project.shots]
    return {place: number for number, place in enumerate(wanted)}
