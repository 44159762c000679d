"""The widgets of the tab Build, one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, QMimeData, QModelIndex, QPoint, Qt
from PySide6.QtGui import QFocusEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QToolButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from llmlab.engine import datasets
from llmlab.engine.datasets.project import Project
from llmlab.engine.shots.compose import compose
from llmlab.engine.shots.types import Example, Form, PartKind, PromptSpec, Syntax
from llmlab.ui import theme
from llmlab.ui.panels.shots.build import applying, editing, words
from llmlab.ui.panels.shots.build.applying import Use
from llmlab.ui.panels.shots.build.budget_bar import HEIGHT, BudgetBar, part_color
from llmlab.ui.panels.shots.build.controls import Controls
from llmlab.ui.panels.shots.build.editing import Listed
from llmlab.ui.panels.shots.build.example_model import FIRST, MIME, TICK
from llmlab.ui.panels.shots.build.example_table import ExampleTable
from llmlab.ui.panels.shots.build.fields import TemplateField, VisibleField
from llmlab.ui.panels.shots.build.preview_pane import PreviewPane
from llmlab.ui.panels.shots.build.prompt_view import PromptView
from llmlab.ui.panels.shots.build.screen import Preview, Screen, Segment, Shown
from tests.presenters.shots_build_fakes import prompt_of

ROWS = tuple(Example((("text", f"text {n}"),), "ab"[n % 2]) for n in range(4))
PROJECT = Project(
    PromptSpec("{text} =", instruction="Say 😀.\n", labels=("a", "b")), ROWS, Example((("text", "q"),)), shots=2
)


def screen_of(project: Project, listed: Listed = Listed.EXAMPLES, **changes: object) -> Screen:
    screen = Screen(
        project=project,
        columns=editing.columns(project),
        listed=listed,
        in_prompt=editing.place_in_prompt(project),
        ticked=sum(one.included for one in project.examples),
        undo="Move",
        redo="",
        file="",
        unsaved=True,
        recent=(),
        impossible={},
    )
    return replace(screen, **changes)  # type: ignore[arg-type]


@pytest.fixture
def table(qtbot: QtBot) -> ExampleTable:
    made = ExampleTable()
    qtbot.addWidget(made)
    made.resize(420, 260)
    made.show_screen(screen_of(PROJECT))
    made.show()
    qtbot.waitExposed(made)
    return made


# --- typing -------------------------------------------------------------------------------------------------------


def test_spaces_and_line_breaks_can_be_seen_and_typed(qtbot: QtBot) -> None:
    field = VisibleField("After a shot", "tip", spaces=True)
    qtbot.addWidget(field)
    field.set_plain("\n\n")
    assert field.text() == "↵↵"
    field.clear()
    with qtbot.waitSignal(field.typed) as typed:
        qtbot.keyClicks(field, "a b")
        qtbot.keyClick(field, Qt.Key.Key_Return)
    assert typed.args == ["a b\n"]
    assert field.text() == "a·b↵"


def test_a_field_of_a_template_is_a_click_away(qtbot: QtBot) -> None:
    field = TemplateField("Question", "tip", 3)
    qtbot.addWidget(field)
    field.show_text("Q: ")
    field.show_fields(("text", "a name"), Syntax.FIELDS)
    field.editor.moveCursor(field.editor.textCursor().MoveOperation.End)
    chips = [chip for chip in field.findChildren(QToolButton) if not chip.isHidden()]
    assert [chip.text() for chip in chips] == ["{text}", "{a name}"]
    with qtbot.waitSignal(field.typed) as typed:
        chips[0].click()
    assert typed.args == ["Q: {text}"]
    field.show_fields(("text",), Syntax.JINJA)
    chips = [chip for chip in field.findChildren(QToolButton) if not chip.isHidden()]
    assert [chip.text() for chip in chips] == ["{{ text }}"]


def test_colours_are_no_typing(qtbot: QtBot) -> None:
    field = TemplateField("Question", "tip", 3)
    qtbot.addWidget(field)
    field.show_text("{text} one")
    with qtbot.assertNotEmitted(field.typed, wait=400):
        field.show_fields(("text",), Syntax.JINJA)
        theme.changed.emit()
    field.show_text("{text} two")
    assert field.editor.toPlainText() == "{text} two"


def test_what_was_typed_is_told_when_the_keyboard_goes_elsewhere(qtbot: QtBot) -> None:
    box = QWidget()
    qtbot.addWidget(box)
    layout = QVBoxLayout(box)
    template, separator = TemplateField("Question", "tip", 3), VisibleField("x", "tip")
    layout.addWidget(template)
    layout.addWidget(separator)
    box.show()
    said: list[str] = []
    template.typed.connect(said.append)
    separator.typed.connect(said.append)
    template.editor.setFocus()
    qtbot.keyClicks(template.editor, "ab")
    QApplication.sendEvent(template.editor, QFocusEvent(QEvent.Type.FocusOut))
    qtbot.keyClicks(separator, "c")
    QApplication.sendEvent(separator, QFocusEvent(QEvent.Type.FocusOut))
    assert said == ["ab", "c"]


def test_endless_texts_are_shown_in_part_and_cannot_be_spoilt(qtbot: QtBot, table: ExampleTable) -> None:
    long = "x" * 500_000
    template, line = TemplateField("Question", "tip", 3), VisibleField("x", "tip")
    qtbot.addWidget(template)
    qtbot.addWidget(line)
    template.show_text(long)
    line.set_plain(long)
    for field in (template.editor, line):
        assert field.isReadOnly()
        qtbot.keyClicks(field, "y")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert len(line.text()) < 3000
    template.show_text("short")
    line.set_plain("short")
    assert not template.editor.isReadOnly()
    assert not line.isReadOnly()
    table.show_screen(screen_of(replace(PROJECT, examples=(Example((("text", long),), "a"),))))
    assert not table.examples.flags(table.examples.index(0, FIRST)) & Qt.ItemFlag.ItemIsEditable
    view = PromptView()
    qtbot.addWidget(view)
    view.show_prompt(shown_of(replace(PROJECT, query=Example((("text", long),)))))
    assert view.document().characterCount() < 20_000
    assert view.words_at(100).startswith("Query")


def test_many_fields_are_in_a_menu(qtbot: QtBot) -> None:
    field = TemplateField("Question", "tip", 3)
    qtbot.addWidget(field)
    field.show_fields(tuple(f"field number {n}" for n in range(9)), Syntax.FIELDS)
    chips = [chip for chip in field.findChildren(QToolButton) if not chip.isHidden()]
    assert chips[-1].menu() is not None
    assert len(chips) - 1 + len(chips[-1].menu().actions()) == 9


# --- table --------------------------------------------------------------------------------------------------------


def test_a_click_ticks_and_space_ticks_all_that_is_selected(qtbot: QtBot, table: ExampleTable) -> None:
    rect = table.visualRect(table.examples.index(1, TICK))
    with qtbot.waitSignal(table.examples.ticked) as ticked:
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    assert ticked.args == [[1], False]
    table.select_rows([0, 2])
    with qtbot.waitSignal(table.examples.ticked) as ticked:
        qtbot.keyClick(table, Qt.Key.Key_Space)
    assert ticked.args == [[0, 2], False]


@pytest.mark.parametrize(
    ("key", "modifier", "signal", "args"),
    [
        (Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier, "delete_asked", [[1]]),
        (Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier, "duplicate_asked", [[1]]),
        (Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier, "shift_asked", [[1], False]),
        (Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier, "shift_asked", [[1], True]),
        (Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier, "paste_asked", []),
        (Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier, "copy_asked", []),
    ],
)
def test_keys(
    qtbot: QtBot,
    table: ExampleTable,
    key: Qt.Key,
    modifier: Qt.KeyboardModifier,
    signal: str,
    args: list[object],
) -> None:
    table.select_rows([1])
    with qtbot.waitSignal(getattr(table, signal)) as asked:
        qtbot.keyClick(table, key, modifier)
    assert asked.args == args


def test_a_cell_is_edited_on_several_lines(qtbot: QtBot, table: ExampleTable) -> None:
    index = table.examples.index(2, FIRST)
    table.setCurrentIndex(index)
    table.edit(index)
    editor = table.viewport().findChild(QPlainTextEdit)
    assert editor is not None
    assert editor.toPlainText() == "text 2"
    qtbot.keyClicks(editor, "new")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(editor, "line")
    with qtbot.waitSignal(table.examples.edited) as edited:
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert edited.args == [2, "text", "new\nline"]


def test_rows_are_dragged(table: ExampleTable) -> None:
    moves: list[tuple[list[int], int]] = []
    table.examples.moved.connect(lambda places, before: moves.append((places, before)))
    data = table.examples.mimeData([table.examples.index(3, FIRST), table.examples.index(3, FIRST + 1)])
    move = Qt.DropAction.MoveAction
    table.examples.dropMimeData(data, move, 1, 0, QModelIndex())
    table.examples.dropMimeData(data, move, -1, -1, table.examples.index(0, FIRST))
    table.examples.dropMimeData(data, move, -1, -1, QModelIndex())
    assert moves == [([3], 1), ([3], 0), ([3], 4)]
    assert not table.examples.dropMimeData(QMimeData(), move, 0, 0, QModelIndex())
    assert data.hasFormat(MIME)


def test_rows_are_dragged_with_the_mouse() -> None:
    drags = ("0 2 lower", "2 0 upper", "0,1 3 lower", "3 1 upper", "1 1 lower")
    done = subprocess.run(
        [sys.executable, "-m", "tests.ui.dragged_rows", *" ".join(drags).split()],
        env={**os.environ, "QT_QPA_PLATFORM": "minimal"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    orders = ["".join(text[-1] for text in json.loads(line)) for line in done.stdout.splitlines()]
    assert orders == ["1203", "0123", "2301", "2130", "2130"], done.stderr


def test_rows_are_copied_as_spreadsheets_read_them(table: ExampleTable) -> None:
    table.select_rows([1])
    assert table.selected_text() == "text\toutput\ntext 1\tb\n"
    rows = (replace(ROWS[0], fields=(("text", 'one\n"two"'),)),)
    table.show_screen(screen_of(replace(PROJECT, examples=rows)))
    assert table.selected_text() == 'text\toutput\n"one\n""two"""\ta\n'
    assert datasets.from_text(table.selected_text()).rows == (('one\n"two"', "a"),)


