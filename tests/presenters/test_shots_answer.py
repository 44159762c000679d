"""The tab "Answer" without a window."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmlab import paths
from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled
from llmlab.engine.shots.answer import answer
from llmlab.engine.shots.budget import prompt
from llmlab.engine.shots.results import Score
from llmlab.engine.shots.types import Example, Form, PromptSpec
from llmlab.ui.panels.shots.answer.params import Params
from llmlab.ui.panels.shots.answer.picture import cells, table_text
from llmlab.ui.panels.shots.answer.presenter import Answering
from llmlab.ui.panels.shots.python import answer_script
from llmlab.ui.screen import Kind
from tests.engine import tiny
from tests.presenters.shots_fakes import ITEMS, POOL, PROJECT, SPEC, Bed


def test_labels_are_scored_whenever_something_changes_and_only_then() -> None:
    bed = Bed(Answering)
    bed.tab.bring()
    assert bed.screen.stage.kind is Kind.EMPTY
    bed.open()
    assert bed.screen.stage.kind is Kind.LOADING
    assert bed.tab.busy
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.READY
    shown = bed.tab.picture
    assert [line.label for line in shown.lines] == ["time", "model"]
    assert [line.right for line in shown.lines] == [False, True]
    assert sum(line.probability for line in shown.lines) == pytest.approx(1)
    assert [count for count, _ in shown.every] == [0, 1, 2, 3]
    bed.tab.bring()
    assert not bed.jobs.pending
    bed.tab.set_shots(1)
    bed.jobs.run_all()
    assert [count for count, _ in bed.tab.picture.every] == [0, 1]
    assert bed.panel.built.project.shots == 1
    bed.tab.set_shots(3)
    assert bed.panel.built.project.shots is None
    bed.panel.front = None  # another tab is in front: nothing is asked
    bed.jobs.run_all()
    bed.panel.built.project = replace(PROJECT, name="other", shots=2)
    assert not bed.jobs.pending


def test_items_of_the_test_set_are_asked_in_turn() -> None:
    bed = Bed(Answering)
    bed.open()
    bed.tab.step_item(1)
    bed.jobs.run_all()
    assert (bed.screen.item, bed.screen.query) == (0, "upon a")
    assert bed.tab.answered.prompt.rendered.answer == "time"
    bed.tab.step_item(99)
    assert bed.tab.item == len(ITEMS) - 1
    bed.panel.built.project = replace(PROJECT, test=())
    assert bed.tab.item is None


def test_scores_are_read_anew_without_the_model() -> None:
    bed = Bed(Answering, {"score": "per token", "calibrate": False})
    assert bed.tab.params == Params(Score.TOKEN, False)
    bed.open()
    bed.jobs.run_all()
    assert all(line.calibrated is None for line in bed.tab.picture.lines)
    before = bed.tab.picture
    bed.tab.change({"calibrate": True, "score": Score.SUM})
    assert not bed.jobs.pending
    assert bed.tab.picture != before
    assert bed.tab.picture.lines[0].calibrated is not None
    assert bed.tab.save() == {}
    assert cells(bed.tab.picture.lines[1])[0] == "model ✓"


def test_completions_are_streamed_and_can_be_stopped() -> None:
    bed = Bed(Answering)
    bed.open()
    bed.jobs.run_all()
    bed.tab.complete()
    assert bed.screen.completing
    bed.jobs.run_all()
    assert not bed.tab.busy
    text = bed.tab.answered.prompt.rendered.text
    steps = bed.engine.generate(text, max_new_tokens=5, do_sample=False, stop=("\n",))
    assert bed.tab.completion == "".join(step.text for step in steps)
    bed.tab.complete()
    bed.tab.stop()
    assert not bed.tab.completing


def test_errors_are_said_where_the_picture_would_be() -> None:
    bed = Bed(Answering)
    bed.open(replace(PROJECT, spec=replace(SPEC, template="{missing}")))
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.ERROR
    assert "missing" in bed.screen.stage.title
    bed.tab.export("copy")
    assert not bed.page.copied
    bed.panel.built.project = PROJECT
    bed.jobs.pending[0].work = lambda *_: (_ for _ in ()).throw(Cancelled)
    bed.jobs.run_all()
    assert bed.screen.stage.title == "Stopped"
    bed.tab.act("again")
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.READY


def test_another_model_is_asked_anew() -> None:
    bed = Bed(Answering)
    bed.open()
    bed.jobs.run_all()
    assert bed.tab.answered is not None
    bed.open(generation=2)
    assert bed.tab.answered is None
    assert bed.tab.busy


def test_the_prompt_and_the_numbers_go_elsewhere(tmp_path: Path) -> None:
    bed = Bed(Answering)
    bed.open()
    bed.jobs.run_all()
    bed.tab.send()
    assert bed.bench.prompt == bed.tab.answered.prompt.rendered.text
    assert bed.notifier.said
    for kind in ("copy", "prompt", "python"):
        bed.tab.export(kind)
    assert bed.page.copied[0].splitlines()[1].startswith("time\t")
    assert bed.page.copied[1] == bed.bench.prompt
    bed.page.path = tmp_path
    bed.tab.export("csv")
    bed.tab.export("json")
    bed.jobs.run_all()
    assert (tmp_path / "labels.csv").read_text("utf-8") == table_text(bed.tab.picture)
    data = json.loads((tmp_path / "labels.json").read_text("utf-8"))
    assert data["labels"][0]["sum"] == bed.tab.picture.lines[0].sum


CASES = {
    "decoder": PromptSpec("{x}:", "Once.\n", labels=("time", "a model")),
    "seq2seq": PromptSpec("classify: {x}", labels=("time", "model"), target_delimiter=""),
    "encoder": PromptSpec("{x} is {mask}.", labels=("good", "very bad"), form=Form.CLOZE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_copied_script_prints_the_same_numbers(name: str) -> None:
    engine = Engine.open(f"bundled:{name}", device="cpu", dtype="float32")
    found = answer(engine.loaded, CASES[name], POOL[:2], Example((("x", "the dog"),)))
    assert found.scores is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(answer_script(engine.info, found.prompt.rendered), {"paths": paths})
    numbers = [float(line.split()[0]) for line in printed.getvalue().splitlines()]
    assert numbers == pytest.approx(found.scores.sums.tolist(), abs=2e-3)


def test_the_script_of_a_free_text_prompt_compiles() -> None:
    engine = tiny.engine("llama")
    made = prompt(engine.loaded, replace(SPEC, labels=()), POOL, ITEMS[0])
    compile(answer_script(engine.info, made.rendered), "script", "exec")


def test_an_answer_to_what_was_built_before_is_not_shown() -> None:
    bed = Bed(Answering)
    bed.open()
    first = bed.jobs.pending.pop()
    bed.panel.built.project = replace(PROJECT, shots=1)
    bed.jobs.pending.insert(0, first)
    bed.jobs.run_next()
    assert bed.tab.answered is None
    assert bed.tab.busy
    bed.jobs.run_all()
    assert len(bed.tab.answered.prompt.rendered.used) == 1
    assert not bed.tab.busy


def test_the_answer_stays_when_the_line_over_the_shots_is_stopped() -> None:
    bed = Bed(Answering)
    bed.open()
    job = bed.jobs.pending[0]
    work = job.work

    def stopped(session: Any, control: Any) -> None:
        work(session, control)
        raise Cancelled

    job.work = stopped
    bed.jobs.run_all()
    assert bed.screen.stage.kind is Kind.READY
    assert bed.tab.picture.lines
    assert not bed.tab.picture.every
    assert not bed.tab.busy
