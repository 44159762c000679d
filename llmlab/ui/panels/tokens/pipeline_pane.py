"""Every stage from text to tokens and back, one below the other."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from llmlab.engine.tokens.types import RoundTrip, Stage
from llmlab.ui import theme
from llmlab.ui.panels.tokens.piping import LIMIT, Pipeline
from llmlab.ui.widgets.parts import MutedLabel, heading
from llmlab.ui.widgets.pieces import Box, Boxes
from llmlab.ui.widgets.tokentext import visible

EXCERPT = 600  # characters of a long text that are shown


class PipelinePane(QScrollArea):
    """Raw text, stages, the text decoded again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Pipeline from text to tokens and back")
        self.blocks: list[StageBlock] = []
        self._column = QWidget()
        self._layout = QVBoxLayout(self._column)
        self._layout.setContentsMargins(*(theme.SPACE,) * 4)
        self._layout.setSpacing(theme.SPACE)
        self._layout.addStretch(1)
        self.setWidget(self._column)

    def show_pipeline(self, pipeline: Pipeline | None) -> None:
        """Show the stages, or none."""
        wanted = [] if pipeline is None else list(_rows(pipeline))
        while len(self.blocks) > len(wanted):
            block = self.blocks.pop()
            self._layout.removeWidget(block)
            block.hide()
            block.deleteLater()
        while len(self.blocks) < len(wanted):
            self.blocks.append(StageBlock())
            self._layout.insertWidget(len(self.blocks) - 1, self.blocks[-1])
        for block, (title, component, boxes, changed, good) in zip(self.blocks, wanted, strict=True):
            block.set_stage(title, component, boxes, changed, good)


class StageBlock(QWidget):
    """One stage: what it is called, what came out, what it changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._component, self._changed = heading(""), MutedLabel(), QLabel()
        self._component.setFont(theme.monospace(0.92))
        self._changed.setWordWrap(True)
        self._changed.setTextFormat(Qt.TextFormat.PlainText)
        self._changed.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._good: bool | None = None
        self.boxes = Boxes("Output")
        head = QHBoxLayout()
        head.setSpacing(theme.SPACE)
        head.addWidget(self._title)
        head.addWidget(self._component)
        head.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addLayout(head)
        layout.addWidget(self.boxes)
        layout.addWidget(self._changed)
        theme.changed.connect(self._paint_colors)

    def set_stage(self, title: str, component: str, boxes: list[Box], changed: str, good: bool | None) -> None:
        """Show a stage. `good`: whether `changed` is good or bad news, None for neither."""
        self._title.setText(title)
        self._component.setText(component)
        self.boxes.set_boxes(boxes)
        self.boxes.setVisible(bool(boxes))
        self._changed.setText(changed)
        self._changed.setVisible(bool(changed))
        self._good = good
        self._paint_colors()

    @property
    def text(self) -> str:
        """What it says, for tests."""
        return f"{self._title.text()} {self._component.text()} {self._changed.text()}"

    def _paint_colors(self) -> None:
        colors = theme.current()
        color = colors.muted if self._good is None else colors.positive if self._good else colors.error
        palette = self._changed.palette()
        palette.setColor(self._changed.foregroundRole(), color)
        self._changed.setPalette(palette)


def _rows(pipeline: Pipeline) -> list[tuple[str, str, list[Box], str, bool | None]]:
    cut = f"Only the first {LIMIT:,} characters go through the stages below." if pipeline.cut else ""
    rows: list[tuple[str, str, list[Box], str, bool | None]] = [
        ("Text", f"{len(pipeline.text):,} characters", [Box(_short(visible(pipeline.text)))], cut, None)
    ]
    rows.extend((s.name, s.component or "none", _boxes(s), s.changed, None) for s in pipeline.stages)
    return [*rows, _round_trip(pipeline.round_trip)]


def _boxes(stage: Stage) -> list[Box]:
    if not stage.component:
        return []
    one = len(stage.output) == 1
    return [
        Box(
            _short(visible(piece.text)) if one else visible(piece.text),
            None if one else number,
            caption="" if piece.token_id is None else str(piece.token_id),
        )
        for number, piece in enumerate(stage.output)
    ]


def _round_trip(result: RoundTrip) -> tuple[str, str, list[Box], str, bool | None]:
    verdict = "decode(encode(text)) is the text again" if result.equal else "decode(encode(text)) is another text"
    shown, around = result.decoded, result.first_difference
    if around is not None and around > EXCERPT // 2:
        shown = "…" + shown[around - EXCERPT // 2 :]
    return "Round trip", verdict, [Box(_short(visible(shown)))], result.explanation, result.equal


def _short(text: str) -> str:
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"
