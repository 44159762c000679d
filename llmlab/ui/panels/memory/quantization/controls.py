"""The settings of the quantization laboratory."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QCheckBox, QGridLayout, QWidget

from llmlab.engine.quantization.schemes import GRANULARITIES, GROUPS, LEAST_BITS, MOST_BITS, STANDARD
from llmlab.ui import theme
from llmlab.ui.panels.memory.quantization.params import LEAST_TOKENS, MOST_TOKENS, Params, Source, View
from llmlab.ui.panels.memory.quantization.presenter import Quantization
from llmlab.ui.panels.memory.quantization.screen import LabScreen
from llmlab.ui.widgets.column import ControlColumn, FactList, TextField, combo_box, group, labelled
from llmlab.ui.widgets.parts import Choice, MainButton
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider

SOURCES = (
    ("Sample", "A short story that comes with the program"),
    ("Prompt", "The prompt that the panels share"),
    ("Own", "A text of your own"),
)
MEASURES = (
    "Load a second copy in each format, compare predictions, texts and speed with it",
    "Quantize one part of the model at a time, and see what it does to the predictions; no copy is loaded",
)
TIPS = {
    "float32": "Every weight in 32 bits: what everything else is compared with",
    "bfloat16": "16 bits with float32's range and 8 bits of precision",
    "float16": "16 bits with 11 bits of precision; ends at 65,504",
    "LLM.int8": "bitsandbytes: 8 bits, one scale for each row; activations are quantized too, outliers kept in 16 bits",
    "NF4": "bitsandbytes: 16 levels at the quantiles of a normal distribution, one scale for 64 weights",
    "NF4 double": "NF4 whose scales are quantized to 8 bits as well",
    "FP4": "bitsandbytes: 4-bit floating point, one scale for 64 weights",
}
SHARING = {
    "tensor": "One scale for the whole matrix",
    "channel": "One scale for each output channel, a row of the matrix",
    "group": "One scale for each group of weights within a row",
}


class LabColumn(ControlColumn):
    """Which schemes, which text, and what is quantized."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Quantization | None = None
        self.measure = MainButton("Measure")
        self.schemes = {scheme.name: QCheckBox(scheme.name) for scheme in STANDARD}
        for name, box in self.schemes.items():
            box.setToolTip(TIPS[name])
            box.toggled.connect(self._chosen)
        self.bits = LabelledSlider(
            Knob(
                "Bits",
                Scale(LEAST_BITS, MOST_BITS),
                Params().bits,
                "How many bits absmax stores a weight in: with n bits 2ⁿ − 1 levels are left, half of them negative.",
            )
        )
        self.granularity = Choice([(each.capitalize(), SHARING[each]) for each in GRANULARITIES], "What shares a scale")
        self.group_size = combo_box("Weights in a group", "How many weights of a row share a scale")
        self.group_size.addItems([str(size) for size in GROUPS])
        self.source = Choice(SOURCES, "Text to compare over")
        self.text = TextField("Text that both models read")
        self.tokens = LabelledSlider(
            Knob(
                "New tokens",
                Scale(LEAST_TOKENS, MOST_TOKENS),
                Params().new_tokens,
                "How many tokens both write greedily, to see where their texts part and how fast they are.",
            )
        )
        self.facts = FactList(wrapped=True)
        self.fill(
            (
                self.measure,
                group("Text", self.source, self.text, self.tokens),
                group("Compare", _pairs(tuple(self.schemes.values()))),
                group("Absmax, our own", self.bits, self.granularity, labelled("group of", self.group_size)),
                group("What is quantized", self.facts),
            )
        )

    def attach(self, tab: Quantization) -> None:
        """`tab` is told what the user does."""
        self._tab = tab
        self.measure.clicked.connect(lambda: tab.stop() if tab.running else tab.measure())
        self.bits.changed.connect(lambda value: tab.change(bits=int(value)))
        self.granularity.chosen.connect(lambda index: tab.change(granularity=GRANULARITIES[index]))
        self.group_size.currentIndexChanged.connect(lambda index: tab.change(group_size=GROUPS[index]))
        self.source.chosen.connect(lambda index: tab.change(source=tuple(Source)[index]))
        self.text.typed.connect(lambda text: tab.change(own=text, source=Source.OWN))
        self.tokens.changed.connect(lambda value: tab.change(new_tokens=int(value)))

    def show_screen(self, screen: LabScreen) -> None:
        """Show the settings, without a signal."""
        params = screen.params
        self.measure.setText(screen.button)
        tip = f"{MEASURES[params.view is View.SENSITIVITY]} (Ctrl+Return)"
        self.measure.setToolTip("End the measurement; what is known stays (Escape)" if screen.running else tip)
        self.measure.setEnabled(screen.running or screen.can_measure)
        for name, box in self.schemes.items():
            with QSignalBlocker(box):
                box.setChecked(name in params.chosen)
        self.bits.set_value(params.bits)
        self.granularity.set_chosen(GRANULARITIES.index(params.granularity))
        with QSignalBlocker(self.group_size):
            self.group_size.setCurrentIndex(GROUPS.index(params.group_size))
        self.group_size.setEnabled(params.granularity == "group")
        self.source.set_chosen(tuple(Source).index(params.source))
        self.text.set_text(screen.text)
        self.tokens.set_value(params.new_tokens)
        self.facts.show_facts(screen.facts)

    def _chosen(self) -> None:
        if self._tab is not None:
            self._tab.change(chosen=tuple(name for name, box in self.schemes.items() if box.isChecked()))


def _pairs(boxes: tuple[QCheckBox, ...]) -> QWidget:
    """Two beside each other: the column is low."""
    holder = QWidget()
    grid = QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setVerticalSpacing(theme.SPACE // 2)
    for number, box in enumerate(boxes):
        grid.addWidget(box, number // 2, number % 2)
    return holder
