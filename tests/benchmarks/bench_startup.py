"""From the start of the process to the window, and to the bundled model being ready in it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measure import Row, interleaved

STARTS = 5
WINDOW = 1.0  # s
MODEL = 6.0  # s

# The program's own start, with the clock read when the first frame is painted and when the model is ready.
# time.monotonic is one clock for all processes of the machine.
PROGRAM = """
import sys, time
from PySide6.QtCore import QEvent, QObject, QTimer
from llmlab import app, cli
from llmlab.ui.window import MainWindow

shown = []
paint = MainWindow.paintEvent

def paint_and_note(self, event):
    paint(self, event)
    if not shown:
        shown.append((time.monotonic(), "torch" in sys.modules))
        # The whole first frame is done when the event loop comes round again.
        QTimer.singleShot(0, lambda: shown.__setitem__(0, (time.monotonic(), shown[0][1])))

MainWindow.paintEvent = paint_and_note
opened = app.Lab._count_weights

def ready(self):
    opened(self)
    print(shown[0][0], int(shown[0][1]), time.monotonic(), flush=True)
    QTimer.singleShot(0, self.window.close)

app.Lab._count_weights = ready
sys.setswitchinterval(0.0005)
sys.exit(app.run(cli.parser().parse_args([])))
"""


# What the model thread does first, with or without a search for garbage meanwhile.
IMPORTS = "import gc; {}; import llmlab.engine.session"
SEARCH = 1.0  # ratio: it must not be slower


def run() -> list[Row]:
    """The median of some starts, with warm disk caches."""
    windows, models = [], []
    _start()
    for _ in range(STARTS):
        window, model = _start()
        windows.append(window)
        models.append(model)
    window, model = statistics.median(windows), statistics.median(models)
    imports = interleaved(lambda: _import("gc.disable()"), lambda: _import("gc.enable()"), repeats=5)
    return [
        Row("window on screen after start", window, "s", f"at most {WINDOW:g} s", window <= WINDOW),
        Row("bundled model ready after start", model, "s", f"at most {MODEL:g} s on 2 cores", model <= MODEL),
        Row(
            "imports of the engine ÷ the same with a search for garbage",
            imports.ratio,
            "×",
            f"at most {SEARCH:g} ×",
            imports.ratio <= SEARCH,
        ),
    ]


def _import(before: str) -> None:
    subprocess.run([sys.executable, "-c", IMPORTS.format(before)], check=True, timeout=300)


def _start() -> tuple[float, float]:
    """Seconds to the window and to the model."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LLMLAB_SETTINGS": str(Path(folder) / "settings.json")}
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=300
        )
    shown, torch_was_there, ready = done.stdout.split()
    assert torch_was_there == "0", "torch was imported before the window was on screen"
    return float(shown) - started, float(ready) - started
