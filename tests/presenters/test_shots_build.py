"""What the tab Build decides: edits and undo, files, the prompt of the moment."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.engine import datasets
from llmlab.engine.datasets import FieldMapping, project
from llmlab.engine.datasets.project import Project
from llmlab.engine.errors import InputError
from llmlab.engine.shots.compose import compose
from llmlab.engine.shots.types import Example, Form, Overflow, PromptSpec, Syntax
from llmlab.engine.types import Architecture
from llmlab.ui.panels.shots.build import applying, editing, prompting, samples, snippet, words
from llmlab.ui.panels.shots.build.applying import Choices, Use
from llmlab.ui.panels.shots.build.editing import Listed
from llmlab.ui.panels.shots.build.params import Params
from llmlab.ui.panels.shots.built import shots_of
from tests.presenters.decoding_fakes import model_info, ready
from tests.presenters.shots_build_fakes import Bench, prompt_of

CSV = "text,label\n" + "".join(f"item {n},{'ab'[n % 2]}\n" for n in range(12))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.start()
    return made


def texts(rows: tuple[Example, ...]) -> list[str]:
    return [row.values["text"] for row in rows]


# --- start --------------------------------------------------------------------------------------------------------


def test_the_first_start_shows_a_sample_and_its_prompt(bench: Bench) -> None:
    found = bench.screen.project
    assert found.name == "Invented labels"
    assert not bench.screen.unsaved
    rendered = bench.page.shown.rendered
    assert rendered is not None
    assert rendered.text == compose(found.spec, shots_of(found), found.query).text
    assert bench.screen.in_prompt == {0: 0, 1: 1, 2: 2, 3: 3}


def test_every_sample_is_in_the_menu_and_opens(bench: Bench) -> None:
    files = {path.name for path in samples.sample(samples.FIRST).parent.glob("*.shots.yaml")}
    assert {one.path.name for one in samples.samples()} == files
    for one in samples.samples():
        bench.tab.open_sample(one.path)
        bench.run()
        assert bench.screen.project.name == one.name


def test_what_was_built_is_found_again(bench: Bench) -> None:
    bench.tab.type_spec("instruction", "Say it.\n")
    again = Bench(bench.tab.save())
    again.start()
    assert again.screen.project == bench.screen.project
    assert again.screen.unsaved


@pytest.mark.parametrize(
    "saved", [{"project": "no project"}, {"project": 7, "recent": 3, "listed": "x"}, {"recent": [1, "a"]}, {}]
)
def test_settings_that_make_no_sense_are_left_out(saved: dict[str, Any]) -> None:
    params = Params.from_dict(saved)
    assert params.project is None
    assert all(isinstance(one, str) for one in params.recent)
    assert params.listed is Listed.EXAMPLES


def test_a_project_too_large_for_the_settings_says_so(bench: Bench, tmp_path: Path) -> None:
    rows = tuple(Example((("text", "x" * 1000),)) for _ in range(500))
    bench.tab.edit("x", Project(PromptSpec("{text}"), rows[:3], test=rows))
    again = Bench(bench.tab.save())
    again.start()
    assert (len(again.screen.project.examples), len(again.screen.project.test)) == (3, 0)
    assert "too large" in again.screen.remark
    bench.page.path = tmp_path / "large.shots.yaml"
    bench.tab.save_file()
    bench.run()
    from_file = Bench(bench.tab.save())
    from_file.start()
    assert len(from_file.screen.project.test) == 500


# --- edits and undo -----------------------------------------------------------------------------------------------


def test_letters_of_one_text_are_undone_at_once(bench: Bench) -> None:
    before = bench.screen.project
    for text in ("S", "Sa", "Say"):
        bench.tab.type_spec("instruction", text)
    bench.tab.type_spec("template", "{text} =")
    assert bench.screen.undo == "Typing in the template"
    bench.tab.undo()
    assert bench.screen.project.spec.instruction == "Say"
    bench.tab.undo()
    assert bench.screen.project == before
    bench.tab.redo()
    assert bench.screen.project.spec.instruction == "Say"
    bench.tab.set_shots(2)
    assert bench.screen.redo == ""


def test_rows_are_added_doubled_moved_and_removed(bench: Bench) -> None:
    first, second, third, *_ = texts(bench.tab.rows)
    bench.tab.move_rows([0], 3)
    assert texts(bench.tab.rows)[:3] == [second, third, first]
    assert bench.page.selected == [2]
    bench.tab.shift_rows([2], down=False)
    assert texts(bench.tab.rows)[:3] == [second, first, third]
    bench.tab.duplicate_rows([1])
    assert texts(bench.tab.rows)[:4] == [second, first, first, third]
    bench.tab.delete_rows([1, 2])
    assert texts(bench.tab.rows)[:2] == [second, third]
    bench.tab.add_row()
    assert texts(bench.tab.rows)[-1] == ""
    bench.tab.set_cell(len(bench.tab.rows) - 1, "text", "new")
    bench.tab.set_cell(len(bench.tab.rows) - 1, None, "cloud")
    assert (bench.tab.rows[-1].values["text"], bench.tab.rows[-1].output) == ("new", "cloud")
    for _ in range(7):
        bench.tab.undo()
    assert texts(bench.tab.rows)[:3] == [first, second, third]
    assert bench.screen.project.name == "Invented labels"


def test_a_shuffle_is_the_same_for_the_same_seed(bench: Bench) -> None:
    before = bench.tab.rows
    bench.tab.shuffle(5)
    first = bench.tab.rows
    assert first != before
    assert sorted(texts(first)) == sorted(texts(before))
    bench.tab.undo()
    bench.tab.shuffle(5)
    assert bench.tab.rows == first
    assert bench.screen.project.seed == 5


def test_ticks_and_slider_decide_what_stands_in_the_prompt(bench: Bench) -> None:
    bench.tab.tick_rows([0, 2], included=False)
    assert bench.screen.in_prompt == {1: 0, 3: 1, 4: 2, 5: 3}
    assert bench.screen.ticked == 10
    bench.tab.set_shots(0)
    bench.run()
    rendered = bench.page.shown.rendered
    assert rendered is not None
    assert rendered.used == ()
    assert bench.screen.in_prompt == {}


def test_the_test_set_is_edited_in_the_same_table(bench: Bench) -> None:
    examples = bench.screen.project.examples
    bench.tab.list_rows(Listed.TEST)
    bench.tab.delete_rows([0])
    assert len(bench.screen.project.test) == 51
    assert bench.screen.project.examples == examples
    bench.tab.use_as_query(0)
    assert bench.screen.project.query == bench.screen.project.test[0]


def test_labels_may_say_which_word_stands_for_them(bench: Bench) -> None:
    bench.tab.set_labels("good = great\nbad\n\nbad\n")
    spec = bench.screen.project.spec
    assert (spec.labels, spec.verbalizer) == (("good", "bad"), (("good", "great"),))


def test_fields_that_only_the_template_names_are_columns(bench: Bench) -> None:
    bench.tab.type_spec("template", "{text} by {author}")
    assert bench.screen.columns == ("text", "author")
    bench.tab.type_spec("template", "{text")  # still being typed
    assert bench.screen.columns == ("text",)
    bench.tab.type_query("author", "Ann")
    assert dict(bench.screen.project.query.fields)["author"] == "Ann"


def test_an_empty_project_can_be_undone(bench: Bench) -> None:
    before = bench.screen.project
    bench.tab.new()
    assert len(bench.screen.project.examples) == 1
    bench.tab.undo()
    assert bench.screen.project == before


EDITS = st.sampled_from(["add", "duplicate", "delete", "move", "shuffle", "tick", "type", "shots", "new", "query"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(EDITS, st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_whatever_is_done_can_be_undone_and_done_again(edits: list[tuple[str, int, int]]) -> None:
    bench = Bench(Params(Project(PromptSpec("{t}"), tuple(Example((("t", str(n)),)) for n in range(4)))).to_dict())
    bench.panel.activate()
    before = bench.tab.project
    for edit, first, second in edits:
        some = [place for place in {first, second} if place < len(bench.tab.rows)]
        {
            "add": bench.tab.add_row,
            "duplicate": lambda some=some: bench.tab.duplicate_rows(some),
            "delete": lambda some=some: bench.tab.delete_rows(some),
            "move": lambda some=some, second=second: bench.tab.move_rows(some, second),
            "shuffle": lambda first=first: bench.tab.shuffle(first),
            "tick": lambda some=some: bench.tab.tick_rows(some, included=False),
            "type": lambda first=first: bench.tab.type_spec("template", f"{{t}} {first}"),
            "shots": lambda first=first: bench.tab.set_shots(first),
            "new": bench.tab.new,
            "query": lambda first=first: bench.tab.use_as_query(first),
        }[edit]()
    after = bench.tab.project
    steps = 0
    while bench.screen.undo:
        bench.tab.undo()
        steps += 1
    assert bench.tab.project == before
    for _ in range(steps):
        bench.tab.redo()
    assert bench.tab.project == after


# --- files --------------------------------------------------------------------------------------------------------


def test_a_file_is_looked_at_before_it_is_used(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(CSV)
    before = bench.screen.project
    bench.tab.open_file(path)
    assert bench.page.reading == "reviews.csv"
    bench.run()
    assert bench.page.reading == ""
    preview = bench.page.preview
    assert preview is not None
    assert (preview.choices.use, preview.labels) == (Use.BOTH, ("a", "b"))
    assert ("Rows", "12") in preview.facts
    assert bench.screen.project == before
    bench.tab.importing.accept()
    assert bench.page.preview is None
    made = bench.screen.project
    assert (len(made.examples), len(made.test), made.spec.labels) == (8, 4, ("a", "b"))
    assert "stone" not in made.spec.instruction
    assert bench.screen.undo == "Import reviews.csv"
    bench.tab.undo()
    assert bench.screen.project == before


def test_the_mapping_can_be_corrected(bench: Bench) -> None:
    bench.tab.paste("one\ttwo\tthree\na\tb\tc\nd\te\tf\n")
    bench.run()
    importing = bench.tab.importing
    importing.correct(header=True)
    bench.run()
    importing.map_field("two", "output")
    importing.map_field("three", "unused")
    importing.choose(use=Use.EXAMPLES)
    preview = bench.page.preview
    assert preview is not None
    assert preview.choices.mapping == FieldMapping(("one",), "two")
    assert preview.template == "One: {one}\nTwo:"
    importing.accept()
    assert bench.screen.project.examples[1] == Example((("one", "d"),), "e")


def test_a_correction_reads_the_file_again_and_keeps_what_was_decided(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV.replace(",", ";"))
    bench.tab.open_file(path)
    bench.run()
    bench.tab.importing.choose(use=Use.TEST)
    bench.tab.importing.correct(header=False)
    bench.run()
    preview = bench.page.preview
    assert preview is not None
    assert (len(preview.imported.rows), preview.choices.use) == (13, Use.TEST)
    assert preview.imported.dialect is not None
    assert preview.imported.dialect.delimiter == ";"
    bench.tab.importing.correct(encoding="utf-16")
    bench.run()
    assert bench.notifier.errors
    assert bench.page.preview is not None
    assert bench.page.preview.imported == preview.imported


def test_reading_that_is_cancelled_leaves_everything_as_it_was(bench: Bench) -> None:
    before = bench.screen.project
    bench.tab.paste(CSV)
    bench.jobs.cancel(bench.tab.importing)
    assert not bench.tab.busy
    assert (bench.page.reading, bench.page.preview, bench.screen.project) == ("", None, before)


def test_leaving_a_file_changes_nothing(bench: Bench) -> None:
    before = bench.screen.project
    bench.tab.paste(CSV)
    bench.run()
    bench.tab.importing.cancel()
    bench.tab.importing.accept()
    assert bench.screen.project == before
    assert bench.page.preview is None
    assert bench.screen.undo == ""


def test_a_file_that_cannot_be_read_says_so_and_nothing_is_lost(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\x00\x01\x02" * 40)
    before = bench.screen.project
    bench.tab.open_file(path)
    bench.run()
    assert bench.notifier.errors[0].kind == InputError.__name__
    assert bench.screen.project == before
    assert bench.page.preview is None


def test_a_project_is_saved_and_opened(bench: Bench, tmp_path: Path) -> None:
    path = bench.page.path = tmp_path / "mine.shots.yaml"
    bench.tab.rename("Mine")
    bench.tab.save_file()
    bench.run()
    assert bench.page.asked == ["mine.shots.yaml"]
    assert (bench.screen.file, bench.screen.unsaved, bench.screen.recent) == (path.name, False, (str(path),))
    bench.tab.set_shots(1)
    assert bench.screen.unsaved
    bench.tab.save_file()  # to the same file, without asking
    bench.run()
    assert len(bench.page.asked) == 1
    saved = bench.screen.project
    bench.tab.new()
    bench.tab.open_file(path)
    bench.run()
    assert bench.screen.project == saved
    assert not bench.screen.unsaved


def test_saving_never_writes_one_project_over_another(bench: Bench, tmp_path: Path) -> None:
    first, second = tmp_path / "first.shots.yaml", tmp_path / "second.shots.yaml"
    bench.page.path = first
    bench.tab.save_file()
    bench.run()
    bench.tab.rename("Second")
    bench.page.path = second
    bench.tab.save_file(ask=True)
    bench.run()
    bench.tab.open_file(first)
    bench.run()
    assert bench.screen.file == first.name
    bench.tab.undo()
    assert (bench.screen.file, bench.screen.project.name) == (second.name, "Second")
    bench.tab.redo()
    bench.tab.save_file()
    bench.run()
    assert "name: Second" in second.read_text()
    assert "name: Invented labels" in first.read_text()
    bench.tab.new()
    assert bench.screen.file == ""
    bench.tab.undo()
    assert bench.screen.file == first.name


def test_a_project_with_faults_is_looked_at_first(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("llmlab: prompt-shot project\nprompt: {template: x, form: poem}\n")
    bench.tab.open_file(path)
    bench.run()
    assert bench.page.preview is not None
    assert bench.page.preview.uses == (Use.PROJECT,)
    bench.tab.importing.accept()
    assert bench.screen.project.spec.template == "x"


def test_a_task_of_the_harness_brings_its_prompt(bench: Bench) -> None:
    task = (
        'doc_to_text: "{{q}}\\nA:"\ndoc_to_target: a\ndescription: "Answer.\\n"\ntarget_delimiter: " -> "\n'
        "fewshot_config: {samples: [{q: x, a: y}, {q: z, a: w}]}\n"
    )
    bench.tab.paste(task)
    bench.run()
    bench.tab.importing.accept()
    bench.run()
    spec = bench.screen.project.spec
    assert (spec.syntax, spec.target_delimiter, spec.instruction) == (Syntax.JINJA, " -> ", "Answer.\n")
    assert bench.page.shown.rendered is not None
    assert bench.page.shown.rendered.text.startswith("Answer.\nx\nA: -> y\n\n")


def test_files_with_data_come_here_and_texts_only_while_the_tab_is_in_front(bench: Bench, tmp_path: Path) -> None:
    for name in ("a.csv", "a.txt", "weights.json"):
        (tmp_path / name).write_text(CSV)
    assert bench.drops.handle([tmp_path / "a.csv"]) is None
    bench.run()
    assert (bench.came, bench.page.forward, bench.page.preview is not None) == (1, 1, True)
    assert bench.drops.promise([tmp_path / "a.txt"])[0]
    bench.panel.deactivate()
    assert not bench.drops.promise([tmp_path / "a.txt"])[0]
    assert bench.drops.promise([tmp_path / "a.csv"])[0]
    (tmp_path / "config.json").write_text("{}")
    assert not bench.drops.promise([tmp_path / "weights.json"])[0]


# --- the prompt ---------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Prompts are counted without a model; what a test puts into the dictionary changes how."""
    how: dict[str, Any] = {}

    def fake(_engine: Any, made: Project, _control: Any) -> tuple[Any, str]:
        if "fails" in how:
            raise how["fails"]
        rendered = compose(made.spec, shots_of(made), made.query, mask="[MASK]")
        return prompt_of(rendered, how.get("context", 100)), how.get("dropped", "")

    monkeypatch.setattr(prompting, "_prompt", fake)
    return how


