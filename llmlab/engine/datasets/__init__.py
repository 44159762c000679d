"""Files with prompts and examples, understood without running anything in them. No Qt, no torch.

`read(path)` takes CSV, TSV, JSON, JSON Lines, YAML (lm-evaluation-harness, promptsource, promptfoo), Excel, ChainForge,
plain text and the project files of LLM Lab, and returns an `Imported`: rows, fields, a proposed mapping, and a note for
everything that was skipped, changed or assumed. What reads them is imported with the first file: the window names the
types long before.
"""

from __future__ import annotations

from pathlib import Path

from llmlab.engine.datasets.formats import SUFFIXES, TABLE_SUFFIXES
from llmlab.engine.datasets.project import Project
from llmlab.engine.datasets.types import (
    Dialect,
    Draft,
    FieldMapping,
    Format,
    Imported,
    Note,
    NoteKind,
    Options,
)
from llmlab.engine.progress import UNCONTROLLED, Control

__all__ = [
    "SUFFIXES",
    "TABLE_SUFFIXES",
    "Dialect",
    "Draft",
    "FieldMapping",
    "Format",
    "Imported",
    "Note",
    "NoteKind",
    "Options",
    "Project",
    "from_bytes",
    "from_text",
    "read",
]

DETECTED = Options()  # nothing is corrected


def read(path: Path, options: Options = DETECTED, control: Control = UNCONTROLLED) -> Imported:
    """The file at `path`, read with the corrections in `options`.

    Never executes, includes or fetches what a file refers to. Raises InputError, with words, for what can't be read
    at all; whatever can is returned, with a note for everything that was skipped, changed or assumed.
    """
    from llmlab.engine.datasets import reader

    return reader.read(path, options, control)


def from_bytes(name: str, data: bytes, options: Options = DETECTED) -> Imported:
    """Like `read`, of a file that is in memory. Raises InputError."""
    from llmlab.engine.datasets import reader

    return reader.from_bytes(name, data, options)


def from_text(text: str, options: Options = DETECTED, name: str = "The pasted text") -> Imported:
    """A text from the clipboard: what it is, is told by its looks. Raises InputError."""
    from llmlab.engine.datasets import reader

    return reader.from_text(text, options, name)
