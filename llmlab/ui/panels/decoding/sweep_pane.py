"""The tab of the sweep: the axes on top, the heat map on the left, the texts of the chosen cell on the right."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QResizeEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QSplitter,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.panels.decoding.sweep_grid import AXES, METRICS, MOST_SEEDS, Swept
from llmlab.ui.panels.decoding.sweep_map import SweepMap
from llmlab.ui.panels.decoding.sweeping import Sweeping, SweepScreen
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, MutedLabel, menu_button, row

HELP = Help(
    "Sweep over two settings",
    "The prompt is completed with every pair of values and several seeds each, many texts at a time in one batch; all "
    "other settings are those on the right. A cell's colour runs from the lowest to the highest value of the chosen "
    "measure in this grid; hover for all measures, click for the texts. But for rounding in the batch, every text is "
    "the one that Generate writes with these settings and this seed.",
    "distinct-2 = different pairs of tokens / pairs\nself-BLEU = mean BLEU of each text against the cell's others\n"
    "mean ln p = Σₜ ln p(tokenₜ) / tokens, before all settings",
)


class SweepPane(QWidget):
    """Head, heat map, texts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Sweeping | None = None
        self._swept: Swept | None = None
        self._shown: tuple[str, ...] = ()
        self.columns = _Axis("Across", "temperature")
        self.rows = _Axis("Down", "top_p")
        self.seeds = QSpinBox()
        self.seeds.setRange(1, MOST_SEEDS)
        self.seeds.setValue(3)
        self.seeds.setToolTip("How many texts each cell has, with one seed after the other")
        self.seeds.setAccessibleName("Seeds")
        self.run = QPushButton("Sweep")
        self.run.setToolTip("Complete the prompt with every pair of values")
        self.run.clicked.connect(self._run_or_stop)
        self.measure = QComboBox()
        for metric, (label, _, tooltip, _) in METRICS.items():
            self.measure.addItem(label, metric)
            self.measure.setItemData(self.measure.count() - 1, tooltip, Qt.ItemDataRole.ToolTipRole)
        self.measure.setAccessibleName("Measure that colours the cells")
        self.measure.setToolTip("Measure that colours the cells")
        self.measure.currentIndexChanged.connect(lambda _: self._refresh())
        self.note = MutedLabel()
        self.note.setWordWrap(True)
        self.export = menu_button("copy", "Copy the table of all texts", "Copy or export the sweep")
        self.export.clicked.connect(lambda: self._export("copy"))
        self.export.menu().addAction("Copy the table", lambda: self._export("copy"))
        self.export.menu().addAction("Export as CSV…", lambda: self._export("csv"))
        self.export.menu().addAction("Export as JSON…", lambda: self._export("json"))
        self.map = SweepMap()
        self.map.chosen.connect(lambda *_: self._write())
        self.title = ElidedLabel()
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName("Texts of the chosen cell")
        self.text.setPlaceholderText("The texts of a cell are shown here.")
        self._lay_out()
        theme.changed.connect(self._rewrite)
        self.show_sweep(SweepScreen())

    def _lay_out(self) -> None:
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.map)
        side = QWidget()
        beside = QVBoxLayout(side)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(2)
        beside.addWidget(self.title)
        beside.addWidget(self.text, stretch=1)
        splitter = QSplitter()
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(frame)
        splitter.addWidget(side)
        splitter.setSizes([420, 430])
        gap, end = QWidget(), QWidget()
        axes = row((self.columns, self.rows, end), stretch=end)
        actions = (MutedLabel("seeds"), self.seeds, self.run, self.measure, gap, self.export, HelpButton(HELP))
        head = _Head(axes, row(actions, stretch=gap))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(head)
        layout.addWidget(self.note)
        layout.addWidget(splitter, stretch=1)

    def attach(self, part: Sweeping) -> None:
        """`part` is told what the user does."""
        params = part.params
        for axis, typed in ((self.columns, params.sweep_columns), (self.rows, params.sweep_rows)):
            axis.set_typed(typed)
            axis.changed.connect(self._changed)
        self.seeds.setValue(params.sweep_seeds)
        self.seeds.valueChanged.connect(self._changed)
        self._part = part

    def show_sweep(self, screen: SweepScreen) -> None:
        """Show the head."""
        self.run.setText("Stop" if screen.running else "Sweep")
        self.run.setEnabled(screen.running or screen.can_run)
        self.note.setText(screen.note)
        self.note.setVisible(bool(screen.note))
        self.export.setEnabled(screen.has_texts and not screen.running)
        for axis in (self.columns, self.rows):
            axis.setEnabled(not screen.running)
        self.seeds.setEnabled(not screen.running)

    def show_swept(self, swept: Swept | None, *, changed: bool) -> None:
        """Show the cells."""
        self._swept = swept
        if not changed:
            self._shown = ()
        self._refresh()

    @Slot()
    def _changed(self) -> None:
        if self._part is not None:
            self._part.change(self.columns.typed, self.rows.typed, self.seeds.value())

    def _refresh(self) -> None:
        self.map.show_swept(self._swept, self.measure.currentData())
        self._write()

    @Slot()
    def _rewrite(self) -> None:
        self._shown = ()
        self._write()

    def _write(self) -> None:
        """The texts of the chosen cell; the same ones are not written again."""
        swept = self._swept
        texts = swept.cell(*self.map.selected) if swept is not None else []
        shown = tuple(f"seed {text.seed} · {len(text.ids)} tokens\n{text.text}" for text in texts if text.ids)
        if shown == self._shown and shown:
            return
        self._shown = shown
        self.title.setText(self._cell_words() if swept is not None else "")
        muted = QTextCharFormat()
        muted.setForeground(theme.current().muted)
        plain = QTextCharFormat()
        plain.setForeground(theme.current().text)
        self.text.clear()
        cursor = QTextCursor(self.text.document())
        for place, words in enumerate(shown):
            head, _, text = words.partition("\n")
            cursor.insertText(("\n\n" if place else "") + head + "\n", muted)
            cursor.insertText(text.strip("\n"), plain)
        self.text.moveCursor(QTextCursor.MoveOperation.Start)

    def _cell_words(self) -> str:
        assert self._swept is not None
        grid, (row_number, column) = self._swept.grid, self.map.selected
        return f"{grid.columns.label} {grid.columns.words(column)} · {grid.rows.label} {grid.rows.words(row_number)}"

    @Slot()
    def _run_or_stop(self) -> None:
        if self._part is None:
            return
        if self._part.busy:
            self._part.stop()
        else:
            self._part.run(self.columns.typed, self.rows.typed, self.seeds.value())

    def _export(self, kind: str) -> None:
        if self._part is not None:
            self._part.export(kind)


