"""How the calculator keeps up: from the move of a slider to the painted picture, page by page; a number typed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from llmlab.app import Lab
from llmlab.settings import Settings
from llmlab.ui import theme
from llmlab.ui.panels.memory.calculator.params import LISTED, PAGES
from llmlab.ui.panels.memory.view import MemoryPanel
from tests.benchmarks.measure import Row, quantile, seconds

MODEL = "meta-llama/Meta-Llama-3-70B"  # 723 weights in 80 layers
FRAME = 16.7  # ms
MOVES = 100
TIMEOUT = 120.0  # s


def run() -> list[Row]:
    """In one window, without a loaded model."""
    sys.setswitchinterval(0.0005)  # as the program does
    app = QApplication(["llmlab"])
    theme.apply(app)
    lab = Lab(Settings(prompt=""), None, offline=True)
    lab.window.resize(1280, 800)
    lab.window.show()
    try:
        lab.window.show_panel_named("memory")
        panel: Any = next(panel for panel in lab.panels if isinstance(panel, MemoryPanel))
        return [*_calculator(panel), _formats(panel)]
    finally:
        lab.window.close()


def _calculator(panel: MemoryPanel) -> list[Row]:
    panel.choose("calculator")
    page, tab = panel.pages["calculator"], panel.presenter.tabs["calculator"]
    page.controls.changed.emit({"source": LISTED + MODEL})
    _wait(lambda: not tab.busy)
    return [_moves(page, name) for name in PAGES]


def _moves(page: Any, name: str) -> Row:
    """The slider of the context moves, and the picture is painted."""
    page.controls.changed.emit({"page": name})

    def move(tokens: int) -> None:
        page.controls.changed.emit({"tokens": tokens})
        QApplication.processEvents()  # paints what has changed: the picture, the figures, the column

    move(1000)
    drag = [round(1000 * 50 ** (step / MOVES)) for step in range(1, MOVES + 1)]  # as the slider's scale has it
    taken = [1000 * seconds(lambda tokens=tokens: move(tokens)) for tokens in drag]
    return _row(f"calculator, {name}: slider to picture, 70 B", taken)


def _formats(panel: MemoryPanel) -> Row:
    panel.choose("formats")
    tab = panel.presenter.tabs["formats"]

    def type_number(number: int) -> None:
        tab.change(number=f"{number / 7:.6f}")
        QApplication.processEvents()

    type_number(1)
    return _row(
        "formats: number typed to picture", [1000 * seconds(lambda n=n: type_number(n)) for n in range(2, MOVES)]
    )


def _row(name: str, taken: list[float]) -> Row:
    late = quantile(taken, 0.99)
    return Row(f"{name}, p99", late, "ms", f"<= {FRAME:g} ms", late <= FRAME)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        QApplication.processEvents()
        time.sleep(0.002)
        if time.monotonic() > deadline:
            raise TimeoutError
