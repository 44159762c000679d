"""Files with prompts and examples, understood without running anything in them. No Qt, no torch.

`read(path)` takes CSV, TSV, JSON, JSON Lines, YAML (lm-evaluation-harness, promptsource, promptfoo), Excel, ChainForge,
plain text and the project files of LLM Lab, and returns an `Imported`: rows, fields, a proposed mapping, and a note for
everything that was skipped, changed or assumed.
"""

from llmlab.engine.datasets.project import Project
from llmlab.engine.datasets.reader import SUFFIXES, TABLE_SUFFIXES, from_bytes, from_text, read
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
