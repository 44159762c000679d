"""The list of stop strings."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.params import MAX_STOP_LENGTH, MAX_STOPS, checked_stops
from llmlab.ui.panels.decoding.text_list import TextList

TEXT_WIDTH = 190


class StopStrings(TextList):
    """Texts before which a completion ends. `changed` carries the tuple."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "New stop string",
            "stop string",
            "e.g. \\n\\n or </answer>",
            "Generation ends before this text would appear. \\n is a line break, \\t a tab. Enter adds it.",
            most=MAX_STOPS,
            longest=MAX_STOP_LENGTH,
            text_width=TEXT_WIDTH,
            parent=parent,
        )
        self._field.setFont(theme.monospace())

    @property
    def values(self) -> tuple[str, ...]:
        """The stop strings."""
        return self._texts

    def set_values(self, values: tuple[str, ...]) -> None:
        """Show these, without a signal."""
        if values != self._texts:
            self._show_texts(values)

    def _add_text(self, text: str) -> None:
        self._change(checked_stops((*self._texts, text)))

    def _remove_text(self, text: str) -> None:
        self._change(tuple(other for other in self._texts if other != text))

    def _remove_all(self) -> None:
        self._change(())

    def _change(self, values: tuple[str, ...]) -> None:
        if values != self._texts:
            self._show_texts(values)
            self.changed.emit(values)
