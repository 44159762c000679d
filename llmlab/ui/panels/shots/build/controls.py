"""The settings beside the prompt: file, shots, form, separators, labels, context window."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.datasets.project import LARGEST_ROOM
from llmlab.engine.shots.types import Form, InstructionRole, Overflow, Syntax
from llmlab.ui import theme
from llmlab.ui.panels.shots.build import samples
from llmlab.ui.panels.shots.build.fields import VisibleField
from llmlab.ui.panels.shots.build.screen import Screen
from llmlab.ui.widgets.column import ControlColumn, TextField, combo_box, group, labelled
from llmlab.ui.widgets.parts import Choice, MainButton, MutedLabel, icon_button, row

FORMS = {
    Form.TEXT: ("Running text", "Instruction, shots and query one after another, as lm-evaluation-harness does it"),
    Form.CHAT: ("Conversation", "Each shot is a turn of the user and one of the assistant, in the model's template"),
    Form.CLOZE: ("Gap to fill", "The answer stands at a mask, for encoder-only models (PET)"),
}
OVERFLOWS = {
    Overflow.REFUSE: ("refuse", "A prompt that leaves no room is not used"),
    Overflow.DROP_FIRST: ("drop the first shots", "Whole shots are left out, the first one first, and marked"),
    Overflow.DROP_LAST: ("drop the last shots", "Whole shots are left out, the last one first, and marked"),
}
SYNTAXES = (Syntax.FIELDS, Syntax.JINJA)


class ShotsSlider(QWidget):
    """Zero to as many shots as are ticked. `changed` carries the number."""

    changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tip = "How many of the ticked examples stand in the prompt, from the first on. 0 is zero-shot, 1 one-shot."
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setPageStep(2)
        self._value = QLabel()
        self._value.setFont(theme.monospace())
        self.slider.setAccessibleName("Shots in the prompt")
        name = QLabel("In the prompt")
        for widget in (name, self._value, self.slider):
            widget.setToolTip(tip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(row((name, self._value), stretch=name))
        layout.addWidget(self.slider)
        self.slider.valueChanged.connect(self._moved)

    def show_count(self, count: int, most: int) -> None:
        """Show a number, without a signal."""
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, most)
            self.slider.setTickInterval(max(1, most // 16))
            self.slider.setValue(count)
        self.slider.setEnabled(most > 0)
        self._say()

    def _moved(self, count: int) -> None:
        self._say()
        self.changed.emit(count)

    def _say(self) -> None:
        self._value.setText(f"{self.slider.value()} of {self.slider.maximum()}")


class Controls(ControlColumn):
    """The column. Each signal says what the user wants; nothing changes here by itself."""

    send = Signal()
    opened = Signal()
    pasted = Signal()
    made_new = Signal()
    saved = Signal(bool)  # whether to ask for a name
    sample_chosen = Signal(object)
    recent_chosen = Signal(object)
    undone = Signal()
    redone = Signal()
    spec_changed = Signal(str, object)  # a setting of the prompt and its value
    text_typed = Signal(str, str)  # a text of the prompt
    labels_typed = Signal(str)
    renamed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = MainButton("Send to the other panels")
        self.button.setToolTip("Make this the prompt of Tokens, Attention and Decoding")
        self.button.clicked.connect(self.send)
        self.shots = ShotsSlider()
        self.form = self._box(FORMS, "Form of the prompt", "form")
        self.syntax = Choice(
            [
                ("{field}", "A field is written {name}, a literal brace twice"),
                ("Jinja", "Jinja2 as in lm-evaluation-harness: {{ name }}, filters, conditions"),
            ],
            "Syntax of the templates",
        )
        self.syntax.chosen.connect(lambda index: self.spec_changed.emit("syntax", SYNTAXES[index]))
        self.role = Choice(
            [("system", "The instruction is the system's message"), ("user", "It stands before the first question")],
            "Who says the instruction",
        )
        self.role.chosen.connect(lambda index: self.spec_changed.emit("instruction_role", list(InstructionRole)[index]))
        self.target_delimiter = self._separator("target_delimiter", "Before the answer", "Between question and answer")
        self.fewshot_delimiter = self._separator("fewshot_delimiter", "After a shot", "Between a shot and what follows")
        self.target = VisibleField("Template of the answer", "Empty: the output as it stands")
        self.target.setPlaceholderText("the output as it stands")
        self.target.typed.connect(lambda text: self.text_typed.emit("target", text))
        self.labels = TextField("One label a line, or none: free text")
        self.labels.setToolTip(
            "The answers to choose from, one a line; none: the answer is free text.\n"
            "“label = word”: another word stands for the label in the prompt, such as the one at a mask."
        )
        self.labels.setAccessibleName("Labels, one a line")
        self.labels.typed.connect(self.labels_typed)
        self.overflow = self._box(OVERFLOWS, "When the context window is full", "overflow")
        self.room = QSpinBox()
        self.room.setRange(0, LARGEST_ROOM)
        self.room.setKeyboardTracking(False)
        self.room.setAccessibleName("Tokens that must remain for the completion")
        self.room.setToolTip("Tokens that must remain for the completion; labels take what they need")
        self.room.valueChanged.connect(lambda value: self.spec_changed.emit("room", value))
        self._lay_out()

    def _box(self, choices: Mapping[Any, tuple[str, str]], name: str, setting: str) -> QComboBox:
        box = combo_box(name)
        for value, (label, tip) in choices.items():
            box.addItem(label, value)
            box.setItemData(box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        values = list(choices)  # Qt gives a text back for a StrEnum
        box.currentIndexChanged.connect(lambda index: self.spec_changed.emit(setting, values[index]))
        return box

    def _separator(self, setting: str, name: str, tip: str) -> VisibleField:
        field = VisibleField(name, f"{tip}. ↵ is a line break (Return), · a space, ⇥ a tab.", spaces=True)
        field.typed.connect(lambda text: self.text_typed.emit(setting, text))
        return field

    def _files(self) -> QWidget:
        self.name = VisibleField("Name of the project", "Name of the project")
        self.name.setPlaceholderText("Name of the project")
        self.name.typed.connect(self.renamed)
        self._state = MutedLabel()
        self._state.setWordWrap(True)
        self.samples = QPushButton("Samples")
        self.samples.setToolTip("Sets that come with the program and work with its models")
        menu = QMenu(self.samples)
        menu.setToolTipsVisible(True)
        for sample in samples.samples():
            action = menu.addAction(sample.name, partial(self.sample_chosen.emit, sample.path))
            action.setToolTip(sample.tooltip)
        self.samples.setMenu(menu)
        self.file = QPushButton("File")
        self.file.setToolTip("Open, paste and save; a file can also be dropped on the window")
        menu = QMenu(self.file)
        menu.addAction("Open…", self.opened.emit)
        menu.addAction("Paste rows or a prompt…", self.pasted.emit)
        self._recent = menu.addMenu("Open recent")
        menu.addSeparator()
        menu.addAction("New", self.made_new.emit)
        menu.addAction("Save", lambda: self.saved.emit(False))
        menu.addAction("Save as…", lambda: self.saved.emit(True))
        self.file.setMenu(menu)
        self.undo = icon_button("undo", "Undo")
        self.redo = icon_button("redo", "Redo")
        self.undo.clicked.connect(self.undone)
        self.redo.clicked.connect(self.redone)
        gap = QWidget()
        buttons = row((self.samples, self.file, gap, self.undo, self.redo), stretch=gap)
        return group("Project", self.name, self._state, buttons)

    def _lay_out(self) -> None:
        self._role = labelled("Instruction by", self.role)
        separators = _lines(("Before the answer", self.target_delimiter), ("After a shot", self.fewshot_delimiter))
        window = _lines(("If full", self.overflow), ("Keep free", self.room))
        answer = group("Labels", self.labels, _lines(("Template", self.target)))
        form = group("Form", self.form, self.syntax, self._role)
        shots = group("Shots", self.shots)
        groups = (form, group("Separators", separators), answer, group("Context window", window))
        self.fill((self.button, self._files(), shots, *groups), theme.SPACE + 4)

    def show_screen(self, screen: Screen) -> None:
        """Set every control, without a signal."""
        spec, project = screen.project.spec, screen.project
        self.name.set_plain(project.name)
        self.name.setToolTip(project.note or "Name of the project")
        self._state.setText(_state(screen))
        for button, label, verb, keys in (
            (self.undo, screen.undo, "Undo", "Ctrl+Z"),
            (self.redo, screen.redo, "Redo", "Ctrl+Shift+Z"),
        ):
            button.setEnabled(bool(label))
            button.setToolTip(f"{verb}: {label} ({keys})" if label else f"Nothing to {verb.lower()}")
        self.shots.show_count(
            screen.ticked if project.shots is None else min(project.shots, screen.ticked), screen.ticked
        )
        self._show_form(screen)
        self._choose(self.overflow, spec.overflow)
        self.syntax.set_chosen(SYNTAXES.index(spec.syntax))
        self.role.set_chosen(list(InstructionRole).index(spec.instruction_role))
        self._role.setVisible(spec.form is Form.CHAT)
        self.target_delimiter.set_plain(spec.target_delimiter)
        self.fewshot_delimiter.set_plain(spec.fewshot_delimiter)
        for field in (self.target_delimiter, self.fewshot_delimiter):
            field.setEnabled(spec.form is not Form.CHAT)  # turns are kept apart by the chat template
        self.target.set_plain(spec.target)
        words = dict(spec.verbalizer)
        self.labels.set_text("\n".join(f"{one} = {words[one]}" if one in words else one for one in spec.labels))
        with QSignalBlocker(self.room):
            self.room.setValue(spec.room)
        self._show_recent(screen)

    def _show_form(self, screen: Screen) -> None:
        self._choose(self.form, screen.project.spec.form)
        model = self.form.model()
        assert isinstance(model, QStandardItemModel)  # of every combo box that got no other
        for index, form in enumerate(FORMS):
            reason = screen.impossible.get(form)
            item = model.item(index)
            item.setEnabled(reason is None)
            item.setToolTip(reason or FORMS[form][1])
        self.form.setToolTip(FORMS[screen.project.spec.form][1])

    def _show_recent(self, screen: Screen) -> None:
        self._recent.clear()
        self._recent.setEnabled(bool(screen.recent))
        for name in screen.recent:
            path = Path(name)
            action = self._recent.addAction(path.name.replace("&", "&&"))
            action.setToolTip(name)
            action.triggered.connect(lambda _checked=False, path=path: self.recent_chosen.emit(path))

    @staticmethod
    def _choose(box: QComboBox, value: object) -> None:
        with QSignalBlocker(box):
            box.setCurrentIndex(box.findData(value))


def _lines(*settings: tuple[str, QWidget]) -> QWidget:
    """Settings beside their names, the fields below each other."""
    box = QWidget()
    grid = QGridLayout(box)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(theme.SPACE)
    grid.setVerticalSpacing(theme.SPACE // 2)
    grid.setColumnStretch(1, 1)
    for line, (name, field) in enumerate(settings):
        label = QLabel(name)
        label.setToolTip(field.toolTip())
        label.setBuddy(field)
        grid.addWidget(label, line, 0)
        grid.addWidget(field, line, 1)
    return box


def _state(screen: Screen) -> str:
    """Where the project is, and whether that has the last changes."""
    if not screen.file:
        return "not saved in a file" if screen.unsaved else screen.project.note or "a sample, unchanged"
    return f"{screen.file}, changed since" if screen.unsaved else screen.file
