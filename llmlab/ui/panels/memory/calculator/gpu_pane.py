"""The table of GPUs with what one can do to it."""

from __future__ import annotations

import functools

from PySide6.QtCore import QPoint, Qt, Signal, Slot
from PySide6.QtWidgets import QMenu, QWidget

from llmlab.engine.memory.hardware import Gpu
from llmlab.ui.panels.memory.calculator.gpurows import GPU_COLUMNS, OWN, Gpus
from llmlab.ui.panels.memory.calculator.panes import button, column
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.words import both_sizes, in_lines


class GpuPane(QWidget):
    """The table of GPUs with what one can do to it."""

    sorted = Signal(int)
    marked = Signal(object)  # tuple of names
    export_asked = Signal(str)
    edit_asked = Signal(object)  # a Gpu, or None for a new one
    remove_asked = Signal(object)  # tuple of names
    restore_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._gpus: Gpus | None = None
        columns = [Column(c.name, c.tooltip, c.width, c.number) for c in GPU_COLUMNS]
        self.table = RowTable(columns, "GPUs and what fits on them", several=True)
        self.table.picked.connect(self._picked)
        self.table.copy_asked.connect(lambda: self.export_asked.emit("gpus-copy"))
        self.table.doubleClicked.connect(lambda _: self._edit())
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        header = self.table.horizontalHeader()
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self.sorted)
        self.summary = ElidedLabel()
        self.add = button("Add…", "A GPU that is not in the table", lambda: self.edit_asked.emit(None))
        self.edit = button("Change…", "Change the chosen row", self._edit)
        self.remove = button("Remove", "Take the chosen rows out of the table", self._remove)
        self.restore = button("Restore", "Undo all changes of the table", self.restore_asked.emit)
        self.export = menu_button("export", "Copy the table, as it is sorted", "Copy or export the table of GPUs")
        self.export.clicked.connect(lambda: self.export_asked.emit("gpus-copy"))
        self._add_copies(self.export.menu())
        buttons = (self.summary, self.add, self.edit, self.remove, self.restore, self.export)
        self.setLayout(column((row(buttons, stretch=self.summary), 0), (self.table, 1)))

    def show_gpus(self, gpus: Gpus) -> None:
        """Show the rows; those that are marked are the chosen ones."""
        place = self.table.verticalScrollBar().value()
        self._gpus = gpus
        self.table.rows_model.set_order(gpus.column, descending=gpus.descending)
        self.table.set_rows([_gpu_row(gpus, number) for number in range(len(gpus.rows))])
        self.table.select([n for n, each in enumerate(gpus.rows) if each.gpu.name in gpus.marked])
        self.table.verticalScrollBar().setValue(place)
        self.summary.setText(gpus.summary)
        self.restore.setEnabled(gpus.changed)
        self._enable()

    def _add_copies(self, menu: QMenu) -> None:
        menu.addAction("Copy the table", lambda: self.export_asked.emit("gpus-copy"))
        menu.addAction("Export as CSV…", lambda: self.export_asked.emit("gpus-csv"))
        menu.addAction("Export as JSON…", lambda: self.export_asked.emit("gpus-json"))

    @Slot(QPoint)
    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        self._add_copies(menu)
        menu.addSeparator()
        menu.addAction("Change…", self._edit).setEnabled(self.edit.isEnabled())
        menu.addAction("Remove", self._remove).setEnabled(self.remove.isEnabled())
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.table.viewport().mapToGlobal(place))

    def _chosen(self) -> tuple[int, ...]:
        return tuple(n for n in self.table.selected_rows if self._gpus is not None and n < len(self._gpus.rows))

    def _names(self) -> tuple[str, ...]:
        assert self._gpus is not None
        return tuple(self._gpus.rows[number].gpu.name for number in self._chosen())

    def _enable(self) -> None:
        gpus, chosen = self._gpus, self._chosen()
        own = gpus is not None and any(gpus.rows[number].gpu.kind == OWN for number in chosen)
        self.edit.setEnabled(len(chosen) == 1 and not own)
        self.remove.setEnabled(bool(chosen) and not own)

    @Slot(object)
    def _picked(self, _rows: tuple[int, ...]) -> None:
        if self._gpus is not None:
            self.marked.emit(self._names())
            self._enable()

    @Slot()
    def _edit(self) -> None:
        chosen = self._chosen()
        if self._gpus is not None and self.edit.isEnabled():
            self.edit_asked.emit(self._gpus.rows[chosen[0]].gpu)

    @Slot()
    def _remove(self) -> None:
        self.remove_asked.emit(self._names())


def _gpu_row(gpus: Gpus, number: int) -> Row:
    each = gpus.rows[number]
    return Row(tuple(column.text(each) for column in GPU_COLUMNS), faint=not each.fits, tooltip=_tip(each.gpu))


@functools.lru_cache(maxsize=256)  # a slider shows the same GPUs with every move
def _tip(gpu: Gpu) -> str:
    return in_lines(f"{gpu.name}: {both_sizes(gpu.memory)}", f"{gpu.kind}; {gpu.source}")
