"""Which files can be read, by their names."""

from __future__ import annotations

from llmlab.engine.datasets.types import Format

BY_SUFFIX = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".json": Format.JSON,
    ".cforge": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".yaml": Format.YAML,
    ".yml": Format.YAML,
    ".xlsx": Format.XLSX,
    ".xlsm": Format.XLSX,
    ".txt": Format.PROMPTS,
    ".text": Format.PROMPTS,
    ".prompt": Format.PROMPTS,
    ".md": Format.PROMPTS,
    ".markdown": Format.PROMPTS,
}
SUFFIXES = frozenset(BY_SUFFIX)
TABLE_SUFFIXES = SUFFIXES - {".txt", ".text", ".prompt", ".md", ".markdown"}  # files that are no prompt by themselves
