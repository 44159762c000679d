"""Pictures of every panel with real content, for the README, for reviews, and to smoke-test an installation."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QMessageLogContext, QTimer, QtMsgType, qInstallMessageHandler

from llmlab.engine.types import ModelRequest
from llmlab.ui import theme
from llmlab.ui.panel import PanelSpec, Scene

if TYPE_CHECKING:
    from llmlab.app import Lab

SIZE = (1280, 800)
TIMEOUT = 180.0  # seconds for one scene, model loading included
SCHEMES: tuple[theme.Scheme, ...] = ("light", "dark")


def render(lab: Lab, specs: Sequence[PanelSpec], folder: Path, panel: str | None = None) -> int:
    """Write `<panel>-<scene>-<scheme>.png` for every scene of every panel, or of one; returns the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    qInstallMessageHandler(_report)
    lab.window.resize(*SIZE)
    lab.window.show()
    failures = 0
    for index, spec in enumerate(specs):
        for scene in spec.scenes if panel in (None, spec.name) else ():
            lab.window.show_panel(index)
            problem = _stage(lab, scene, index)
            if problem:
                sys.stderr.write(f"{spec.name}-{scene.name}: {problem}\n")
                failures += 1
                continue
            for scheme in SCHEMES:
                theme.set_scheme(scheme)
                _run_events(0.05)
                path = folder / f"{spec.name}-{scene.name}-{scheme}.png"
                if not lab.window.grab().save(str(path)):
                    sys.stderr.write(f"{path} could not be written\n")
                    failures += 1
    return 1 if failures else 0


def _stage(lab: Lab, scene: Scene, index: int) -> str | None:
    """Bring everything on screen that the scene asks for; None, or what went wrong."""
    panel = lab.panels[index]
    info = lab.workbench.model.info
    if info is None or info.request.spec != scene.model:
        lab.open_model(ModelRequest(scene.model))
        wait(lambda: lab.workbench.model.ready or lab.workbench.model.error is not None)
    error = lab.workbench.model.error
    if error or not lab.workbench.model.ready:
        return error.message if error else f"the model was not ready after {TIMEOUT:.0f} s"
    lab.workbench.prompt = scene.prompt
    scene.prepare(panel)
    if not wait(lambda: scene.settled(panel)):
        faulthandler.dump_traceback(all_threads=True)  # what everyone was waiting for
        return f"not settled after {TIMEOUT:.0f} s"
    _run_events(0.3)
    return lab.window.banner.text or None


def wait(condition: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
    """Run the event loop until `condition` holds; False if it never did."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        _run_events(0.02)
    return True


def _run_events(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def _report(_kind: QtMsgType, _context: QMessageLogContext, text: str) -> None:
    # The offscreen platform says this of every window that is shown; it means nothing here.
    if not text.startswith("This plugin does not support"):
        sys.stderr.write(f"{text}\n")
