"""What the laboratory shows, and the words on it. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llmlab.engine.quantization.types import MatrixDetail, Measured
from llmlab.engine.types import ModelInfo
from llmlab.ui.panels.memory.quantization.figures import SchemeRow, decibels
from llmlab.ui.panels.memory.quantization.params import Params
from llmlab.ui.panels.memory.quantization.sensitivity_screen import SensitivityScreen
from llmlab.ui.panels.memory.quantization.work import Weighed
from llmlab.ui.screen import Fact, Kind, Stage
from llmlab.ui.widgets.chart.plot import Plot
from llmlab.ui.words import count, size

NAMED = 40  # parameters that a tooltip names


@dataclass(frozen=True, slots=True)
class LabScreen:
    """All that the tab shows but table and pictures. `text` is what the models are compared over."""

    stage: Stage
    params: Params
    text: str
    running: bool = False
    can_measure: bool = False
    note: str = ""
    facts: tuple[Fact, ...] = ()
    button: str = "Measure"


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What is below the table: of all schemes, and of the one that is selected."""

    damage: Plot
    matrices: Plot
    weights: Plot
    errors: Plot
    caption: str  # of the matrix that is looked into
    measured: Measured | None
    problem: str  # why there is nothing of the selected scheme


class LabView(Protocol):
    """What is asked of the tab, and of the window for it."""

    def show_screen(self, screen: LabScreen) -> None: ...
    def show_rows(self, rows: tuple[SchemeRow, ...], selected: int) -> None: ...
    def show_pictures(self, pictures: Pictures) -> None: ...
    def show_sensitivity(self, screen: SensitivityScreen | None, why_not: str) -> None: ...
    def copy(self, text: str) -> None: ...
    def ask_path(self, name: str, kinds: tuple[str, ...], then: Any) -> None: ...


def facts(weighed: Sequence[Weighed]) -> tuple[Fact, ...]:
    """What is quantized, what is kept and why, and what a second copy takes."""
    damage = next((each.damage for each in weighed if each.damage), None)
    if damage is None:
        return ()
    elements = sum(matrix.elements for matrix in damage.matrices)
    names = _some([matrix.name for matrix in damage.matrices])
    found = [Fact("Quantized", f"{len(damage.matrices)} matrices, {count(elements)}", names)]
    found += [Fact("Kept", f"{count(each.elements)}: {each.reason}", _some(each.names)) for each in damage.kept]
    most = max((each.cost for each in weighed if each.cost), key=lambda cost: cost.bytes)
    copy = f"up to {size(most.bytes)} of {size(most.available)} free on {most.device}"
    tip = "What measuring takes beside the model in use, one copy at a time. The model in use stays as it is."
    return (*found, Fact("Second copy", copy, tip))


def _some(names: Sequence[str]) -> str:
    return "\n".join(names[:NAMED]) + ("\n…" if len(names) > NAMED else "")


def large(info: ModelInfo) -> Stage:
    """Of a model whose weights are not looked at unasked."""
    return Stage(
        Kind.EMPTY,
        f"{info.name} has {count(info.parameters)} parameters",
        "Every scheme goes through all of its weight matrices, one at a time: that takes a while, and can be stopped. "
        "No copy of the model is made for it.",
        actions=(("Look at the weights", "start"),),
    )


def caption(detail: MatrixDetail | None) -> str:
    """The matrix that is looked into, in numbers."""
    if detail is None:
        return ""
    damage = detail.damage
    words = (
        f"{damage.name} ({damage.outputs:,} × {damage.inputs:,}) as {detail.scheme.name}: "
        f"{decibels(damage.sqnr)} dB, {damage.bits_per_weight:.3f} bits a weight"
    )
    if detail.is_scaled:
        words += f", {int((detail.level_counts > 0).sum())} of {len(detail.levels)} levels taken"
        words += f" ({detail.entropy:.2f} bits of information)"
    return words
