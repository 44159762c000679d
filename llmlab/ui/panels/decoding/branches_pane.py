"""The tab of all branches: the tree on the left, the text of one or the comparison of two on the right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QKeySequence, QShortcut, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QSplitter, QTextEdit, QToolButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.branching import Branching, BranchRow, BranchScreen, Part, Side
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.widgets.tokentext import visible

HELP = Help(
    "Branches",
    "Every completion of the loaded model, and every branch: right-click a token of the completion, or choose a bar, "
    "to go on with another token; the text before it is not computed again, and the former text stays here. "
    "Log-probability and perplexity are the model's own, before all settings, so texts made with different settings "
    "can be compared.",
    "ln p = Σₜ ln p(tokenₜ | prompt, tokens before t)\nperplexity = exp(−ln p / tokens)",
)
COLUMNS = (
    Column(
        "branch",
        "Its name, or the first words that are its own; branches stand below what they part from",
        0,
        number=False,
    ),
    Column("from", "The number of its first own token", 5),
    Column("tokens", "How many tokens the completion has", 6),
    Column("ln p", "The model's own log-probability of the whole completion", 8),
    Column("perpl.", "The model's own perplexity of the completion", 6),
    Column("seed", "The seed it was drawn with; none where it is greedy", 6),
)


class BranchesPane(QWidget):
    """Buttons on top, tree and texts below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Branching | None = None
        self.table = RowTable(COLUMNS, "Branches", several=True)
        self.table.picked.connect(self._picked)
        self.table.doubleClicked.connect(lambda index: self._rename(index.row()))
        self.note = ElidedLabel()
        self.rename = _button("Rename", "Give the selected branch a name (F2)")
        self.prune = _button("Prune", "Remove the selected branch and all that part from it (Delete)")
        self.undo = _button("Undo", "Back to the branches before the last change (Ctrl+Z)")
        self.redo = _button("Redo", "Forth again (Ctrl+Shift+Z)")
        self.export = menu_button("copy", "Copy the branches", "Copy or export the branches")
        self.export.clicked.connect(lambda: self._export("copy"))
        self.export.menu().addAction("Copy the branches", lambda: self._export("copy"))
        self.export.menu().addAction("Export as CSV…", lambda: self._export("csv"))
        self.export.menu().addAction("Export as JSON…", lambda: self._export("json"))
        self.texts = (_SideText(), _SideText())
        sides = QWidget()
        beside = QHBoxLayout(sides)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(theme.SPACE // 2)
        for text in self.texts:
            beside.addWidget(text, stretch=1)
        splitter = QSplitter()
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.table)
        splitter.addWidget(sides)
        splitter.setSizes([460, 400])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        buttons = (self.rename, self.prune, self.undo, self.redo, self.export, HelpButton(HELP))
        layout.addWidget(row((self.note, *buttons), stretch=self.note))
        layout.addWidget(splitter, stretch=1)
        self.show_branches(BranchScreen())

    def attach(self, part: Branching) -> None:
        """`part` is told what the user does."""
        self._part = part
        self.rename.clicked.connect(self._rename_selected)
        self.prune.clicked.connect(self._prune)
        self.undo.clicked.connect(part.undo)
        self.redo.clicked.connect(part.redo)
        for keys, call in (
            ("F2", self._rename_selected),
            ("Del", self._prune),
            ("Ctrl+Z", part.undo),
            ("Ctrl+Shift+Z", part.redo),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(call)

    def show_branches(self, screen: BranchScreen) -> None:
        """Show the tree and the texts."""
        self.table.set_rows([_row(each) for each in screen.rows])
        self.table.select(screen.selected)
        self.note.setText(screen.note)
        single = len(screen.selected) == 1
        self.rename.setEnabled(single)
        self.prune.setEnabled(single)
        self.undo.setEnabled(screen.can_undo)
        self.redo.setEnabled(screen.can_redo)
        self.export.setEnabled(bool(screen.rows))
        for text, side in zip(self.texts, (*screen.sides, None, None), strict=False):
            text.show_side(side)

    @Slot(object)
    def _picked(self, rows: Sequence[int]) -> None:
        if self._part is not None and rows:
            self._part.pick(rows)

    @Slot()
    def _rename_selected(self) -> None:
        if len(self.table.selected_rows) == 1:
            self._rename(self.table.selected_rows[0])

    def _rename(self, number: int) -> None:
        if self._part is None:
            return
        part, dialog = self._part, QInputDialog(self)
        dialog.setWindowTitle("Rename")
        dialog.setLabelText("Name of the branch (empty: its first words)")
        dialog.setTextValue(part.name_of(number))
        dialog.textValueSelected.connect(lambda name: part.rename(number, name))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot()
    def _prune(self) -> None:
        if self._part is not None and len(self.table.selected_rows) == 1:
            self._part.prune(self.table.selected_rows[0])

    def _export(self, kind: str) -> None:
        if self._part is not None:
            self._part.export(kind)


class _SideText(QWidget):
    """A text with its title; what the other text has not stands on a colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side: Side | None = None
        self.title = ElidedLabel()
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName("Text of the branch")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.title)
        layout.addWidget(self.text, stretch=1)
        theme.changed.connect(self._write)

    def show_side(self, side: Side | None) -> None:
        """Show a text, or nothing."""
        if side != self._side or side is None:
            self._side = side
            self.setVisible(side is not None)
            self._write()

    @Slot()
    def _write(self) -> None:
        side = self._side or Side("", ())
        self.title.setText(side.title)
        self.text.clear()
        cursor = QTextCursor(self.text.document())
        for part in side.parts:
            cursor.insertText(part.text, _format(part))
        self.text.moveCursor(QTextCursor.MoveOperation.Start)


def _format(part: Part) -> QTextCharFormat:
    colors, shape = theme.current(), QTextCharFormat()
    shape.setForeground(colors.muted if part.same else colors.text)
    if not part.same:
        shape.setBackground(colors.warning_base)
    return shape


def _row(branch: BranchRow) -> Row:
    indent = "" if branch.depth == 0 else "    " * (branch.depth - 1) + " └ "
    perplexity = f"{branch.perplexity:.2f}" if branch.perplexity is not None else ""
    name = branch.name if branch.named else visible(branch.name).replace("␣", " ")
    cells = (
        indent + ("● " if branch.current else "") + name,
        f"{branch.parts_at:,}",
        f"{branch.tokens:,}" + ("…" if branch.running else ""),
        f"{branch.log_probability:.2f}",
        perplexity,
        branch.seed,
    )
    return Row(cells, tooltip=f"{branch.name}\n{branch.settings}")


def _button(text: str, tooltip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setAutoRaise(True)
    button.setToolTip(tooltip)
    return button
