"""Everything measured, to take along: tables, a report with the chart, a script. No Qt."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from llmlab.engine.shots.metrics import Interval
from llmlab.engine.shots.summary import Judge
from llmlab.engine.types import ModelInfo
from llmlab.ui.panels.shots.measure import web_page
from llmlab.ui.panels.shots.measure.found import Found, percent
from llmlab.ui.panels.shots.measure.params import Comparison, Params
from llmlab.ui.panels.shots.measure.run import Request, Run
from llmlab.ui.panels.shots.python import examples_source, spec_source

HEAD = ("condition", "shots", "seed", "item", "text", "truth", "answer", "value", "tokens", "dropped shots")
ITEMS_HEAD = ("#", "item", "truth", "answer", "value")
MOST_ROWS = 500  # items that a report lists


def outcomes(run: Run, judge: Judge) -> Iterator[dict[str, Any]]:
    """Every outcome by name, in order; of labels their log-probabilities and probabilities as well."""
    for condition in run.conditions:
        for outcome in run.results.of(condition.key):
            free = run.results.free(condition.key, outcome.item)
            fields = run.request.items[outcome.item].fields
            row: dict[str, Any] = dict(
                zip(
                    HEAD,
                    (
                        condition.name, condition.count, condition.seed, outcome.item + 1,
                        " · ".join(text for _, text in fields), outcome.truth, judge.answer(outcome, free),
                        judge.value(outcome, free), outcome.tokens, outcome.dropped,
                    ),
                    strict=True,
                )
            )  # fmt: skip
            if outcome.scores is not None:
                row["labels"] = list(outcome.scores.labels)
                row["log-probabilities"] = outcome.scores.sums.tolist()
                row["probabilities"] = judge.probabilities(outcome, free).tolist()
            yield row


def table(run: Run, judge: Judge, delimiter: str = ",") -> str:
    """Every outcome, for a spreadsheet; a column for each label's log-probability and probability."""
    rows = list(outcomes(run, judge))
    labels = list(dict.fromkeys(label for row in rows for label in row.get("labels", ())))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow((*HEAD, *(f"log p({label})" for label in labels), *(f"p({label})" for label in labels)))
    for row in rows:
        own = row.get("labels", [])
        logs = dict(zip(own, row.get("log-probabilities", ()), strict=True))
        shares = dict(zip(own, row.get("probabilities", ()), strict=True))
        numbers = (*(logs.get(label, "") for label in labels), *(shares.get(label, "") for label in labels))
        writer.writerow((*(row[name] for name in HEAD), *numbers))
    return buffer.getvalue()


def text(kind: str, run: Run, judge: Judge, shown: Found, info: ModelInfo, svg: str) -> str:
    """A file's content, by its suffix: csv, json, md or html."""
    if kind == "csv":
        return table(run, judge)
    if kind == "json":
        return json.dumps(data(run, judge, shown, info), indent=2, ensure_ascii=False)
    if kind == "md":
        return markdown(run, judge, shown, info, svg)
    return page(run, judge, shown, info, svg)


def data(run: Run, judge: Judge, shown: Found, info: ModelInfo) -> dict[str, Any]:
    """All there is."""
    return {
        "model": info.name,
        "spec": info.request.spec,
        "dtype": info.dtype,
        "test": run.request.test.value,
        "metric": judge.metric.value,
        "score": judge.score.value,
        "calibrated": judge.calibrate,
        "complete": run.complete(judge.calibrate),
        "not calibrated": run.uncalibrated if judge.calibrate else 0,
        "summary": [dict(zip(("name", "value", "low", "high", "items"), row, strict=True)) for row in summary(shown)],
        "mcnemar": asdict(shown.mcnemar) if shown.mcnemar else None,
        "outcomes": list(outcomes(run, judge)),
    }


def summary(shown: Found) -> list[tuple[str, float, float, float, int]]:
    """(name, value, low, high, outcomes) of every point of the picture."""

    def row(name: str, value: Interval) -> tuple[str, float, float, float, int]:
        return name, value.value, value.low, value.high, value.count

    rows = []
    for point in shown.curve:
        name = f"{point.count} shot{'s' * (point.count != 1)}"
        rows.append(row(name, point.all))
        if len(point.seeds) > 1:
            rows += [row(f"{name}, seed {seed}", value) for seed, value in point.seeds]
    rows += [row(bar.name, bar.value) for bar in shown.bars]
    return rows


def _facts(run: Run, judge: Judge, info: ModelInfo) -> list[tuple[str, str]]:
    read = f"labels by log-probability, {judge.score.value}" if run.request.has_labels else "free text"
    if run.request.can_calibrate and judge.calibrate:
        read += f", calibrated but for {run.uncalibrated:,}" if run.uncalibrated else ", calibrated"
    return [
        ("Model", f"{info.name} ({info.request.spec}, {info.dtype} on {info.device})"),
        ("Compared", run.request.test.value),
        *_choice(run.request),
        ("Metric", f"{judge.metric.value} of {len(run.request.items):,} items; answers: {read}"),
        ("Outcomes", f"{run.results.count:,} of {run.total:,}"),
    ]


