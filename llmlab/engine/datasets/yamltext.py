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
_ITEM = re.compile(r" *- ")
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
    builder, error = _attempt(name, text)
    spent = len(text)
    for _repair in range(limits.REPAIRS):
        if error is None:
            builder.tell(notes)
            return builder.documents
        trials = []
        for first, last in _suspects(text, error):
            if spent + len(text) <= limits.YAML_WORK:
                spent += len(text)
                shorter = _without(text, first, last)
                trials.append((first, last, shorter, *_attempt(name, shorter)))
        # The one after which reading goes on farthest; of equals the first, which is the likelier one.
        best = max(trials, key=lambda trial: _reached(trial[-1]), default=None)
        if best is None or _reached(best[-1]) <= _reached(error):
            break
        first, last, text, builder, following = best
        where = f"Line {first} was" if first == last else f"Lines {first} to {last} were"
        notes.skipped(f"{where} left out: {_problem(error)}.", first)
        error = following
    return _partial(name, builder, error, notes)


def _attempt(name: str, text: str) -> tuple[_Builder, yaml.YAMLError | None]:
    builder = _Builder(name)
    try:
        builder.build(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        return builder, error
    return builder, None


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
        merge = value == "<<" and not event.style
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


def _partial(name: str, builder: _Builder, error: yaml.YAMLError | None, notes: Notes) -> list[Value]:
    """What was built before the text could not be read any further."""
    builder.close()
    if not any(isinstance(document, list | Record) and document for document in builder.documents):
        where = f", line {_line(error)}" if error and _line(error) else ""
        why = _problem(error) if error else "it holds no values"
        raise InputError(
            f"{name} is not valid YAML{where}: {why}.", "Mend that line, or quote the text that stands there."
        )
    builder.tell(notes)
    if error is not None:
        notes.skipped(f"From here on the file could not be read: {_problem(error)}.", _line(error))
    return builder.documents


def _line(error: yaml.YAMLError, mark_name: str = "problem_mark") -> int | None:
    mark = getattr(error, mark_name, None)
    return None if mark is None else mark.line + 1


def _reached(error: yaml.YAMLError | None) -> float:
    """How far reading came, in lines."""
    return float("inf") if error is None else _line(error) or 0


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return str(problem).strip().rstrip(".")


def _suspects(text: str, error: yaml.YAMLError) -> list[tuple[int, int]]:
    """(first line, last line) of what may be broken, the likeliest first.

    Where the piece begins that could not be finished says more than where the parser gave up, which may be an item
    later; a list item goes whole, for half an item would be another one.
    """
    lines = text.split("\n")
    places = [line for line in (_line(error, "context_mark"), _line(error)) if line and line <= len(lines)]
    items = [item for place in places if (item := _item(lines, place))]
    above = [item for first, _ in items[:1] if (item := _item(lines, first - 1))]  # left open, it swallows the next
    return list(dict.fromkeys([*items, *above, *((place, place) for place in places if lines[place - 1].strip())]))


def _item(lines: list[str], line: int) -> tuple[int, int] | None:
    """The list item that `line` lies in."""
    first = line - 1
    while first >= 0 and not _ITEM.match(lines[first]):
        first -= 1
    if first < 0:
        return None
    indent = _indent(lines[first])
    last = first + 1
    while last < len(lines) and (not lines[last].strip() or _indent(lines[last]) > indent):
        last += 1
    return (first + 1, last) if line <= last else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _without(text: str, first: int, last: int) -> str:
    """`text` with some lines blanked: the others keep their numbers."""
    lines = text.split("\n")
    lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(lines)
