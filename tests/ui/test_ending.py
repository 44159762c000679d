"""The program ends as its user would end it when the system asks: nothing that was typed is lost, nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from llmlab import settings as settings_file
from llmlab.ui.shell.ending import LIMIT, Ending

START = 90.0  # seconds
OTHERS = ("SIGHUP", "SIGINT")
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# The real program without a model. When Shots has its sample, someone types, and asks for the end before the typing
# has paused; a job that hears nothing, and a process that a job has started, still run.
PROGRAM = """
import subprocess, sys, threading
from PySide6.QtCore import QTimer
from PySide6.QtTest import QTest
from llmlab import app, children, cli
from llmlab.ui.panels.shots.build.presenter import NOTHING

def begin(lab, arguments):
    build = lab.panels[3].presenter.tabs["build"]
    page = lab.panels[3].pages["build"]
    def type_when_there():
        if build.project == NOTHING:
            return QTimer.singleShot(20, type_when_there)
        child = subprocess.Popen(children.RENDER_CHAT.command, stdin=subprocess.PIPE)
        lab.jobs.submit(lab, "deaf", lambda *_: threading.Event().wait(), needs_model=False)
        lab.workbench.prompt = "typed last"
        editor = page.template.editor
        editor.setFocus()
        editor.selectAll()
        QTest.keyClicks(editor, "Typed {text}:")
        print(child.pid, flush=True)
    type_when_there()

app._open_first = begin
sys.exit(app.run(cli.parser().parse_args(["--panel", "shots", "--offline"])))
"""


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The program as a process, and the process id of its child, at the moment after something was typed."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "LLMLAB_SETTINGS": str(tmp_path / "settings.json")}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        stuck = threading.Timer(START, process.kill)  # its output ends then, and is no process id
        stuck.start()
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            stuck.cancel()
            process.kill()


@posix
@pytest.mark.parametrize(
    "name", ["SIGTERM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGHUP", "SIGINT"))]
)
def test_a_signal_ends_it_as_closing_the_window_does(
    program: tuple[subprocess.Popen[str], int], tmp_path: Path, name: str
) -> None:
    process, child = program
    asked = time.monotonic()
    process.send_signal(getattr(signal, name))
    assert process.wait(START) == 0
    assert time.monotonic() - asked < 2 * LIMIT
    settings = settings_file.load(tmp_path / "settings.json")
    assert settings.prompt == "typed last"
    assert settings.panel == "shots"
    assert "template: 'Typed {text}:'" in settings.panels["shots"]["tabs"]["build"]["project"]
    while is_there(child):  # it reads its input to the end, and the input has ended
        assert time.monotonic() - asked < START


def test_the_end_of_a_session_saves_and_ends_nothing(qtbot: QtBot) -> None:
    done: list[str] = []
    ending = Ending(lambda: done.append("saved"), lambda: done.append("ended"))
    ending._session_ends(None)  # type: ignore[arg-type]  # Qt makes the manager, and only while a session ends
    ending.release()
    assert done == ["saved"]


@posix
def test_what_was_set_before_is_set_again(qtbot: QtBot) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    ended: list[str] = []
    ending = Ending(lambda: ended.append("saved"), lambda: ended.append("ended"))
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        qtbot.waitUntil(lambda: bool(ended))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "a second one ends the process at once"
    finally:
        ending.release()
    assert ended == ["ended"]
    assert {number: signal.getsignal(number) for number in before} == before
