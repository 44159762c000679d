"""Ends the program as closing its window does when the system asks: by a signal, or because the session ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier, Slot
from PySide6.QtGui import QGuiApplication, QSessionManager

LIMIT = 10.0  # seconds from a signal to the end of the process, whatever still runs
NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")  # no system has them all


class Ending(QObject):
    """Calls `end` once at the first signal, `save` when the session is about to end.

    A second signal ends the process at once, and so does `LIMIT`: what hangs can't keep it. Made in the main thread.
    """

    def __init__(self, save: Callable[[], None], end: Callable[[], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._save, self._end = save, end
        self._limit: threading.Timer | None = None
        # Python's handlers wait until Python runs, which it does not while the event loop does. A byte wakes the loop.
        self._woken, self._waking = socket.socketpair()
        for end_of_pair in (self._woken, self._waking):
            end_of_pair.setblocking(False)
        self._former_wakeup = signal.set_wakeup_fd(self._waking.fileno())
        # One that is ignored stays so: `nohup` asks for that.
        numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
        heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        self._former = {number: signal.signal(number, _leave_to_loop) for number in heeded}
        self._notifier = QSocketNotifier(self._woken.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._signalled)
        application = QGuiApplication.instance()
        assert isinstance(application, QGuiApplication)
        application.commitDataRequest.connect(self._session_ends)

    def release(self) -> None:
        """Give the signals back, and forget the time limit."""
        self._notifier.setEnabled(False)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_wakeup)
        self._woken.close()
        self._waking.close()
        if self._limit is not None:
            self._limit.cancel()

    @Slot()
    def _signalled(self) -> None:
        numbers = self._woken.recv(4096)
        if self._limit is not None or not any(number in self._former for number in numbers):
            return
        self._limit = threading.Timer(LIMIT, os._exit, (128 + numbers[0],))  # as a shell says of an ended process
        self._limit.daemon = True
        self._limit.start()
        for number in self._former:
            signal.signal(number, signal.SIG_DFL)
        self._end()

    @Slot(QSessionManager)
    def _session_ends(self, _manager: QSessionManager) -> None:
        """The user may still keep the session, so nothing ends here yet."""
        self._save()


def _leave_to_loop(_number: int, _frame: FrameType | None) -> None:
    """The notifier has been woken by the signal as well, and acts on it."""
