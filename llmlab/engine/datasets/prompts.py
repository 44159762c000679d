"""Plain text: one prompt, or several with lines of `---` between them."""

from __future__ import annotations

import re

from llmlab.engine.datasets import limits
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.datasets.table import Rows, Table

FIELD = "text"
_RULE = re.compile(r"-{3,}[ \t]*")
_KEY = re.compile(r"[A-Za-z_][\w-]*:(\s|$)")


def read(text: str, notes: Notes, *, markdown: bool = False) -> Rows:
    """The prompts as rows of one field. Front matter of a `markdown` file is left out, and said so."""
    table = Table(notes, (FIELD,))
    for begin, lines in _blocks(text.split("\n"), notes, markdown):
        prompt = "\n".join(lines).strip("\n")
        if not prompt.strip():
            if begin > 1:
                notes.skipped("Between two lines of --- there is no prompt.", begin)
        elif table.full:
            notes.skipped(f"Only the first {limits.ROWS:,} prompts were read.", begin)
            break
        else:
            table.add_cells((prompt,), begin, "The prompt")
    return table.finish()


def _blocks(lines: list[str], notes: Notes, markdown: bool) -> list[tuple[int, list[str]]]:
    """The stretches between the rules, each with the number of its first line."""
    start = _front_matter(lines, notes) if markdown else 0
    blocks: list[tuple[int, list[str]]] = [(start + 1, [])]
    for number, line in enumerate(lines[start:], start=start + 1):
        if _RULE.fullmatch(line):
            if len(blocks) > 2 * limits.ROWS:
                break  # more than that is not read, and a file of rules alone must not take long
            blocks.append((number + 1, []))
        else:
            blocks[-1][1].append(line)
    if len(blocks) > 1 and not any(map(str.strip, blocks[-1][1])):
        blocks.pop()  # a rule at the end closes the last prompt
    return blocks


def _front_matter(lines: list[str], notes: Notes) -> int:
    """How many lines of `key: value` between two rules stand at the beginning, the rules included."""
    if not _RULE.fullmatch(lines[0]):
        return 0
    for number, line in enumerate(lines[1:], start=2):
        if _RULE.fullmatch(line) and number > 2:
            notes.skipped(f"Lines 1 to {number} are front matter, no prompt.", 1)
            return number
        if not _KEY.match(line) and not line.startswith((" ", "-", "#")):
            return 0
    return 0
