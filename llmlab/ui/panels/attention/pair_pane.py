"""The neuron tab: which query and key, the chain of numbers, and the vectors behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.pair_chain_view import ChainView
from llmlab.ui.panels.attention.pair_dimensions import Dimensions
from llmlab.ui.panels.attention.pair_keys import KeyList
from llmlab.ui.panels.attention.pair_part import Order, Pair, Pairing
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, menu_button, row
from llmlab.ui.widgets.saving import ask_path
from llmlab.ui.widgets.states import StateView

ORDERS = (
    (Order.DIMENSION, "Dimension", "In the order of the vectors"),
    (Order.CONTRIBUTION, "Contribution", "From the largest product to the most negative one"),
    (Order.SIZE, "Size", "From the largest product to the smallest, whatever the sign"),
)
HELP = Help(
    "How one weight came about",
    "A head gives the token that looks a query vector q and every token that can be looked at a key vector k. Their "
    "products, dimension by dimension, are summed; blue ones speak for looking there, orange ones against it. The sum "
    "is scaled, and the softmax turns the scores of a whole row into shares. Sort by contribution to see how few or "
    "how many dimensions decide. Query and key are shown after the rotation to their positions, where the model has "
    "one (RoPE).",
    "score = cap(q·k × scaling) + bias + mask\nweight = e^score / Σ e^score over all keys of the row",
)


class PairPane(QWidget):
    """One weight in all its numbers."""

    _part: Pairing  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.query, self.key = self._spin("Query token, the one that looks"), self._spin("Key token, that is looked at")
        self.texts = ElidedLabel()
        self.orders = Choice([(label, tip) for _, label, tip in ORDERS], "Order of the dimensions")
        self._copy = menu_button("copy", "Copy all dimensions with their numbers", "Copy the numbers")
        self._copy.clicked.connect(self.copy)
        self._copy.menu().addAction("Copy as a table", self.copy)
        self._copy.menu().addAction("Copy as Python", self.copy_python)
        self.chain, self.dimensions, self.keys = ChainView(), Dimensions(), KeyList()
        self.caption = ElidedLabel()
        self.state = StateView()
        self._stack = QStackedWidget()
        self._stack.addWidget(self._lay_out())
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)

    def _lay_out(self) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        labels = QLabel("Query"), QLabel("Key")
        for label, spin in zip(labels, (self.query, self.key), strict=True):
            label.setBuddy(spin)
        parts = (labels[0], self.query, labels[1], self.key, self.texts, self._copy, HelpButton(HELP))
        layout.addWidget(row(parts, stretch=self.texts))
        layout.addWidget(self.chain)
        layout.addWidget(row((self.orders, self.caption), stretch=self.caption))
        lower = QHBoxLayout()
        lower.setSpacing(2 * theme.SPACE)
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.dimensions)
        lower.addWidget(frame, stretch=1)
        lower.addWidget(self._key_column())
        layout.addLayout(lower, stretch=1)
        return page

    def _key_column(self) -> QWidget:
        column = QWidget()
        column.setFixedWidth(20 * theme.SPACE)
        layout = QVBoxLayout(column)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(MutedLabel("Strongest keys of the row"))
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.StyledPanel)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.keys)
        layout.addWidget(scroll, stretch=1)
        return column

    @staticmethod
    def _spin(name: str) -> QSpinBox:
        spin = QSpinBox()
        spin.setKeyboardTracking(False)
        spin.setAccessibleName(name)
        spin.setToolTip(f"{name}: its number in the text")
        spin.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return spin

    def attach(self, part: Pairing) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self._copy.menu().addAction("Save as CSV…", part.save)
        self.query.valueChanged.connect(part.choose_query)
        for key in (self.key.valueChanged, self.keys.chosen):
            key.connect(part.choose_key)
        self.orders.chosen.connect(lambda index: part.sort(ORDERS[index][0]))

    @Slot()
    def copy(self) -> None:
        """All dimensions, tab-separated, to the clipboard."""
        QGuiApplication.clipboard().setText(self._part.table())

    # --- to the part ----------------------------------------------------------------------------------------

    def show_pair(self, pair: Pair | None, order: Order) -> None:
        self._stack.setCurrentIndex(0)
        self.orders.set_chosen([each for each, _, _ in ORDERS].index(order))
        self.dimensions.show_pair(pair, order)
        self._copy.setEnabled(pair is not None)
        if pair is None:
            self.chain.set_links(())
            self.keys.show_rows((), -1)
            self.texts.setText("")
            self.caption.setText("")
            return
        for spin, value, size in zip(
            (self.query, self.key), (pair.view.query_index, pair.view.key_index), pair.sizes, strict=True
        ):
            spin.blockSignals(True)
            spin.setRange(0, size - 1)
            spin.setValue(value)
            spin.blockSignals(False)
        place, count = pair.rank
        self.texts.setText(f"{pair.query_text} → {pair.key_text} · rank {place} of {count:,}")
        self.chain.set_links(pair.links)
        self.keys.show_rows(pair.row, pair.view.key_index)
        self.caption.setText(f"{len(pair.view.products)} dimensions of {pair.title.lower()}")

    def show_nothing(self, title: str, text: str) -> None:
        self.state.show_empty(title, text)
        self._stack.setCurrentIndex(1)

    def show_error(self, error: ErrorInfo) -> None:
        self.state.show_error(error.message, error.hint)
        self._stack.setCurrentIndex(1)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        ask_path(self, name, kinds, then)

    @Slot()
    def copy_python(self) -> None:
        """A script that computes the same, to the clipboard."""
        if self._part.python:
            QGuiApplication.clipboard().setText(self._part.python)