def test_the_bar_has_every_part_and_what_is_left(bench: Bench, counted: dict[str, Any]) -> None:
    ready(bench.bench, model_info())
    bench.run()
    shown = bench.page.shown
    assert shown.budget is not None
    names = [segment.name for segment in shown.segments]
    assert names == ["Instruction", "Shot 1", "Shot 2", "Shot 3", "Shot 4", "Query", "Room for the completion"]
    assert sum(segment.tokens for segment in shown.segments) == 100
    assert f"{shown.budget.left} of 100 left" in shown.summary


def test_a_prompt_that_is_too_long_says_what_to_do(bench: Bench, counted: dict[str, Any]) -> None:
    counted["context"] = 12
    ready(bench.bench, model_info())
    bench.run()
    assert bench.page.shown.budget is not None
    assert not bench.page.shown.budget.fits
    assert "fewer or shorter shots" in bench.page.shown.dropped
    assert words.segments(bench.page.shown.rendered, bench.page.shown.budget)[-1].name == "Query"  # type: ignore[arg-type]


def test_dropped_shots_are_marked(bench: Bench, counted: dict[str, Any]) -> None:
    counted["dropped"] = "Left out because the context window is full: shot 1."
    bench.tab.edit_spec("x", overflow=Overflow.DROP_FIRST)
    ready(bench.bench, model_info())
    bench.run()
    assert bench.page.shown.dropped == counted["dropped"]


