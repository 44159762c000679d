"""The lines tab's widgets: what is painted, isolated, pinned and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.panels.attention import lines_paint
from llmlab.ui.panels.attention.lines_export import write_picture
from llmlab.ui.panels.attention.lines_paint import columns, row_rect, token_at
from llmlab.ui.panels.attention.lines_pane import LinesPane
from llmlab.ui.panels.attention.lines_part import Lining
from llmlab.ui.panels.attention.lines_values import Shown
from llmlab.ui.panels.attention.reading import KEYS, QUERIES
from tests.presenters.attention_tabs import TOKENS, Stand, shape_of, stand

Make = Callable[..., tuple[LinesPane, Stand]]


@pytest.fixture
def make(qtbot: QtBot) -> Make:
    def start(*shapes: Any, **focus: Any) -> tuple[LinesPane, Stand]:
        around, pane = stand(*shapes, **focus), LinesPane()
        qtbot.addWidget(pane)
        pane.resize(600, 320)
        part = around.part = Lining(around.asking, around, pane)
        pane.attach(part)
        part.bring(around.reading)
        around.run()
        pane.show()
        return pane, around

    return start


def centre(pane: LinesPane, axis: str, row: int) -> QPoint:
    frame = pane.area.frame_now
    assert frame is not None
    return row_rect(frame, columns(frame), axis, row).center().toPoint()


def ink(pane: LinesPane, slot: int = 0) -> float:
    """How much of a head's colour lies between the columns."""
    frame = pane.area.frame_now
    assert frame is not None
    place = columns(frame)
    image = pane.area.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1, 4)[:, :, :3].astype(int)
    base, color = (np.array([c.blue(), c.green(), c.red()]) for c in (frame.colors.base, frame.colors.series[slot]))
    between = pixels[:, int(place.left) + 8 : int(place.right) - 8] - base
    along = between @ (color - base) / ((color - base) @ (color - base))
    return float(np.clip(along, 0, 1).sum())


def test_a_higher_threshold_leaves_fewer_lines(make: Make, scheme: str) -> None:
    pane, around = make()
    weights = around.capture.weights(1, 2)
    pane.area.viewport().grab()
    assert pane.note.text() == f"{(weights >= 0.05).sum()} lines"
    before = ink(pane)
    pane.threshold.changed.emit(0.5)
    after = ink(pane)
    assert pane.note.text() == f"{(weights >= 0.5).sum()} lines"
    assert 0 < after < before


