"""The narrow column: what the model is asked to do, and how it chooses."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.panels.decoding.params import LIMITS, MAX_SEED, Params
from llmlab.ui.panels.decoding.picture import Screen
from llmlab.ui.panels.decoding.stops import StopStrings
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel, heading, icon_button
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider

DEFAULTS = Params()
GREEDY, SAMPLE = 0, 1
NO_EFFECT = "Greedy decoding always takes the most probable token, so this has no effect. Choose Sample to use it."


def _scale(name: str, decimals: int = 0, *, logarithmic: bool = False, first: float = 1.0) -> Scale:
    return Scale(*LIMITS[name], decimals, logarithmic, first)


KNOBS = {
    "temperature": Knob(
        "Temperature",
        _scale("temperature", 2),
        DEFAULTS.temperature,
        "Divides the logits before the softmax. Below 1 the model plays safe and the best tokens gain; above 1 it\n"
        "becomes adventurous and unlikely tokens gain. At 0 only the best token is left.",
        0.05,
    ),
    "top_k": Knob(
        "Top-k",
        _scale("top_k", logarithmic=True),
        DEFAULTS.top_k,
        "Keeps only the k most probable tokens, whatever their probabilities. Tokens that tie with the k-th stay.",
        1,
        off=0,
    ),
    "top_p": Knob(
        "Top-p",
        _scale("top_p", 2),
        DEFAULTS.top_p,
        "Nucleus sampling: keeps the fewest best tokens that together have at least this probability. Where the\n"
        "model is sure few stay, where it is not many.",
        0.01,
        off=1,
    ),
    "min_p": Knob(
        "Min-p",
        _scale("min_p", 3, logarithmic=True, first=0.001),
        DEFAULTS.min_p,
        "Removes tokens that are less probable than this share of the best token's probability.",
        0.01,
        off=0,
    ),
    "repetition_penalty": Knob(
        "Repetition penalty",
        _scale("repetition_penalty", 2),
        DEFAULTS.repetition_penalty,
        "Makes tokens that already occurred less likely (above 1) or more likely (below 1). Positive logits are\n"
        "divided by it, negative ones multiplied. It acts in greedy decoding as well.",
        0.05,
        off=1,
    ),
    "max_new_tokens": Knob(
        "Max new tokens",
        _scale("max_new_tokens", logarithmic=True),
        DEFAULTS.max_new_tokens,
        "The completion ends after so many tokens, unless the model ends it earlier.",
        10,
    ),
}
SAMPLING_ONLY = ("temperature", "top_k", "top_p", "min_p")


class Controls(QScrollArea):
    """Signals carry what the user did; `changed` a dict of changed settings, as an object."""

    changed = Signal(object)
    generate = Signal()
    stop = Signal()
    new_seed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.sliders = {name: LabelledSlider(knob) for name, knob in KNOBS.items()}
        for name, slider in self.sliders.items():
            slider.changed.connect(lambda value, name=name: self.changed.emit({name: value}))
        self.button = MainButton("Generate")
        self.button.setIconSize(self.button.iconSize() * 0.9)
        self.button.clicked.connect(self._clicked)
        self.mode = Choice(
            (
                ("Greedy", "Always take the most probable token: the same text every time, often dull and repetitive"),
                ("Sample", "Draw each token by its probability after the settings; the seed decides the draws"),
            ),
            "How the next token is chosen",
        )
        self.mode.chosen.connect(lambda index: self.changed.emit({"do_sample": index == SAMPLE}))
        self.seed = self._make_seed()
        self.stops = StopStrings()
        self.stops.changed.connect(lambda values: self.changed.emit({"stop": values}))
        self.reset = QPushButton("Reset sampling")
        self.reset.setToolTip("Put the sliders of this group back to their defaults")
        self.reset.clicked.connect(self._reset)
        self._generating = False
        self._generation = self._group("Generation", self._seed_row(), self.sliders["max_new_tokens"])
        self._stop_group = self._group("Stop strings", self.stops)
        self._lay_out()

    def _make_seed(self) -> QSpinBox:
        seed = QSpinBox()
        seed.setRange(0, MAX_SEED)
        seed.setKeyboardTracking(False)
        seed.setAlignment(Qt.AlignmentFlag.AlignRight)
        seed.setAccessibleName("Seed")
        seed.valueChanged.connect(lambda value: self.changed.emit({"seed": value}))
        return seed

    def _seed_row(self) -> QWidget:
        row, label = QWidget(), QLabel("Seed")
        tip = "The same seed, prompt and settings give the same text, run after run."
        label.setToolTip(tip)
        self.seed.setToolTip(tip)
        label.setBuddy(self.seed)
        dice = icon_button("dice", "Choose another seed at random", "New seed")
        dice.clicked.connect(self.new_seed)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(label, stretch=1)
        layout.addWidget(self.seed)
        layout.addWidget(dice)
        self._seed_parts = (label, self.seed, dice)
        return row

    @staticmethod
    def _group(title: str, *widgets: QWidget) -> QWidget:
        group = QWidget()
        layout = QVBoxLayout(group)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(heading(title))
        for widget in widgets:
            layout.addWidget(widget)
        return group

    def _lay_out(self) -> None:
        knobs = [self.sliders[name] for name in (*SAMPLING_ONLY, "repetition_penalty")]
        right = QHBoxLayout()
        right.addStretch(1)
        right.addWidget(self.reset)
        sampling = self._group("Sampling", self.mode, *knobs)
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(theme.SPACE // 2, 0, theme.SPACE, theme.SPACE)
        layout.setSpacing(2 * theme.SPACE)
        self._hint = MutedLabel()
        self._hint.setWordWrap(True)
        self._hint.hide()
        top = QVBoxLayout()
        top.setSpacing(theme.SPACE // 2)
        top.addWidget(self.button)
        top.addWidget(self._hint)
        layout.addLayout(top)
        layout.addWidget(sampling)
        layout.addLayout(right)
        layout.addWidget(self._generation)
        layout.addWidget(self._stop_group)
        layout.addStretch(1)
        self.setWidget(column)
        column.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)

    def show_params(self, params: Params) -> None:
        """Set every control, without a signal."""
        for name, slider in self.sliders.items():
            slider.set_value(getattr(params, name))
        self.seed.blockSignals(True)
        self.seed.setValue(params.seed)
        self.seed.blockSignals(False)
        self.mode.set_chosen(SAMPLE if params.do_sample else GREEDY)
        self.stops.set_values(params.stop)

    def show_screen(self, screen: Screen) -> None:
        """Enable what can be used now, and say why the rest cannot."""
        self._generating = screen.generating
        self._generation.setVisible(not screen.fill_mask)
        self._stop_group.setVisible(not screen.fill_mask)
        for name in SAMPLING_ONLY:
            self.sliders[name].set_available(not screen.greedy, NO_EFFECT)
        for part in self._seed_parts:
            part.setEnabled(not screen.greedy)
        self._show_button(screen)

    def _show_button(self, screen: Screen) -> None:
        if screen.fill_mask:
            text, icon, enabled = "Insert mask", "mask", True
            tip = "Put a mask at the end of the prompt; the model predicts the token behind it (Ctrl+Return)"
        elif screen.generating:
            text, icon, enabled, tip = "Stop", "stop", True, "End the completion; what is there stays (Esc)"
        else:
            text, icon, enabled = "Generate", "play", screen.can_generate
            tip = screen.generate_reason or "Continue the prompt with these settings (Ctrl+Return)"
        self.button.setText(text)
        self.button.setIcon(theme.icon(icon, on_action=True))
        self.button.setEnabled(enabled)
        self.button.setToolTip(tip)
        self._hint.setText(screen.generate_reason)
        self._hint.setVisible(bool(screen.generate_reason) and not screen.fill_mask)

    @Slot()
    def _clicked(self) -> None:
        (self.stop if self._generating else self.generate).emit()

    @Slot()
    def _reset(self) -> None:
        changes: dict[str, Any] = {"do_sample": DEFAULTS.do_sample}
        for name in (*SAMPLING_ONLY, "repetition_penalty"):
            self.sliders[name].set_value(getattr(DEFAULTS, name))
            changes[name] = getattr(DEFAULTS, name)
        self.mode.set_chosen(SAMPLE if DEFAULTS.do_sample else GREEDY)
        self.changed.emit(changes)