def test_the_test_set_has_no_ticks(table: ExampleTable) -> None:
    table.show_screen(screen_of(replace(PROJECT, test=ROWS[:1]), Listed.TEST))
    assert table.isColumnHidden(TICK)
    assert table.examples.rowCount() == 1


def test_shots_without_room_are_marked(table: ExampleTable) -> None:
    table.examples.set_dropped([1])
    number = table.examples.index(1, 1)
    assert "left out" in table.examples.data(number, Qt.ItemDataRole.ToolTipRole)
    assert "left out" not in table.examples.data(table.examples.index(0, 1), Qt.ItemDataRole.ToolTipRole)
    assert not table.grab().isNull()


# --- prompt and bar -----------------------------------------------------------------------------------------------


def shown_of(project: Project) -> Shown:
    rendered = compose(project.spec, editing.rows_of(project, Listed.EXAMPLES)[: project.shots], project.query)
    prompt = prompt_of(rendered)
    return Shown(
        rendered, prompt.budget, words.segments(rendered, prompt.budget), words.summary(rendered, prompt.budget)
    )


def test_the_parts_of_the_prompt_have_the_colours_of_the_bar(qtbot: QtBot) -> None:
    view = PromptView()
    qtbot.addWidget(view)
    shown = shown_of(PROJECT)
    view.show_prompt(shown)
    assert shown.rendered is not None
    marks = view.extraSelections()
    parts = [mark for mark in marks if not mark.format.fontUnderline()]  # type: ignore[attr-defined]
    spans = [mark.cursor.selectedText().replace("\u2029", "\n") for mark in parts]  # type: ignore[attr-defined]
    assert "".join(spans) == shown.rendered.text  # in spite of a character that Qt counts as two
    answers = [mark.cursor.selectedText() for mark in marks if mark.format.fontUnderline()]  # type: ignore[attr-defined]
    assert answers == ["a", "b"]
    colors = [mark.format.background().color() for mark in parts]  # type: ignore[attr-defined]
    assert colors[1:3] == [part_color(PartKind.SHOT, 0), part_color(PartKind.SHOT, 1)]


