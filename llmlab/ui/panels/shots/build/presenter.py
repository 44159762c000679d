"""What decides on the tab Build: edits, undo, files, and the prompt that comes of it. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.datasets import project as projects
from llmlab.engine.datasets.project import Project
from llmlab.engine.datasets.types import Format, Imported
from llmlab.engine.shots.types import Example, Form, PromptSpec
from llmlab.engine.types import ModelInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.shots.build import applying, editing, files, forms, samples, snippet
from llmlab.ui.panels.shots.build.applying import Choices
from llmlab.ui.panels.shots.build.editing import Listed
from llmlab.ui.panels.shots.build.history import History
from llmlab.ui.panels.shots.build.importing import Importing, ImportPage
from llmlab.ui.panels.shots.build.params import MOST_RECENT, Params
from llmlab.ui.panels.shots.build.prompting import Prompting, PromptPage
from llmlab.ui.panels.shots.build.screen import Screen
from llmlab.ui.panels.shots.built import NOTHING

if TYPE_CHECKING:
    from llmlab.ui.panels.shots.presenter import ShotsPresenter

CUT = "The last project was too large to be kept in the settings: rows are missing. Large projects belong in a file."


class BuildPage(ImportPage, PromptPage, Desk, Protocol):
    """What the user sees of the tab."""

    def show_screen(self, screen: Screen) -> None:
        """Show the project and what can be done with it."""

    def select_rows(self, places: Collection[int]) -> None:
        """Select rows of the table."""

    def come_forward(self) -> None:
        """Bring the tab to the front of its panel."""

    def ask_data(self, then: Callable[[Path], None]) -> None:
        """Let the user choose a file to open, and go on with it."""


class BuildTab:
    """Edits the project that all tabs look at; nothing that was there is lost, since everything can be undone."""

    def __init__(self, context: PanelContext, panel: ShotsPresenter, page: BuildPage, saved: Mapping[str, Any]) -> None:
        self._bench, self._context, self._panel, self._page = context.workbench, context, panel, page
        self._asking, self._built = panel.asking, panel.built
        params = Params.from_dict(saved)
        self._unsaved, self._recent, self._listed = params.unsaved, params.recent, params.listed
        self._started = params.project is not None
        self._remark = CUT if params.cut else ""
        self._reopen = params.cut and not params.unsaved and bool(params.file)
        self._history = History(params.project or self._built.project, params.file)
        self._generation = self._bench.model.generation
        self.prompting = Prompting(self._asking, page, lambda: self._model)
        self.importing = Importing(self._asking, page, lambda: self.project.spec, self._use)
        self._built.project = self._history.project
        self._disconnect = self._built.changed.connect(self._changed_elsewhere)
        for kind in files.kinds(lambda: self._in_front, self._dropped):
            context.drops.add(kind, first=True)
        self._show()

    # --- life -------------------------------------------------------------------------------------------------

    @property
    def project(self) -> Project:
        """What is built."""
        return self._built.project

    @property
    def busy(self) -> bool:
        """Whether the prompt or a file is on its way."""
        return self.prompting.busy or self.importing.reading

    def bring(self) -> None:
        """The tab is in front: show the prompt for the model of the moment."""
        if not self._started and self.project == NOTHING:
            self._started = True
            self.open_sample(samples.sample(samples.FIRST))
            return
        if self._reopen:
            self._reopen = False
            self.open_file(Path(self._history.file))
        self._follow_model()
        self._show()
        if self.project == NOTHING and self.importing.reading:
            return  # the sample is on its way
        self.prompting.want(self.project, self._bench.model.generation)

    def save(self) -> dict[str, Any]:
        """The project and the files, to find again."""
        project = None if self.project == NOTHING else self.project
        return Params(project, self._history.file, self._unsaved, self._recent, self._listed).to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        self._disconnect()
        self.prompting.close()
        self.importing.close()
        self._asking.forget(self)

    @property
    def _model(self) -> ModelInfo | None:
        return self._bench.model.info if self._bench.model.ready else None

    def _follow_model(self) -> None:
        """Another kind of model was opened while this form was in use: the form goes with it, and can be undone."""
        model = self._bench.model
        if not model.ready or model.info is None or model.generation == self._generation:
            return
        first, self._generation = self._generation == 0, model.generation
        form = forms.form_for(model.info, self.project.spec.form)
        if form is not self.project.spec.form and not first:
            self.edit_spec("Form for the model", form=form)
            self._remark = (
                f"The form went with the model: “{model.info.name}” reads {forms.NAMES[form]}. Undo takes it back."
            )

    def _changed_elsewhere(self, project: Project) -> None:
        """Another tab has changed the project."""
        if project != self._history.project:
            self._history.put("Change in another tab", project)
            self._show()

    # --- edits ------------------------------------------------------------------------------------------------

    def edit(self, label: str, project: Project, merge: str = "", file: str | None = None) -> None:
        """Go on to `project`; `label` names the step for undo, edits with the same `merge` are one step.

        `file` is where another project was opened from, empty for nowhere.
        """
        if self._history.put(label, project, merge, file):
            self._unsaved, self._remark = True, ""
            self._go_to(self._history.project)

    def edit_spec(self, label: str, merge: str = "", **changes: Any) -> None:
        """Change settings of the prompt."""
        self.edit(label, replace(self.project, spec=replace(self.project.spec, **changes)), merge)

    def type_spec(self, name: str, text: str) -> None:
        """A text of the prompt is being typed: instruction, template, target, a delimiter."""
        self.edit_spec(f"Typing in the {name.replace('_', ' ')}", merge=f"spec {name}", **{name: text})

    def type_query(self, name: str | None, text: str) -> None:
        """A field of the query is being typed; None: its expected answer."""
        query = self.project.query
        changed = replace(query, output=text) if name is None else editing.with_field(query, name, text)
        self.edit("Typing in the query", replace(self.project, query=changed), f"query {name}")

    def set_labels(self, lines: str) -> None:
        """One label a line; `label = word` says which word stands for it in the prompt."""
        pairs = [line.partition(" = ") for line in lines.split("\n") if line.strip()]
        labels = tuple(dict.fromkeys(label for label, _, _ in pairs))
        verbalizer = tuple({label: word for label, sign, word in pairs if sign and word}.items())
        self.edit_spec("Labels", "labels", labels=labels, verbalizer=verbalizer)

    def set_shots(self, count: int) -> None:
        """How many of the ticked examples stand in the prompt."""
        self.edit("Number of shots", replace(self.project, shots=count), "shots")

    def rename(self, name: str) -> None:
        """Another name for the project."""
        self.edit("Rename", replace(self.project, name=name), "name")

    def undo(self) -> None:
        """Take the last step back."""
        self._remark, self._unsaved = "", True
        self._go_to(self._history.undo())

    def redo(self) -> None:
        """Do it again."""
        self._unsaved = True
        self._go_to(self._history.redo())

    def _go_to(self, project: Project) -> None:
        self._built.project = project
        self._show()
        self.prompting.want(project, self._bench.model.generation)

    # --- rows -------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[Example, ...]:
        """The rows in the table."""
        return editing.rows_of(self.project, self._listed)

    def list_rows(self, listed: Listed) -> None:
        """Show the examples or the test set in the table."""
        self._listed = listed
        self._show()

    def add_row(self) -> None:
        """A new row at the end, to be filled in."""
        names = [name for name, _ in self.rows[-1].fields] if self.rows else editing.columns(self.project)
        self._edit_rows("Add a row", (*self.rows, editing.blank(names)))
        self._page.select_rows([len(self.rows) - 1])

    def duplicate_rows(self, places: Collection[int]) -> None:
        """Each of them once more, below itself."""
        if places:
            self._edit_rows("Duplicate", editing.duplicated(self.rows, set(places)))

    def delete_rows(self, places: Collection[int]) -> None:
        """Remove them."""
        if places:
            self._edit_rows("Delete", editing.without(self.rows, set(places)))

    def move_rows(self, places: Collection[int], before: int) -> None:
        """Put them before the row that is now number `before`."""
        if places and 0 <= before <= len(self.rows):
            rows, first = editing.moved(self.rows, set(places), before)
            self._edit_rows("Move", rows)
            self._page.select_rows(range(first, first + len(set(places))))

    def shift_rows(self, places: Collection[int], down: bool) -> None:
        """Move them by one."""
        if places and (max(places) < len(self.rows) - 1 if down else min(places) > 0):
            self.move_rows(places, max(places) + 2 if down else min(places) - 1)

    def tick_rows(self, places: Collection[int], included: bool) -> None:
        """Include them in the prompt, or leave them out."""
        self._edit_rows("Tick", editing.with_tick(self.rows, set(places), included))

    def set_cell(self, place: int, column: str | None, text: str) -> None:
        """Change a field of a row; None: its output."""
        if 0 <= place < len(self.rows):
            self._edit_rows("Edit a row", editing.with_cell(self.rows, place, column, text))

    def shuffle(self, seed: int) -> None:
        """Another order of the rows, which the seed decides together with the order of now."""
        shuffled = editing.with_rows(self.project, self._listed, editing.shuffled(self.rows, seed))
        self.edit(f"Shuffle with seed {seed}", replace(shuffled, seed=seed))

    def use_as_query(self, place: int) -> None:
        """Ask with a row."""
        if 0 <= place < len(self.rows):
            self.edit("Another query", replace(self.project, query=replace(self.rows[place], included=True)))

    def _edit_rows(self, label: str, rows: tuple[Example, ...]) -> None:
        self._history.pause()
        self.edit(label, editing.with_rows(self.project, self._listed, rows))

    # --- files ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Choose a project or a file with data."""
        self._page.ask_data(self.open_file)

    def open_file(self, path: Path) -> None:
        """Open a project at once, and look at any other file first."""
        self.importing.open(path, lambda imported: self._take_project(imported, path))

    def open_sample(self, path: Path) -> None:
        """Open a set that comes with the program; it belongs to no file of the user's."""
        self.importing.open(path, lambda imported: self._take_project(imported, None))

    def paste(self, text: str) -> None:
        """Look at a text from the clipboard as if it were a file."""
        if text.strip():
            self.importing.paste(text)

    def new(self) -> None:
        """An empty project; undo brings the former one back."""
        spec = PromptSpec("Input: {text}\nLabel:", form=self.project.spec.form)
        blank = Project(spec, (editing.blank(["text"]),), editing.blank(["text"]), shots=0)
        self.edit("New project", blank, file="")

    def save_file(self, *, ask: bool = False) -> None:
        """Write the project to its file; choose one first where there is none, or if so `ask`ed."""
        file = self._history.file
        if file and not ask:
            self._write(Path(file))
        else:
            name = Path(file).name if file else f"{files.name_for(self.project.name)}{projects.SUFFIX}"
            self._page.ask_path(name, ("yaml",), self._write)

    def _write(self, path: Path) -> None:
        project = self.project

        def done(_: None) -> None:
            self._history.saved(str(path))
            self._unsaved = self.project != project
            self._remember(path)
            self._asking.saved(path)
            self._show()

        self._asking.beside(self, "save", lambda _control: projects.save(path, project), done)

    def _take_project(self, imported: Imported, path: Path | None) -> bool:
        if imported.format is not Format.PROJECT or imported.project is None:
            return False
        if imported.notes:
            return False  # it has to be looked at
        self._started = True
        file = str(path) if path else ""
        if self.project == NOTHING and not self._history.undo_label:
            self._history = History(imported.project, file)  # the beginning: there is nothing to go back to
            self._go_to(imported.project)
        else:
            self.edit("Open a project", imported.project, file=file)
        self._unsaved = False
        if path:
            self._remember(path)
        self._show()
        self.prompting.want(self.project, self._bench.model.generation)
        return True

    def _use(self, imported: Imported, choices: Choices) -> None:
        self._started = True
        project = applying.applied(self.project, imported, choices)
        if not project.name:
            project = replace(project, name=Path(imported.name).stem)
        self._history.pause()
        self.edit(f"Import {imported.name}", project, file="" if imported.project is not None else None)
        self._context.notifier.say(f"{imported.name} is in the project now.", "Undo brings the former state back.")

    def _remember(self, path: Path) -> None:
        self._recent = (str(path), *(one for one in self._recent if one != str(path)))[:MOST_RECENT]

    @property
    def _in_front(self) -> bool:
        return bool(self._panel.in_front) and self._panel.front is self

    def _dropped(self, path: Path) -> None:
        self._context.come()
        self._page.come_forward()
        self.open_file(path)

    # --- taking along -----------------------------------------------------------------------------------------

    def copy_prompt(self) -> None:
        """The prompt as text."""
        if self.prompting.shown.rendered is not None:
            self._page.copy(self.prompting.shown.rendered.text)

    def copy_python(self) -> None:
        """A program that makes the same prompt."""
        self._page.copy(snippet.program(self.project))

    def send_prompt(self) -> None:
        """Make it the prompt of the other panels."""
        rendered = self.prompting.shown.rendered
        if rendered is not None:
            self._bench.prompt = rendered.text
            self._context.notifier.say(
                "The prompt is now that of Tokens, Attention and Decoding.", "Choose a panel on the left."
            )

    def use_remedy(self, name: str) -> None:
        """Do what the words in the prompt's place propose."""
        self.edit_spec("Another form", form=Form(name))

    # --- screen -----------------------------------------------------------------------------------------------

    def _show(self) -> None:
        project = self.project
        self._page.show_screen(
            Screen(
                project=project,
                columns=editing.columns(project),
                listed=self._listed,
                in_prompt=editing.place_in_prompt(project),
                ticked=sum(one.included for one in project.examples),
                undo=self._history.undo_label,
                redo=self._history.redo_label,
                file=Path(self._history.file).name if self._history.file else "",
                unsaved=self._unsaved,
                recent=self._recent,
                impossible=forms.impossible(self._model),
                remark=self._remark,
            )
        )