def test_a_newer_prompt_takes_the_place_of_one_that_waits(bench: Bench) -> None:
    for count in (1, 2, 3):
        bench.tab.set_shots(count)
    assert len(bench.jobs.pending) == 1
    assert bench.page.shown.stale
    assert bench.tab.busy
    bench.run()
    assert bench.page.shown.rendered is not None
    assert len(bench.page.shown.rendered.used) == 3
    assert not bench.tab.busy


def test_a_template_that_is_wrong_is_said_in_the_prompts_place(bench: Bench) -> None:
    bench.tab.type_spec("template", "{text} {nothing}")
    bench.run()
    error = bench.page.shown.error
    assert error is not None
    assert "nothing" in error[0]
    bench.tab.undo()
    bench.run()
    assert bench.page.shown.error is None


def test_the_form_goes_with_the_model_and_can_be_taken_back(bench: Bench, counted: dict[str, Any]) -> None:
    ready(bench.bench, model_info())
    bench.run()
    ready(bench.bench, model_info(Architecture.ENCODER, "Gap"), generation=2)
    bench.run()
    assert bench.screen.project.spec.form is Form.CLOZE
    assert "Gap" in bench.screen.remark
    assert set(bench.screen.impossible) == {Form.TEXT, Form.CHAT}
    bench.tab.undo()
    assert bench.screen.project.spec.form is Form.TEXT
    assert bench.screen.remark == ""


