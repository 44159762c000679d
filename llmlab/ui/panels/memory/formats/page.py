"""The tab of number formats: bits on top, the line of numbers below, the chosen format in detail beside them."""

from __future__ import annotations

import functools

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import QLabel, QLineEdit, QMenu, QPushButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory.formats.bit_table import BitTable
from llmlab.ui.panels.memory.formats.number_line import CLOSER, WIDER, NumberLine
from llmlab.ui.panels.memory.formats.params import OVERFLOW, Params
from llmlab.ui.panels.memory.formats.presenter import Formats
from llmlab.ui.panels.memory.formats.screen import FormatsScreen
from llmlab.ui.tab_page import TabPage
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.column import ControlColumn, FactList, combo_box, group, labelled
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import MutedLabel, heading, icon_button, menu_button, row

EXAMPLES = (
    ("3.141592", "the course's example"),
    ("0.1", "is in no binary format"),
    ("1/3", "neither"),
    ("65504", "FP16's largest"),
    ("65520", "rounds to infinity in FP16"),
    ("464", "halfway beyond FP8 E4M3's largest"),
    ("1e-7", "subnormal in FP16"),
    ("16777217", "2²⁴ + 1: not in FP32"),
    ("0x1p-149", "FP32's smallest"),
    ("-0", "zero has a sign"),
    ("inf", "infinity"),
    ("nan", "not a number"),
)
OVERFLOW_TEXTS = {
    "torch": ("as torch casts", "E4M3 takes its largest value, the others infinity"),
    "infinity": ("infinity or NaN", "NaN where the format has no infinity (E4M3)"),
    "saturate": ("the largest value", "Saturation, as accelerators offer it"),
}
HELP = Help(
    "Number formats",
    "Each row is the same number in another format: one bit for the sign, some for the exponent (the range), some for "
    "the mantissa (the precision). Click a bit to turn it over and see what it is worth. Below, the marks are the "
    "values that each format has around the number, the dot is the one it rounds to. INT8 and NF4 have no exponent: "
    "they share one scale, the largest magnitude of their block.",
    "value = (−1)^sign · 2^(exponent − bias) · 1.mantissa\n"
    "exponent 0: (−1)^sign · 2^(1 − bias) · 0.mantissa\n"
    "INT8: integer · absmax / 127     NF4: table[code] · absmax",
)


