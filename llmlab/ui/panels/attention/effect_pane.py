"""The effect tab: which heads matter for the prediction, and the prediction without some of them."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSplitter,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.errors import InputError
from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.effect_bars import EffectBars
from llmlab.ui.panels.attention.effect_map import EffectLegend, EffectMap
from llmlab.ui.panels.attention.effect_part import Ablating, EffectScreen
from llmlab.ui.panels.attention.effect_values import Measure, Order, Place, nats, off_text
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, icon_button, menu_button, row
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.wrapping import wrapping_row

HELP = Help(
    "What heads cause",
    "Attention weights tell where a head looks, not whether it matters. Here a head is switched off: what it would "
    "write into the hidden states becomes zero, everything else stays, and the model predicts again. Each cell tells "
    "how much the prediction changes when that head alone, or in the last column the layer's whole attention, is "
    "removed. Click cells to switch several off together and compare the predictions below. A head without effect here "
    "may matter for other texts, and heads can stand in for each other.",
    "KL(before ‖ after) = Σ p ln(p / p′), in nats\nchange = p′(first token) − p(first token)\n"
    "zero ablation: Michel et al. 2019",
)
MEASURES = (Measure.KL, Measure.DELTA)
ORDERS = (Order.LAYER, Order.EFFECT)
ROW, TITLE = 28, 40  # pixels of a layer on the map, and of what stands above the layers of a kind


class EffectPane(QWidget):
    """Above all heads by their effect, below the prediction with and without those that are off."""

    _part: Ablating  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._screen: EffectScreen | None = None
        self.measure = Choice(
            [("KL", "How far the whole distribution moves when the head is removed"),
             ("Δp", "How much the probability of the first token changes when the head is removed")],
            "How effects are measured",
        )  # fmt: skip
        self.order = Choice(
            [("By layer", "Layers from top to bottom, heads from left to right"),
             ("By effect", "The heads with the largest effect first")],
            "Order of the heads",
        )  # fmt: skip
        self.legend, self.map, self.bars = EffectLegend(), EffectMap(), EffectBars()
        self.state = StateView()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        ready = QWidget()
        inside = QVBoxLayout(ready)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(theme.SPACE)
        inside.addWidget(self._tools())
        inside.addWidget(self._progress_row())
        inside.addWidget(self._splitter(), stretch=1)
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(ready)
        self._stack.addWidget(self.state)
        layout.addWidget(holder)

    def _tools(self) -> QWidget:
        export = menu_button("export", "Copy the effects of all heads", "Export")
        export.clicked.connect(lambda: self._copy(of_all=True))
        export.menu().addAction("Copy the effects of all heads", lambda: self._copy(of_all=True))
        export.menu().addAction("Copy the comparison", lambda: self._copy(of_all=False))
        export.menu().addAction("Copy as Python", self._copy_script)
        export.menu().addAction("Export the effects as CSV…", lambda: self._export(of_all=True))
        export.menu().addAction("Export the comparison as CSV…", lambda: self._export(of_all=False))
        self.export = export
        gap = QWidget()
        return wrapping_row((self.measure, self.order, gap, self.legend, export, HelpButton(HELP)), stretch=gap)

    def _progress_row(self) -> QWidget:
        """The sweep while it runs, or the offer to begin it."""
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName("Heads that have been measured")
        self.note = ElidedLabel()
        self.start = QPushButton("Measure every head")
        self.start.setToolTip("Remove each head and each layer alone and see what it does to the prediction")
        self.cancel = icon_button("cancel", "Stop measuring; what has been measured stays")
        self.progress = row((self.note, self.bar, self.start, self.cancel), stretch=self.note)
        self.bar.setFixedWidth(160)
        return self.progress

    def _splitter(self) -> QWidget:
        splitter = self.splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("effect")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.map)
        lower = QWidget()
        layout = QVBoxLayout(lower)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self._switches())
        self.facts = ElidedLabel()
        self.position = QComboBox()
        self.position.setToolTip("Which of the masks the model fills in")
        self.position.setAccessibleName("Predicted position")
        self.log = QCheckBox("Log scale")
        self.log.setToolTip("Bars, and the colours of divergences, by order of magnitude")
        layout.addWidget(row((self.facts, self.position, self.log), stretch=self.facts))
        layout.addWidget(self.bars, stretch=1)
        splitter.addWidget(lower)
        splitter.setStretchFactor(0, 1)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([240, 300])
        self.map.setMinimumHeight(90)
        return splitter

    def _switches(self) -> QWidget:
        self.off = ElidedLabel()
        self.head = QPushButton()
        self.head.setToolTip("Switch the head that the whole panel looks at off, or on again")
        self.layer = QPushButton()
        self.layer.setToolTip("Switch all heads of that layer off, or on again")
        self.reset = QPushButton("All on")
        self.reset.setToolTip("Switch all heads on again")
        layout = QHBoxLayout()
        box = QWidget()
        box.setLayout(layout)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.off, stretch=1)
        for button in (self.head, self.layer, self.reset):
            layout.addWidget(button)
        return box

    def attach(self, part: Ablating) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self.measure.chosen.connect(lambda index: part.choose(measure=MEASURES[index]))
        self.order.chosen.connect(lambda index: part.choose(order=ORDERS[index]))
        self.position.activated.connect(lambda index: part.choose(position=index))
        self.log.clicked.connect(lambda on: part.choose(logarithmic=on))
        self.start.clicked.connect(part.measure)
        self.cancel.clicked.connect(part.cancel)
        self.map.toggled.connect(part.toggle)
        self.map.looked.connect(part.look_at)
        self.head.clicked.connect(self._toggle_head)
        self.layer.clicked.connect(self._toggle_layer)
        self.reset.clicked.connect(part.reset)

    # --- to the part ----------------------------------------------------------------------------------------

    def show_effects(self, screen: EffectScreen | None) -> None:
        if screen is not None and (self._screen is None or screen.effects.sizes != self._screen.effects.sizes):
            self._divide(screen)
        self._screen = screen
        self._stack.setCurrentIndex(0)
        self.map.show_screen(screen)
        if screen is None:
            self.bars.show_effect(None, stale=False)
            return
        self.measure.set_chosen(MEASURES.index(screen.choices.measure))
        self.log.setChecked(screen.choices.logarithmic)
        self.order.set_chosen(ORDERS.index(screen.choices.order))
        self.legend.show_screen(screen)
        self._show_progress(screen)
        self._show_switches(screen)
        self._show_comparison(screen)

    def _divide(self, screen: EffectScreen) -> None:
        """Give the map the height that this model's layers need, and the prediction the rest."""
        layers = [count for count, _ in screen.effects.sizes.values()]
        wanted = ROW * sum(layers) + TITLE * len(layers)
        height = max(self.splitter.height(), 1)
        upper = min(wanted, round(0.6 * height))
        self.splitter.setSizes([upper, height - upper])

    def show_error(self, error: ErrorInfo) -> None:
        if error.kind == InputError.__name__:  # a text without a mask: nothing has gone wrong
            self.state.show_empty(error.message, error.hint)
        else:
            self.state.show_error(error.message, error.hint)
        self._stack.setCurrentIndex(1)

    def _show_progress(self, screen: EffectScreen) -> None:
        running = screen.fraction is not None
        self.progress.setVisible(running or screen.offered > 0)
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        self.start.setVisible(not running)
        if running:
            self.note.setText("Removing one head after the other …")
            self.bar.setValue(round(1000 * (screen.fraction or 0)))
        elif screen.effects.known:
            self.note.setText("Not every head has been measured.")
        else:
            self.note.setText(f"Measuring all {screen.offered:,} heads takes a while for this model and text.")

    def _show_switches(self, screen: EffectScreen) -> None:
        self.off.setText(off_text(screen.off, screen.effects))
        self.reset.setEnabled(bool(screen.off))
        focus = screen.focused
        self.head.setVisible(focus is not None and focus.head is not None)
        self.layer.setVisible(focus is not None)
        if focus is None:
            return
        for button, place, what in (
            (self.head, focus, f"head {focus.short}"),
            (self.layer, Place(focus.kind, focus.layer, None), f"layer {Place(focus.kind, focus.layer, None).short}"),
        ):
            is_off = screen.effects.heads_of(place) <= screen.off
            button.setText(f"Switch {what} {'on' if is_off else 'off'}")

    def _show_comparison(self, screen: EffectScreen) -> None:
        effect, outcome = screen.effect, screen.outcome or ()
        self.bars.show_effect(effect, stale=screen.stale, logarithmic=screen.choices.logarithmic)
        self.position.setVisible(len(outcome) > 1)
        if [self.position.itemText(i) for i in range(self.position.count())] != [each.label for each in outcome]:
            self.position.clear()
            self.position.addItems([each.label for each in outcome])
        if outcome:
            self.position.setCurrentIndex(min(screen.choices.position, len(outcome) - 1))
        if effect is None:
            self.facts.setText("The model is predicting …")
            return
        entropies = f"entropy {effect.entropy_before:.3f} → {effect.entropy_after:.3f} nats"
        self.facts.setText(
            f"KL {nats(effect.kl)} nats   {entropies}" if effect.off else entropies.split(" →")[0] + " nats"
        )

    # --- what the user does ---------------------------------------------------------------------------------

    @Slot()
    def _toggle_head(self) -> None:
        if self._screen and self._screen.focused:
            self._part.toggle(self._screen.focused)

    @Slot()
    def _toggle_layer(self) -> None:
        if self._screen and self._screen.focused:
            focus = self._screen.focused
            self._part.toggle(Place(focus.kind, focus.layer, None))

    def _copy(self, *, of_all: bool) -> None:
        QGuiApplication.clipboard().setText(self._part.csv(of_all=of_all))

    def _copy_script(self) -> None:
        if self._screen:
            QGuiApplication.clipboard().setText(self._part.script())

    def _export(self, *, of_all: bool) -> None:
        name = "effects.csv" if of_all else "comparison.csv"
        saving.ask_path(self, name, ("csv",), partial(self._part.save, of_all=of_all))
