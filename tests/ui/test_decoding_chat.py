"""The chat tab on screen."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from llmlab.ui.panels.decoding.chat_pane import ChatPane
from llmlab.ui.panels.decoding.conversing import ChatScreen, Turn

HELLO, ANSWER = Turn("user", "Hello"), Turn("assistant", "Hi")


class Part:
    """Writes down what it is told."""

    system = "Be short."

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
def pane(qtbot: QtBot, part: Part) -> ChatPane:
    pane = ChatPane()
    qtbot.addWidget(pane)
    pane.attach(part)  # type: ignore[arg-type]
    pane.resize(840, 240)
    pane.show()
    return pane


def test_without_a_template_it_is_said_and_nothing_can_be_typed(pane: ChatPane) -> None:
    pane.show_chat(ChatScreen(reason="Tiny brings no chat template."))
    assert pane.stack.currentWidget() is pane.state
    assert "no chat template" in pane.state.text
    assert not pane.typed.isEnabled()
    assert not pane.send.isEnabled()


def test_return_sends_and_shift_return_begins_a_line(qtbot: QtBot, pane: ChatPane, part: Part) -> None:
    pane.show_chat(ChatScreen(reason=""))
    qtbot.keyClicks(pane.typed, "one")
    qtbot.keyClick(pane.typed, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(pane.typed, "two")
    qtbot.keyClick(pane.typed, Qt.Key.Key_Return)
    assert part.told[-1] == ("send", "one\ntwo")
    assert pane.typed.toPlainText() == ""
    qtbot.keyClick(pane.typed, Qt.Key.Key_Return)
    assert part.told[-1] == ("send", "one\ntwo"), "nothing is sent that is empty"


def test_an_answer_grows_in_its_place(pane: ChatPane, part: Part) -> None:
    pane.show_chat(ChatScreen(turns=(HELLO, Turn("assistant", "")), answering=True, reason=""))
    for text in ("Hi", "Hi there", "Hi there, you"):
        pane.show_chat(ChatScreen(turns=(HELLO, Turn("assistant", text)), answering=True, reason=""))
    assert pane.turns.toPlainText() == "You\nHello\n\nModel\nHi there, you"
    assert pane.send.text() == "Stop"
    pane.send.click()
    assert part.told[-1] == ("stop",)
    more = (HELLO, Turn("assistant", "Hi there, you"), Turn("user", "More"))
    pane.show_chat(ChatScreen(turns=more, reason=""))
    assert pane.turns.toPlainText().endswith("Hi there, you\n\nYou\nMore")
    pane.show_chat(ChatScreen(turns=(HELLO, Turn("assistant", "Other")), reason=""))
    assert pane.turns.toPlainText() == "You\nHello\n\nModel\nOther"


def test_what_is_read_is_one_click_away(pane: ChatPane, part: Part) -> None:
    screen = ChatScreen(turns=(HELLO, ANSWER), reason="", rendered="<user>Hello", tokens=7, can_use=True)
    pane.show_chat(screen)
    assert not pane.use.isVisible()
    pane.view._group.button(1).click()
    assert ("render",) in part.told
    assert pane.stack.currentWidget() is pane.rendered
    assert pane.rendered.toPlainText() == "<user>Hello"
    assert "7 tokens" in pane.status.text()
    pane.use.click()
    assert part.told[-1] == ("use",)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colours(pane: ChatPane, scheme: str) -> None:
    from llmlab.ui import theme

    pane.show_chat(ChatScreen(turns=(HELLO, ANSWER), reason="", can_retry=True))
    theme.set_scheme("light" if scheme == "light" else "dark")
    assert pane.turns.toPlainText() == "You\nHello\n\nModel\nHi"
    cursor = pane.turns.textCursor()
    cursor.movePosition(cursor.MoveOperation.End)
    assert cursor.charFormat().foreground().color() == theme.current().text
    theme.set_scheme("system")