class FormatsControls(ControlColumn):
    """The number, its block, and all about the chosen format."""

    taken = Signal()
    undone = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.number = _line("Number", "Decimal, 0x1.8p-3, 1/3, inf or nan: it is read exactly, then rounded once")
        self.number.textChanged.connect(lambda text: self.changed.emit({"number": text}))
        examples = icon_button("dice", "Numbers that are worth a look", "Examples")
        menu = QMenu(examples)
        for text, about in EXAMPLES:
            menu.addAction(f"{text}   {about}").triggered.connect(functools.partial(self._example, text))
        examples.setMenu(menu)
        examples.setPopupMode(examples.ToolButtonPopupMode.InstantPopup)
        self.problem = _Problem()
        self.block = _line("Others of its block", "Numbers with spaces between: the largest magnitude sets the scale")
        self.block.textChanged.connect(lambda text: self.changed.emit({"block": text}))
        self.block_note = MutedLabel()
        self.block_note.setWordWrap(True)
        self.block_problem = _Problem()
        self.overflow = combo_box("Beyond the range", "What becomes of numbers beyond a format's largest value")
        for key in OVERFLOW:
            text, about = OVERFLOW_TEXTS[key]
            self.overflow.addItem(text, key)
            self.overflow.setItemData(self.overflow.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        self.overflow.currentIndexChanged.connect(
            lambda _: self.changed.emit({"overflow": self.overflow.currentData()})
        )
        self.title = heading("")
        self.facts = FactList(wrapped=True)
        self.take = QPushButton("Take as number")
        self.take.setToolTip("This format's value becomes the number: all formats round it")
        self.take.clicked.connect(self.taken)
        self.undo = QPushButton("Undo bits")
        self.undo.setToolTip("Bits that were turned over go back: every format rounds the number again")
        self.undo.clicked.connect(self.undone)
        self.fill(
            (
                group("Number", row((self.number, examples), stretch=self.number), self.problem),
                group("Block of INT8 and NF4", self.block, self.block_note, self.block_problem),
                labelled("Beyond the range", self.overflow),
                self.title,
                row((self.take, self.undo)),
                self.facts,
            ),
            theme.SPACE,
        )

    def _example(self, text: str, _checked: bool = False) -> None:
        self.number.setText(text)

    def show_params(self, params: Params) -> None:
        """Set the controls, without a signal; what is being typed stays."""
        for field, text in ((self.number, params.number), (self.block, params.block)):
            if field.text() != text:
                with QSignalBlocker(field):
                    field.setText(text)
        with QSignalBlocker(self.overflow):
            self.overflow.setCurrentIndex(self.overflow.findData(params.overflow))

    def show_screen(self, shown: FormatsScreen) -> None:
        """What is wrong with what was typed, and the chosen format."""
        self.problem.say(shown.problem)
        self.block_problem.say(shown.block_problem)
        self.block_note.setText(f"largest magnitude {shown.absmax}")
        self.title.setText(shown.chosen)
        self.facts.show_facts(shown.facts)
        self.undo.setEnabled(shown.any_turned)


class FormatsPage(TabPage):
    """Is the `Page` of its `Formats`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: FormatsControls = FormatsControls()
        self.bits, self.line = BitTable(), NumberLine()
        self.export = menu_button("export", "Copy the table of formats", "Copy or export the formats")
        closer = _button("Closer", "See less of the line, larger (+ or the wheel)")
        wider = _button("Wider", "See more of the line (− or the wheel)")
        closer.clicked.connect(lambda: self.line.zoomed.emit(CLOSER))
        wider.clicked.connect(lambda: self.line.zoomed.emit(WIDER))
        gap, between = QWidget(), QWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((heading("Bits"), gap, self.export, HelpButton(HELP)), stretch=gap))
        layout.addWidget(self.bits)
        caption = MutedLabel("marks: the values of each format; dot: what the number becomes; right: values in sight")
        layout.addWidget(row((heading("Values around it"), caption, between, closer, wider), stretch=between))
        layout.addWidget(self.line, stretch=1)

    def attach(self, tab: Formats, panel: PanelView) -> None:
        """`tab` is told what the user does."""
        super().attach(tab, panel)
        self.controls.changed.connect(lambda changes: tab.change(**changes))
        self.controls.taken.connect(tab.take)
        self.controls.undone.connect(tab.undo)
        self.bits.flipped.connect(tab.flip)
        self.bits.chosen.connect(lambda name: tab.change(chosen=name))
        self.bits.stepped.connect(tab.step)
        self.line.zoomed.connect(tab.zoom)
        self.line.picked.connect(tab.take)
        self.export.clicked.connect(lambda: tab.export("copy"))
        for label, what in (
            ("Copy the table", "copy"),
            ("Copy the chosen format's value", "value"),
            ("Export as CSV…", "csv"),
            ("Export as JSON…", "json"),
            ("Copy as Python", "python"),
        ):
            self.export.menu().addAction(label).triggered.connect(functools.partial(self._export, what))
        for picture, name in ((self.bits, "bits"), (self.line, "number-line")):
            panel.attach_chart(picture, name)

    def _export(self, what: str, _checked: bool = False) -> None:
        assert self._tab is not None
        self._tab.export(what)

    # --- to the presenter -----------------------------------------------------------------------------------

    def show_params(self, params: Params) -> None:
        self.controls.show_params(params)

    def show_screen(self, shown: FormatsScreen) -> None:
        self.bits.show_rows(shown.rows, shown.chosen)
        self.line.show_line(shown.line)
        self.controls.show_screen(shown)


class _Problem(QLabel):
    """What is wrong, in the colour for it; gone while nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.hide()
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    @Slot()
    def _paint_colors(self) -> None:
        palette = self.palette()
        palette.setColor(self.foregroundRole(), theme.current().error)
        self.setPalette(palette)

    def say(self, text: str) -> None:
        """Say it, or nothing."""
        self.setText(text)
        self.setVisible(bool(text))


def _line(name: str, tip: str) -> QLineEdit:
    field = QLineEdit()
    field.setFont(theme.monospace())
    field.setPlaceholderText(name)
    field.setAccessibleName(name)
    field.setToolTip(tip)
    return field


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
