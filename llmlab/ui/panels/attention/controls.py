"""The narrow column: what is read, which kind of attention, how weights become colours, which heads stand out."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QSpinBox, QWidget

from llmlab.engine.attention.scores import ALL_SCORES, SCORES
from llmlab.ui.panels.attention.params import BY_LAYER, MAX_PADDING, READ, REDUCTIONS, SCALES, SEGMENTS, Params
from llmlab.ui.panels.attention.screen import Offer, Screen
from llmlab.ui.panels.attention.words import KINDS
from llmlab.ui.widgets.column import ControlColumn, FactList, TextField, combo_box, group, labelled
from llmlab.ui.widgets.parts import Choice, MutedLabel
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider

READ_LABELS = (
    ("Prompt", "The model reads the prompt"),
    ("With completion", "The model reads the prompt and what the Decoding panel generated last"),
)
SCALE_LABELS = (
    ("Linear", "Colours go with the weight, from 0 to 1"),
    ("Log", "Colours go with the weight's logarithm, so that small weights can be told apart"),
    ("By row", "Each row by its own largest weight: shows where a token looks most, even where it looks at many"),
)
REDUCTION_LABELS = (
    ("Mean", "Of all heads or layers together: the mean of their weights"),
    ("Maximum", "Of all heads or layers together: the largest of their weights"),
)
SEGMENT_TIPS = {
    "all": "All weights",
    "A→A": "Only from the first sentence to itself",
    "A→B": "Only from the first sentence to the second",
    "B→A": "Only from the second sentence to the first",
    "B→B": "Only from the second sentence to itself",
}
# Which settings of the weights mean something on which tab; on those that are not named all do.
MEANT = {
    "lines": ("hide_first", "words", "value_weighted"),
    "flow": ("scale", "hide_first"),
    "effect": (),
    "pair": (),
    "lens": (),
}
THRESHOLD = Knob(
    "Show from", Scale(0, 1, decimals=2), 0.0, "Heads whose score is smaller are pale in the grid.", step=0.05, off=0.0
)


class Controls(ControlColumn):
    """`kind_chosen` carries a kind of attention."""

    kind_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.read = Choice(READ_LABELS, "What is read")
        self.read.chosen.connect(lambda index: self.changed.emit({"read": READ[index]}))
        self.target = TextField("Text for the decoder, as if it had written it")
        self.target.typed.connect(lambda text: self.changed.emit({"target": text}))
        self.pair = TextField("A second sentence")
        self.pair.typed.connect(lambda text: self.changed.emit({"pair": text}))
        self.padding = QSpinBox()
        self.padding.setRange(-MAX_PADDING, MAX_PADDING)
        self.padding.setAccessibleName("Padding tokens")
        self.padding.setToolTip(
            "So many padding tokens after the text, or before it where negative. A model must not look at them: "
            "their columns are masked."
        )
        self.padding.valueChanged.connect(lambda count: self.changed.emit({"padding": count}))
        self.segments = Choice([(name, SEGMENT_TIPS[name]) for name in SEGMENTS], "Which sentence looks at which")
        self.segments.chosen.connect(lambda index: self.changed.emit({"segments": tuple(SEGMENTS)[index]}))
        self.scale = Choice(SCALE_LABELS, "Colour scale")
        self.scale.chosen.connect(lambda index: self.changed.emit({"scale": SCALES[index]}))
        self.reduction = Choice(REDUCTION_LABELS, "Several heads together")
        self.reduction.chosen.connect(lambda index: self.changed.emit({"reduction": REDUCTIONS[index]}))
        self.switches = {
            "hide_first": self._switch(
                "hide_first",
                "Hide the first token",
                "Heads that find nothing look at the first token (a “sink”). Without it, each row is rescaled to 1.",
            ),
            "words": self._switch(
                "words",
                "Whole words",
                "The tokens of a word as one: the weights of its keys are summed, those of its queries averaged.",
            ),
            "value_weighted": self._switch(
                "value_weighted",
                "Weighted by value",
                "Each weight times the length of what it carries, ‖α·f(x)‖: a large weight on a short vector matters "
                "little (Kobayashi et al. 2020).",
            ),
        }
        self.sort = combo_box("Order of the heads", "The grid in the order of the layers, or of a score")
        self.sort.activated.connect(lambda _: self.changed.emit({"sort": self.sort.currentData()}))
        self.score = combo_box("Score of the heads")
        self.score.activated.connect(lambda _: self._choose_score())
        self.threshold = LabelledSlider(THRESHOLD)
        self.threshold.changed.connect(lambda value: self.changed.emit({"threshold": float(value)}))
        self.kinds = combo_box("Kind of attention")
        self.kinds.activated.connect(lambda _: self.kind_chosen.emit(self.kinds.currentData()))
        self.facts = FactList()
        self.notes = MutedLabel()
        self.notes.setWordWrap(True)
        self._params = Params()
        self._offer: Offer | None = None
        self._lay_out()
        self.show_offer(Offer())

    def _switch(self, name: str, label: str, tooltip: str) -> QCheckBox:
        box = QCheckBox(label)
        box.setToolTip(tooltip)
        box.toggled.connect(lambda checked: self.changed.emit({name: checked}))
        return box

    def _lay_out(self) -> None:
        self._groups = {
            "read": group("The model reads", self.read),
            "target": group("The decoder reads", self.target),
            "pair": group("Second sentence", self.pair, self.segments),
            "kind": group("Attention of", self.kinds),
            "map": group("Weights", self.scale, *self.switches.values()),
            "heads": group(
                "Heads",
                labelled("Order", self.sort),
                labelled("Score", self.score),
                self.threshold,
                labelled("Together", self.reduction),
            ),
            "facts": group("In focus", self.facts),
            "padding": group("Padding", self.padding),
        }
        self.fill((self.notes, *self._groups.values()))

    # --- what is shown --------------------------------------------------------------------------------------

    def show_params(self, params: Params) -> None:
        """Set every control, without a signal."""
        self._params = params
        self.read.set_chosen(READ.index(params.read))
        self.target.set_text(params.target)
        self.pair.set_text(params.pair)
        with QSignalBlocker(self.padding):
            self.padding.setValue(params.padding)
        self.segments.set_chosen(tuple(SEGMENTS).index(params.segments))
        self.scale.set_chosen(SCALES.index(params.scale))
        self.reduction.set_chosen(REDUCTIONS.index(params.reduction))
        for name, box in self.switches.items():
            with QSignalBlocker(box):
                box.setChecked(getattr(params, name))
        self.threshold.set_value(params.threshold)
        self.show_tab(params.tab)
        self._choose()

    def show_tab(self, tab: str) -> None:
        """Leave only the settings that mean something on this tab."""
        widgets = {"scale": self.scale, **self.switches}
        meant = MEANT.get(tab, tuple(widgets))
        for name, widget in widgets.items():
            widget.setVisible(name in meant)
        self._groups["map"].setVisible(bool(meant))

    def show_screen(self, screen: Screen) -> None:
        """What there is to choose from, and the numbers of the head in focus."""
        if screen.offer != self._offer:
            self.show_offer(screen.offer)
        index = self.kinds.findData(screen.kind)
        if index >= 0:
            self.kinds.setCurrentIndex(index)
            self.kinds.setToolTip(KINDS[screen.kind][1])
        self._show_scores(screen.kind)
        self.facts.show_facts(screen.facts)
        self._groups["facts"].setVisible(bool(screen.facts))
        self.notes.setText("\n".join(screen.notes))
        self.notes.setVisible(bool(screen.notes))

    def show_offer(self, offer: Offer) -> None:
        """Show the groups that mean something for this model and text."""
        self._offer = offer
        self._groups["read"].setVisible(offer.completion)
        self._groups["target"].setVisible(offer.target)
        self._groups["pair"].setVisible(offer.pair)
        self._groups["padding"].setVisible(offer.padding)
        self._groups["kind"].setVisible(len(offer.kinds) > 1)
        self.segments.setVisible(bool(self._params.pair))
        if [self.kinds.itemData(i) for i in range(self.kinds.count())] != list(offer.kinds):
            self.kinds.clear()
            for kind in offer.kinds:
                self.kinds.addItem(KINDS[kind][0], kind)

    def _show_scores(self, kind: str) -> None:
        known = ALL_SCORES if self._offer and self._offer.repeats else SCORES
        names = [name for name, score in known.items() if kind in score.kinds]
        if [self.score.itemData(i) for i in range(self.score.count())] == names:
            return
        for box in (self.sort, self.score):
            box.clear()
        self.sort.addItem("By layer", BY_LAYER)
        for name in names:
            self.sort.addItem(f"By {_lower(ALL_SCORES[name].title)}", name)
            self.score.addItem(ALL_SCORES[name].title, name)
            tip = f"{ALL_SCORES[name].meaning}\n{ALL_SCORES[name].formula}"
            self.score.setItemData(self.score.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self._choose()

    def _choose(self) -> None:
        params = self._params
        self.sort.setCurrentIndex(max(0, self.sort.findData(params.sort)))
        self.score.setCurrentIndex(max(0, self.score.findData(params.score)))
        self.segments.setVisible(bool(params.pair))
        self._explain_score()

    def _explain_score(self) -> None:
        score = ALL_SCORES.get(self.score.currentData() or "")
        self.score.setToolTip(f"{score.meaning}\n{score.formula}" if score else "What the bars in the grid tell")

    @Slot()
    def _choose_score(self) -> None:
        self._explain_score()
        self.changed.emit({"score": self.score.currentData()})


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]
