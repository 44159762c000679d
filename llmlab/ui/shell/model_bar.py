"""The bar on top: which model is loaded, where, how, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QProgressBar, QPushButton, QToolButton, QWidget

from llmlab.engine import catalog
from llmlab.engine.errors import ModelNotFoundError
from llmlab.engine.types import MemoryUse, ModelInfo, ModelRequest
from llmlab.ui import theme, words
from llmlab.workbench import ModelState, Status


class ModelBar(QFrame):
    """Shows a `ModelState`. `choose` is called with a request, `browse` for the dialog, `cancel` to stop loading."""

    def __init__(
        self,
        choose: Callable[[ModelRequest], None],
        browse: Callable[[], None],
        cancel: Callable[[], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("modelBar")
        self._choose = choose
        self._browse = browse
        self._recent: tuple[ModelRequest, ...] = ()
        self._state = ModelState()
        self._weights = 0
        self._dot = QLabel("●")
        self._name = QToolButton()
        self._name.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self._name.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._name.setAutoRaise(True)
        self._name.setObjectName("modelName")
        self._name.setToolTip("Choose another model: bundled, recent, or any other")
        self._menu = QMenu(self)
        self._models = QActionGroup(self)  # one of them is open
        self._menu.aboutToShow.connect(self._fill_menu)
        self._name.setMenu(self._menu)
        font = self._name.font()
        font.setBold(True)
        self._name.setFont(font)
        self._facts = QLabel()
        self._facts.setTextFormat(Qt.TextFormat.PlainText)
        self._bar = QProgressBar()
        self._bar.setFixedWidth(160)
        self._bar.setMaximumHeight(10)
        self._bar.setTextVisible(False)
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("Stop opening this model; the former one stays")
        self._cancel.clicked.connect(lambda _: cancel())
        self._memory = QLabel()
        self._open = QPushButton("Open…")
        self._open.setToolTip("Open a bundled model, a folder or a Hugging Face model (Ctrl+O)")
        self._open.clicked.connect(lambda _: browse())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 12, 6)
        layout.setSpacing(10)
        left: tuple[QWidget, ...] = (self._dot, self._name, self._facts)
        right: tuple[QWidget, ...] = (self._bar, self._cancel, self._memory, self._open)
        for widget in left:
            layout.addWidget(widget)
        layout.addStretch(1)
        for widget in right:
            layout.addWidget(widget)
        theme.changed.connect(self._paint)
        self.set_state(self._state)

    def set_recent(self, recent: Sequence[ModelRequest]) -> None:
        """The models to offer under the bundled ones."""
        self._recent = tuple(recent)

    def set_state(self, state: ModelState) -> None:
        """Show the loaded model, or the progress of the one that is loading."""
        if state.generation != self._state.generation:
            self._weights = 0
        self._state = state
        loading = state.status is Status.LOADING
        if loading and state.request:
            self._name.setText(display_name(state.request.spec))
            self._facts.setText(state.progress.text if state.progress else "")
        elif state.info:
            self._name.setText(state.info.name)
            self._facts.setText(" · ".join(facts(state.info)))
        else:
            self._name.setText("No model")
            self._facts.setText("Open one to begin")
        self._facts.setToolTip("\n".join(state.info.notes) if state.info and not loading else "")
        fraction = state.progress.fraction if state.progress else None
        self._bar.setRange(0, 0 if fraction is None else 1000)
        if fraction is not None:
            self._bar.setValue(round(1000 * fraction))
        self._bar.setVisible(loading)
        self._cancel.setVisible(loading)
        self._memory.setVisible(not loading)
        self._paint()

    def set_memory(self, use: MemoryUse) -> None:
        """Show what the process, or the CUDA allocator, holds now."""
        self._weights = use.weights or self._weights
        tooltip = [f"This process: {use.process_rss:,} bytes of memory (resident set size)"]
        if self._weights:
            tooltip.append(f"The model's weights: {self._weights:,} bytes")
        if use.cuda_allocated is None or use.cuda_total is None:
            self._memory.setText(words.size(use.process_rss))
        else:
            self._memory.setText(f"{words.size(use.cuda_allocated)} of {words.size(use.cuda_total)} GPU")
            tooltip.append(
                f"CUDA: {use.cuda_allocated:,} allocated, {use.cuda_reserved:,} reserved, {use.cuda_total:,} total"
            )
        self._memory.setToolTip("\n".join(tooltip))

    @Slot()
    def _paint(self) -> None:
        colours = theme.current()
        dot = {Status.READY: colours.positive, Status.LOADING: colours.warning, Status.EMPTY: colours.muted}
        self._dot.setStyleSheet(f"color: {dot[self._state.status].name()}")
        self._dot.setToolTip(f"Model: {self._state.status}")
        self._facts.setStyleSheet(f"color: {colours.muted.name()}")
        self._memory.setStyleSheet(f"color: {colours.muted.name()}")
        self.setStyleSheet(
            f"#modelBar {{ background: {colours.base.name()}; border: none;"
            f" border-bottom: 1px solid {colours.border.name()}; }}"
            "#modelName { padding: 3px 20px 3px 4px; }"
            "#modelName::menu-indicator { subcontrol-origin: padding; subcontrol-position: right center; right: 5px; }"
        )

    @Slot()
    def _fill_menu(self) -> None:
        self._menu.clear()
        self._menu.addSection("Bundled, always there")
        bundled = [ModelRequest(entry.source.spec) for entry in catalog.bundled()]
        for request in bundled:
            self._add(request)
        known = {request.spec for request in bundled}
        recent = [request for request in self._recent if request.spec not in known]
        if recent:
            self._menu.addSection("Recent")
            for request in recent:
                self._add(request)
        self._menu.addSeparator()
        self._menu.addAction("Open another…", self._browse)

    def _add(self, request: ModelRequest) -> None:
        action = QAction(display_name(request.spec), self._menu)
        action.setToolTip(request.spec)
        action.setCheckable(True)
        action.setChecked(self._state.info is not None and self._state.info.request.spec == request.spec)
        action.triggered.connect(lambda: self._choose(request))
        self._models.addAction(action)
        self._menu.addAction(action)


def display_name(spec: str) -> str:
    """The bundled models by their names, folders by their last part, hub ids as they are."""
    try:
        source = catalog.resolve(spec)
    except ModelNotFoundError:  # a folder that is gone
        return spec
    return source.repo_id or source.name


def facts(info: ModelInfo) -> list[str]:
    """The model in a line: architecture, size, place, precision, context window."""
    precision = info.dtype if info.quantization is None else f"{info.quantization} ({info.dtype})"
    context = [f"context {info.context:,}"] if info.context else []
    return [str(info.architecture), f"{words.count(info.parameters)} parameters", info.device, precision, *context]
