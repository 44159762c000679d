"""Opening the real window in a test, as often as a person would start the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from llmlab import app, cli
from llmlab import settings as settings_file
from llmlab.app import Lab
from llmlab.settings import Settings
from llmlab.ui import theme

WAIT = 180_000  # ms; ends what hangs, and never what a busy machine makes slow

OpenLab = Callable[..., Lab]


@pytest.fixture
def open_lab(qtbot: QtBot, tmp_path: Path) -> Iterator[OpenLab]:
    """Opens a window with settings of its own; a second call opens what a second start would."""
    app._application()
    opened: list[Lab] = []
    path = tmp_path / "config" / "settings.json"

    def start(*argv: str, settings: Settings | None = None) -> Lab:
        lab = Lab(settings or settings_file.load(path), path, offline=True)
        opened.append(lab)
        qtbot.addWidget(lab.window)
        with qtbot.waitSignal(lab.window.seen, timeout=WAIT):
            lab.window.show()
        app._open_first(lab, cli.parser().parse_args(argv))
        return lab

    yield start
    for lab in opened:
        lab.window.close()
    theme.set_scheme("system")


def wait_ready(qtbot: QtBot, lab: Lab, spec: str = "bundled:decoder") -> None:
    qtbot.waitUntil(
        lambda: (
            lab.workbench.model.ready
            and lab.workbench.model.info is not None
            and lab.workbench.model.info.request.spec == spec
        ),
        timeout=WAIT,
    )
