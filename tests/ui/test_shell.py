"""The window's frame: prompt editor, banner, status line, drops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QFontMetrics, QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from llmlab.engine.progress import Progress
from llmlab.jobs.job import ErrorInfo, Job
from llmlab.jobs.worker import Running
from llmlab.ui.shell import drops
from llmlab.ui.shell.banner import Banner
from llmlab.ui.shell.prompt_editor import MAX_LINE, PromptEditor
from llmlab.ui.shell.status import StatusLine
from llmlab.ui.widgets.pages import Pages


@pytest.fixture
def edits() -> list[str]:
    return []


@pytest.fixture
def prompt(qtbot: QtBot, edits: list[str]) -> PromptEditor:
    editor = PromptEditor(edits.append)
    qtbot.addWidget(editor)
    editor.resize(600, 200)
    editor.show()
    return editor


def inner(prompt: PromptEditor) -> QPlainTextEdit:
    return prompt.findChild(QPlainTextEdit)


def test_typing_reports_the_text(qtbot: QtBot, prompt: PromptEditor, edits: list[str]) -> None:
    qtbot.keyClicks(inner(prompt), "Once")
    assert edits[-1] == "Once"
    assert prompt.text == "Once"


def test_setting_the_text_reports_nothing_and_can_be_undone(prompt: PromptEditor, edits: list[str]) -> None:
    prompt.set_text("first")
    prompt.set_text("second 😀")
    assert edits == []
    inner(prompt).undo()
    assert prompt.text == "first"


def test_a_line_that_would_freeze_the_editor_is_held_whole(prompt: PromptEditor, edits: list[str]) -> None:
    text = "x" * (MAX_LINE + 1)
    prompt.set_text(text)
    assert prompt.text == text
    assert inner(prompt).isReadOnly()
    assert inner(prompt).document().characterCount() < 5_000
    prompt.set_text("")
    assert not inner(prompt).isReadOnly()
    assert prompt.text == ""


def test_pasting_a_long_line_goes_to_the_prompt_not_into_the_editor(prompt: PromptEditor, edits: list[str]) -> None:
    data = QMimeData()
    data.setText("y" * 500_000)
    inner(prompt).insertFromMimeData(data)
    assert edits == ["y" * 500_000]
    assert inner(prompt).toPlainText() == ""


def test_the_count_says_when_the_prompt_is_too_long(prompt: PromptEditor) -> None:
    prompt.set_tokens(np.array([0, 4]), 600, 512)
    labels = " ".join(label.text() for label in prompt.findChildren(type(prompt._count)))
    assert "600 tokens of 512" in labels
    assert "88 tokens too long" in prompt._count.toolTip()


def test_boundaries_are_painted_where_the_tokens_begin(prompt: PromptEditor) -> None:
    prompt.set_text("Once upon a time")
    before = inner(prompt).viewport().grab().toImage()
    prompt.set_tokens(np.array([0, 4, 9]), 3, 512)
    after = inner(prompt).viewport().grab().toImage()
    changed = {x for x in range(after.width()) for y in range(20) if before.pixelColor(x, y) != after.pixelColor(x, y)}
    cursor = inner(prompt).textCursor()
    cursor.setPosition(4)
    expected = inner(prompt).cursorRect(cursor).center().x()
    assert any(abs(x - expected) <= 2 for x in changed)
    assert len(changed) <= 6, "two thin lines, nothing else"


def test_a_tab_is_four_letters_wide_in_every_size(prompt: PromptEditor) -> None:
    editor = prompt.findChildren(QPlainTextEdit)[0]
    for size in (9, 18):
        font = editor.font()
        font.setPointSize(size)
        editor.setFont(font)
        assert editor.tabStopDistance() == 4 * QFontMetrics(font).averageCharWidth()


def test_the_banner_shows_the_words_and_copies_the_details(qtbot: QtBot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    banner.error(ErrorInfo("X", "It failed.", "Do this.", "Traceback …"))
    assert banner.text == "It failed. Do this."
    qtbot.mouseClick(banner._copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "Traceback …"
    qtbot.mouseClick(banner._dismiss, Qt.MouseButton.LeftButton)
    assert banner.text == ""


def test_the_status_line_shows_longer_jobs_and_cancels_them(qtbot: QtBot) -> None:
    cancelled: list[Job] = []
    line = StatusLine(cancelled.append)
    qtbot.addWidget(line)
    line.show()
    job = Job("owner", "key", lambda *_: None, title="Generating")
    line.set_running(Running(job, Progress("Generating 1 of 50", 0.02)))
    assert line.text == "Ready", "a short job would only flicker"
    qtbot.waitUntil(lambda: line.text == "Generating 1 of 50")
    line.set_running(Running(job, Progress("Generating 2 of 50", 0.04)))
    assert line.text == "Generating 2 of 50"
    qtbot.mouseClick(line._button, Qt.MouseButton.LeftButton)
    assert cancelled == [job]
    line.set_running(None)
    assert line.text == "Ready"
    assert line._button.isHidden()


def make_registry() -> tuple[drops.DropRegistry, list[Any]]:
    handled: list[Any] = []
    registry = drops.DropRegistry()
    registry.add(
        drops.Kind("model", drops.is_model, lambda p: f"Open {p.name}", lambda p: handled.append(("model", p)))
    )
    registry.add(drops.Kind("text", drops.is_text, lambda p: f"Use {p.name}", lambda p: handled.append(("text", p))))
    return registry, handled


def test_drops_find_their_handler(tmp_path: Path) -> None:
    registry, handled = make_registry()
    (tmp_path / "config.json").write_text("{}")
    text = tmp_path / "story.md"
    text.write_text("x")
    assert registry.promise([tmp_path]) == (True, f"Open {tmp_path.name}")
    assert registry.promise([text]) == (True, "Use story.md")
    assert registry.handle([text]) is None
    assert registry.handle([tmp_path / "config.json"]) is None
    assert [kind for kind, _ in handled] == ["text", "model"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", "pickled code"),
        ("model.gguf", "GGUF"),
        ("model.safetensors", "no config.json beside it"),
        ("picture.png", "neither a text file nor a model folder"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, name: str, words: str) -> None:
    registry, handled = make_registry()
    path = tmp_path / name
    path.write_bytes(b"")
    usable, why = registry.promise([path])
    assert not usable
    assert words in why
    assert registry.handle([path]) == why
    assert not handled
    assert "does not exist" in registry.promise([tmp_path / "gone.txt"])[1]
    assert "things at once" in registry.promise([path, path])[1]
    assert "no config.json" in registry.promise([tmp_path])[1]


def test_only_the_page_in_front_asks_for_room(qtbot: QtBot) -> None:
    pages = Pages()
    qtbot.addWidget(pages)
    for width in (200, 900):
        page = QWidget()
        page.setMinimumSize(width, width // 2)
        QVBoxLayout(page).addSpacing(width)
        pages.addWidget(page)
    narrow = pages.minimumSizeHint()
    pages.setCurrentIndex(1)
    assert pages.minimumSizeHint().height() >= 900
    pages.setCurrentIndex(0)
    assert pages.minimumSizeHint() == narrow
    assert narrow.height() < 400


def test_what_is_offered_is_done_once_when_it_is_accepted(qtbot: QtBot) -> None:
    banner, accepted = Banner(), []
    qtbot.addWidget(banner)
    banner.offer("It is another model's.", "Open that one.", "Open and replay", lambda: accepted.append(True))
    assert banner.action.text() == "Open and replay"
    banner.action.click()
    assert accepted == [True]
    assert banner.isHidden()
    banner.say("Something else.")
    assert banner.action.isHidden()
