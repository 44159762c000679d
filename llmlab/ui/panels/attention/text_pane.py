"""The text tab: the tokens in their text, shaded by the weights of those that are chosen."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QFrame, QMenu, QSplitter, QStackedLayout, QVBoxLayout, QWidget

from llmlab.engine.attention.types import MASKED
from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.reading import KEYS, QUERIES
from llmlab.ui.panels.attention.text_paint import WeightLegend, color_of, row_card, weight_card
from llmlab.ui.panels.attention.text_part import Texting
from llmlab.ui.panels.attention.text_rows import Shading
from llmlab.ui.panels.attention.text_source import Texts
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.strip import TokenStrip
from llmlab.ui.widgets.tokentext import visible
from llmlab.ui.widgets.wrapping import wrapping_row

NAMED = 3  # chosen tokens that are called by their text
AXES = (QUERIES, KEYS)
HELP = Help(
    "Attention in the text",
    "Point at a token and the text is shaded by where it looks: the yellower a token's background, the more of its "
    "value flows to the token under the mouse. Click to keep a token chosen and to read exact weights from the others; "
    "with Ctrl or Shift several are chosen and their rows are summed. Turn the question round to see who looks at a "
    "token. A token without a background may not be looked at: it comes later, is padding, or lies outside a sliding "
    "window. A bar before a token tells where the generated text or the second sentence begins.",
    "row of token i:  softmax(qᵢ·kⱼ / √d + mask) over all j, sum 1\nwho looks at j:  column j; its sum is not 1",
)


class TextPane(QWidget):
    """One text that looks at itself, or two: what is read, and what is looked at."""

    _part: Texting  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._texts: Texts | None = None
        self._shading: Shading | None = None
        self._pinned = False
        self.axis = Choice(
            [("Where it looks", "Shade the tokens that the chosen one looks at: its row of the map"),
             ("Who looks at it", "Shade the tokens that look at the chosen one: its column of the map")],
            "Which way one looks",
        )  # fmt: skip
        self.caption, self.legend = ElidedLabel(), WeightLegend()
        self.queries, self.keys = self._strip(QUERIES), self._strip(KEYS)
        self.state = StateView()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        gap = QWidget()
        layout.addWidget(wrapping_row((self.axis, gap, self.legend, HelpButton(HELP)), stretch=gap))
        layout.addWidget(self.caption)
        layout.addWidget(self._frame(), stretch=1)
        theme.changed.connect(self._paint_colors)

    def _strip(self, axis: str) -> TokenStrip:
        strip = TokenStrip(lambda token: self._card(axis, token))
        strip.menu_asked.connect(self._fill_menu)
        strip.setAccessibleName("Text whose tokens look" if axis == QUERIES else "Text that is looked at")
        return strip

    def _frame(self) -> QWidget:
        self._labels = MutedLabel("The decoder's text, whose tokens look"), MutedLabel("The encoder's text")
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setChildrenCollapsible(False)
        for label, strip in zip(self._labels, (self.queries, self.keys), strict=True):
            box = QFrame()
            box.setFrameShape(QFrame.Shape.StyledPanel)
            inside = QVBoxLayout(box)
            inside.setContentsMargins(1, 1, 1, 1)
            inside.setSpacing(0)
            label.setContentsMargins(theme.SPACE, theme.SPACE // 2, 0, 0)
            inside.addWidget(label)
            inside.addWidget(strip, stretch=1)
            splitter.addWidget(box)
        self._second = box
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(splitter)
        self._stack.addWidget(self.state)
        return holder

    def attach(self, part: Texting) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self.axis.chosen.connect(lambda index: part.turn(AXES[index]))
        for axis, strip in ((QUERIES, self.queries), (KEYS, self.keys)):
            strip.hovered.connect(partial(part.hover, axis))
            strip.selected.connect(partial(self._choose, axis))
            strip.toggled.connect(partial(part.toggle, axis))

    # --- to the part ----------------------------------------------------------------------------------------

    def show_texts(self, texts: Texts | None) -> None:
        self._texts, self._shading = texts, None
        two = texts is not None and texts.two
        self.queries.set_source(texts.queries if texts else None)
        self.queries.set_flags(texts.begins if texts else None)
        self.keys.set_source(texts.keys if texts and two else None)
        self._second.setVisible(two)
        for label in self._labels:
            label.setVisible(two)
        self.axis.setVisible(not two)
        self._paint_colors()

    def show_shading(self, shading: Shading | None, *, pinned: bool) -> None:
        self._shading, self._pinned = shading, pinned
        self._stack.setCurrentIndex(0)
        self.legend.show_shading(shading)
        self.caption.setText(self._caption(shading))
        self._paint_colors()

    def show_axis(self, axis: str) -> None:
        self.axis.set_chosen(AXES.index(axis))

    def show_error(self, error: ErrorInfo) -> None:
        self.state.show_error(error.message, error.hint)
        self._stack.setCurrentIndex(1)

    # --- colours and words ----------------------------------------------------------------------------------

    @Slot()
    def _paint_colors(self) -> None:
        shading, two = self._shading, self._texts is not None and self._texts.two
        own, other = self.queries, self.keys
        if shading is not None and shading.axis == KEYS:
            own, other = other, own
        if not two:
            own = other = self.queries
        own.set_colors(color_of(None))
        other.set_colors(color_of(shading))
        other.set_marked(frozenset())
        if own is not other:
            other.select(-1, scroll=False)
        self._mark(own, shading.chosen if shading else ())

    def _mark(self, strip: TokenStrip, chosen: tuple[int, ...]) -> None:
        """Frame the chosen tokens: those in a row as the strip's selection, so that Shift goes on from there."""
        strip.set_marked(frozenset(chosen))
        together = self._pinned and bool(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1
        selection = (chosen[0], chosen[-1]) if together else (-1, -1)
        if strip.selection != selection:
            strip.select(*selection, scroll=together)

    def _caption(self, shading: Shading | None) -> str:
        if shading is None:
            return ""
        chosen, single = self._chosen_text(shading), len(shading.chosen) == 1
        if shading.axis == KEYS:
            return f"who looks at {chosen}{'' if single else ', summed'}"
        after = self._texts.chosen_after(shading.chosen[0]) if self._texts and single else None
        more = "" if after is None else f"; {self._name(QUERIES, after)} was generated from this row"
        return f"where {chosen} {'looks' if single else 'look, summed'}{more}"

    def _chosen_text(self, shading: Shading) -> str:
        chosen = shading.chosen
        if len(chosen) > NAMED:
            return f"{len(chosen)} tokens"
        return " + ".join(f"{self._name(shading.axis, token)} ({token})" for token in chosen)

    def _name(self, axis: str, token: int) -> str:
        assert self._texts is not None
        source = self._texts.queries if axis == QUERIES else self._texts.keys
        return visible(source.text_of(token))

    def _card(self, axis: str, token: int) -> Card | None:
        shading, texts = self._shading, self._texts
        if shading is None or texts is None:
            return None
        other = KEYS if shading.axis == QUERIES else QUERIES
        if self._pinned:
            if texts.two and axis == shading.axis:
                return None
            chosen = self._chosen_text(shading)
            return weight_card(shading, token, lambda each: self._name(other, each), chosen)
        if shading.chosen != (token,):  # its row is still on its way
            return None
        title = f"{self._name(shading.axis, token)}  ·  token {token}"
        return row_card(shading, title, lambda each: self._name(other, each))

    # --- to the presenter -----------------------------------------------------------------------------------

    def _choose(self, axis: str, first: int, last: int) -> None:
        self._part.choose(axis, range(first, last + 1) if first >= 0 else ())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._pinned:
            self._choose(self._shading.axis if self._shading else QUERIES, -1, -1)
        else:
            super().keyPressEvent(event)

    def _fill_menu(self, menu: QMenu) -> None:
        if self._shading is not None:
            menu.addAction("Copy the weights", self.copy_weights)
            menu.addAction("Copy as Python", self.copy_python)
        if self._pinned:
            axis = self._shading.axis if self._shading else QUERIES
            menu.addAction("Choose no token", lambda: self._choose(axis, -1, -1))

    @Slot()
    def copy_weights(self) -> None:
        """Every token with its weight, tab-separated, to the clipboard."""
        shading = self._shading
        if shading is None:
            return
        other = KEYS if shading.axis == QUERIES else QUERIES
        lines = [
            f"{token}\t{self._name(other, token)}\t{'' if weight == MASKED else weight}"
            for token, weight in enumerate(shading.weights.tolist())
        ]
        QGuiApplication.clipboard().setText("\n".join(("token\ttext\tweight", *lines)))

    @Slot()
    def copy_python(self) -> None:
        """A script that computes the same, to the clipboard."""
        if self._part.python:
            QGuiApplication.clipboard().setText(self._part.python)
