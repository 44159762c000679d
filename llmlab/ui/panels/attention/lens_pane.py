"""The logit lens tab: what the model would predict if it ended after each layer."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QFrame, QSplitter, QStackedLayout, QVBoxLayout, QWidget

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.lens_chart import CourseChart, CourseView
from llmlab.ui.panels.attention.lens_part import Lensing, LensScreen
from llmlab.ui.panels.attention.lens_table import LensGrid
from llmlab.ui.panels.attention.lens_values import LensMeasure
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, ShadeLegend, icon_button, menu_button, row
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.tokentext import visible
from llmlab.ui.widgets.wrapping import wrapping_row

HELP = Help(
    "Logit lens",
    "Between two layers a token is a vector, its hidden state. Here every such state goes straight through the model's "
    "own final norm and head, as if the model ended there: each cell names the token that would come out first, bold "
    "where it is what the whole model predicts. Rows go down through the model; “attn” is the state after a layer's "
    "attention, before its MLP. The logit lens is a reading, not something that the model does: norm and head were "
    "trained for the last layer alone, so that early rows can look like nonsense although the state holds what later "
    "layers need.",
    "row ℓ, position i:  softmax(head(norm(hᵢ at ℓ)))\nnostalgebraist 2020, “interpreting GPT: the logit lens”",
)
MEASURES = tuple(LensMeasure)
LEGEND = "“Final token” is what the whole model predicts at the position"
SCALES = {
    LensMeasure.PROBABILITY: "p of final token",
    LensMeasure.RANK: "its rank",
    LensMeasure.ENTROPY: "nats",
    LensMeasure.KL: "nats",
}


class LensPane(QWidget):
    """Above the table of places and positions, below the course of one position."""

    _part: Lensing  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measure = Choice(
            [("p", "Colour by the probability of the token that the whole model puts first"),
             ("Rank", "Colour by the rank of that token"),
             ("Entropy", "Colour by how undecided the reading is, in nats"),
             ("KL", "Colour by how far the reading is from the whole model's prediction, in nats")],
            "What colours the cells",
        )  # fmt: skip
        self.attention = QCheckBox("After attention")
        self.attention.setToolTip("Also the states after each layer's attention, before its MLP")
        self.legend, self.table, self.chart = ShadeLegend(tooltip=LEGEND), LensGrid(), CourseChart()
        self.caption, self.note, self.state = ElidedLabel(), ElidedLabel(), StateView()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self._tools())
        layout.addWidget(self._pages())
        layout.addWidget(self._holder(), stretch=1)

    def _tools(self) -> QWidget:
        export = menu_button("export", "Copy the table as CSV", "Export")
        export.clicked.connect(self._copy)
        export.menu().addAction("Copy as CSV", self._copy)
        export.menu().addAction("Copy as Python", self._copy_script)
        export.menu().addAction("Export as CSV…", lambda: self._export("csv"))
        export.menu().addAction("Export as JSON…", lambda: self._export("json"))
        gap = QWidget()
        widgets = (self.measure, self.attention, gap, self.legend, export, HelpButton(HELP))
        return wrapping_row(widgets, stretch=gap)

    def _pages(self) -> QWidget:
        """Of a text that is too long to be read at once; and what one must know."""
        self.earlier = icon_button("previous", "Earlier tokens")
        self.later = icon_button("next", "Later tokens")
        self.pages = row((self.earlier, self.later, self.note), stretch=self.note)
        return self.pages

    def _holder(self) -> QWidget:
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("lens")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.table)
        lower, frame = QWidget(), QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.chart)
        layout = QVBoxLayout(lower)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.caption)
        layout.addWidget(frame, stretch=1)
        splitter.addWidget(lower)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        splitter.setSizes([340, 200])
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(splitter)
        self._stack.addWidget(self.state)
        return holder

    def attach(self, part: Lensing) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self.measure.chosen.connect(lambda index: part.choose(measure=MEASURES[index]))
        self.attention.toggled.connect(lambda on: part.choose(attention=on))
        self.table.picked.connect(part.pick)
        self.table.hovered.connect(part.hover)
        self.earlier.clicked.connect(lambda: part.turn(-1))
        self.later.clicked.connect(lambda: part.turn(1))

    # --- to the part ----------------------------------------------------------------------------------------

    def show_lens(self, screen: LensScreen | None) -> None:
        if screen is None or screen.table is None:
            self.table.show_table(None, LensMeasure.PROBABILITY, -1)
            self.chart.show_course(None)
            self.pages.setVisible(False)
            words = "Every layer's states go through the model's head."
            self.state.show_loading("Reading the hidden states", words, screen.fraction if screen else None)
            self._stack.setCurrentIndex(1)
            return
        self._stack.setCurrentIndex(0)
        choices = screen.choices
        self.measure.set_chosen(MEASURES.index(choices.measure))
        self.attention.blockSignals(True)
        self.attention.setChecked(choices.attention and not screen.note)
        self.attention.setEnabled(not screen.note)
        self.attention.blockSignals(False)
        self.legend.show_scale(SCALES[choices.measure], *screen.table.ends(choices.measure))
        self.table.show_table(screen.table, choices.measure, screen.position)
        self._show_pages(screen)
        self._show_course(screen)

    def show_error(self, error: ErrorInfo) -> None:
        self.state.show_error(error.message, error.hint)
        self._stack.setCurrentIndex(1)
        self.pages.setVisible(False)

    def _show_pages(self, screen: LensScreen) -> None:
        first, after = screen.window
        partial = after - first < screen.total
        words = f"Tokens {first:,} to {after - 1:,} of {screen.total:,}.  " if partial else ""
        self.note.setText(words + screen.note)
        for button, on in ((self.earlier, first > 0), (self.later, after < screen.total)):
            button.setVisible(partial)
            button.setEnabled(on)
        self.pages.setVisible(partial or bool(screen.note))

    def _show_course(self, screen: LensScreen) -> None:
        course, table = screen.course, screen.table
        if course is None or table is None or course.position != screen.position:
            self.chart.show_course(None)
            self.caption.setText("Click a position to see its course.")
            return
        ranks = screen.choices.measure is LensMeasure.RANK
        self.chart.show_course(CourseView(course, table.rows, ranks))
        what = "rank" if ranks else "probability"
        column = course.position - int(table.lens.positions[0])
        token = f" “{visible(table.lens.tokens[column])}”" if 0 <= column < table.columns else ""
        self.caption.setText(
            f"Position {course.position}{token}: {what} of every token that is first somewhere on the way"
        )

    # --- what the user does ---------------------------------------------------------------------------------

    def _copy(self) -> None:
        self._part.copy(QGuiApplication.clipboard().setText)

    def _copy_script(self) -> None:
        if self.chart.shown:
            QGuiApplication.clipboard().setText(self._part.script())

    def _export(self, kind: str) -> None:
        saving.ask_path(self, f"logit-lens.{kind}", (kind,), self._part.save)