def _choice(request: Request) -> list[tuple[str, str]]:
    """How the shots of a sweep were chosen."""
    if request.test is not Comparison.SWEEP:
        return []
    _, seeds, choice = request.plan
    drawn = f", {seeds:,} seed{'s' * (seeds != 1)}" if choice.drawn else ""
    return [("Shots", f"{choice.value}{drawn}, out of {len(request.pool):,} examples")]


def _rows(shown: Found) -> list[tuple[str, ...]]:
    wanted = shown.items[:MOST_ROWS]
    return [(str(line.item + 1), line.text, line.truth, line.answer, f"{line.value:.3g}") for line in wanted]


def _items_title(shown: Found) -> str:
    name, count = dict(shown.conditions)[shown.chosen], len(shown.items)
    return f"Items, {name}" + (f": the first {MOST_ROWS:,} of {count:,}" if count > MOST_ROWS else "")


def _conditions(shown: Found) -> str:
    """What tells the rows of figures apart."""
    return "shots" if shown.curve else "prompt"


def _numbers(shown: Found) -> list[tuple[str, ...]]:
    share = shown.unit == shown.metric.value
    form = percent if share else lambda value: f"{value:+.4f}"
    return [
        (name, form(value), f"{form(low)} … {form(high)}", f"{count:,}")
        for name, value, low, high, count in summary(shown)
    ]


def markdown(run: Run, judge: Judge, shown: Found, info: ModelInfo, svg: str) -> str:
    """A report; the chart is part of it, as a data address."""
    picture = base64.b64encode(svg.encode()).decode()
    parts = [
        f"# {shown.headline}\n",
        *(f"- **{label}**: {_cell(words)}" for label, words in _facts(run, judge, info)),
        f"\n![{shown.unit}](data:image/svg+xml;base64,{picture})\n",
        _markdown_table((_conditions(shown), shown.unit, "95 % interval", "outcomes"), _numbers(shown)),
        "\n## Prompt\n\n" + _fence(spec_source(run.request.spec)) + "\n",
        f"## {_items_title(shown)}\n",
        _markdown_table(ITEMS_HEAD, _rows(shown)),
    ]
    return "\n".join(parts) + "\n"


def _fence(text: str) -> str:
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}python\n{text}\n{ticks}"


def _cell(words: str) -> str:
    return words.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ⏎ ").replace("<", "&lt;")


def _markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def page(run: Run, judge: Judge, shown: Found, info: ModelInfo, svg: str) -> str:
    """A web page that needs nothing else; items whose answer is not right are marked."""
    wrong = [place for place, line in enumerate(shown.items[:MOST_ROWS]) if line.value < 1]
    parts = (
        web_page.table(
            (_conditions(shown), shown.unit, "95 % interval", "outcomes"), _numbers(shown), numbers=(1, 2, 3)
        ),
        web_page.heading("Prompt"),
        web_page.code(spec_source(run.request.spec)),
        web_page.heading(_items_title(shown)),
        web_page.table(ITEMS_HEAD, _rows(shown), numbers=(0, 4), wrong=wrong),
    )
    return web_page.page(shown.headline, _facts(run, judge, info), svg, shown.unit, parts)


def script(info: ModelInfo, request: Request, params: Params) -> str:
    """A script that measures the same and prints a line for every condition."""
    judge = params.judge(request.has_labels)
    calls, extra = _plan_source(request)
    return f"""from llmlab.engine import Engine
from llmlab.engine.shots import plans
from llmlab.engine.shots.choice import Choice
from llmlab.engine.shots.measure import measure, ranking
from llmlab.engine.shots.results import Score
from llmlab.engine.shots.summary import Judge, Metric, Results
from llmlab.engine.shots.types import Example, Form, InstructionRole, Overflow, PromptSpec, Syntax

engine = Engine.open({info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r})
spec = {spec_source(request.spec)}
examples = {examples_source(request.pool)}
items = {examples_source(request.items)}
{extra}conditions = {calls}
results = Results()
for told in measure(engine.loaded, conditions, items{", calibrate=True" if judge.calibrate else ""}):
    results.add(told)
judge = Judge(Metric.{judge.metric.name}, Score.{judge.score.name}, {judge.calibrate}, {judge.pattern!r})
for condition in conditions:
    found = results.interval(condition.key, judge)
    print(f"{{condition.name:24}} {{found.value:.4f}}  95 % interval {{found.low:.4f}} … {{found.high:.4f}}")
"""


def _plan_source(request: Request) -> tuple[str, str]:
    """(what makes the conditions, what must stand before it)."""
    if request.test is Comparison.SWEEP:
        counts, seeds, choice = request.plan
        near = choice.name == "NEAREST"
        extra = "order = ranking(engine.loaded, spec, examples, items)\n" if near else ""
        order = ", order" if near else ""
        return f"plans.k_sweep(spec, examples, items, {counts}, range({seeds}), Choice.{choice.name}{order})", extra
    if request.test is Comparison.VARIANTS:
        (variant,) = request.plan
        if variant is None:
            return "plans.variants((spec, examples), (spec, examples))", ""
        extra = f"other = {spec_source(variant.spec)}\nothers = {examples_source(variant.shots)}\n"
        return "plans.variants((other, others), (spec, examples))", extra
    name = {Comparison.ORDER: "orders", Comparison.LEAVE_ONE_OUT: "leave_one_out", Comparison.SWAP: "label_swap"}[
        request.test
    ]
    return f"plans.{name}(spec, examples)", ""
