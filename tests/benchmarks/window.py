"""The window as benchmarks need it: with the bundled decoder open, and waited for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from llmlab.app import Lab
from llmlab.engine.types import ModelRequest
from llmlab.settings import Settings
from llmlab.ui import theme
from llmlab.ui.panels.decoding.view import DecodingPanel

PROMPT = "Once upon a time there was a little girl who"
TIMEOUT = 120.0  # s


@contextmanager
def decoding_panel() -> Iterator[Any]:
    """The decoding panel on screen, settled, in a window that closes afterwards."""
    sys.setswitchinterval(0.0005)  # as the program does
    app = QApplication(["llmlab"])
    theme.apply(app)
    lab = Lab(Settings(prompt=PROMPT), None, offline=True)
    lab.window.resize(1280, 800)
    lab.window.show()
    lab.open_model(ModelRequest("bundled:decoder", device="cpu", dtype="float32"))
    try:
        lab.window.show_panel_named("decoding")
        panel: Any = next(panel for panel in lab.panels if isinstance(panel, DecodingPanel))
        wait(lambda: bool(panel.presenter.settled))
        yield panel
    finally:
        lab.window.close()


def wait(condition: Callable[[], bool]) -> None:
    """Run the event loop until `condition` holds. Raises TimeoutError."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        QApplication.processEvents()
        time.sleep(0)
        if time.monotonic() > end:
            raise TimeoutError("the window did not get there")
