"""Configurations of promptfoo: prompts as templates, tests as rows. Assertions in code are listed and never run."""

from __future__ import annotations

import itertools
import re

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.harness import Task
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Table
from llmlab.engine.datasets.types import Draft, FieldMapping
from llmlab.engine.datasets.values import NOTHING, Foreign, Record, Value, scalar, text_of
from llmlab.engine.shots.types import PromptSpec, Syntax

_EXPECTED = ("equals", "iequals", "contains", "icontains", "starts-with", "similar", "levenshtein", "rouge-n")
_CODE = ("javascript", "python", "webhook", "ruby")
_ELSEWHERE = re.compile(
    r"^(file|https?|huggingface|exec|package)://|\.(txt|md|json|ya?ml|csv|js|mjs|cjs|ts|py)(:\w+)?$"
)
_USED = frozenset({"prompts", "tests", "defaultTest", "description", "providers"})


def is_configuration(value: Value) -> bool:
    """Whether a YAML or JSON document is a promptfoo configuration."""
    return isinstance(value, Record) and "prompts" in value and ("tests" in value or "providers" in value)


def read(config: Record, notes: Notes) -> Task:
    """The prompts and tests of `config`."""
    prompts = config["prompts"]
    drafts = [
        draft
        for number, one in enumerate(prompts if isinstance(prompts, list) else [prompts], start=1)
        if (draft := _draft(number, one, notes))
    ]
    defaults = config.get("defaultTest", "")
    defaults = defaults if isinstance(defaults, Record) else Record()
    shared = _mapping(defaults.get("vars", ""))
    _expected(defaults, "Every test", notes)
    table, answered = Table(notes), False
    tests = config.get("tests", "")
    if isinstance(tests, str) and tests not in NOTHING:
        notes.skipped(f"The tests are in {tests[:100]}, which is not opened: drop that file, too.")
    for number, test in enumerate(tests if isinstance(tests, list) else [], start=1):
        if not isinstance(test, Record):
            notes.skipped(f"Test {number} is {text_of(test)[:60]!r}; only tests that stand in this file are read.")
            continue
        answer = _expected(test, f"Test {number}", notes)
        answered |= answer is not None
        for record in _combinations(number, {**shared, **_mapping(test.get("vars", ""))}, test.line, notes):
            if answer is not None:
                record["expected"] = answer
            table.add_record(record, test.line, f"Test {number}")
    rest = [name for name in config if name not in _USED]
    if "providers" in config:
        notes.unused("The providers are not asked: the loaded model answers.")
    if rest:
        notes.unused(f"These settings have no meaning here: {', '.join(rest)[:400]}.")
    fields = table.finish().fields
    inputs = tuple(name for name in fields if name != "expected" or not answered)
    return Task(tuple(drafts), table, FieldMapping(inputs, "expected" if answered else ""))


def _draft(number: int, one: Value, notes: Notes) -> Draft | None:
    name = f"prompt {number}"
    if isinstance(one, Record):
        name = scalar(one, "label") or scalar(one, "id") or name
        one = one.get("raw", "") or one.get("id", "")
    if not isinstance(one, str) or isinstance(one, Foreign) or one in NOTHING:
        notes.skipped(f"Prompt {number} holds no text.")
        return None
    if _ELSEWHERE.search(one.strip()) and "\n" not in one.strip():
        notes.skipped(f"Prompt {number} is in another file ({one.strip()[:100]}), which is not opened: drop it, too.")
        return None
    return Draft(name, PromptSpec(template=one, syntax=Syntax.JINJA, target_delimiter="\n"))


def _mapping(value: Value) -> dict[str, Value]:
    return dict(value) if isinstance(value, Record) else {}


def _combinations(number: int, values: dict[str, Value], line: int | None, notes: Notes) -> list[Record]:
    """The rule of promptfoo: a test whose variable has a list of values stands for one test of each."""
    several = {name: value for name, value in values.items() if isinstance(value, list) and value}
    count = 1
    for value in several.values():
        count *= len(value)
    if count > limits.COMBINATIONS:
        notes.skipped(f"Test {number} stands for {count:,} tests; the first {limits.COMBINATIONS:,} were taken.", line)
    records = []
    for chosen in itertools.islice(itertools.product(*several.values()), limits.COMBINATIONS):
        record = Record(line)
        record.update(values)
        record.update(zip(several, chosen, strict=True))
        records.append(record)
    return records


def _expected(test: Record, where: str, notes: Notes) -> str | None:
    """The text that the first comparison among the assertions asks for; the others are told."""
    assertions = test.get("assert", "")
    found: str | None = None
    for one in assertions if isinstance(assertions, list) else []:
        if not isinstance(one, Record):
            notes.unused(f"{where}: the assertion {text_of(one)[:60]!r} was not understood.", test.line)
            continue
        kind, value = scalar(one, "type"), one.get("value", "")
        if kind.removeprefix("not-") in _CODE or isinstance(value, Foreign):
            notes.not_run(f"{where}: the {kind or 'unnamed'} assertion is code ({text_of(value)[:80]!r}).", one.line)
        elif kind in _EXPECTED and isinstance(value, str) and found is None and where != "Every test":
            found = value
            if kind not in {"equals", "iequals"}:
                notes.assumed(f"{where}: what the answer should be like ({kind}) was taken for the answer.", one.line)
        else:
            notes.unused(f"{where}: the assertion {kind or 'without a type'} is not checked here.", one.line)
    return found