def test_hovering_tells_the_part_and_its_tokens(qtbot: QtBot) -> None:
    view = PromptView()
    qtbot.addWidget(view)
    view.show_prompt(shown_of(PROJECT))
    assert view.words_at(0) == "Instruction: 1 token, 7 characters"
    assert view.words_at(9).startswith("Shot 1: ")
    assert view.words_at(view.document().characterCount() - 1).startswith("Query: ")


def test_the_bar_tells_exact_tokens(qtbot: QtBot) -> None:
    bar = BudgetBar()
    qtbot.addWidget(bar)
    bar.resize(400, HEIGHT)
    segments = (
        Segment(PartKind.INSTRUCTION, "Instruction", 12),
        Segment(PartKind.SHOT, "Shot 1", 30, 0),
        Segment(PartKind.QUERY, "Query", 8),
        Segment(None, "Room for the completion", 950),
    )
    bar.show_segments(segments, over=False)
    bar.show()
    rects = bar.rects()
    assert rects[-1].right() == pytest.approx(400)
    assert rects[0].width() / rects[1].width() == pytest.approx(12 / 30)
    assert bar.enlarged
    QTest.mouseMove(bar, bar.center_of(1))
    qtbot.waitUntil(bar._card.isVisible)
    assert bar._card.card.facts == (("tokens", "30"), ("of the window", "3.0 %"), ("of the prompt", "60.0 %"))
    assert bar.table().splitlines()[2] == "Shot 1\t30"
    assert "Shot 1: 30 tokens" in bar.accessibleDescription()
    bar.show_segments((), over=False)
    assert bar.rects() == []
    assert bar.segment_at(3) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_every_part(qtbot: QtBot, scheme: theme.Scheme) -> None:
    theme.set_scheme(scheme)
    for kind, shot in [(kind, None) for kind in PartKind] + [(PartKind.SHOT, 0), (PartKind.SHOT, 1)]:
        assert theme.contrast(theme.current().text, part_color(kind, shot)) >= 4.5
    theme.set_scheme("system")