def test_a_form_that_the_model_cannot_read_offers_another(bench: Bench, counted: dict[str, Any]) -> None:
    counted["fails"] = InputError("“Fake” has no mask.", "Choose the form text or chat.")
    ready(bench.bench, model_info())
    bench.run()
    assert bench.page.shown.remedy == ("Use the form text", "text")
    bench.tab.edit_spec("x", form=Form.CLOZE)
    bench.tab.use_remedy("text")
    assert bench.screen.project.spec.form is Form.TEXT


def test_a_conversation_needs_a_model(bench: Bench) -> None:
    bench.tab.edit_spec("x", form=Form.CHAT)
    bench.run()
    assert bench.page.shown.error is not None
    assert "Open a model" in bench.page.shown.error[1]


def test_the_prompt_is_sent_and_copied(bench: Bench) -> None:
    assert bench.page.shown.rendered is not None
    text = bench.page.shown.rendered.text
    bench.tab.send_prompt()
    bench.tab.copy_prompt()
    assert bench.bench.prompt == text
    assert bench.page.copied == [text]
    assert bench.notifier.said


@pytest.mark.parametrize("name", ["invented-labels", "number-words", "girl-or-boy"])
def test_the_copied_program_makes_the_same_prompt(name: str) -> None:
    made = datasets.read(samples.sample(name)).project
    assert made is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet.program(made), {})
    mask = "[MASK]" if made.spec.form is Form.CLOZE else ""
    assert printed.getvalue() == compose(made.spec, shots_of(made), made.query, mask=mask).text + "\n"


