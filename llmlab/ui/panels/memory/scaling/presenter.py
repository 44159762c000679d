"""What the scaling laws do: everything is computed at once, no model is needed. No Qt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.scaling.known import accelerator, known_models
from llmlab.engine.scaling.planning import Figure, Plan, plan
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.memory.scaling import plots, snippet
from llmlab.ui.panels.memory.scaling.params import Params, View
from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.screen import Fact
from llmlab.ui.widgets.chart.plot import Plot
from llmlab.ui.words import count

COLUMNS = ("name", "value", "unit", "formula", "values", "note")


@dataclass(frozen=True, slots=True, eq=False)
class ScalingScreen:
    """All that the tab shows. `problem` stands there where the budget makes no sense; the former plan stays."""

    params: Params
    plot: Plot
    rows: tuple[tuple[str, str, str, str], ...]  # name, value with unit, formula, values
    notes: tuple[str, ...]  # of each row
    facts: tuple[Fact, ...]
    headline: str
    problem: str = ""


class ScalingView(Protocol):
    """What is asked of the tab, and of the window for it."""

    def show_screen(self, screen: ScalingScreen) -> None: ...
    def copy(self, text: str) -> None: ...
    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None: ...


class Scaling:
    """Plans anew with every change."""

    busy = False

    def __init__(
        self, context: PanelContext, panel: PanelPresenter, page: ScalingView, saved: Mapping[str, Any]
    ) -> None:
        self._bench = context.workbench
        self._asking = panel.asking
        self._view = page
        self.params = Params.from_dict(saved)
        self._plan: Plan | None = None
        self._problem = ""

    # --- as a tab -----------------------------------------------------------------------------------------------

    def bring(self) -> None:
        """The loaded model, whose size is marked, may have changed."""
        self._show()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Nothing is on its way."""

    # --- what the user does ---------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """Other settings. A chosen accelerator brings its peak; a peak of one's own belongs to none."""
        if changes.get("accelerator"):
            changes["peak"] = accelerator(changes["accelerator"]).peak / 1e12
        elif "peak" in changes and "accelerator" not in changes:
            changes["accelerator"] = ""
        self.params = replace(self.params, **changes)
        self._show()

    def export(self, kind: str) -> None:
        """The figures with their formulas: to a file ("csv", "json") or "copy"."""
        if self._plan is None:
            return
        text = _table(self._plan.figures, kind)
        if kind == "copy":
            self._view.copy(text)
        else:
            self._view.ask_path(f"scaling.{kind}", (kind,), lambda path: self._asking.write(path, lambda: text))

    def copy_script(self) -> None:
        """Python that prints the figures."""
        self._view.copy(snippet.script(self.params))

    # --- the screen -----------------------------------------------------------------------------------------------

    def _show(self) -> None:
        try:
            self._plan = plan(self.params.budget, self.params.chosen_law, self.params.parameters)
            self._problem = ""
        except InputError as error:
            self._problem = f"{error.message} {error.hint}"
        if self._plan is None:  # saved settings are checked, so there is always a first plan
            return
        found = self._plan
        self._view.show_screen(
            ScalingScreen(
                params=self.params,
                plot=self._plot(found),
                rows=tuple(_row(figure) for figure in found.figures),
                notes=tuple(figure.note for figure in found.figures),
                facts=self._facts(found),
                headline=_headline(found),
                problem=self._problem,
            )
        )

    def _plot(self, found: Plan) -> Plot:
        info = self._bench.model.info
        loaded = float(info.parameters) if info is not None else None
        models = known_models() if self.params.known else ()
        if self.params.view is View.COMPUTE:
            return plots.computes(found, models, loaded)
        if self.params.view is View.LOSS:
            return plots.losses(found, loaded)
        return plots.sizes(found, models, loaded)

    def _facts(self, found: Plan) -> tuple[Fact, ...]:
        law = found.law
        return (
            Fact("Formula", law.formula(), "With its constants; N parameters, D tokens, C = 6·N·D operations"),
            Fact("Source", law.source, ""),
            Fact("Note", law.note, ""),
        )


def _headline(found: Plan) -> str:
    loss = f", predicted loss {found.loss:.3f}" if found.loss is not None else ""
    return (
        f"{count(found.parameters)} parameters, {count(found.tokens)} tokens "
        f"({found.tokens_per_parameter:.3g} a parameter){loss}"
    )


def _row(figure: Figure) -> tuple[str, str, str, str]:
    return figure.name, f"{value_text(figure)} {figure.unit}".strip(), figure.formula, figure.values


def value_text(figure: Figure) -> str:
    """A figure's number as a table shows it."""
    value = figure.value
    if figure.name in ("Parameters", "Tokens"):
        return count(value)
    if figure.unit == "nats/token":
        return f"{value:.4f}"
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(figures: tuple[Figure, ...], kind: str) -> str:
    """The figures with all their digits."""
    rows = [asdict(figure) for figure in figures]
    if kind == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, delimiter="\t" if kind == "copy" else ",", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
