"""Where tokens live: one token's vector, what lies near it, sums, and a map that can be walked layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QImage
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSlider,
    QStackedLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.panels.tokens.map_canvas import MapCanvas
from llmlab.ui.panels.tokens.near_table import NearTable
from llmlab.ui.panels.tokens.plane import MapPicture
from llmlab.ui.panels.tokens.sum_pane import SumPane
from llmlab.ui.panels.tokens.vector_strip import VectorStrip
from llmlab.ui.panels.tokens.vectors import Looked, Near
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.widgets.facts import FactLabel, FactRow
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, heading, menu_button, row
from llmlab.ui.widgets.states import StateView

FACTS = ("norm", "cos to layer 0", "mean", "min", "max", "dimensions")
SIDE = 320  # pixels of the column beside the map
LISTS = (
    ("Nearest", "The tokens whose input embeddings point most nearly the same way"),
    ("Arithmetic", "Add and subtract tokens: king − man + woman"),
)
PNG_SCALE = 2.0
HELP = Help(
    "Embedding",
    "Every token id has a vector, its input embedding: tokens that are used alike come to point in similar directions, "
    "which the cosine of the angle between two vectors measures. Behind each layer the same token has another vector, "
    "since it has taken in what stands around it: move the slider, and the orange line is its way through the layers. "
    "The map is a projection on the two directions in which the points differ most (of the whole vocabulary at layer "
    "0; of all states of this text, each with length 1, after a layer), so what looks near may be far apart in the "
    "other dimensions: trust the cosines.",
    "cos(a, b) = a·b / (‖a‖ ‖b‖)\nsum: argmax cos(v, Σ a/‖a‖ − Σ b/‖b‖)\nmap: x = (v − mean)·e₁, y = (v − mean)·e₂",
)


class EmbeddingPane(QWidget):
    """Strip of values, map, list; or the words that stand in their place."""

    looked_at = Signal(int)  # the id of a token
    picked = Signal(int)  # a point of the map
    layer_chosen = Signal(int)
    copy_asked = Signal(str)  # "values", "near" or "python"
    export_asked = Signal(str)  # "vector", "near", "map", or "png"

    def __init__(self, complete: Callable[[str], tuple[str, ...]], parent: QWidget | None = None) -> None:
        """`complete` gives the words of one token that begin so."""
        super().__init__(parent)
        self.state = StateView()
        self.name, self.kind, self.note = heading(""), MutedLabel(), ElidedLabel()
        self.name.setFont(theme.monospace(1.1))
        self.name.setTextFormat(Qt.TextFormat.PlainText)
        self.kind.setContentsMargins(0, 0, 2 * theme.SPACE, 0)
        self._facts = {name: FactLabel(name) for name in FACTS}
        self._numbers = FactRow(tuple(self._facts.values()))
        self.strip = VectorStrip()
        self.strip.copy_asked.connect(lambda: self.copy_asked.emit("values"))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Layer")
        self.slider.setToolTip("After how many layers: 0 is the input embedding, which knows nothing of the context")
        self.slider.setFixedWidth(150)
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.valueChanged.connect(self._slide)
        self.layer = QLabel()
        self.caption = ElidedLabel()
        self.map = MapCanvas()
        self.map.picked.connect(self.picked)
        self.near = NearTable("Nearest tokens")
        self.near.chosen.connect(self.looked_at)
        self.near.copy_asked.connect(lambda: self.copy_asked.emit("near"))
        self.near_title = MutedLabel()
        self.near_title.setWordWrap(True)
        self.sums = SumPane(complete)
        self.sums.table.chosen.connect(self.looked_at)
        self.lists = Choice(LISTS, "What is beside the map")
        self.lists.set_chosen(0)
        self.lists.chosen.connect(self._list_chosen)
        self._lay_out()

    def _lay_out(self) -> None:
        copy = menu_button("copy", "Copy the vector's values", "Copy")
        copy.clicked.connect(lambda: self.copy_asked.emit("values"))
        for label, what in (("values", "values"), ("nearest tokens", "near"), ("as Python", "python")):
            copy.menu().addAction(f"Copy {label}", partial(self.copy_asked.emit, what))
        export = menu_button("export", "Export the map as PNG", "Export")
        export.clicked.connect(lambda: self.export_asked.emit("png"))
        for label, what in (
            ("the map as PNG…", "png"),
            ("the map as CSV…", "map"),
            ("the vector as CSV…", "vector"),
            ("the nearest tokens as CSV…", "near"),
        ):
            export.menu().addAction(f"Export {label}", partial(self.export_asked.emit, what))
        head = (self.name, self.kind, self._numbers, copy, export, HelpButton(HELP))
        self._side = QStackedWidget()
        nearest = QWidget()
        column = QVBoxLayout(nearest)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE // 2)
        column.addWidget(self.near_title)
        column.addWidget(self.near, stretch=1)
        self._side.addWidget(nearest)
        self._side.addWidget(self.sums)
        side = QWidget()
        side.setFixedWidth(SIDE)
        beside = QVBoxLayout(side)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(theme.SPACE // 2)
        beside.addWidget(self.lists)
        beside.addWidget(self._side, stretch=1)
        left = QVBoxLayout()
        left.setSpacing(theme.SPACE // 2)
        caption = MutedLabel("Layer")
        caption.setBuddy(self.slider)
        left.addWidget(row((caption, self.slider, self.layer, self.caption), stretch=self.caption))
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inner = QVBoxLayout(frame)
        inner.setContentsMargins(1, 1, 1, 1)
        inner.addWidget(self.map)
        left.addWidget(frame, stretch=1)
        body = QHBoxLayout()
        body.setSpacing(theme.SPACE)
        body.addLayout(left, stretch=1)
        body.addWidget(side)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row(head, stretch=self._numbers))
        layout.addWidget(self.note)
        layout.addWidget(self.strip)
        layout.addLayout(body, stretch=1)
        self._page = page
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(page)
        self._stack.addWidget(self.state)
        self.show_looked(None)

    # --- from the presenter ---------------------------------------------------------------------------------

    def show_stage(self, stage: Stage) -> None:
        """The tab, or the words in its place."""
        self.state.show_stage(stage)
        self._stack.setCurrentWidget(self._page if stage.kind is Kind.READY else self.state)

    def show_looked(self, looked: Looked | None) -> None:
        """One token's vector, or none."""
        self.strip.set_looked(looked)
        self.name.setText(looked.name[:24] if looked else "")
        self.name.setToolTip(f"{looked.name}, id {looked.token_id}" if looked else "")
        self.kind.setText(f"id {looked.token_id:,} · {looked.of_layer}" if looked else "")
        self.note.setText(looked.note if looked else "")
        self.note.setVisible(bool(looked and looked.note))
        facts = looked.facts if looked else ()
        for fact in facts:
            self._facts[fact.name].set_fact(fact)
        self._numbers.set_wanted({self._facts[fact.name] for fact in facts})

    def show_layer(self, layer: int, layers: int) -> None:
        """Where the slider stands, without a signal."""
        self.slider.blockSignals(True)
        self.slider.setRange(0, layers)
        self.slider.setValue(layer)
        self.slider.blockSignals(False)
        self.layer.setText(f"{layer} of {layers}")

    def show_near(self, near: Near | None) -> None:
        """What lies near it, or why nothing does."""
        self.near.set_near(near)
        self.near_title.setText(
            " ".join(filter(None, (near.title + "." if near else "", near.message if near else "")))
        )

    def show_map(self, picture: MapPicture | None) -> None:
        """A map, or none."""
        self.map.set_picture(picture)
        self.caption.setText(f"{picture.title}: a projection (PCA)" if picture else "")

    def save_png(self, path: Path) -> bool:
        """Write the map as it is on screen, twice as fine; whether that went well."""
        size = QSize(round(self.map.width() * PNG_SCALE), round(self.map.height() * PNG_SCALE))
        image = QImage(size, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(PNG_SCALE)
        self.map.render(image)
        return image.save(str(path))

    # --- from the user --------------------------------------------------------------------------------------

    def show_list(self, index: int) -> None:
        """The nearest tokens (0), or sums (1)."""
        self.lists.set_chosen(index)
        self._side.setCurrentIndex(index)

    @Slot(int)
    def _list_chosen(self, index: int) -> None:
        self._side.setCurrentIndex(index)
        if index:
            self.sums.line.setFocus()

    @Slot(int)
    def _slide(self, layer: int) -> None:
        self.layer.setText(f"{layer} of {self.slider.maximum()}")
        self.layer_chosen.emit(layer)