def test_another_tab_may_change_the_project(bench: Bench) -> None:
    other = datasets.read(samples.sample("topic")).project
    assert other is not None
    bench.panel.built.project = other
    assert bench.screen.project == other
    bench.tab.undo()
    assert bench.panel.built.project.name == "Invented labels"


def test_nothing_is_delivered_after_the_end(bench: Bench) -> None:
    bench.tab.set_shots(1)
    bench.panel.close()
    shown = bench.page.shown
    bench.run()
    assert bench.page.shown is shown


# --- what a file makes of a project -------------------------------------------------------------------------------


def test_a_template_that_fits_the_fields_stays() -> None:
    spec = PromptSpec("Q: {text}", labels=("a", "b"), instruction="a or b?")
    found = datasets.from_bytes("x.csv", CSV.encode())
    choices = applying.first_choices(found)
    assert applying.spec_after(spec, found, choices) == spec


def test_free_answers_are_no_labels() -> None:
    found = datasets.from_bytes("x.csv", b"text,answer\na,one\nb,two\nc,three\n")
    assert applying.labels_of(found, found.mapping) == ()


@pytest.mark.parametrize(
    "task",
    [
        "doc_to_text: '{{text}} Good?'\ndoc_to_target: label\ndoc_to_choice: [no, yes]\n",
        "doc_to_text: '{{text}} Good?'\ndoc_to_target: '{{label}}'\ndoc_to_choice: [no, yes]\n",
        'templates: {a: !Template {jinja: "{{text}} Good? ||| {{answer_choices[label]}}", answer_choices: no ||| yes}}',
    ],
)
def test_a_task_without_items_meets_its_data(task: str) -> None:
    start = Project(PromptSpec("x"))
    found = datasets.from_bytes("task.yaml", task.encode())
    start = applying.applied(start, found, applying.first_choices(found))
    data = datasets.from_bytes("x.csv", b"text,label\n" + b"".join(b"t%d,%d\n" % (n, n % 2) for n in range(6)))
    made = applying.applied(start, data, applying.first_choices(data))
    assert made.spec.labels == ("no", "yes")
    assert compose(made.spec, made.examples[:2], made.query).text == "t0 Good? no\n\nt1 Good? yes\n\nt5 Good?"


@pytest.mark.parametrize("syntax", list(Syntax))
def test_an_instruction_from_a_text_file_is_taken_literally(syntax: Syntax) -> None:
    found = datasets.from_text("Write {json} like {{ this }} and {% that")
    made = applying.applied(
        Project(PromptSpec("x", syntax=syntax)), found, Choices(Use.INSTRUCTION, found.mapping)
    )  # fmt: skip
    text = compose(made.spec, (), Example(())).text
    assert text == "Write {json} like {{ this }} and {% that\n\nx"


def test_further_examples_are_added() -> None:
    start = Project(PromptSpec("{text}"), (Example((("text", "old"),), "a"),))
    found = datasets.from_bytes("x.csv", CSV.encode())
    made = applying.applied(start, found, Choices(Use.MORE, found.mapping))
    assert len(made.examples) == 13
    assert made.examples[0] == start.examples[0]


def test_a_move_within_the_rows_keeps_all_of_them() -> None:
    rows = tuple(Example((("n", str(n)),)) for n in range(5))
    moved, first = editing.moved(rows, {0, 3}, 5)
    assert [row.values["n"] for row in moved] == ["1", "2", "4", "0", "3"]
    assert first == 3
    assert project.example_fields(moved) == ("n",)