class _Head(QWidget):
    """Two rows of controls, beside each other where there is room."""

    def __init__(self, first: QWidget, second: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wide = first.minimumSizeHint().width() + second.minimumSizeHint().width() + 2 * theme.SPACE
        self._narrow = max(first.minimumSizeHint().width(), second.minimumSizeHint().width())
        self.setMinimumWidth(self._narrow)
        self._layout = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(theme.SPACE // 2)
        self._layout.addWidget(first)
        self._layout.addWidget(second, stretch=1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        beside = event.size().width() >= self._wide
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        self._layout.setDirection(direction)


class _Axis(QWidget):
    """A knob and its values."""

    changed = Signal()

    def __init__(self, name: str, knob: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.knob, self.values = QComboBox(), QLineEdit()
        for key, (label, _) in AXES.items():
            self.knob.addItem(label, key)
        self.knob.setAccessibleName(f"{name}: setting")
        self.knob.setToolTip(f"{name}: which setting changes")
        self.knob.setMaximumWidth(13 * theme.SPACE)
        self.values.setAccessibleName(f"{name}: values")
        self.values.setToolTip(f"{name}: its values, with spaces between them")
        self.values.setFixedWidth(14 * theme.SPACE)
        self.knob.currentIndexChanged.connect(self._offer)
        self.knob.setCurrentIndex(self.knob.findData(knob))
        self._offer()
        self.values.textChanged.connect(self.changed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.knob)
        layout.addWidget(self.values)

    @property
    def typed(self) -> tuple[str, str]:
        """The knob, and its values as they were typed."""
        return self.knob.currentData(), self.values.text()

    def set_typed(self, typed: tuple[str, ...]) -> None:
        """Show a knob and its values as they were typed once; nothing where there is no such knob."""
        if len(typed) == 2 and typed[0] in AXES:
            self.knob.setCurrentIndex(self.knob.findData(typed[0]))
            self.values.setText(typed[1])

    @Slot()
    def _offer(self) -> None:
        self.values.setText(" ".join(f"{value:g}" for value in AXES[self.knob.currentData()][1]))
