"""What a person does with the program, through the real window, with the bundled models."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QMimeData, QObject, QPoint, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QDialog, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from llmlab import app
from llmlab.app import Lab
from llmlab.engine.types import ModelRequest
from llmlab.paths import bundled_model
from llmlab.ui import theme
from llmlab.ui.shell.open_dialog import OpenDialog
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def editor(lab: Lab) -> QPlainTextEdit:
    return lab.window.prompt.findChild(QPlainTextEdit)


def drop(lab: Lab, *paths: Path) -> str:
    """Drag `paths` over the window and let go; returns what the overlay promised."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    position, action = QPoint(400, 300), Qt.DropAction.CopyAction
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    lab.window.dragEnterEvent(QDragEnterEvent(position, action, data, buttons, keys))
    words = lab.window.overlay.words
    lab.window.dropEvent(QDropEvent(position.toPointF(), action, data, buttons, keys))
    assert not lab.window.overlay.words
    return words


def test_the_window_opens_and_becomes_ready_by_itself(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    assert lab.window.isVisible()
    assert lab.workbench.prompt == app.EXAMPLE_PROMPT
    wait_ready(qtbot, lab)
    assert gc.isenabled(), "it rests only while the engine is imported"
    assert lab.window.windowTitle().startswith("Llama Lab Storyteller")
    assert lab.window.model_bar._facts.text().startswith("decoder-only · ")
    qtbot.waitUntil(lambda: "tokens of" in lab.window.prompt._count.text(), timeout=WAIT)


def test_who_types_at_once_types_the_prompt(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    lab.window.activateWindow()
    focused = QApplication.focusWidget()
    assert focused is not None
    assert lab.window.prompt.isAncestorOf(focused)
    qtbot.keyClicks(focused, "The king ")
    assert "The king " in lab.workbench.prompt
    wait_ready(qtbot, lab)


def test_the_window_is_no_larger_than_the_screen(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    screen = lab.window.screen().availableSize()
    lab.window.resize(screen.width() - 1, screen.height() + 500)
    lab.window.fit_screen()
    assert lab.window.height() < screen.height()


def test_the_menu_of_models_marks_the_one_that_is_open(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    for _ in range(2):
        lab.window.model_bar._menu.aboutToShow.emit()
        marked = [action.text() for action in lab.window.model_bar._menu.actions() if action.isChecked()]
        assert marked == ["Llama Lab Storyteller"]
    assert len(lab.window.model_bar._models.actions()) == 4, "those of the menu before are gone"


def test_everything_comes_back_at_the_next_start(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--model", "bundled:encoder")
    wait_ready(qtbot, lab, "bundled:encoder")
    lab.window.resize(lab.window.minimumSizeHint())  # fits on the small screen of the offscreen platform
    size = lab.window.size()
    qtbot.keyClicks(editor(lab), "X")
    prompt = lab.workbench.prompt
    lab._set_scheme("dark")
    lab.window.close()
    again = open_lab()
    assert again.workbench.prompt == prompt
    assert again.window.size() == size
    assert theme.current().dark
    wait_ready(qtbot, again, "bundled:encoder")


def test_a_dropped_text_becomes_the_prompt(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    path = tmp_path / "story.txt"
    path.write_text("The fox ran.", "utf-16")
    assert drop(lab, path) == "Use story.txt as the prompt"
    qtbot.waitUntil(lambda: lab.workbench.prompt == "The fox ran.")
    assert editor(lab).toPlainText() == "The fox ran."


def test_a_drag_that_leaves_takes_the_overlay_with_it(open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "model.gguf"))])
    (tmp_path / "model.gguf").touch()
    event = QDragEnterEvent(
        QPoint(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    lab.window.dragEnterEvent(event)
    assert "GGUF" in lab.window.overlay.words
    lab.window.dragLeaveEvent(QDragLeaveEvent())
    assert not lab.window.overlay.words


def test_a_dropped_model_folder_is_opened(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    shutil.copytree(bundled_model("encoder"), folder)
    lab = open_lab()
    wait_ready(qtbot, lab)
    assert drop(lab, folder) == "Open the model my-model"
    wait_ready(qtbot, lab, str(folder))
    assert lab._settings.recent[0].spec == str(folder)


def test_a_file_named_on_the_command_line_is_the_prompt(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    path = tmp_path / "prompt.md"
    path.write_text("# Title\n", "utf-8")
    lab = open_lab(str(path))
    qtbot.waitUntil(lambda: lab.workbench.prompt == "# Title\n")
    wait_ready(qtbot, lab)


def test_a_200_mb_file_is_asked_about_and_never_poured_in(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.write(b"The beginning of a long story. " * 4000)
        file.truncate(200_000_000)
    lab = open_lab()
    assert "200 MB" in drop(lab, path)
    dialog = wait_for_dialog(qtbot, lab)
    assert lab.workbench.prompt == app.EXAMPLE_PROMPT
    dialog.accept()
    qtbot.waitUntil(lambda: lab.workbench.prompt.startswith("The beginning"))
    assert len(lab.workbench.prompt) < 100_000


def test_another_encoding_is_asked_for(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("Größe, Öl, süß und Äpfel für den Bären. ".encode("cp1252") * 10)
    lab = open_lab()
    drop(lab, path)
    dialog = wait_for_dialog(qtbot, lab)
    dialog.reject()
    assert lab.workbench.prompt == app.EXAMPLE_PROMPT, "refusing changes nothing"


def wait_for_dialog(qtbot: QtBot, lab: Lab) -> QDialog:
    qtbot.waitUntil(lambda: any(d.isVisible() for d in lab.window.findChildren(QDialog)))
    return next(d for d in lab.window.findChildren(QDialog) if d.isVisible())


def test_what_cannot_be_dropped_says_why_and_loses_nothing(open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    path = tmp_path / "weights.bin"
    path.touch()
    assert "pickled" in drop(lab, path)
    assert "pickled" in lab.window.banner.text
    assert lab.workbench.prompt == app.EXAMPLE_PROMPT


def test_a_model_that_cannot_be_opened_leaves_the_former_one(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    broken = tmp_path / "broken"
    shutil.copytree(bundled_model("decoder"), broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    lab.open_model(ModelRequest(str(broken)))
    qtbot.waitUntil(lambda: bool(lab.window.banner.text), timeout=WAIT)
    assert lab.workbench.model.ready
    assert lab.workbench.model.info is not None
    assert lab.workbench.model.info.name == "Llama Lab Storyteller"


def test_the_open_dialog_lists_the_models_and_opens_one(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.browse_models()
    dialog = wait_for_dialog(qtbot, lab)
    assert isinstance(dialog, OpenDialog)
    dialog._spec.setText("no such model at all!")
    assert dialog._problem.text()
    dialog.accept()
    assert dialog.isVisible(), "what cannot be resolved is not accepted"
    dialog._spec.setText("bundled:seq2seq")
    dialog._dtype.setCurrentIndex(dialog._dtype.findData("bfloat16"))
    dialog.accept()
    wait_ready(qtbot, lab, "bundled:seq2seq")
    assert lab.workbench.model.info is not None
    assert lab.workbench.model.info.dtype == "bfloat16"


def test_loading_can_be_given_up_and_another_model_opened_at_once(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.open_model(ModelRequest("bundled:encoder"))
    lab.workbench.cancel_open()
    qtbot.waitUntil(lambda: lab.workbench.model.ready, timeout=WAIT)
    for spec in ("bundled:encoder", "bundled:decoder", "bundled:seq2seq"):
        lab.open_model(ModelRequest(spec))
    wait_ready(qtbot, lab, "bundled:seq2seq")


def test_closing_while_a_model_loads_ends_cleanly(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    lab.window.close()
    assert lab.closed


def test_a_fault_in_a_slot_is_shown_and_the_program_goes_on(open_lab: OpenLab, capsys: Any) -> None:
    lab = open_lab()
    error = ZeroDivisionError("in a slot")
    app._reporter(lab)(type(error), error, None)
    assert "in a slot" in lab.window.banner.text
    assert "in a slot" in capsys.readouterr().err


def test_an_unknown_panel_is_named(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    assert not lab.window.show_panel_named("nonsense")
    assert lab.window.panel_name == "tokens"


class ShownWindows(QObject):
    """Writes down which windows are shown besides the one."""

    def __init__(self, window: QWidget) -> None:
        super().__init__()
        self._window = window
        self.seen: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self.seen += [type(watched).__name__] if watched is not self._window else []
        return False


def test_a_panel_comes_when_it_is_first_shown_and_without_other_windows(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    assert list(lab.panels.made) == [0]
    shown = ShownWindows(lab.window)
    QApplication.instance().installEventFilter(shown)
    for index in range(len(app.PANELS)):
        lab.window.show_panel(index)
        assert lab.panels.made[index].picture.isVisible()
        assert lab.panels.made[index].controls.isVisible()
    QApplication.instance().removeEventFilter(shown)
    assert not shown.seen
    assert QApplication.activeWindow() is lab.window


def test_what_was_saved_of_a_panel_stays_when_it_is_not_shown(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    lab.window.show_panel_named("attention")
    lab.panels[1].presenter.change(scale="log")  # type: ignore[attr-defined]
    lab.window.show_panel_named("tokens")
    lab.window.close()
    for _ in range(2):
        again = open_lab()
        assert list(again.panels.made) == [0]
        again.window.close()
    last = open_lab()
    last.window.show_panel_named("attention")
    assert last.panels[1].presenter.params.scale == "log"  # type: ignore[attr-defined]