def test_a_token_under_the_mouse_has_its_lines_alone(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    weights = around.capture.weights(1, 2)
    pane.area.set_threshold(0.01)
    qtbot.mouseMove(pane.area.viewport(), centre(pane, QUERIES, 4))
    qtbot.waitUntil(lambda: pane.area.card is not None)
    card = pane.area.card
    assert card is not None
    assert card.title == "␣the  ·  token 4"
    assert card.bars[0].number == f"{weights[4].max():.4f}"
    pane.area.viewport().grab()
    assert pane.note.text().startswith(f"{(weights[4] >= 0.01).sum()} line")
    qtbot.mouseMove(pane.area.viewport(), centre(pane, KEYS, 0))
    qtbot.waitUntil(lambda: pane.area.card is not None and "<s>" in pane.area.card.title)
    pane.area.viewport().grab()
    assert pane.note.text().startswith(f"{(weights[:, 0] >= 0.01).sum()} line")


def test_a_click_and_the_keyboard_pin_a_query(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    view = pane.area.viewport()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=centre(pane, QUERIES, 2))
    assert around.reading.focus.queries == (2,)
    qtbot.keyClick(pane.area, Qt.Key.Key_Down)
    assert around.reading.focus.queries == (3,)
    qtbot.keyClick(pane.area, Qt.Key.Key_End)
    assert around.reading.focus.queries == (5,)
    qtbot.keyClick(pane.area, Qt.Key.Key_Escape)
    assert around.reading.focus.queries == ()


def test_the_legend_switches_heads_in_their_colours(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    for head in (0, 1, 3):
        place = pane.chips.chip_rect(Shown(1, head)).center()
        qtbot.mouseClick(pane.chips, Qt.MouseButton.LeftButton, pos=place)
    around.run()
    assert [chip.slot for chip in pane.chips.chips] == [1, 2, 0, 3]
    assert ink(pane, 1) > 0
    qtbot.mouseClick(pane.chips, Qt.MouseButton.LeftButton, pos=pane.chips.chip_rect(Shown(1, 0)).center())
    assert [chip.slot for chip in pane.chips.chips] == [None, 2, 0, 3]
    rects = [pane.chips.chip_rect(chip.head) for chip in pane.chips.chips]
    assert not any(a.intersects(b) for a in rects for b in rects if a is not b)
    pane.chips.resize(90, 200)
    assert max(pane.chips.chip_rect(chip.head).right() for chip in pane.chips.chips) <= 90, "as many rows as it takes"


def test_the_legend_is_worked_by_keyboard(qtbot: QtBot, make: Make) -> None:
    pane, around = make()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Space):
        qtbot.keyClick(pane.chips, key)
    around.run()
    assert [chip.head.label for chip in pane.chips.chips if chip.slot is not None] == ["1.1", "1.2"]
    for _ in range(9):
        qtbot.keyClick(pane.chips, Qt.Key.Key_Right)
    qtbot.keyClick(pane.chips, Qt.Key.Key_Return)
    around.run()
    assert len(around.part.heads) == 3


def test_of_a_long_text_only_what_is_in_sight_is_painted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pane, around = make(shape_of("self", tuple(f" t{i}" for i in range(1500))))
    painted: list[str] = []
    paint_labels = lines_paint._paint_labels

    def counting(painter: Any, frame: Any, place: Any) -> None:
        painted.append(str(frame.rows))
        paint_labels(painter, frame, place)

    monkeypatch.setattr(lines_paint, "_paint_labels", counting)
    monkeypatch.setattr(lines_paint, "LIMIT", 200)
    pane.area.set_threshold(0.01)
    bar = pane.area.verticalScrollBar()
    bar.setValue(bar.maximum() // 2)
    pane.area.viewport().grab()
    frame = pane.area.frame_now
    assert frame is not None
    assert 600 < frame.rows[0] < frame.rows[1] < 800
    assert pane.note.text().startswith("the strongest 200 of ")
    around.look(queries=(1400,))
    assert pane.area.frame_now is not None
    first, last = pane.area.frame_now.rows
    assert first <= 1400 <= last, "a token that was pinned elsewhere comes into sight"
    assert painted


def test_columns_stay_inside_whatever_the_width(make: Make) -> None:
    pane, _ = make(shape_of("self", ("x" * 200, "y", "z" * 40)))
    for width in (260, 400, 1600):
        pane.resize(width, 300)
        frame = pane.area.frame_now
        assert frame is not None
        place = columns(frame)
        assert place.left - place.label >= 0
        assert place.right + place.label <= frame.width
        for axis in (QUERIES, KEYS):
            point = row_rect(frame, place, axis, 1).center()
            assert token_at(frame, point.x(), point.y()) == (axis, 1)
        assert token_at(frame, (place.left + place.right) / 2, 100) is None


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_picture_opens_elsewhere(make: Make, tmp_path: Path, kind: str) -> None:
    pane, around = make()
    around.look(queries=(4,))
    frame = pane.area.frame_now
    assert frame is not None
    path = tmp_path / f"lines.{kind}"
    write_picture(frame, path)
    if kind == "png":
        image = QImage(str(path))
        assert image.width() == round(frame.width) * 3
        assert len({image.pixel(x, image.height() // 2) for x in range(image.width())}) > 5
    elif kind == "svg":
        root = ElementTree.parse(path).getroot()
        texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "␣cat" in texts
        assert [p.name for p in tmp_path.iterdir()] == ["lines.svg"], "no temporary file is left"
    else:
        assert path.read_bytes().startswith(b"%PDF-")


def test_saving_asks_for_a_path_and_says_when_it_is_done(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pane, around = make()
    monkeypatch.setattr(pane, "ask_path", lambda name, kinds, then: then(tmp_path / name))
    pane._export.menu().actions()[1].trigger()
    around.run()
    assert around.notifier.said == ["Saved as attention-lines.svg."]
    assert (tmp_path / "attention-lines.svg").exists()


def test_broken_weights_are_counted_aloud(make: Make) -> None:
    pane, around = make()
    around.capture.broken = True
    around.look(head=1)
    around.run()
    pane.area.viewport().grab()
    assert f"{len(TOKENS)} weights are NaN or infinite" in pane.note.text()


def test_colours_follow_the_scheme(make: Make, scheme: str) -> None:
    pane, _ = make()
    theme.set_scheme("dark" if scheme == "light" else "light")
    assert pane.area.frame_now is not None
    assert pane.area.frame_now.colors.base == theme.current().base
