"""The tab Build on screen."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QLabel,
    QSpinBox,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.datasets.project import LARGEST_SEED
from llmlab.engine.shots.compose import MASK
from llmlab.engine.shots.types import Form
from llmlab.ui import theme
from llmlab.ui.panels.shots.build import editing
from llmlab.ui.panels.shots.build.budget_bar import BudgetBar
from llmlab.ui.panels.shots.build.controls import Controls
from llmlab.ui.panels.shots.build.editing import Listed
from llmlab.ui.panels.shots.build.example_table import ExampleTable
from llmlab.ui.panels.shots.build.fields import TemplateField
from llmlab.ui.panels.shots.build.preview_pane import PreviewPane
from llmlab.ui.panels.shots.build.prompt_view import PromptView, visible
from llmlab.ui.panels.shots.build.query_form import QueryForm
from llmlab.ui.panels.shots.build.screen import Preview, Screen, Shown
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.tab_page import TabPage
from llmlab.ui.tabbed_view import TabbedPanel
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, heading, icon_button, row
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.wrapping import wrapping_row

if TYPE_CHECKING:
    from llmlab.ui.panels.shots.build.presenter import BuildTab

HELP = Help(
    "In-context learning",
    "The model is given an instruction, some solved examples (shots) and a question, all as one text, and goes on with "
    "it: nothing in its weights changes. Colours show the parts of that text; the bar shows what each part takes of "
    "the context window; a token that reaches into the next part counts where it begins.",
    "prompt = instruction + Σ (question + delimiter + answer + few-shot delimiter) + question",
)
LISTS = (Listed.EXAMPLES, Listed.TEST)


class BuildPage(TabPage):
    """Left what the prompt is made of, right the prompt; or a file that is looked at. Is the view of `BuildTab`."""

    controls: Controls

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls = Controls()
        self.instruction = TemplateField("Instruction", "Stands once, before the shots; may name the query's fields", 2)
        self.template = TemplateField("Question", "Stands for every shot, and for the query at the end", 3)
        self.lists = Choice(
            [("Examples", "The shots of the prompt, in their order"), ("Test set", "The items to measure with")],
            "Rows in the table",
        )
        self.table = ExampleTable()
        self.query = QueryForm()
        self.bar, self.prompt, self.state = BudgetBar(), PromptView(), StateView()
        self.summary, self.notice, self.remark, self.reading = ElidedLabel(), QLabel(), QLabel(), QLabel()
        self.preview = PreviewPane()
        self._remedy = ""
        self._build_tools()
        self._lay_out()

    def attach(self, tab: BuildTab, panel: PanelView) -> None:
        """Connect what the user does with what decides."""
        super().attach(tab, panel)
        self._connect_controls(tab)
        self._connect_rows(tab)
        self.instruction.typed.connect(lambda text: tab.type_spec("instruction", text))
        self.template.typed.connect(lambda text: tab.type_spec("template", text))
        self.query.typed.connect(tab.type_query)
        self.prompt.copy_asked.connect(tab.copy_prompt)
        self.prompt.python_asked.connect(tab.copy_python)
        self.copy_button.clicked.connect(tab.copy_prompt)
        self.python_button.clicked.connect(tab.copy_python)
        self.state.acted.connect(tab.use_remedy)
        self.preview.corrected.connect(lambda option, value: tab.importing.correct(**{option: value}))
        self.preview.chose.connect(lambda name, value: tab.importing.choose(**{name: value}))
        self.preview.mapped.connect(tab.importing.map_field)
        self.preview.accepted.connect(tab.importing.accept)
        self.preview.left.connect(tab.importing.cancel)
        keys: tuple[tuple[str, Callable[[], None]], ...] = (
            ("Ctrl+Z", tab.undo), ("Ctrl+Shift+Z", tab.redo), ("Ctrl+Y", tab.redo), ("Ctrl+S", tab.save_file),
        )  # fmt: skip
        for where in (self, self.controls):  # what is typed into has an undo of its own, and keeps the keys
            for key, call in keys:
                shortcut = QShortcut(QKeySequence(key), where)
                shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
                shortcut.activated.connect(call)

    def _connect_controls(self, tab: BuildTab) -> None:
        controls = self.controls
        controls.send.connect(tab.send_prompt)
        controls.opened.connect(tab.open)
        controls.pasted.connect(lambda: tab.paste(QGuiApplication.clipboard().text()))
        controls.made_new.connect(tab.new)
        controls.saved.connect(lambda ask: tab.save_file(ask=ask))
        controls.sample_chosen.connect(tab.open_sample)
        controls.recent_chosen.connect(tab.open_file)
        controls.renamed.connect(tab.rename)
        controls.undone.connect(tab.undo)
        controls.redone.connect(tab.redo)
        controls.shots.changed.connect(tab.set_shots)
        controls.spec_changed.connect(lambda name, value: tab.edit_spec(_words(name), **{name: value}))
        controls.text_typed.connect(tab.type_spec)
        controls.labels_typed.connect(tab.set_labels)

    def _connect_rows(self, tab: BuildTab) -> None:
        table = self.table
        self.lists.chosen.connect(lambda index: tab.list_rows(LISTS[index]))
        table.examples.edited.connect(tab.set_cell)
        table.examples.ticked.connect(tab.tick_rows)
        table.examples.moved.connect(tab.move_rows)
        table.delete_asked.connect(tab.delete_rows)
        table.duplicate_asked.connect(tab.duplicate_rows)
        table.shift_asked.connect(tab.shift_rows)
        table.query_asked.connect(tab.use_as_query)
        table.paste_asked.connect(lambda: tab.paste(QGuiApplication.clipboard().text()))
        table.copy_asked.connect(lambda: self.copy(table.selected_text()))
        self.add.clicked.connect(tab.add_row)
        self.duplicate.clicked.connect(lambda: tab.duplicate_rows(table.places))
        self.delete.clicked.connect(lambda: tab.delete_rows(table.places))
        self.shuffle.clicked.connect(lambda: tab.shuffle(self.seed.value()))

    # --- what the presenter shows -----------------------------------------------------------------------------

    def show_screen(self, screen: Screen) -> None:
        """Show the project and what can be done with it."""
        spec = screen.project.spec
        self.controls.show_screen(screen)
        self.instruction.show_text(spec.instruction)
        self.template.show_text(spec.template)
        for field in (self.instruction, self.template):
            field.show_fields(_offered(screen) if field is self.template else screen.columns, spec.syntax)
        self.lists.set_chosen(LISTS.index(screen.listed))
        self.table.show_screen(screen)
        self.query.show_query(screen.project.query, screen.columns)
        self._count.setText(_count(screen))
        self.remark.setText(screen.remark)
        self.remark.setVisible(bool(screen.remark))

    def show_prompt(self, shown: Shown) -> None:
        """Show the prompt, or why there is none."""
        self.prompt.setEnabled(not shown.stale or shown.rendered is not None)
        if shown.stale:
            return
        self.summary.setText(shown.summary)
        notice = " ".join(filter(None, (shown.dropped, _cut(shown))))
        self.notice.setText(notice)
        self.notice.setVisible(bool(notice))
        self.table.examples.set_dropped(shown.rendered.dropped if shown.rendered is not None else ())
        over = shown.budget is not None and not shown.budget.fits
        self.bar.show_segments(shown.segments, over=over)
        self.bar.setVisible(shown.budget is not None)
        self._stack.setCurrentWidget(self.state if shown.error else self._prompt_box)
        if shown.error:
            actions = (shown.remedy,) if shown.remedy else ()
            self.state.show_stage(Stage(Kind.ERROR, *shown.error, actions=actions))
        self.prompt.show_prompt(shown)
        for button in (self.copy_button, self.python_button, self.controls.button):
            button.setEnabled(shown.rendered is not None)

    def show_reading(self, name: str) -> None:
        """Say that a file is being read; an empty name: no more."""
        self.reading.setText(f"Reading {name} …")
        self.reading.setVisible(bool(name))

    def show_preview(self, preview: Preview | None) -> None:
        """Show a file, or none: back to the project."""
        if preview is not None:
            self.preview.show_preview(preview)
        self._pages.setCurrentIndex(int(preview is not None))
        self.controls.setEnabled(preview is None)

    def select_rows(self, places: Collection[int]) -> None:
        """Select rows of the table."""
        self.table.select_rows(places)

    def come_forward(self) -> None:
        """Bring the tab to the front of its panel."""
        if isinstance(self._panel, TabbedPanel):
            self._panel.choose("build")

    def ask_data(self, then: Callable[[Path], None]) -> None:
        """Let the user choose a file to open."""
        if self._panel is not None:
            kinds = ("yaml", "csv", "tsv", "json", "jsonl", "xlsx", "cforge", "txt")
            self._panel.ask_file("Open a project or examples", kinds, then)

    # --- layout -----------------------------------------------------------------------------------------------

    def _build_tools(self) -> None:
        self.add = icon_button("add", "Add a row at the end", "Add a row")
        self.duplicate = icon_button("duplicate", "Duplicate the selected rows (Ctrl+D)", "Duplicate rows")
        self.delete = icon_button("delete", "Delete the selected rows (Delete)", "Delete rows")
        self.seed = QSpinBox()
        self.seed.setRange(0, min(LARGEST_SEED, 2**31 - 1))
        self.seed.setPrefix("seed ")
        self.seed.setAccessibleName("Seed of the shuffle")
        self.seed.setToolTip("The same seed and the same order give the same new order")
        self.shuffle = icon_button("dice", "Shuffle the rows with this seed", "Shuffle the rows")
        self._count = MutedLabel()
        self.copy_button = icon_button("copy", "Copy the prompt", "Copy the prompt")
        self.python_button = icon_button("code", "Copy as Python: a program that makes this prompt", "Copy as Python")
        names = {self.notice: "The length of the prompt", self.remark: "What was changed by itself"}
        for label, name in {**names, self.reading: "The file that is being read"}.items():
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setAccessibleName(name)
            label.hide()
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    def _lay_out(self) -> None:
        tools: tuple[QToolButton | QSpinBox | QLabel | QWidget, ...] = (
            self.lists, self._count, self.add, self.duplicate, self.delete, self.seed, self.shuffle,
        )  # fmt: skip
        shots = wrapping_row(tools, stretch=self._count)
        left = _stack(self.instruction, self.template, shots, self.table, self.query, stretch=self.table)
        help_button = HelpButton(HELP)
        head = row(
            (heading("Prompt"), self.summary, self.copy_button, self.python_button, help_button), stretch=self.summary
        )
        self._prompt_box = self.prompt
        self._stack = QStackedWidget()
        self._stack.addWidget(self._prompt_box)
        self._stack.addWidget(self.state)
        right = _stack(head, self.reading, self.remark, self.bar, self.notice, self._stack, stretch=self._stack)
        halves = QSplitter(Qt.Orientation.Horizontal)
        halves.setObjectName("shots build")
        halves.setChildrenCollapsible(False)
        halves.setHandleWidth(2 * theme.SPACE)
        halves.addWidget(left)
        halves.addWidget(right)
        halves.setStretchFactor(0, 1)
        halves.setStretchFactor(1, 1)
        halves.setSizes([470, 390])
        self._pages = QStackedWidget()
        self._pages.addWidget(halves)
        self._pages.addWidget(self.preview)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._pages)

    def _paint_colors(self) -> None:
        colors = theme.current()
        info = colors.info_base
        for label, base in ((self.notice, colors.warning_base), (self.remark, info), (self.reading, info)):
            label.setStyleSheet(
                f"background: {base.name()}; color: {colors.text.name()};"
                f" border-radius: 4px; padding: {theme.SPACE // 2}px {theme.SPACE}px;"
            )


def _cut(shown: Shown) -> str:
    """That only a part of a very long prompt is on screen."""
    whole = len(shown.rendered.text) if shown.rendered is not None else 0
    part = visible(shown.rendered.text) if shown.rendered is not None else 0
    return (
        f"The first {part:,} of {whole:,} characters are shown here; the prompt itself is whole."
        if part < whole
        else ""
    )


def _stack(*widgets: QWidget, stretch: QWidget) -> QWidget:
    box = QWidget()
    layout = QVBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE)
    for widget in widgets:
        layout.addWidget(widget, stretch=int(widget is stretch))
    return box


def _offered(screen: Screen) -> tuple[str, ...]:
    """The fields that can stand in the question: in the cloze form the mask, too."""
    mask = (MASK,) if screen.project.spec.form is Form.CLOZE else ()
    return (*screen.columns, *mask)


def _count(screen: Screen) -> str:
    rows = editing.rows_of(screen.project, screen.listed)
    if screen.listed is Listed.TEST or screen.ticked == len(rows):
        return f"{len(rows):,}"
    return f"{screen.ticked:,} of {len(rows):,} ticked"


def _words(setting: str) -> str:
    return {
        "form": "Another form",
        "syntax": "Another syntax",
        "instruction_role": "Who says the instruction",
        "overflow": "What happens when the window is full",
        "room": "Tokens to keep free",
    }.get(setting, setting)
