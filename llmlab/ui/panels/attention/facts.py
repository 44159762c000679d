"""Numbers of the head in focus, and the generated tokens one can follow. No Qt."""

from __future__ import annotations

from llmlab.engine.attention.scores import ALL_SCORES, SCORES
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.screen import Steps
from llmlab.ui.panels.attention.words import group_of
from llmlab.ui.screen import Fact
from llmlab.ui.widgets.tokentext import visible


def facts(reading: Reading) -> tuple[Fact, ...]:
    """What is known of the head in focus: its scores, its group of keys and values, its window."""
    shape, focus = reading.shape, reading.focus
    said = [
        Fact("Tokens", _size(reading), "How many tokens look, and how many are looked at."),
        *(_scores(reading) if focus.at is not None else ()),
    ]
    group = None if focus.head is None else group_of(shape, focus.head)
    if group is not None:
        share = shape.heads // shape.key_value_heads
        said.append(
            Fact(
                "Keys and values",
                f"group {group} of {shape.key_value_heads}",
                f"Grouped-query attention: {share} heads share the same keys and values; their queries differ.",
            )
        )
    window = shape.windows[focus.layer] if focus.layer is not None and focus.layer < len(shape.windows) else None
    if window is not None:
        said.append(Fact("Window", f"{window:,} tokens", "A sliding-window layer: what is farther away is masked."))
    return tuple(said)


def _size(reading: Reading) -> str:
    queries, keys = len(reading.shape.query_tokens), len(reading.shape.key_tokens)
    return f"{queries:,}" if reading.focus.kind != "cross" else f"{queries:,} × {keys:,}"


def _scores(reading: Reading) -> list[Fact]:
    survey, at = reading.survey, reading.focus.at
    if survey is None or at is None:
        return []
    said = []
    for name, values in survey.scores.items():
        value = float(values[at.layer, at.head])
        score = ALL_SCORES[name]
        shown = "not defined" if value != value else f"{value:.4f}"
        where = "\nOn the text that was read." if name in SCORES else ""
        said.append(Fact(score.title, shown, f"{score.meaning}\n{score.formula}{where}"))
    if survey.broken[at.layer, at.head]:
        said.append(Fact("Broken", "NaN or ∞", "Some of this head's weights are no numbers; the map shows which."))
    return said


def steps(reading: Reading) -> Steps | None:
    """The generated tokens that can be followed; None where the text has none."""
    shape = reading.shape
    if shape.generated is None or shape.generated < 1:
        return None
    first = shape.generated - 1  # the row of the last given token, from which the first generated one came
    count = len(shape.query_tokens) - shape.generated
    queries = reading.focus.queries
    current = queries[0] - first if len(queries) == 1 and first <= queries[0] < first + count else None
    if current is None:
        return Steps(first, count)
    made, row = visible(shape.query_tokens[first + current + 1]), visible(shape.query_tokens[first + current])
    return Steps(first, count, current, f"“{made}”", f"“{made}” came from the row of “{row}”")
