"""The words of the tab: parts of a prompt, what was found in a file. No Qt."""

from __future__ import annotations

from collections import Counter

from llmlab.engine.datasets.types import Imported, NoteKind
from llmlab.engine.shots.types import Budget, PartKind, Rendered
from llmlab.ui import words
from llmlab.ui.panels.shots.build.screen import Segment

_NAMES = {
    PartKind.INSTRUCTION: "Instruction",
    PartKind.QUERY: "Query",
    PartKind.FRAME: "Chat template",
    PartKind.SPECIAL: "Special tokens",
}
DELIMITERS = {",": "comma ,", "\t": "tab", ";": "semicolon ;", "|": "bar |"}


def part_name(kind: PartKind, shot: int | None) -> str:
    """Instruction, Shot 3 … (places count from 0)."""
    return f"Shot {shot + 1}" if shot is not None else _NAMES.get(kind, "Shot")


def segments(rendered: Rendered, budget: Budget) -> tuple[Segment, ...]:
    """The bar: instruction, every shot, query, what templates and tokenizer add, what remains for the completion."""
    tokens: Counter[tuple[PartKind, int | None]] = Counter()
    for each in budget.parts:
        tokens[each.part.kind, each.part.shot] += each.tokens
    order: list[tuple[PartKind, int | None]] = [
        (PartKind.SPECIAL, None),
        (PartKind.FRAME, None),
        (PartKind.INSTRUCTION, None),
    ]
    order += [(PartKind.SHOT, number) for number in rendered.used] + [(PartKind.QUERY, None)]
    found = [Segment(kind, part_name(kind, shot), tokens[kind, shot], shot) for kind, shot in order]
    if budget.left is not None and budget.left > 0:
        found.append(Segment(None, "Room for the completion", budget.left))
    return tuple(segment for segment in found if segment.tokens)


def summary(rendered: Rendered, budget: Budget) -> str:
    """The numbers of the bar on one line."""
    shots = len(rendered.used)
    text = f"{budget.tokens:,} token{'s' * (budget.tokens != 1)}, {shots} shot{'s' * (shots != 1)}"
    if budget.context is None:
        return f"{text} · no limit"
    assert budget.left is not None
    if budget.left < 0:
        return f"{text} · {-budget.left:,} more than the {budget.context:,} of the model"
    return f"{text} · {budget.left:,} of {budget.context:,} left"


def too_long(budget: Budget) -> str:
    """That the room which was asked for does not remain, and what to do."""
    left = budget.left or 0
    there = f"{left:,} remain" if left >= 0 else f"{-left:,} too many are there already"
    return (
        f"Too long: {budget.room:,} tokens should remain for the completion, but {there}. "
        "Use fewer or shorter shots, or let whole shots be dropped."
    )


def facts(imported: Imported) -> tuple[tuple[str, str], ...]:
    """What was understood of a file, as names and values."""
    found = [("Format", str(imported.format))]
    found.append(("Size", words.size(imported.size) + ("" if imported.whole else ", only its beginning was read")))
    if imported.project is not None:
        project = imported.project
        found.append(("Examples", f"{len(project.examples):,}"))
        found.append(("Test items", f"{len(project.test):,}"))
    elif imported.rows:
        found.append(("Rows", f"{len(imported.rows):,}"))
        found.append(("Fields", f"{len(imported.fields):,}"))
    if imported.drafts:
        found.append(("Prompts", f"{len(imported.drafts):,}"))
    counts = Counter(note.kind for note in imported.notes)
    told = [f"{counts[kind]:,} {kind}" for kind in NoteKind if counts[kind]]
    found.append(("Remarks", ", ".join(told) or "none"))
    return tuple(found)
