"""A megabyte pasted into the window: until its tokens are painted in the strip, and how long nothing else happens."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

from llmlab.app import Lab
from llmlab.engine.types import ModelRequest
from llmlab.settings import Settings
from llmlab.ui import theme
from tests.benchmarks.bench_tokens import _text
from tests.benchmarks.measure import Row, quantile

PASTES, KEYS = 5, 20
TICK = 4  # ms between two looks at the clock
TIMEOUT = 60.0  # s


def run() -> list[Row]:
    """In the bundled decoder's window, with the tokens panel in front; medians."""
    sys.setswitchinterval(0.0005)  # as the program does
    theme.apply(QApplication(["llmlab"]))
    lab = Lab(Settings(prompt="A text."), None, offline=True)
    lab.window.resize(1280, 800)
    lab.window.show()
    lab.open_model(ModelRequest("bundled:decoder"))
    try:
        lab.window.show_panel_named("tokens")
        panel: Any = lab.panels[0]
        _wait(lambda: lab.workbench.model.ready and panel.presenter.settled)
        return _measured(lab, panel)
    finally:
        lab.window.close()


def _measured(lab: Lab, panel: Any) -> list[Row]:
    text = _text()
    gaps: list[float] = []
    ticking = _ticking(gaps)
    pastes = [_shown(lab, panel, text[:-index]) for index in range(1, PASTES + 1)]
    longest = 1e3 * quantile(gaps, 1.0)
    keys = {
        size: 1e3 * statistics.median(_shown(lab, panel, text[:size] + "x" * key) for key in range(1, KEYS))
        for size in (16_000, 100_000)
    }
    ticking.stop()
    paste = statistics.median(pastes)
    return [
        Row("1 MB pasted until the strip shows it", paste, "s", "at most 0.5 s", paste <= 0.5),
        Row("longest gap in the window's loop meanwhile", longest, "ms", "at most 50 ms", longest <= 50),
        *(
            Row(f"a key at {size:,} characters until the strip shows it", keys[size], "ms", f"at most {most} ms",
                keys[size] <= most)
            for size, most in ((16_000, 30), (100_000, 200))
        ),
    ]  # fmt: skip


def _shown(lab: Lab, panel: Any, text: str) -> float:
    """Seconds from the paste until the strip has been given its tokens and has painted them."""
    _wait(lambda: panel.presenter.settled)
    strip, start = panel.strip.strip, time.perf_counter()
    lab.workbench.prompt = text
    _wait(lambda: panel.presenter.encoded is not None and panel.presenter.encoded.given == text)
    strip.viewport().repaint()
    return time.perf_counter() - start


def _ticking(gaps: list[float]) -> QTimer:
    """Writes down how long the window's loop was busy with something else, again and again."""
    last = [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(TICK)
    timer.timeout.connect(tick)
    timer.start()
    return timer


def _wait(condition: Callable[[], bool]) -> None:
    """Let the window live, as it does when it waits for events, until `condition` holds."""
    end, awake = time.perf_counter() + TIMEOUT, QTimer()
    awake.start(TICK)
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError("the window did not get there")
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    awake.stop()
