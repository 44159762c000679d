"""The decoding panel's widgets together, over an engine without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFont, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QWidget,
)
from pytestqt.qtbot import QtBot

from llmlab.engine.errors import InputError
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.ui import theme
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding import PANEL
from llmlab.ui.panels.decoding.completion_pane import step_card
from llmlab.ui.panels.decoding.params import TABS, WAYS
from llmlab.ui.panels.decoding.view import DecodingPanel
from llmlab.ui.widgets.parts import ElidedLabel
from llmlab.ui.window import CONTROLS_WIDTH
from llmlab.workbench import Workbench
from tests.presenters.decoding_fakes import MASK, FakeEngine, FakeNotifier, ManualJobs, model_info, ready, step

BESIDE = 128  # pixels of the window's width for the rail and the margins
SIZE = (1170, 560)  # what the window leaves to picture and controls at 1280 × 800


@dataclass
class Bench:
    panel: DecodingPanel
    jobs: ManualJobs
    engine: FakeEngine
    workbench: Workbench
    frame: QWidget

    def settle(self) -> None:
        while self.jobs.pending:
            self.jobs.run_all()
            QApplication.processEvents()
        QApplication.processEvents()


def open_panel(qtbot: QtBot, info: ModelInfo | None, prompt: str, saved: dict[str, Any] | None = None) -> Bench:
    engine = FakeEngine(info or model_info())
    jobs = ManualJobs(engine)
    workbench = Workbench(jobs)  # type: ignore[arg-type]
    workbench.prompt = prompt
    if info is not None:
        ready(workbench, info)
    panel: Any = PANEL.create(PanelContext(workbench, jobs, FakeNotifier(), saved or {}))  # type: ignore[arg-type]
    frame = QWidget()
    layout = QHBoxLayout(frame)
    layout.addWidget(panel.picture, stretch=1)
    panel.controls.setFixedWidth(300)
    layout.addWidget(panel.controls)
    qtbot.addWidget(frame, before_close_func=lambda _: panel.close())
    frame.resize(*SIZE)
    frame.show()
    panel.activate()
    bench = Bench(panel, jobs, engine, workbench, frame)
    bench.settle()
    return bench


@pytest.fixture
def bench(qtbot: QtBot) -> Bench:
    return open_panel(qtbot, model_info(), "Once upon")


@pytest.fixture
def encoder(qtbot: QtBot) -> Bench:
    return open_panel(qtbot, model_info(Architecture.ENCODER), f"The {MASK} and the {MASK}.")


def generate(bench: Bench, tokens: int = 6, **changes: Any) -> None:
    bench.panel.controls.changed.emit({"max_new_tokens": tokens, **changes})
    bench.panel.controls.button.click()
    bench.settle()


# --- bars and sliders -------------------------------------------------------------------------------------------


def test_a_slider_moves_the_bars_in_the_same_turn_of_the_event_loop(bench: Bench) -> None:
    bars = bench.panel.distribution.bars
    assert bars.rows is not None
    before = bars.rows.shaped
    bench.panel.controls.sliders["temperature"]._slider.setValue(1000)
    assert bars.rows.shaped is before, "not once for each move"
    QApplication.processEvents()
    assert bars.rows.shaped.entropy > before.entropy
    assert bench.jobs.pending == []


def test_a_thousand_moves_make_one_picture(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[int] = []
    show = bench.panel.distribution.show_picture
    monkeypatch.setattr(bench.panel.distribution, "show_picture", lambda picture: (frames.append(1), show(picture)))
    slider = bench.panel.controls.sliders["top_p"]._slider
    for place in range(1000):
        slider.setValue(place)
    QApplication.processEvents()
    assert len(frames) == 1


def test_the_headline_says_what_is_kept(bench: Bench) -> None:
    bench.panel.controls.changed.emit({"top_k": 5, "top_p": 1.0, "temperature": 1.0})
    QApplication.processEvents()
    facts = bench.panel.distribution._facts
    assert facts["kept"].accessibleName() == "kept: 5 of 50 tokens"
    assert "bits" in facts["entropy"].toolTip()
    assert all(facts[name].isVisible() for name in ("kept", "mass", "entropy", "perplexity"))


def test_greedy_disables_what_has_no_effect_and_says_why(bench: Bench) -> None:
    controls = bench.panel.controls
    controls.mode._group.button(0).click()
    QApplication.processEvents()
    for name in ("temperature", "top_k", "top_p", "min_p"):
        assert not controls.sliders[name]._slider.isEnabled()
        assert "Greedy" in controls.sliders[name].toolTip()
    assert controls.sliders["repetition_penalty"]._slider.isEnabled()
    assert not controls.seed.isEnabled()
    controls.mode._group.button(1).click()
    QApplication.processEvents()
    assert controls.sliders["temperature"]._slider.isEnabled()
    assert controls.seed.isEnabled()


def test_sampling_can_be_reset(bench: Bench) -> None:
    controls = bench.panel.controls
    controls.sliders["temperature"]._slider.setValue(1000)
    controls.mode._group.button(0).click()
    controls.reset.click()
    QApplication.processEvents()
    assert bench.panel.presenter.params.temperature == 0.8
    assert bench.panel.presenter.params.do_sample
    assert controls.sliders["temperature"].value == 0.8


def test_settings_come_back_into_the_controls(qtbot: QtBot) -> None:
    saved = {"temperature": 1.5, "top_k": 3, "seed": 99, "stop": ["\n"], "do_sample": False, "logarithmic": True}
    bench = open_panel(qtbot, model_info(), "Once", saved)
    controls = bench.panel.controls
    assert controls.sliders["temperature"].value == 1.5
    assert controls.seed.value() == 99
    assert controls.stops.values == ("\n",)
    assert controls.mode._group.checkedId() == 0
    assert bench.panel.distribution.log.isChecked()
    assert bench.panel.distribution.bars._axis.logarithmic
    assert bench.panel.save()["top_k"] == 3


def test_a_double_click_on_a_token_appends_it_to_the_prompt(qtbot: QtBot, bench: Bench) -> None:
    bars = bench.panel.distribution.bars
    assert bars.rows is not None
    token = bars.rows.row(0)
    qtbot.mouseDClick(bars.viewport(), Qt.MouseButton.LeftButton, pos=bars.row_rect(0).center())
    assert bench.workbench.prompt == "Once upon" + token.text


def test_ctrl_f_finds_a_token(qtbot: QtBot, bench: Bench) -> None:
    pane = bench.panel.distribution
    bench.frame.activateWindow()
    qtbot.keyClick(bench.panel.picture, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(pane._find.hasFocus)
    qtbot.keyClicks(pane._find, "word37")
    with qtbot.waitSignal(pane.bars.searched):
        qtbot.keyClick(pane._find, Qt.Key.Key_Return)
    assert pane.bars.rows is not None
    assert pane.bars.rows.row(pane.bars.current_row).text == " word37"
    pane._find.setText("nonsense")
    qtbot.keyClick(pane._find, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: pane._note.text() == "no such token in the vocabulary")


# --- completions ------------------------------------------------------------------------------------------------


def test_ctrl_return_generates_and_esc_stops(qtbot: QtBot, bench: Bench) -> None:
    seen: list[str] = []

    def between(index: int) -> None:
        if index == 3:
            QApplication.processEvents()
            seen.append(bench.panel.controls.button.text())
            qtbot.keyClick(bench.panel.picture, Qt.Key.Key_Escape)

    bench.engine.between = between
    qtbot.keyClick(bench.panel.picture, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    bench.settle()
    assert seen == ["Stop"]
    assert len(bench.panel.completion.tokens) == 3
    assert bench.panel.completion.status.text().endswith("stopped by you")
    assert bench.panel.controls.button.text() == "Generate"


def test_a_click_on_a_token_shows_its_distribution(qtbot: QtBot, bench: Bench) -> None:
    generate(bench)
    completion = bench.panel.completion
    place = completion.tokens.token_rects(3)[0].center().toPoint()
    qtbot.mouseClick(completion.tokens.viewport(), Qt.MouseButton.LeftButton, pos=place)
    QApplication.processEvents()
    pane = bench.panel.distribution
    assert pane._title.text() == "Token 4 of the completion"
    assert pane.bars._drawn == bench.panel.presenter.run.steps[3].token_id  # type: ignore[union-attr]
    assert pane._previous.isEnabled()
    pane._previous.click()
    QApplication.processEvents()
    assert completion.tokens.selection == (2, 2)
    pane._back.click()
    QApplication.processEvents()
    assert pane._title.text() == "Next token after the prompt"


def test_selected_tokens_are_added_up(qtbot: QtBot, bench: Bench) -> None:
    generate(bench)
    tokens = bench.panel.completion.tokens
    tokens.setFocus()
    qtbot.keyClick(tokens, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert bench.panel.completion.status.text().startswith("6 tokens selected · ln p ")
    qtbot.keyClick(tokens, Qt.Key.Key_Home)
    assert bench.panel.completion.status.text().startswith("6 tokens · ")
    qtbot.keyClick(tokens, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    ready(bench.workbench, model_info(name="Other"), generation=2)
    assert "selected" not in bench.panel.completion.status.text()


def test_the_card_of_a_token_has_its_exact_numbers() -> None:
    from llmlab.engine.sampling import SamplingSettings

    made = step(4, "text", SamplingSettings(top_k=3))
    card = step_card(made)
    facts = dict(card.facts)
    assert float(facts["probability"]) == pytest.approx(made.probability, rel=1e-8)
    assert float(facts["raw probability"]) == pytest.approx(made.raw_probability, rel=1e-8)
    assert card.bars[0].strong
    assert [bar.cut for bar in card.bars] == [False] * 3 + [True] * 5
    assert card.title.endswith("token 5")


def test_copy_puts_the_text_on_the_clipboard(bench: Bench) -> None:
    generate(bench, 3)
    bench.panel.completion._copy.click()
    assert QGuiApplication.clipboard().text() == bench.panel.completion.tokens.text != ""
    actions = {action.text(): action for action in bench.panel.completion._copy.menu().actions()}
    actions["Copy as Python"].trigger()
    assert "engine.generate(" in QGuiApplication.clipboard().text()


def test_export_asks_for_a_file(qtbot: QtBot, bench: Bench, tmp_path: Any) -> None:
    generate(bench, 3)
    bench.panel.completion.export_asked.emit("csv")
    dialog = bench.panel.picture.findChild(QFileDialog)
    assert dialog.isVisible()
    assert dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave
    dialog.fileSelected.emit(str(tmp_path / "run.csv"))
    dialog.reject()
    bench.settle()
    assert (tmp_path / "run.csv").read_text("utf-8").startswith("index,token_id,token")


def test_what_makes_no_sense_yet_is_disabled(bench: Bench) -> None:
    completion = bench.panel.completion
    assert not completion._again.isEnabled()
    assert not completion._clear.isEnabled()
    assert not completion._copy_text.isEnabled()
    generate(bench, 2)
    assert completion._again.isEnabled()
    assert completion._clear.isEnabled()
    completion._clear.click()
    assert len(completion.tokens) == 0
    bench.workbench.prompt = ""
    assert not bench.panel.controls.button.isEnabled()
    assert bench.panel.controls._hint.text() == "The prompt is empty."


def test_the_former_models_text_stays_and_is_marked(bench: Bench) -> None:
    generate(bench, 3)
    text = bench.panel.completion.tokens.text
    ready(bench.workbench, model_info(name="Other"), generation=2)
    bench.settle()
    assert bench.panel.completion.tokens.text == text
    assert bench.panel.completion.status.text().startswith("by Fake, the former model · ")
    assert not bench.panel.completion._again.isEnabled()


# --- encoders and states ----------------------------------------------------------------------------------------


def test_an_encoder_has_masks_in_place_of_generation(qtbot: QtBot, encoder: Bench) -> None:
    controls, pane, completion = encoder.panel.controls, encoder.panel.distribution, encoder.panel.completion
    assert controls.button.text() == "Insert mask"
    assert not controls.sliders["max_new_tokens"].isVisible()
    assert not controls.stops.isVisible()
    assert pane._title.text() == "Mask 1 of 2"
    assert MASK not in completion.tokens.text
    index = next(i for i, part in enumerate(completion._filled) if part.mask == 1)
    place = completion.tokens.token_rects(index)[0].center().toPoint()
    qtbot.mouseClick(completion.tokens.viewport(), Qt.MouseButton.LeftButton, pos=place)
    QApplication.processEvents()
    assert pane._title.text() == "Mask 2 of 2"
    assert completion.tokens.selection == (index, index)
    controls.button.click()
    assert encoder.workbench.prompt.count(MASK) == 3


def test_from_encoder_to_decoder_and_back_the_completion_returns(bench: Bench) -> None:
    generate(bench, 3)
    text = bench.panel.completion.tokens.text
    info = model_info(Architecture.ENCODER)
    bench.engine.info = info
    bench.workbench.prompt = f"A {MASK}."
    bench.settle()
    ready(bench.workbench, info, generation=2)
    bench.settle()
    assert bench.panel.completion.title.text() == "Masks filled"
    bench.engine.info = model_info()
    ready(bench.workbench, model_info(), generation=3)
    bench.settle()
    assert bench.panel.completion.tokens.text == text


def test_examples_can_be_clicked(qtbot: QtBot) -> None:
    bench = open_panel(qtbot, model_info(Architecture.ENCODER), "")
    state = bench.panel.distribution.state
    assert state.isVisible()
    state.buttons[1].click()
    bench.settle()
    assert MASK in bench.workbench.prompt
    assert not state.isVisible()


def test_an_error_stands_where_the_bars_were(bench: Bench) -> None:
    bench.engine.fails = InputError("The prompt is too long.", "Shorten it.")
    bench.workbench.prompt = "long"
    bench.settle()
    assert bench.panel.distribution.state.text == "The prompt is too long. Shorten it."
    assert bench.panel.distribution.state.isVisible()


# --- the look ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[1.0, 1.25])
def font_scale(request: pytest.FixtureRequest, qapp: QApplication) -> Iterator[float]:
    theme.apply(qapp)
    before = QFont(qapp.font())
    larger = QFont(before)
    larger.setPointSizeF(before.pointSizeF() * request.param)
    qapp.setFont(larger)
    yield request.param
    qapp.setFont(before)


def cut_off(frame: QWidget) -> list[str]:
    """Texts of visible widgets that are narrower or lower than they need to be."""
    found = []
    for widget in frame.findChildren(QWidget):
        if not isinstance(widget, (QLabel, QAbstractButton, QAbstractSpinBox)) or not widget.isVisible():
            continue
        if isinstance(widget, ElidedLabel):
            continue
        needs = widget.minimumSizeHint()
        if isinstance(widget, QLabel) and widget.wordWrap():
            needs.setHeight(widget.heightForWidth(widget.width()))
        if widget.width() < needs.width() or widget.height() < needs.height():
            found.append(f"{type(widget).__name__} {widget.accessibleName() or getattr(widget, 'text', str)()}")
    return found


@pytest.mark.parametrize("architecture", list(Architecture))
def test_no_text_is_cut_off(qtbot: QtBot, font_scale: float, architecture: Architecture) -> None:
    bench = open_panel(qtbot, model_info(architecture), f"Some {MASK} text")
    bench.panel.controls.stops.set_values(("\n\n", "a stop string that is much too long for the narrow column"))
    if architecture is not Architecture.ENCODER:
        generate(bench)
    assert bench.frame.size().width() == SIZE[0], "it fits"
    assert cut_off(bench.frame) == []
    assert bench.panel.controls.widget().width() <= 300
    assert bench.panel.controls.horizontalScrollBar().maximum() == 0


@pytest.mark.parametrize("architecture", list(Architecture))
def test_no_text_of_an_empty_state_or_an_error_is_cut_off(
    qtbot: QtBot, font_scale: float, architecture: Architecture
) -> None:
    bench = open_panel(qtbot, model_info(architecture), "")
    assert bench.panel.distribution.state.isVisible()
    assert cut_off(bench.frame) == []
    bench.engine.fails = InputError("A long message about what is wrong with this prompt. " * 3, "And a hint. " * 12)
    bench.workbench.prompt = f"x {MASK}"
    bench.settle()
    assert bench.panel.distribution.state.text.startswith("A long message")
    assert cut_off(bench.frame) == []


def test_everything_has_a_name_and_a_tooltip(bench: Bench) -> None:
    generate(bench, 2)
    for widget in bench.frame.findChildren(QAbstractButton):
        if widget.isVisible() and not widget.objectName().startswith("qt_"):
            assert widget.accessibleName() or widget.text(), widget
            assert widget.toolTip(), widget.accessibleName() or widget.text()
    for spin in bench.frame.findChildren(QAbstractSpinBox):
        assert spin.accessibleName()
        assert spin.toolTip()


def test_both_schemes_are_painted(bench: Bench, scheme: str) -> None:
    generate(bench)
    QApplication.processEvents()
    image = bench.frame.grab().toImage()
    corner = bench.panel.completion.tokens.viewport().mapTo(bench.frame, QPoint(2, 60))
    assert image.pixelColor(corner) == theme.current().base


def test_menus_leave_nothing_behind(bench: Bench) -> None:
    before = len(bench.frame.findChildren(QMenu))
    menu = bench.panel.distribution.bars.menu()
    menu.popup(bench.frame.mapToGlobal(QPoint(5, 5)))
    menu.close()
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, 52)  # deferred deletes
    assert len(bench.frame.findChildren(QMenu)) == before


def test_a_tab_takes_the_room_of_the_bars_and_keeps_it(qtbot: QtBot) -> None:
    bench = open_panel(qtbot, model_info(), "Once", {"tab": "strategies"})
    panel = bench.panel
    before = panel.pages["strategies"].height()
    qtbot.keyClick(panel.picture, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: panel.pages["strategies"].height() > before + 150)
    assert not panel.distribution.isVisible()
    saved = panel.save()

    second = open_panel(qtbot, model_info(), "Once", saved)
    again = second.panel
    assert again.enlarge.isChecked()
    assert not again.distribution.isVisible()
    again.enlarge.click()
    assert again.distribution.isVisible()
    assert not again.save()["enlarged"]


def test_words_that_have_to_be_read_come_before_an_enlarged_tab(qtbot: QtBot) -> None:
    bench = open_panel(qtbot, None, "Once", {"enlarged": True})
    assert bench.panel.distribution.isVisible()
    ready(bench.workbench, model_info())
    bench.settle()
    assert not bench.panel.distribution.isVisible()


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_fits_a_window_of_a_thousand_pixels(qtbot: QtBot, tab: str) -> None:
    bench = open_panel(qtbot, model_info(), "Once", {"tab": tab, "ways": list(WAYS)})
    assert bench.panel.picture.minimumSizeHint().width() <= 1000 - CONTROLS_WIDTH - BESIDE