# --- controls and preview -----------------------------------------------------------------------------------------


def test_controls_show_a_project_without_a_signal(qtbot: QtBot) -> None:
    controls = Controls()
    qtbot.addWidget(controls)
    said: list[object] = []
    controls.spec_changed.connect(lambda *args: said.append(args))
    controls.shots.changed.connect(said.append)
    spec = replace(PROJECT.spec, form=Form.CLOZE, verbalizer=(("a", "good"),), room=5)
    controls.show_screen(screen_of(replace(PROJECT, spec=spec), impossible={Form.TEXT: "no"}))
    assert not said
    assert controls.labels.toPlainText() == "a = good\nb"
    assert controls.form.currentText() == "Gap to fill"
    assert not controls.form.model().item(0).isEnabled()  # type: ignore[attr-defined]
    assert controls.shots.slider.maximum() == 4
    assert not controls.redo.isEnabled()
    controls.shots.slider.setValue(3)
    controls.form.setCurrentIndex(1)
    assert said == [3, ("form", Form.CHAT)]
    assert said[1][1] is Form.CHAT  # type: ignore[index]


def test_a_file_is_shown_with_its_remarks_and_choices(qtbot: QtBot) -> None:
    pane = PreviewPane()
    qtbot.addWidget(pane)
    pane.resize(850, 640)
    imported = datasets.from_bytes("x.csv", b"text,label\na,x\nb\nc,x\nd,y\ne,y\n")
    choices = applying.first_choices(imported)
    pane.show_preview(Preview(imported, choices, applying.uses_of(imported), ("x", "y"), "T", words.facts(imported)))
    pane.show()
    assert pane.rows.rowCount() == 5
    assert pane.notes.rowCount() == len(imported.notes)
    assert pane.roles["label"].currentData() == "output"
    assert not pane.sheet.isVisible()
    with qtbot.waitSignal(pane.mapped) as mapped:
        pane.roles["text"].activated.emit(0)
    assert mapped.args == ["text", "input"]
    with qtbot.waitSignal(pane.chose) as chose:
        pane.use.setCurrentIndex(1)
    assert chose.args == ["use", Use.MORE]
    assert chose.args[1] is Use.MORE
    with qtbot.waitSignal(pane.corrected) as corrected:
        pane.header.click()
    assert corrected.args == ["header", False]
    assert pane.row_table.horizontalHeader().length() <= pane.row_table.viewport().width() + 1
    assert pane.grab().size().width() == 850
    assert QPoint(0, 0) == pane.pos()
