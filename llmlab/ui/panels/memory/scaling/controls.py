"""The settings of the scaling laws: the law, what there is to train with, and a size of one's own."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSpinBox, QWidget

from llmlab.engine.scaling.known import accelerators, utilizations
from llmlab.engine.scaling.laws import LAWS
from llmlab.ui.panels.memory.scaling.params import (
    LEAST_DAYS,
    LEAST_PEAK,
    LEAST_SIZE,
    MOST_DAYS,
    MOST_GPUS,
    MOST_PEAK,
    MOST_PRICE,
    MOST_SIZE,
    Params,
)
from llmlab.ui.panels.memory.scaling.presenter import Scaling, ScalingScreen
from llmlab.ui.widgets.column import ControlColumn, FactList, combo_box, group, labelled
from llmlab.ui.widgets.parts import Choice
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider
from llmlab.ui.words import in_lines

OWN_PEAK = "Another, with its peak below"
SIZES = (
    ("Optimal", "The size that the law calls best for this compute"),
    ("Own size", "A size of your own, with as many tokens as the compute allows"),
)


class ScalingColumn(ControlColumn):
    """Law, budget, size."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        default = Params()
        self.law = combo_box("Law", "Whose fit says which size is best")
        self.law.addItems([law.name for law in LAWS])
        self.accelerator = combo_box("GPU", "Brings the peak of its data sheet: 16-bit tensors, without sparsity")
        self.accelerator.addItem(OWN_PEAK)
        for place, each in enumerate(accelerators(), start=1):
            self.accelerator.addItem(each.name)
            self.accelerator.setItemData(place, in_lines(each.source), Qt.ItemDataRole.ToolTipRole)
        self.peak = _decimal("Peak of one GPU", LEAST_PEAK, MOST_PEAK, 1, " TFLOP/s")
        self.peak.setToolTip("Operations of one GPU per second in the format that it trains in, without sparsity")
        self.gpus = QSpinBox()
        self.gpus.setRange(1, MOST_GPUS)
        self.gpus.setGroupSeparatorShown(True)
        self.gpus.setKeyboardTracking(False)
        self.gpus.setAccessibleName("GPUs")
        self.gpus.setToolTip("How many GPUs train together")
        self.days = _decimal("Days", LEAST_DAYS, MOST_DAYS, 2, "")
        self.days.setToolTip("How long they train")
        self.price = _decimal("Price of one GPU for an hour", 0.0, MOST_PRICE, 2, "")
        self.price.setToolTip("In a currency of yours; 0 leaves the cost out")
        published = "\n".join(f"{each.share:.1%}  {each.run}" for each in utilizations())
        self.utilization = LabelledSlider(
            Knob(
                "Utilization (MFU)",
                Scale(0.01, 1.0, 2),
                default.utilization,
                f"The share of the peak that goes into the model. Published runs reached:\n{published}",
                step=0.01,
            )
        )
        self.own = Choice(SIZES, "Size of the model")
        self.billions = LabelledSlider(
            Knob(
                "Billions of parameters",
                Scale(LEAST_SIZE, MOST_SIZE, 3, logarithmic=True),
                default.size,
                "A size of your own: the tokens follow from the compute, the loss from the law.",
                step=0.1,
            )
        )
        self.known = QCheckBox("Trained models")
        self.known.setToolTip("Models with their published parameters and tokens; of experts, those active for a token")
        self.facts = FactList(wrapped=True)
        budget = (
            self.accelerator,
            labelled("Peak", self.peak),
            labelled("GPUs", self.gpus),
            labelled("Days", self.days),
            self.utilization,
            labelled("Price per GPU hour", self.price),
        )
        self.fill(
            (
                group("Law", self.law, self.facts),
                group("What there is to train with", *budget),
                group("Size", self.own, self.billions),
                group("Shown", self.known),
            )
        )

    def attach(self, tab: Scaling) -> None:
        """`tab` is told what the user does."""
        self.law.currentIndexChanged.connect(lambda index: tab.change(law=LAWS[index].name))
        self.accelerator.currentIndexChanged.connect(
            lambda index: tab.change(accelerator=accelerators()[index - 1].name if index else "")
        )
        self.peak.valueChanged.connect(lambda value: tab.change(peak=value))
        self.gpus.valueChanged.connect(lambda value: tab.change(gpus=value))
        self.days.valueChanged.connect(lambda value: tab.change(days=value))
        self.price.valueChanged.connect(lambda value: tab.change(price=value))
        self.utilization.changed.connect(lambda value: tab.change(utilization=float(value)))
        self.own.chosen.connect(lambda index: tab.change(own=bool(index)))
        self.billions.changed.connect(lambda value: tab.change(size=float(value), own=True))
        self.known.toggled.connect(lambda on: tab.change(known=on))

    def show_screen(self, screen: ScalingScreen) -> None:
        """Show the settings, without a signal."""
        params = screen.params
        names = [each.name for each in accelerators()]
        _choose(self.law, [law.name for law in LAWS].index(params.law))
        _choose(self.accelerator, 1 + names.index(params.accelerator) if params.accelerator else 0)
        for box, value in ((self.peak, params.peak), (self.days, params.days), (self.price, params.price)):
            with QSignalBlocker(box):
                box.setValue(value)
        with QSignalBlocker(self.gpus):
            self.gpus.setValue(params.gpus)
        self.utilization.set_value(params.utilization)
        self.own.set_chosen(int(params.own))
        self.billions.set_value(params.size)
        with QSignalBlocker(self.known):
            self.known.setChecked(params.known)
        self.facts.show_facts(screen.facts)


def _choose(box: QComboBox, index: int) -> None:
    with QSignalBlocker(box):
        box.setCurrentIndex(index)


def _decimal(name: str, low: float, high: float, decimals: int, suffix: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(decimals)
    box.setSuffix(suffix)
    box.setGroupSeparatorShown(True)
    box.setKeyboardTracking(False)
    box.setAccessibleName(name)
    return box
