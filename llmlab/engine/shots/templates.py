"""Templates over the fields of an example: `{field}`, or Jinja2 in a sandbox.

A Jinja template that can neither loop nor multiply its input is rendered here, any other in a process of its own
with two seconds and one gibibyte. jinja2 is imported where it is needed: the window opens without it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llmlab.children import RENDER_TEMPLATES
from llmlab.engine.errors import InputError
from llmlab.engine.shots.types import Syntax
from llmlab.engine.template_process import ask
from llmlab.engine.wording import one_of

Values: TypeAlias = Mapping[str, str]

SECONDS = 2.0  # for all rows, and a little more for each
SECONDS_EACH = 0.002
MOST_CHARACTERS = 2_000_000  # of one rendered text
_BRACES = "Write a literal brace twice: {{ and }}."


@dataclass(frozen=True, slots=True)
class _Field:
    name: str


def fields(source: str, syntax: Syntax) -> tuple[str, ...]:
    """The fields that a template names, in order. Raises InputError for a template that is not valid."""
    if syntax is Syntax.FIELDS:
        return tuple(dict.fromkeys(piece.name for piece in _pieces(source) if isinstance(piece, _Field)))
    from llmlab.engine.shots import jinja

    try:
        found = jinja.fields(source)
    except (jinja.TemplateError, RecursionError) as error:
        raise _in_words(*jinja.kind_of(error)) from None
    return tuple(sorted(found, key=source.find))


class Renderer:
    """Renders templates and remembers the texts, so that a shot that many prompts have is rendered once."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._texts: dict[tuple[str, str], str] = {}

    def prepare(self, wanted: Iterable[tuple[str, Values]]) -> None:
        """Render (template, fields) all at once, which matters where that takes a process. Raises InputError."""
        if self._syntax is Syntax.JINJA:
            rows = {_key(source, values): (source, values) for source, values in wanted}
            missing = {key: row for key, row in rows.items() if key not in self._texts}
            self._texts.update(zip(missing, _render_jinja(list(missing.values())), strict=True))

    def render(self, source: str, values: Values) -> str:
        """The text. Raises InputError, for a template that is not valid or a field that is not there."""
        if self._syntax is Syntax.FIELDS:
            return _checked(_render_fields(source, values))
        self.prepare([(source, values)])
        return self._texts[_key(source, values)]


def _key(source: str, values: Values) -> tuple[str, str]:
    return source, json.dumps(values)


def _checked(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"The template makes a text of {len(text):,} characters; {MOST_CHARACTERS:,} are the most for one part.",
            "Shorten the template or the fields it uses.",
        )
    return text


def _render_fields(source: str, values: Values) -> str:
    return "".join(_value(piece.name, values) if isinstance(piece, _Field) else piece for piece in _pieces(source))


def _value(name: str, values: Values) -> str:
    if name not in values:
        raise InputError(
            f"The template names the field “{name}”, which this example does not have.",
            f"Its fields are {one_of(list(values))}. {_BRACES}" if values else f"It has no fields at all. {_BRACES}",
        )
    return values[name]


@functools.lru_cache(maxsize=64)
def _pieces(source: str) -> tuple[str | _Field, ...]:
    """Literal text and fields in turn."""
    pieces: list[str | _Field] = []
    place = 0
    while place < len(source):
        ends = [found for found in (source.find("{", place), source.find("}", place)) if found >= 0]
        end = min(ends, default=len(source))
        pieces.append(source[place:end])
        if end == len(source):
            break
        if source[end : end + 2] in ("{{", "}}"):
            pieces.append(source[end])
            place = end + 2
        else:
            close = source.find("}", end)
            if source[end] == "}" or close < 0 or "{" in source[end + 1 : close]:
                raise _stray(source, end)
            pieces.append(_Field(source[end + 1 : close].strip()))
            place = close + 1
    return tuple(piece for piece in pieces if piece != "")


def _stray(source: str, place: int) -> InputError:
    line = source.count("\n", 0, place) + 1
    column = place - source.rfind("\n", 0, place)
    return InputError(
        f"The template has a single “{source[place]}” in line {line}, column {column}, that belongs to no field.",
        f"A field is written {{name}}. {_BRACES}",
    )


def _render_jinja(rows: Sequence[tuple[str, Values]]) -> list[str]:
    tame = {source: _tame(source) for source, _ in rows}
    if all(tame.values()):
        return [_checked(_render_here(source, values)) for source, values in rows]
    sources = list(tame)
    request = {"templates": sources, "rows": [[sources.index(source), dict(values)] for source, values in rows]}
    answer: dict[str, Any] = ask(RENDER_TEMPLATES, request, SECONDS + SECONDS_EACH * len(rows))
    if "texts" not in answer:
        raise _in_words(str(answer["error"]), str(answer.get("text_of_error", "")))
    return [_checked(str(text)) for text in answer["texts"]]


def _tame(source: str) -> bool:
    from llmlab.engine.shots import jinja

    if len(source) > jinja.PLAIN:
        return False
    try:
        return jinja.is_tame(jinja.environment().parse(source))
    except (jinja.TemplateError, RecursionError) as error:
        raise _in_words(*jinja.kind_of(error)) from None


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> Any:
    from llmlab.engine.shots import jinja

    return jinja.environment().from_string(source)


def _render_here(source: str, values: Values) -> str:
    from llmlab.engine.shots import jinja

    try:
        return str(_compiled(source).render(**values))
    except Exception as error:  # noqa: BLE001 - a template can make any call fail
        problem = jinja.kind_of(error)
    raise _in_words(*problem)


def _in_words(kind: str, text: str) -> InputError:
    messages = {
        "start": "The process that renders templates could not be started.",
        "time": f"The template was stopped: it ran for more than {SECONDS:g} s.",
        "memory": "The template was stopped: it wanted too much memory.",
        "depth": "The template is nested too deeply.",
        "syntax": f"The template is not valid Jinja, {text}.",
        "sandbox": f"The template tried something that templates may not do: {text}.",
        "undefined": f"The template names something that the example does not have: {text}.",
    }
    hints = {
        "time": "Take loops and large numbers out of the template.",
        "memory": "Take loops and large numbers out of the template.",
        "undefined": "Use the names of the example's fields.",
    }
    return InputError(
        messages.get(kind, f"The template failed: {text}."),
        hints.get(kind, "Correct the template, or use the simple form {field}."),
    )
