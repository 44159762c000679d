"""The dialog that opens any model: bundled, recent, downloaded, a folder, or a hub id."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine import catalog
from llmlab.engine.catalog import CatalogEntry
from llmlab.engine.errors import ModelNotFoundError
from llmlab.engine.types import ModelRequest
from llmlab.ui import theme, words
from llmlab.ui.shell.model_bar import display_name

DEVICES = (
    ("Automatic (CUDA, then MPS, then CPU)", "auto"),
    ("CPU", "cpu"),
    ("CUDA GPU", "cuda"),
    *((("Apple GPU (MPS)", "mps"),) if sys.platform == "darwin" else ()),
)
DTYPES = (
    ("Automatic", "auto"),
    ("float32 · 4 bytes a weight", "float32"),
    ("bfloat16 · 2 bytes", "bfloat16"),
    ("float16 · 2 bytes", "float16"),
)
QUANTIZATIONS = (
    ("None", None),
    ("LLM.int8 · about 1 byte a weight", "int8"),
    ("NF4 · about ½ byte a weight", "nf4"),
    ("FP4 · about ½ byte a weight", "fp4"),
)


class OpenDialog(QDialog):
    """Asks for a `ModelRequest`; `opened` is called with it when the user accepts."""

    def __init__(
        self,
        opened: Callable[[ModelRequest], None],
        recent: Sequence[ModelRequest],
        offline: bool,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open a model")
        self.setModal(True)
        self.resize(760, 540)
        self._opened = opened
        self._tree = QTreeWidget()
        self._tree.setHeaderLabels(["Model", "Size", "What it is"])
        self._tree.setRootIsDecorated(False)
        self._tree.setStyleSheet("QTreeView::item { padding: 3px 0; }")
        self._tree.setAccessibleName("Models to choose from")
        self._tree.currentItemChanged.connect(self._chosen)
        self._tree.itemActivated.connect(lambda _item: self.accept())
        self._spec = QLineEdit()
        self._spec.setPlaceholderText("organisation/model on the Hugging Face hub, or a folder")
        self._spec.setAccessibleName("Hub id or folder")
        self._spec.textChanged.connect(self._check)
        browse = QPushButton("Browse…")
        browse.setToolTip("Choose the folder of a model on this computer")
        browse.clicked.connect(self._browse)
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._device = _combo(DEVICES, "Where the model computes")
        self._dtype = _combo(DTYPES, "The precision the weights are kept and computed in")
        self._quantization = _combo(
            QUANTIZATIONS, "Keeps the weights of linear layers in 8 or 4 bits (bitsandbytes): less memory, less exact"
        )
        self._double = QCheckBox("Quantize the scales as well (double quantization)")
        self._double.setToolTip("Saves about 0.05 byte a weight more; only for NF4 and FP4")
        self._offline = QCheckBox("Never use the network")
        self._offline.setChecked(offline)
        self._offline.setToolTip("Opens hub models only if they are in the cache already")
        self._quantization.currentIndexChanged.connect(self._check)
        self._buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel)
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        self._lay_out(browse)
        self._fill(recent)
        self._check()

    def add_cached(self, entries: Iterable[CatalogEntry]) -> None:
        """List what the Hugging Face cache holds; it is read in the background."""
        items = [(e.source.spec, e.source.repo_id or e.source.name, e.size, e.description) for e in entries]
        if items:
            self._group("Downloaded from the hub", items)

    def request(self) -> ModelRequest:
        """What the fields say now."""
        quantization = self._quantization.currentData()
        return ModelRequest(
            self._spec.text().strip(),
            device=self._device.currentData(),
            dtype=self._dtype.currentData(),
            quantization=quantization,
            double_quantization=quantization in ("nf4", "fp4") and self._double.isChecked(),
            offline=self._offline.isChecked(),
        )

    def accept(self) -> None:
        """Hand over the request, if it names something."""
        if self._buttons.button(QDialogButtonBox.StandardButton.Open).isEnabled():
            self._opened(self.request())
            super().accept()

    def _lay_out(self, browse: QPushButton) -> None:
        name = QHBoxLayout()
        name.addWidget(self._spec, stretch=1)
        name.addWidget(browse)
        form = QFormLayout()
        form.setHorizontalSpacing(2 * theme.SPACE)
        form.setVerticalSpacing(theme.SPACE)
        form.addRow("Hub id or folder", name)
        form.addRow("", self._problem)
        form.addRow("Device", self._device)
        form.addRow("Precision", self._dtype)
        form.addRow("Quantization", self._quantization)
        form.addRow("", self._double)
        form.addRow("", self._offline)
        layout = QVBoxLayout(self)
        layout.setSpacing(2 * theme.SPACE)
        layout.addWidget(self._tree, stretch=1)
        layout.addLayout(form)
        layout.addWidget(self._buttons)

    def _fill(self, recent: Sequence[ModelRequest]) -> None:
        entries = catalog.bundled()
        offered = self._group("Bundled", [(e.source.spec, e.source.name, e.size, e.description) for e in entries])
        known = {entry.source.spec for entry in entries}
        others = [request for request in recent if request.spec not in known]
        if others:
            self._group("Recent", [(request.spec, display_name(request.spec), 0, request.spec) for request in others])
        for column in (0, 1):
            self._tree.resizeColumnToContents(column)
            self._tree.setColumnWidth(column, self._tree.columnWidth(column) + 2 * theme.SPACE)
        self._tree.setCurrentItem(offered[0])

    def _group(self, title: str, items: list[tuple[str, str, int, str]]) -> list[QTreeWidgetItem]:
        group = QTreeWidgetItem(self._tree, [title])
        group.setFlags(Qt.ItemFlag.ItemIsEnabled)
        group.setFirstColumnSpanned(True)
        font = group.font(0)
        font.setBold(True)
        group.setFont(0, font)
        rows = []
        for spec, name, size, description in items:
            item = QTreeWidgetItem(group, [name, words.size(size) if size else "", description])
            item.setData(0, Qt.ItemDataRole.UserRole, spec)
            item.setToolTip(2, description)
            rows.append(item)
        group.setExpanded(True)
        return rows

    @Slot(QTreeWidgetItem, QTreeWidgetItem)
    def _chosen(self, item: QTreeWidgetItem | None, _former: QTreeWidgetItem | None) -> None:
        spec = item.data(0, Qt.ItemDataRole.UserRole) if item else None
        if spec:
            self._spec.setText(spec)

    @Slot()
    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "The folder of a model", str(Path.home()))
        if folder:
            self._spec.setText(folder)

    @Slot()
    def _check(self) -> None:
        problem = ""
        spec = self._spec.text().strip()
        if spec:
            try:
                catalog.resolve(spec)
            except ModelNotFoundError as error:
                problem = f"{error.message} {error.hint}"
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self._problem.setStyleSheet(f"color: {theme.current().error.name()}")
        self._double.setEnabled(self._quantization.currentData() in ("nf4", "fp4"))
        self._buttons.button(QDialogButtonBox.StandardButton.Open).setEnabled(bool(spec) and not problem)


def _combo(choices: Sequence[tuple[str, str | None]], tooltip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tooltip)
    combo.setAccessibleDescription(tooltip)
    for text, value in choices:
        combo.addItem(text, value)
    return combo
