"""Template files of promptsource: `!Template` entries whose Jinja holds the input and, after `|||`, the target."""

from __future__ import annotations

import re

from llmlab.engine.datasets.harness import with_number_index
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.types import Draft
from llmlab.engine.datasets.values import Record, Value, scalar
from llmlab.engine.shots.types import PromptSpec, Syntax

_CHOICE = re.compile(r"\banswer_choices\b")


def is_collection(value: Value) -> bool:
    """Whether a YAML document is a file of templates."""
    if not isinstance(value, Record) or not isinstance(value.get("templates"), Record):
        return False
    templates = value["templates"]
    assert isinstance(templates, Record)
    return any(isinstance(one, Record) and "jinja" in one for one in templates.values())


def read(collection: Record, notes: Notes) -> tuple[Draft, ...]:
    """The templates, in the order of the file."""
    drafts = []
    templates = collection["templates"]
    assert isinstance(templates, Record)
    for key, one in templates.items():
        if not isinstance(one, Record) or not scalar(one, "jinja").strip():
            line = one.line if isinstance(one, Record) else None
            notes.skipped(f"The template {key[:60]} holds no Jinja text.", line)
            continue
        drafts.append(_draft(key, one, notes))
    data = " ".join(filter(None, (scalar(collection, "dataset"), scalar(collection, "subset"))))
    if data:
        notes.unused(f"The items are those of the data set {data}, which is not fetched: drop its file.")
    return tuple(drafts)


def _draft(key: str, one: Record, notes: Notes) -> Draft:
    name = scalar(one, "name") or key
    question, bar, target = scalar(one, "jinja").partition("|||")
    if not bar:
        notes.assumed(f"“{name[:60]}” has no |||: all of it is the question.", one.line)
    # promptsource strips both sides and leaves to its caller what joins them.
    question, target = question.strip(), target.strip()
    choices = scalar(one, "answer_choices")
    labels: tuple[str, ...] = ()
    if choices and "{" in choices:
        notes.assumed(f"The labels of “{name[:60]}” depend on the item ({choices[:60]}): enter them by hand.", one.line)
    elif choices:
        labels = tuple(choice.strip() for choice in choices.split("|||"))
        # The names that promptsource gives its templates besides the fields: here they are written out.
        literal = "[" + ", ".join(_quoted(label) for label in labels) + "]"
        question, target = (_CHOICE.sub(lambda _: literal, side) for side in (question, target))
    question, target = (with_number_index(side, f"“{name[:60]}”", notes) for side in (question, target))
    spec = PromptSpec(template=question, target=target, syntax=Syntax.JINJA, labels=labels)
    return Draft(name, spec)


def _quoted(label: str) -> str:
    escaped = label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
