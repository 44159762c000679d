"""The narrow column: what the model is asked to do, and how it chooses."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QLabel, QMenu, QPushButton, QSpinBox, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.graphs_switch import GraphsSwitch
from llmlab.ui.panels.decoding.knob_specs import CUT_OFFS, DEFAULTS, KNOBS, LENGTH, PENALTIES, SAMPLING_ONLY, SHAPE
from llmlab.ui.panels.decoding.order_list import OrderList
from llmlab.ui.panels.decoding.params import GROUPS, MAX_SEED, Params
from llmlab.ui.panels.decoding.picture import Screen
from llmlab.ui.panels.decoding.stops import StopStrings
from llmlab.ui.panels.decoding.word_list import WordList
from llmlab.ui.widgets.column import ControlColumn
from llmlab.ui.widgets.fold import Fold
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel, icon_button, row
from llmlab.ui.widgets.slider import LabelledSlider

GREEDY, SAMPLE = 0, 1
NO_EFFECT = "Greedy decoding always takes the most probable token, so this has no effect. Choose Sample to use it."
ABOUT_GROUPS = {
    "Shape": "How flat or peaked the distribution is",
    "Cut-offs": "Which improbable tokens are removed before the draw",
    "Penalties": "What happens to tokens that were written before; acts in greedy decoding as well",
    "Words": "Words that are banned, or more or less likely; acts in greedy decoding as well",
    "Length": "When the completion ends",
    "Order": "In which order the settings act",
}
BANNED = (
    "Text that is never written: the last token that would complete it is removed, with or without a space before it.\n"
    "transformers calls it bad_words_ids."
)
BIASED = (
    "Added to the logit of the word's last token where the tokens before it stand already; above 0 the word is more\n"
    "likely, below 0 less. With and without a space before it. transformers calls it sequence_bias."
)
OVERFLOW = {
    "stop": ("Stop there", "The completion ends when prompt and completion fill the context window"),
    "slide": (
        "Slide the window",
        "The model forgets the older half of the window, reads the newer half again, and goes on",
    ),
    "refuse": ("Refuse beforehand", "Nothing is generated if all the new tokens asked for could not fit"),
}
RESET = (*SAMPLING_ONLY, *PENALTIES, "min_new_tokens")


class Controls(ControlColumn):
    """Signals carry what the user did."""

    generate = Signal()
    stop = Signal()
    new_seed = Signal()
    own_settings = Signal()  # the model's own, instead of these
    open_preset = Signal()
    save_preset = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        self.overflow = self._make_overflow()
        self.banned = WordList("Banned words", BANNED, biased=False)
        self.banned.changed.connect(lambda values: self.changed.emit({"banned": values}))
        self.biases = WordList("Biased words", BIASED, biased=True)
        self.biases.changed.connect(lambda values: self.changed.emit({"biases": values}))
        self.graphs = GraphsSwitch()
        self.graphs.changed.connect(lambda wanted: self.changed.emit({"cuda_graphs": wanted}))
        self.order = OrderList()
        self.order.changed.connect(lambda order: self.changed.emit({"order": order}))
        self.reset = QPushButton("Reset sampling")
        self.reset.setToolTip(
            "Put everything that decides how a token is chosen back to its default: sliders, words, order"
        )
        self.reset.clicked.connect(self._reset)
        self.presets = self._make_presets()
        self._generating = False
        self._seed = self._seed_row()
        self.groups = self._make_groups()
        self._lay_out()

    def _make_seed(self) -> QSpinBox:
        seed = QSpinBox()
        seed.setRange(0, MAX_SEED)
        seed.setKeyboardTracking(False)
        seed.setAlignment(Qt.AlignmentFlag.AlignRight)
        seed.setAccessibleName("Seed")
        seed.valueChanged.connect(lambda value: self.changed.emit({"seed": value}))
        return seed

    def _make_overflow(self) -> QComboBox:
        box = QComboBox()
        for choice, (label, tip) in OVERFLOW.items():
            box.addItem(label, choice)
            box.setItemData(box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        box.setAccessibleName("When the context window is full")
        box.setToolTip("What happens when prompt and completion fill the model's context window")
        box.currentIndexChanged.connect(lambda _: self.changed.emit({"overflow": box.currentData()}))
        return box

    def _seed_row(self) -> QWidget:
        label = QLabel("Seed")
        tip = "The same seed, prompt and settings give the same text, run after run."
        label.setToolTip(tip)
        self.seed.setToolTip(tip)
        label.setBuddy(self.seed)
        dice = icon_button("dice", "Choose another seed at random", "New seed")
        dice.clicked.connect(self.new_seed)
        self._seed_parts = (label, self.seed, dice)
        return row(self._seed_parts, stretch=label)

    def _make_presets(self) -> QPushButton:
        button = QPushButton("Presets")
        button.setToolTip("The model's own settings, and settings kept in files, which can be dropped as well")
        menu = QMenu(button)
        self._own = menu.addAction("The model's own settings", self.own_settings.emit)
        menu.addSeparator()
        menu.addAction("Open preset or generation_config.json…", self.open_preset.emit)
        menu.addAction("Save as preset…", self.save_preset.emit)
        button.setMenu(menu)
        return button

    def _make_groups(self) -> dict[str, Fold]:
        sliders = self.sliders
        stop_label = MutedLabel("Stop strings")
        inside: dict[str, tuple[QWidget, ...]] = {
            "Shape": tuple(sliders[name] for name in SHAPE),
            "Cut-offs": tuple(sliders[name] for name in CUT_OFFS),
            "Penalties": tuple(sliders[name] for name in PENALTIES),
            "Words": (self.banned, self.biases),
            "Length": (
                *(sliders[name] for name in LENGTH),
                stop_label,
                self.stops,
                MutedLabel("When the context is full"),
                self.overflow,
            ),
            "Order": (self.order,),
        }
        groups = {name: Fold(name, ABOUT_GROUPS[name], *inside[name]) for name in GROUPS}
        for group in groups.values():
            group.toggled.connect(self._folded)
        return groups

    def _lay_out(self) -> None:
        self._hint = MutedLabel()
        self._hint.setWordWrap(True)
        self._hint.hide()
        self._order_note = OrderNote()
        gap = QWidget()
        kept = row((self.presets, gap, self.reset), stretch=gap)
        above = (self.button, self._hint, self.mode, self._seed, kept, self._order_note)
        self.fill((*above, *self.groups.values(), self.graphs), theme.SPACE)

    def show_params(self, params: Params) -> None:
        """Set every control, without a signal."""
        for name, slider in self.sliders.items():
            slider.set_value(getattr(params, name))
        self.seed.blockSignals(True)
        self.seed.setValue(params.seed)
        self.seed.blockSignals(False)
        self.mode.set_chosen(SAMPLE if params.do_sample else GREEDY)
        self.stops.set_values(params.stop)
        self.overflow.blockSignals(True)
        self.overflow.setCurrentIndex(self.overflow.findData(params.overflow))
        self.overflow.blockSignals(False)
        self.graphs.set_wanted(params.cuda_graphs)
        self.banned.set_values(params.banned)
        self.biases.set_values(params.biases)
        self.order.set_order(params.order)
        for name, group in self.groups.items():
            group.set_open(name not in params.folded)
        self.show_use(params)

    def show_use(self, params: Params) -> None:
        """How many settings of each group change something."""
        stages = params.sampling.stages
        self.order.set_acting(stages)
        self._order_note.setVisible(not params.sampling.standard_order)
        for words in (self.banned, self.biases):
            words.set_inactive(params.inactive)
        counts = {
            "Cut-offs": sum(name in stages for name in CUT_OFFS),
            "Penalties": sum(name in stages for name in PENALTIES),
            "Words": len(set(params.words).difference(params.inactive)),
        }
        for name, count in counts.items():
            self.groups[name].set_note(f"{count} on" if count else "")
        self.groups["Order"].set_note("changed" if params.order else "")

    def show_screen(self, screen: Screen) -> None:
        """Enable what can be used now, and say why the rest cannot."""
        self._generating = screen.generating
        self._seed.setVisible(not screen.fill_mask)
        self.groups["Length"].setVisible(not screen.fill_mask)
        for name in SAMPLING_ONLY:
            self.sliders[name].set_available(not screen.greedy, NO_EFFECT)
        for part in self._seed_parts:
            part.setEnabled(not screen.greedy)
        self.graphs.show_notice(screen.graphs)
        self._show_button(screen)
        self._show_own(screen.own_settings)

    def _show_own(self, settings: str) -> None:
        self._own.setText(f"The model's own: {settings}" if settings else "The model brings no settings of its own")
        self._own.setEnabled(bool(settings))

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
    def _folded(self) -> None:
        self.changed.emit({"folded": tuple(name for name, group in self.groups.items() if not group.is_open)})

    @Slot()
    def _reset(self) -> None:
        changes: dict[str, Any] = {"do_sample": DEFAULTS.do_sample, "banned": (), "biases": (), "order": ()}
        for name in RESET:
            self.sliders[name].set_value(getattr(DEFAULTS, name))
            changes[name] = getattr(DEFAULTS, name)
        self.mode.set_chosen(SAMPLE if DEFAULTS.do_sample else GREEDY)
        self.banned.set_values(())
        self.biases.set_values(())
        self.order.set_order(())
        self.changed.emit(changes)


class OrderNote(QLabel):
    """Says that what is seen is not what transformers would do."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("The settings do not act in transformers' order. See Order below.", parent)
        self.setWordWrap(True)
        self.hide()
        theme.changed.connect(self._paint_warning)
        self._paint_warning()

    @Slot()
    def _paint_warning(self) -> None:
        palette = self.palette()
        palette.setColor(self.foregroundRole(), theme.current().warning)
        self.setPalette(palette)
