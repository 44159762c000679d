"""Runs and distributions as CSV, JSON or text for the clipboard. No Qt; called in a worker thread."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llmlab import __version__
from llmlab.engine.sampling import Cut, ShapedDistribution
from llmlab.engine.types import Alternatives, GenerationStep
from llmlab.ui.panels.decoding.run import Run

RECORD = 1  # the version of the format of a run's JSON
STEP_COLUMNS = (
    "index", "token_id", "token", "text", "probability", "log_probability", "raw_probability", "raw_log_probability",
    "rank", "entropy_nats", "seconds", "finish_reason",
)  # fmt: skip
TOKEN_COLUMNS = ("rank", "token_id", "token", "logit", "raw_probability", "probability", "cut_by")


def run_text(run: Run, kind: str, weights_sha256: str = "") -> str:
    """The run as "csv", one line a token, or as "json": a record with all that it takes to make it again."""
    if kind == "csv":
        return _csv(STEP_COLUMNS, (_step_row(step) for step in run.steps))
    content = {
        "record": RECORD,
        "versions": versions(),
        "model": {
            "weights_sha256": weights_sha256,
            "name": run.info.name,
            "spec": run.info.request.spec,
            "device": run.info.device,
            "dtype": run.info.dtype,
            "quantization": run.info.quantization,
        },
        "prompt": run.prompt,
        "settings": asdict(run.settings),
        "given": list(run.given),
        "completion": run.text,
        "outcome": run.outcome.value,
        "computed": run.computed,
        "tokens_per_second": run.tokens_per_second,
        "steps": [_step(step) for step in run.steps],
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def versions() -> dict[str, str]:
    """Of the program, of Python, and of the libraries that compute the numbers."""
    found = {"llmlab": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "transformers", "tokenizers", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def table_text(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], kind: str) -> str:
    """Rows as "csv", as a list of objects in "json", or tab-separated as "copy"."""
    if kind == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False, indent=1)
    return _csv(tuple(columns), iter(rows), "\t" if kind == "copy" else ",")


def distribution_text(
    shaped: ShapedDistribution, text_of: Callable[[int], str], reasons: Mapping[Cut, str], kind: str, title: str
) -> str:
    """Every token of a distribution as "csv", as "json", or tab-separated as "copy"."""
    rows = _token_rows(shaped, text_of, reasons)
    if kind == "json":
        tokens = [dict(zip(TOKEN_COLUMNS, row, strict=True)) for row in rows]
        content = {
            "position": title,
            "kept": shaped.kept,
            "kept_mass": shaped.kept_mass,
            "entropy_nats": shaped.entropy,
            "raw_entropy_nats": shaped.raw_entropy,
            "tokens": tokens,
        }
        return json.dumps(content, ensure_ascii=False)
    return _csv(TOKEN_COLUMNS, rows, "\t" if kind == "copy" else ",")


def _token_rows(
    shaped: ShapedDistribution, text_of: Callable[[int], str], reasons: Mapping[Cut, str]
) -> Iterator[tuple[Any, ...]]:
    names = {cut.value: "" if cut is Cut.KEPT else reasons.get(cut, cut.name) for cut in Cut}
    columns = (shaped.ids, shaped.logits, shaped.raw_probabilities, shaped.probabilities, shaped.cut)
    for rank, (token_id, logit, raw, probability, cut) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        # −∞ is no JSON number; an empty cell says that the model rules the token out
        yield rank + 1, token_id, text_of(token_id), _finite(logit), raw, probability, names[cut]


def _step_row(step: GenerationStep) -> tuple[Any, ...]:
    return (
        step.index,
        step.token_id,
        step.token,
        step.text,
        step.probability,
        _log(step.probability),
        step.raw_probability,
        _log(step.raw_probability),
        step.rank,
        step.entropy,
        step.seconds,
        step.finish_reason,
    )


def _step(step: GenerationStep) -> dict[str, Any]:
    row = dict(zip(STEP_COLUMNS, _step_row(step), strict=True))
    return {**row, "uniform": step.uniform, "given": step.given, "alternatives": _alternatives(step.alternatives)}


def _alternatives(best: Alternatives) -> list[dict[str, Any]]:
    columns = (best.ids, best.logits, best.raw_probabilities, best.probabilities)
    rows = zip(*(column.tolist() for column in columns), best.texts, strict=True)
    return [
        {"token_id": i, "token": text, "logit": _finite(logit), "raw_probability": raw, "probability": p}
        for i, logit, raw, p, text in rows
    ]


def _csv(columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]], delimiter: str = ",") -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _log(probability: float) -> float | None:
    return math.log(probability) if probability > 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
