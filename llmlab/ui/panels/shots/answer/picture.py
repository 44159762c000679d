"""What the tab "Answer" shows, ready to be drawn. No Qt."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from llmlab.engine.shots.calibration import calibrated, content_free_probabilities
from llmlab.engine.shots.results import Answered, LabelScores, Score
from llmlab.ui.panels.shots.answer.params import Params
from llmlab.ui.screen import Stage

COLUMNS = ("label", "tokens", "sum", "per token", "per character", "p", "calibrated p")


@dataclass(frozen=True, slots=True)
class Screen:
    """What stands around the picture. `item` is the number of the test item that is asked, None for the query."""

    stage: Stage
    query: str = ""
    note: str = ""
    shots: int = 0
    ticked: int = 0
    item: int | None = None
    items: int = 0
    has_labels: bool = False
    can_complete: bool = False
    completing: bool = False
    completes: bool = True  # the model writes texts at all
    can_send: bool = False
    facts: tuple[tuple[str, str, str], ...] = ()  # name, value, explanation


@dataclass(frozen=True, slots=True)
class LabelLine:
    """One label's numbers. `calibrated` None where that is not known; `right` where it is the query's own answer."""

    label: str
    tokens: int
    sum: float
    per_token: float
    per_character: float
    probability: float
    calibrated: float | None
    right: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The labels in the order of the prompt, and each label's probability with every number of shots."""

    lines: tuple[LabelLine, ...] = ()
    every: tuple[tuple[int, tuple[float, ...]], ...] = ()  # shots, probability of each label
    headline: str = ""
    waiting: bool = False  # for what the answer is with every number of shots


def picture(
    answered: Answered, every: tuple[tuple[int, LabelScores], ...], params: Params, *, waiting: bool = False
) -> Picture:
    """The numbers of an answer, as `params` want them."""
    scores = answered.scores
    if scores is None:
        truth = answered.prompt.rendered.answer
        return Picture(headline="Free text" + (f" · the expected answer is “{_short(truth)}”" if truth else ""))
    plain = scores.probabilities(params.score)
    wanted = params.calibrate and answered.free
    after = calibrated(plain, content_free_probabilities(answered.free, params.score)) if wanted else None
    by = {kind: scores.scores(kind) for kind in Score}
    best = int((plain if after is None else after).argmax())
    truth = answered.prompt.rendered.answer
    lines = tuple(
        LabelLine(
            label=label,
            tokens=int(scores.tokens[place]),
            sum=float(by[Score.SUM][place]),
            per_token=float(by[Score.TOKEN][place]),
            per_character=float(by[Score.CHARACTER][place]),
            probability=float(plain[place]),
            calibrated=None if after is None else float(after[place]),
            right=bool(truth) and label == truth,
            chosen=place == best,
        )
        for place, label in enumerate(scores.labels)
    )
    return Picture(
        lines,
        tuple((count, tuple(each.probabilities(params.score).tolist())) for count, each in every),
        _headline(lines[best], truth, scores),
        waiting,
    )


def _headline(best: LabelLine, truth: str, scores: LabelScores) -> str:
    p = best.probability if best.calibrated is None else best.calibrated
    words = f"“{best.label}” with {f'{100 * p:.1f}'.removesuffix('.0')} % of the labels' probability"
    verdict = {True: " – right", False: f" – the answer is “{truth}”"}[best.right] if truth else ""
    return f"{words}{verdict} · all labels together have {scores.mass:.2g} of the model's probability"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "…"


def cells(line: LabelLine) -> tuple[str, ...]:
    """A row of the table."""
    mark = " ✓" if line.right else ""
    after = "" if line.calibrated is None else _share(line.calibrated)
    logs = (f"{value:.4f}".replace("-", "−") for value in (line.sum, line.per_token, line.per_character))
    return (line.label + mark, str(line.tokens), *logs, _share(line.probability), after)


def _share(value: float) -> str:
    return f"{value:.4f}" if value >= 5e-5 else f"{value:.2g}"


def table_text(shown: Picture, delimiter: str = ",") -> str:
    """All digits, for a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow((*COLUMNS, "right"))
    for line in shown.lines:
        writer.writerow((*_values(line), line.right))
    return buffer.getvalue()


def json_text(shown: Picture, answered: Answered, params: Params) -> str:
    """Everything that is shown, with the prompt."""
    data: dict[str, Any] = {
        "prompt": answered.prompt.rendered.text,
        "tokens": answered.prompt.budget.tokens,
        "score": params.score.value,
        "labels": [
            {name.replace(" ", "_"): value for name, value in zip(COLUMNS, _values(line), strict=True)}
            | {"right": line.right}
            for line in shown.lines
        ],
        "with_every_shot": [{"shots": count, "probabilities": list(values)} for count, values in shown.every],
    }
    return json.dumps(data, indent=2, ensure_ascii=False)


def _values(line: LabelLine) -> tuple[Any, ...]:
    return (
        line.label, line.tokens, line.sum, line.per_token, line.per_character, line.probability, line.calibrated,
    )  # fmt: skip
