"""The status line: the job that runs, how far it is, and the way to stop it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from llmlab.jobs.job import Job
from llmlab.jobs.worker import Running

SHOW_AFTER = 250  # ms: shorter jobs would only flicker


class StatusLine(QWidget):
    """Shows the model thread's job once it has run for a moment; `cancel` is called with the job to stop."""

    def __init__(self, cancel: Callable[[Job], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cancel = cancel
        self._running: Running | None = None
        self._text = QLabel("Ready")
        self._bar = QProgressBar()
        self._bar.setFixedWidth(220)
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(10)
        self._button = QPushButton("Cancel")
        self._button.setToolTip("Stop the running job; what it has produced stays")
        self._button.clicked.connect(self._cancel_running)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 3, 12, 3)
        layout.setSpacing(12)
        layout.addWidget(self._text, stretch=1)
        layout.addWidget(self._bar)
        layout.addWidget(self._button)
        # The row keeps its height when the button comes and goes.
        self.setMinimumHeight(self._button.sizeHint().height() + 6)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(SHOW_AFTER)
        self._delay.timeout.connect(self._reveal)
        self._show_idle()

    def set_running(self, running: Running | None) -> None:
        """The job that runs now, or None when the model thread waits."""
        same = running is not None and self._running is not None and running.job is self._running.job
        self._running = running
        if running is None:
            self._delay.stop()
            self._show_idle()
        elif same and not self._button.isHidden():
            self._reveal()
        elif not same:
            self._delay.start()

    @property
    def text(self) -> str:
        """What the line says."""
        return self._text.text()

    def _show_idle(self) -> None:
        self._text.setText("Ready")
        self._bar.hide()
        self._button.hide()

    @Slot()
    def _reveal(self) -> None:
        if self._running is None:
            return
        progress = self._running.progress
        self._text.setText(progress.text or self._running.job.title or "Working")
        self._bar.setRange(0, 0 if progress.fraction is None else 1000)
        if progress.fraction is not None:
            self._bar.setValue(round(1000 * progress.fraction))
        self._bar.show()
        self._button.setEnabled(not self._running.job.cancelled)
        self._button.show()

    @Slot()
    def _cancel_running(self) -> None:
        if self._running is not None:
            self._button.setEnabled(False)
            self._text.setText("Stopping")
            self._cancel(self._running.job)
