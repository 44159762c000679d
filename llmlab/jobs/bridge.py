"""Brings calls from the worker threads to the thread that Qt runs in."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal, Slot


class Bridge(QObject):
    """One signal, one slot: `deliver(call)` from any thread makes `call()` happen in this object's thread.

    The signal carries a Python object on purpose. `Signal(dict)` and `Signal(int)` convert their values on the
    way: dicts with integer keys arrive empty and byte counts over 2 GiB arrive as 0.
    """

    _crossed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._open = True
        self._crossed.connect(self._receive, Qt.ConnectionType.QueuedConnection)

    def deliver(self, call: Callable[[], None]) -> None:
        """Queue `call` for the Qt thread. After `close` it goes nowhere."""
        if self._open:
            self._crossed.emit(call)

    def close(self) -> None:
        """From now on nothing is delivered, also not what is already queued."""
        self._open = False

    @Slot(object)
    def _receive(self, call: Callable[[], None]) -> None:
        if self._open:
            call()
