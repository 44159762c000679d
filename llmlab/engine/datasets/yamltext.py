"""YAML with every scalar as the text that stands in the file: a label `Yes` or `1.0` stays what was written.

Built from the parser's events, so that no constructor ever runs, nesting costs no recursion, and an alias is one more
name for a value and not a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.values import Foreign, Record, Value, text_of
from llmlab.engine.errors import InputError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its parser is used
_PLAIN_TAGS = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset({"!", "!Template", "!TemplateMetadata", *(_PLAIN_TAGS + name for name in (
    "str", "int", "float", "bool", "null", "map", "seq", "timestamp", "binary", "merge", "set", "omap"
))})  # fmt: skip
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.1, 5.1
_NEEDS_CODE = re.compile(r"!function|python|ruby|!include|!js|!env", re.IGNORECASE)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet. `size` counts the values in it, aliases written out."""

    value: list[Value] | Record
    anchor: str | None
    key: Value | None = None
    merged: list[Record] = field(default_factory=list)
    size: int = 1


def parse(name: str, text: str, notes: Notes) -> list[Value]:
    """The documents of a YAML text. Broken items of lists are cut out and noted.

    Raises InputError for what can't be YAML, or would be too much of it.
    """
    if len(text) > limits.YAML_BYTES:
        raise InputError(
            f"{name} has {len(text):,} characters; YAML is read up to {limits.YAML_BYTES:,}.",
            "Keep the templates in YAML, and the records in a CSV or JSON Lines file.",
        )
    text, odd = _UNPRINTABLE.subn("\ufffd", text)
    if odd:
        notes.changed(f"{odd:,} control characters, which YAML does not allow, are shown as \ufffd.")
    error: yaml.YAMLError | None = None
    for _attempt in range(limits.REPAIRS):
        builder = _Builder(name)
        try:
            builder.build(yaml.parse(text, Loader=_LOADER))
        except yaml.YAMLError as caught:
            error = error or caught
            # Where the broken piece begins says more than where the parser gave up, which may be an item later.
            repaired = _without_item(text, _line(caught, "context_mark")) or _without_item(text, _line(caught))
            if repaired is None:
                return _partial(name, builder, caught, notes)
            text, first, last = repaired
            notes.skipped(f"Lines {first} to {last} were left out: {_problem(caught)}.", first)
        else:
            builder.tell(notes)
            return builder.documents
    raise _broken(name, error)


class _Builder:
    """Takes the parser's events and builds texts, lists and mappings of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._remarks: list[tuple[str, str, int]] = []
        self.documents: list[Value] = []

    def build(self, events: Iterable[Any]) -> None:
        """Raises yaml.YAMLError where the text is broken: what came before it is in `documents` or still open."""
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()

    def close(self) -> None:
        """End what is still open, as far as it has come."""
        while self._open:
            self._end()

    def tell(self, notes: Notes) -> None:
        """Hand over what was noticed; not before the text was read to its end, for it may be read again."""
        for kind, text, line in self._remarks:
            {"not run": notes.not_run, "changed": notes.changed, "unused": notes.unused}[kind](text, line)

    def _scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        value: str = event.value
        if event.tag and event.tag not in _KNOWN_TAGS:
            value = Foreign(f"{event.tag} {value}")
            self._remark_tag(event.tag, line, f"{event.tag} {event.value}")
        merge = value == "<<" and event.style is None
        self._put(value, event.anchor, 1, line, merge=merge)

    def _begin(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if len(self._open) >= limits.DEPTH:
            raise InputError(
                f"{self._name} is nested deeper than {limits.DEPTH} levels (line {line}).",
                "Check that it is the file you meant.",
            )
        if event.tag and event.tag not in _KNOWN_TAGS:
            self._remark_tag(event.tag, line, event.tag)
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._open.append(_Open(Record(line) if mapping else [], event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.value, Record):
            for record in done.merged:  # what is said here goes before what is merged in
                for name, value in record.items():
                    done.value.setdefault(name, value)
        line = done.value.line if isinstance(done.value, Record) else None
        self._put(done.value, done.anchor, done.size, line or 0)

    def _alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if event.anchor not in self._anchors:
            inside = any(one.anchor == event.anchor for one in self._open)
            why = "is a part of itself" if inside else "was never named"
            raise InputError(f"In {self._name}, line {line}, the alias *{event.anchor} {why}.", "Write its value out.")
        value, size = self._anchors[event.anchor]
        self._put(value, None, size, line)

    def _put(self, value: Value, anchor: str | None, size: int, line: int, *, merge: bool = False) -> None:
        """A finished value takes its place in the list or mapping that is open."""
        if anchor:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self.documents.append(value)
            return
        parent = self._open[-1]
        parent.size += size
        if parent.size > limits.NODES:
            raise InputError(
                f"{self._name} stands for more than {limits.NODES:,} values (line {line}).",
                "A file whose aliases multiply like this is not read; write out what is needed.",
            )
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            parent.key = Foreign("<<") if merge else text_of(value)
        else:
            self._put_pair(parent, str(parent.key), value, line)

    def _put_pair(self, parent: _Open, key: str, value: Value, line: int) -> None:
        record = parent.value
        assert isinstance(record, Record)
        if isinstance(parent.key, Foreign) and key == "<<":
            parent.merged += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Record)]
        else:
            if key in record:
                former = text_of(record[key])[:60]
                text = f"“{key[:60]}” stands twice in one mapping; the later value is used, not {former!r}."
                self._remarks.append(("changed", text, line))
            record[key] = value
        parent.key = None

    def _remark_tag(self, tag: str, line: int, shown: str) -> None:
        shown = shown.replace(_PLAIN_TAGS, "!!")
        if _NEEDS_CODE.search(tag):
            self._remarks.append(("not run", f"“{shown[:120]}” would need code, which is never run.", line))
        else:
            self._remarks.append(("unused", f"The tag “{tag[:60]}” means nothing here; its value is read.", line))


def _partial(name: str, builder: _Builder, error: yaml.YAMLError, notes: Notes) -> list[Value]:
    builder.close()
    if not any(isinstance(document, list | Record) and document for document in builder.documents):
        raise _broken(name, error)
    builder.tell(notes)
    notes.skipped(f"From here on the file could not be read: {_problem(error)}.", _line(error))
    return builder.documents


def _broken(name: str, error: yaml.YAMLError | None) -> InputError:
    where = f", line {_line(error)}" if error and _line(error) else ""
    why = _problem(error) if error else "too many places are broken"
    return InputError(
        f"{name} is not valid YAML{where}: {why}.", "Mend that line, or quote the text that stands there."
    )


def _line(error: yaml.YAMLError, mark_name: str = "problem_mark") -> int | None:
    mark = getattr(error, mark_name, None)
    return None if mark is None else mark.line + 1


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return str(problem).strip().rstrip(".")


def _without_item(text: str, line: int | None) -> tuple[str, int, int] | None:
    """`text` with the list item around `line` blanked, and its first and last line; None where there is no item.

    The lines stay, so that all numbers remain right.
    """
    if line is None:
        return None
    lines = text.split("\n")
    first = min(line, len(lines)) - 1
    while first >= 0 and not re.match(r" *- ", lines[first]):
        first -= 1
    if first < 0:
        return None
    indent = len(lines[first]) - len(lines[first].lstrip(" "))
    last = first + 1
    while last < len(lines) and (not lines[last].strip() or len(lines[last]) - len(lines[last].lstrip(" ")) > indent):
        last += 1
    if last < line - 1:
        return None  # the damage lies beyond the item
    lines[first:last] = [""] * (last - first)
    return "\n".join(lines), first + 1, last
