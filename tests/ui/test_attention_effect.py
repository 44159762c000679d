"""The effect tab's widgets: clicks and keys switch heads off, hover tells exact numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from llmlab.engine.attention.types import HeadAt
from llmlab.engine.errors import InputError
from llmlab.ui import theme
from llmlab.ui.panels.attention import effect_part
from llmlab.ui.panels.attention.effect_map import shade, value_text
from llmlab.ui.panels.attention.effect_pane import MEASURES, ORDERS, EffectPane
from llmlab.ui.panels.attention.effect_part import Ablating
from llmlab.ui.panels.attention.effect_values import Measure, Order, Place
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from tests.presenters.attention_cause import CauseEngine, kl_of
from tests.presenters.attention_tabs import HEADS, LAYERS, TARGET, Stand, shape_of
from tests.ui.attention_panes import cause_maker

Made = tuple[EffectPane, Stand, CauseEngine]
Make = Callable[..., Made]


@pytest.fixture
def make(qtbot: QtBot) -> Make:
    return cause_maker(qtbot, EffectPane, Ablating)


def centre(pane: EffectPane, place: Place) -> QPoint:
    return pane.map.cells.rect_of(place).center()


def hover(widget: QWidget, place: QPoint) -> None:
    """A move of the mouse, whatever else lies on the screen."""
    nothing = Qt.MouseButton.NoButton
    where = QPointF(place), QPointF(widget.mapToGlobal(place))
    event = QMouseEvent(QEvent.Type.MouseMove, *where, nothing, nothing, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget, event)


def shown(widget: QWidget) -> QImage:
    return widget.grab().toImage()


def test_a_click_switches_a_head_off(make: Make, qtbot: QtBot) -> None:
    pane, around, engine = make()
    qtbot.mouseClick(pane.map.cells, Qt.MouseButton.LeftButton, pos=centre(pane, Place("self", 2, 1)))
    around.run()
    assert engine.compared[-1][1] == {HeadAt("self", 2, 1)}
    assert pane.off.text() == "Off: 2.1"
    assert pane.reset.isEnabled()
    assert "KL 0.1200 nats" in pane.facts.text()
    qtbot.mouseClick(pane.map.cells, Qt.MouseButton.LeftButton, pos=centre(pane, Place("self", 2, 1)))
    around.run()
    assert pane.off.text() == "All heads are on."
    assert pane.facts.text() == "entropy 1.000 nats"


def test_a_click_in_the_last_column_switches_a_layer_off(make: Make, qtbot: QtBot) -> None:
    pane, around, engine = make()
    qtbot.mouseClick(pane.map.cells, Qt.MouseButton.LeftButton, pos=centre(pane, Place("self", 0, None)))
    around.run()
    assert engine.compared[-1][1] == {HeadAt("self", 0, head) for head in range(HEADS)}
    assert pane.off.text() == "Off: layer 0"


def test_the_keyboard_walks_and_switches(make: Make, qtbot: QtBot) -> None:
    pane, around, engine = make(layer=1, head=2)
    cells = pane.map.cells
    cells.setFocus()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right):
        qtbot.keyClick(cells, key)
    assert cells.accessibleDescription().startswith("layer 2, head 3")
    qtbot.keyClick(cells, Qt.Key.Key_Space)
    around.run()
    assert engine.compared[-1][1] == {HeadAt("self", 2, 3)}
    for _ in range(20):
        qtbot.keyClick(cells, Qt.Key.Key_Left)
        qtbot.keyClick(cells, Qt.Key.Key_Up)
    qtbot.keyClick(cells, Qt.Key.Key_Return)
    assert around.part._off == {HeadAt("self", 2, 3), HeadAt("self", 0, 0)}
    around.run()


def test_hovering_tells_exact_numbers(make: Make, qtbot: QtBot) -> None:
    pane, _, _ = make()
    card = pane.map.cells.card(Place("self", 1, 0))
    assert card is not None
    assert card.title == "Layer 1, head 0"
    assert float(card.facts[0][1].split()[0]) == pytest.approx(kl_of(HeadAt("self", 1, 0)), abs=1e-8)
    hover(pane.map.cells, centre(pane, Place("self", 1, 0)))
    assert pane.map.cells._card.isVisible()
    assert pane.map.cells._card.card == card
    pane.hide()
    assert not pane.map.cells._card.isVisible()


def test_switches_follow_the_focus_of_the_panel(make: Make) -> None:
    pane, around, engine = make(layer=1, head=2)
    assert pane.head.text() == "Switch head 1.2 off"
    assert pane.layer.text() == "Switch layer 1 off"
    pane.head.click()
    around.run()
    assert pane.head.text() == "Switch head 1.2 on"
    pane.layer.click()
    around.run()
    assert len(engine.compared[-1][1]) == HEADS
    pane.reset.click()
    around.run()
    assert engine.compared[-1][1] == frozenset()
    around.look(layer=0, head=None)
    assert pane.head.isHidden()
    assert pane.layer.text() == "Switch layer 0 off"


def test_measures_and_orders(make: Make) -> None:
    pane, _, _ = make()
    by_layer = shown(pane.map)
    pane.order.chosen.emit(ORDERS.index(Order.EFFECT))
    assert pane.map.cells._layout is not None
    ranked = [place for place, _ in pane.map.cells._layout.cells]
    assert len(ranked) == LAYERS * HEADS
    values = [kl_of(HeadAt("self", place.layer, place.head or 0)) for place in ranked]
    assert values == sorted(values, reverse=True)
    assert shown(pane.map) != by_layer
    pane.measure.chosen.emit(MEASURES.index(Measure.DELTA))
    assert pane.legend.texts[0].startswith("−")


def test_what_takes_long_is_offered(make: Make, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> None:
    monkeypatch.setattr(effect_part, "AT_ONCE", 1)
    pane, around, engine = make()
    assert pane.start.isVisible()
    assert f"all {LAYERS * HEADS} heads" in pane.note.text()
    qtbot.mouseClick(pane.start, Qt.MouseButton.LeftButton)
    assert pane.bar.isVisible()
    assert pane.cancel.isVisible()
    engine.between = lambda done: pane.cancel.click() if done == 1 else None
    around.run()
    assert pane.start.isVisible()
    assert pane.note.text() == "Not every head has been measured."
    engine.between = lambda _: None
    pane.start.click()
    around.run()
    assert not pane.progress.isVisible()


def test_masks_can_be_chosen(make: Make) -> None:
    pane, around, engine = make(run=False)
    engine.labels = ("the [MASK] cat", "a [MASK] dog")
    around.run()
    assert pane.position.isVisible()
    assert [pane.position.itemText(i) for i in range(2)] == list(engine.labels)
    pane.position.activated.emit(1)
    assert pane.bars.rows.effect is not None
    assert pane.bars.rows.effect.label == "a [MASK] dog"


def test_what_cannot_be_measured_says_why(make: Make) -> None:
    pane, around, engine = make(run=False)
    engine.fails = InputError("The text has no masked position for the model to fill in.", "Type [MASK].")
    around.run()
    assert pane.state.isVisible()
    assert "Type [MASK]." in pane.state.text
    engine.fails = None
    around.part.bring(None)
    around.show(around.reading)
    around.run()
    assert not pane.state.isVisible()


def test_everything_can_be_copied(make: Make) -> None:
    pane, _, _ = make()
    pane.export.click()
    assert QGuiApplication.clipboard().text().startswith("kind,layer,head,kl_nats")
    labels = [action.text() for action in pane.export.menu().actions()]
    assert labels[2] == "Copy as Python"
    assert len(labels) == 5
    pane.export.menu().actions()[1].trigger()
    assert "␣cat" in QGuiApplication.clipboard().text()
    pane.export.menu().actions()[2].trigger()
    assert "engine.ablation(request, off)" in QGuiApplication.clipboard().text()


def test_bars_tell_before_and_after(make: Make, qtbot: QtBot) -> None:
    pane, around, _ = make()
    pane.map.cells.toggled.emit(Place("self", 0, 0))
    stale = shown(pane.bars)
    around.run()
    assert shown(pane.bars) != stale
    card = pane.bars.rows.card(0)
    assert card is not None
    facts = dict(card.facts)
    assert float(facts["before"]) == pytest.approx(0.6)
    assert float(facts["after"]) == pytest.approx(0.58)
    assert facts["change"] == "−0.0200"
    assert "␣cat 0.6000 then 0.5800" in pane.bars.rows.accessibleDescription()
    hover(pane.bars.rows, QPoint(60, pane.bars.rows._header + 5))
    assert pane.bars.rows._card.isVisible()
    pane.hide()
    linear = shown(pane.bars)
    pane.log.click()
    assert around.part._choices.logarithmic
    assert shown(pane.bars) != linear


def test_all_three_kinds_of_an_encoder_decoder_model_have_cells(make: Make) -> None:
    pane, _, _ = make(shape_of("encoder"), shape_of("decoder", TARGET), shape_of("cross", TARGET, ("a", "b")))
    layout = pane.map.cells._layout
    assert layout is not None
    assert len(layout.cells) == 3 * LAYERS * (HEADS + 1)
    assert [label.text for label in layout.labels if "attention" in label.text] == [
        "Encoder attention", "Decoder attention", "Cross attention"
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_can_be_read_on_every_colour(scheme: theme.Scheme, qtbot: QtBot) -> None:
    theme.set_scheme(scheme)
    try:
        for norm in (Norm(Scale.LINEAR, 1.0), Norm(Scale.DIFFERENCE, 1.0)):
            for step in range(-20, 21):
                ground, ink = shade(norm, step / 20)
                assert theme.contrast(ground, ink) >= 4.5
    finally:
        theme.set_scheme("system")


def test_values_in_cells_are_rounded() -> None:
    assert [value_text(value, Measure.KL) for value in (0.0004, 0.0316, 12.3456)] == ["0", "0.032", "12.346"]
    assert [value_text(value, Measure.DELTA) for value in (-0.0004, -0.0316, 0.5)] == ["0", "−0.032", "+0.500"]
