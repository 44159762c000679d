"""What holds for every test: no screen, no network, none of the user's own files, and nothing left behind.

The environment is set while this file is imported, before Qt, torch or huggingface_hub read theirs, and child
processes inherit it.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(tempfile.mkdtemp(prefix="llmlab-tests-")).resolve()
RUNTIME = HOME / "runtime"
RUNTIME.mkdir(mode=0o700)
os.environ |= {
    "HOME": str(HOME),
    "USERPROFILE": str(HOME),
    "APPDATA": str(HOME / "AppData" / "Roaming"),
    "LOCALAPPDATA": str(HOME / "AppData" / "Local"),
    "XDG_CONFIG_HOME": str(HOME / "config"),
    "XDG_CACHE_HOME": str(HOME / "cache"),
    "XDG_DATA_HOME": str(HOME / "data"),
    "XDG_STATE_HOME": str(HOME / "state"),
    "XDG_RUNTIME_DIR": str(RUNTIME),
    "HF_HOME": str(HOME / "huggingface"),
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(name, None)
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

if importlib.util.find_spec("hypothesis"):  # a GPU machine may run a few tests without it
    import hypothesis

    # Where nobody can look into a find, the same examples every time; at a desk, new ones every time.
    hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
    hypothesis.settings.register_profile("quick", max_examples=25, deadline=None)
    if os.environ.get("CI"):
        hypothesis.settings.load_profile("ci")

LOOPBACK = ("127.", "::1", "localhost")
PROCESS_WIDE_WIDGETS = {"QTipLabel"}  # Qt keeps its one tooltip label
PROCESS_WIDE_THREADS = {"TMonitor", "_DummyThread"}  # tqdm's monitor; foreign threads that once ran Python
SECONDS_TO_SETTLE = 10.0  # what goes in the end has as long as a busy machine may need
FAILED = pytest.StashKey[bool]()


def pytest_collection_finish() -> None:
    """Leave out of every later garbage collection what was imported by now: half a million objects that stay anyway."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Remove the session's home folder."""
    shutil.rmtree(HOME, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; torch is imported only if such a test is to run."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Remember a failure: its traceback holds widgets alive, and that must not be reported a second time."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Make this process see what a machine without a network sees; loopback stays."""

    def is_near(host: object) -> bool:
        return host is None or str(host).startswith(LOOPBACK)

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_near(address[0]):
                raise OSError(101, f"Network is unreachable: tests may not connect to {address}")
            return original(self, address)

        return connect

    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if not is_near(host):
            raise socket.gaierror(socket.EAI_AGAIN, f"Tests may not look up {host}")
        return resolve(host, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test with a window: no top-level widget and no thread more than before."""
    if "qtbot" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("qapp")
    widgets, threads = _top_level_widgets(), _threads()
    yield
    if request.node.stash.get(FAILED, False):
        return
    end = time.monotonic() + SECONDS_TO_SETTLE
    while left := _leftovers(widgets, threads):
        if time.monotonic() > end:
            pytest.fail("left behind: " + ", ".join(left))
        gc.collect()  # only now: with torch imported it costs more than most tests


def _leftovers(widgets: set[Any], threads: set[threading.Thread]) -> list[str]:
    """Names of what is there now and was not before, after a chance for all to go."""
    from PySide6.QtCore import QCoreApplication, QEvent

    QCoreApplication.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    for thread in (new_threads := _threads() - threads):
        thread.join(timeout=0.05)
    new_widgets = _top_level_widgets() - widgets
    return sorted(
        [f"{type(widget).__name__} {widget.objectName()!r}" for widget in new_widgets]
        + [f"thread {thread.name!r}" for thread in new_threads if thread.is_alive()]
    )


def _top_level_widgets() -> set[Any]:
    from PySide6.QtWidgets import QApplication

    return {w for w in QApplication.topLevelWidgets() if w.metaObject().className() not in PROCESS_WIDE_WIDGETS}


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if type(t).__name__ not in PROCESS_WIDE_THREADS}
