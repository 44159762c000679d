"""The tab that shows how the settings make one distribution of another."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QFrame, QLineEdit, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.waterfall_canvas import WaterfallCanvas
from llmlab.ui.panels.decoding.waterfalling import Falls, Waterfalling
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "The waterfall",
    "Each column is the whole distribution after one more setting has acted, from the model's own on the left to the "
    "one that is drawn from on the right; a token's part of it is as high as its probability. Penalties and words "
    "move probability between tokens, temperature evens it out or sharpens it, cut-offs remove tokens and share what "
    "they had among the rest. Click a token to follow it; under each setting's name stand how many tokens are left "
    "and the entropy.",
    "mass kept by a cut = Σ pᵢ of the tokens it keeps,  p′ᵢ = pᵢ / mass\nH = −Σ p·ln p,  perplexity = e^H",
)
HINT = "Click a token to follow it through the settings; hover for exact numbers."


class WaterfallPane(QWidget):
    """A line with what became of the followed token, and the columns."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part: Waterfalling | None = None
        self.canvas = WaterfallCanvas()
        self.canvas.followed.connect(self._follow)
        self.note = ElidedLabel(HINT)
        self.state = StateView()
        self.sought = QLineEdit()
        self.sought.setPlaceholderText("Follow token")
        self.sought.setClearButtonEnabled(True)
        self.sought.setFixedWidth(16 * theme.SPACE)
        self.sought.setAccessibleName("Follow a token")
        self.sought.setToolTip("Follow any token of the vocabulary by its text, also one far outside the best; Enter")
        self.sought.returnPressed.connect(self._find)
        self.export = menu_button("copy", "Copy the stages", "Copy or export the stages")
        self.export.clicked.connect(lambda: self._export("copy"))
        self.export.menu().addAction("Copy the stages", lambda: self._export("copy"))
        self.export.menu().addAction("Export the stages as CSV…", lambda: self._export("csv"))
        self.export.menu().addAction("Export the stages as JSON…", lambda: self._export("json"))
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.canvas)
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        self._stack = QStackedLayout(frame)
        self._stack.setContentsMargins(1, 1, 1, 1)
        self._stack.addWidget(scroll)
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((self.note, self.sought, self.export, HelpButton(HELP)), stretch=self.note))
        layout.addWidget(frame, stretch=1)

    def attach(self, part: Waterfalling) -> None:
        """What is done here is done by `part`."""
        self._part = part

    def show_falls(self, falls: Falls | None, message: str) -> None:
        """Show a waterfall, or why there is none."""
        self.canvas.set_falls(falls)
        if falls is None:
            self.state.show_empty("No waterfall here", message)
            self.note.setText("")
        else:
            self.note.setText(HINT if falls.followed is None else falls.story(falls.followed))
        self._stack.setCurrentIndex(0 if falls else 1)
        self.export.setEnabled(falls is not None)

    @Slot(object)
    def _follow(self, token_id: int | None) -> None:
        if self._part is not None:
            self._part.follow(token_id)

    @Slot()
    def _find(self) -> None:
        if self._part is not None and not self._part.find(self.sought.text()):
            self.note.setText("no such token in the vocabulary" if self.sought.text() else HINT)

    def _export(self, kind: str) -> None:
        if self._part is not None:
            self._part.export(kind)
