"""The tokens panel's presenter, with a view that writes down and jobs that run when the test says so."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmlab.engine.tokens.types import Neighbours
from llmlab.engine.types import ModelRequest
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.tokens.params import Params
from llmlab.ui.panels.tokens.presenter import TokensPresenter
from llmlab.ui.panels.tokens.samples import sample, samples
from llmlab.ui.panels.tokens.screen import Screen
from llmlab.ui.screen import Kind
from llmlab.workbench import ModelState, Status, Workbench
from tests.presenters.decoding_fakes import FakeEngine, FakeNotifier, ManualJobs, model_info, ready, set_model
from tests.presenters.tokens_fakes import BOS, FakeView, Openers

TEXT = "the cat saw the 🐱\nand ran"


@dataclass
class Stand:
    """The presenter with everything around it."""

    presenter: TokensPresenter
    view: FakeView
    jobs: ManualJobs
    openers: Openers
    bench: Workbench
    notifier: FakeNotifier

    @property
    def screen(self) -> Screen:
        assert self.view.screen is not None
        return self.view.screen


def make(prompt: str = TEXT, saved: dict[str, Any] | None = None, *, model: bool = True) -> Stand:
    jobs, view, notifier, openers = ManualJobs(FakeEngine(model_info())), FakeView(), FakeNotifier(), Openers()
    bench = Workbench(jobs)  # type: ignore[arg-type]
    bench.prompt = prompt
    if model:
        ready(bench, model_info())
    context = PanelContext(bench, jobs, notifier, saved or {})  # type: ignore[arg-type]
    presenter = TokensPresenter(context, view, openers)
    presenter.activate()
    return Stand(presenter, view, jobs, openers, bench, notifier)


@pytest.fixture
def stand() -> Stand:
    made = make()
    made.jobs.run_all()
    return made


# --- the strip --------------------------------------------------------------------------------------------------


def test_the_prompts_tokens_are_shown(stand: Stand) -> None:
    assert stand.view.encoded is not None
    assert stand.view.encoded.tokens.text == TEXT
    assert stand.screen.stage.kind is Kind.READY
    assert stand.presenter.settled
    facts = {fact.name: fact.value for fact in stand.screen.facts}
    assert facts["tokens"] == str(len(stand.view.encoded))
    assert stand.screen.context is not None
    assert (stand.screen.context.used, stand.screen.context.limit) == (len(stand.view.encoded), 64)


def test_typing_leaves_one_waiting_job_and_shows_the_last_prompt(stand: Stand) -> None:
    reader = stand.openers.made["bundled:decoder"]
    reader.read.clear()
    for end in range(1, 20):
        stand.bench.prompt = "once upon a time there was"[:end]
    assert stand.jobs.titles() == ["encode"]
    assert not stand.presenter.settled
    stand.jobs.run_all()
    assert reader.read == ["once upon a time th"[:19]]
    assert stand.presenter.settled


def test_special_tokens_can_be_left_out_and_the_context_counts_them_all_the_same(stand: Stand) -> None:
    whole = stand.view.encoded
    assert whole is not None
    stand.presenter.change(special=False)
    assert not stand.presenter.settled
    stand.jobs.run_all()
    bare = stand.view.encoded
    assert bare is not None
    assert bare.tokens.ids.tolist() == whole.tokens.ids.tolist()[1:]
    assert stand.screen.context is not None
    assert stand.screen.context.used == len(whole), "the model is given the special tokens whatever the strip shows"
    stand.presenter.copy_python()
    assert "add_special_tokens=False" in stand.view.copied[-1]
    stand.presenter.table.save("copy")
    stand.jobs.run_all()
    assert len(list(csv.reader(io.StringIO(stand.view.copied[-1], newline=""), delimiter="\t"))) == len(bare) + 1
    stand.presenter.change(special=True)
    stand.jobs.run_all()
    stand.presenter.copy_python()
    assert "add_special_tokens" not in stand.view.copied[-1]


def test_an_empty_prompt_offers_examples_and_takes_one() -> None:
    stand = make("")
    assert stand.jobs.pending == []
    assert stand.screen.stage.kind is Kind.EMPTY
    stand.presenter.use_example(stand.screen.stage.examples[0])
    stand.jobs.run_all()
    assert stand.bench.prompt == sample("English")
    assert stand.screen.stage.kind is Kind.READY


def test_an_answer_to_a_prompt_that_was_emptied_is_not_shown(stand: Stand) -> None:
    stand.bench.prompt = "more"
    stand.bench.prompt = ""
    stand.jobs.run_all()
    assert stand.view.encoded is None
    assert stand.screen.stage.kind is Kind.EMPTY


def test_a_panel_in_the_background_starts_no_work(stand: Stand) -> None:
    stand.presenter.deactivate()
    stand.bench.prompt = "something else"
    assert stand.jobs.pending == []
    stand.presenter.activate()
    assert stand.jobs.titles() == ["encode"]


def test_without_a_model_it_says_so_and_a_chosen_tokenizer_works_all_the_same() -> None:
    stand = make(model=False)
    assert stand.screen.stage.kind is Kind.EMPTY
    assert "No model" in stand.screen.stage.title
    stand.presenter.change(tokenizer="bundled:encoder")
    stand.jobs.run_all()
    assert stand.view.encoded is not None
    assert stand.view.encoded.spec == "bundled:encoder"


def test_while_the_first_model_is_opened_nothing_else_is() -> None:
    stand = make(saved={"tokenizer": "bundled:encoder"}, model=False)
    stand.jobs.pending.clear()
    set_model(stand.bench, ModelState(Status.LOADING, request=ModelRequest("bundled:seq2seq")))
    assert stand.jobs.pending == []
    assert stand.screen.stage.kind is Kind.LOADING
    ready(stand.bench, model_info())
    stand.jobs.run_all()
    assert stand.view.encoded is not None
    assert stand.view.encoded.spec == "bundled:encoder"


def test_a_tokenizer_that_cannot_be_opened_says_why_and_another_one_helps(stand: Stand) -> None:
    stand.presenter.open_tokenizer(" missing ")
    stand.jobs.run_all()
    assert stand.screen.stage.kind is Kind.ERROR
    assert stand.screen.stage.title == "There is no such tokenizer."
    assert stand.view.encoded is None
    stand.presenter.change(tokenizer="")
    stand.jobs.run_all()
    assert stand.screen.stage.kind is Kind.READY


def test_an_opened_tokenizer_can_be_chosen_again(stand: Stand) -> None:
    stand.presenter.open_tokenizer("some/where")
    stand.jobs.run_all()
    stand.presenter.change(tokenizer="")
    assert ("some/where", "where") in [(choice.spec, choice.name) for choice in stand.screen.choices]


def test_hovering_tells_everything(stand: Stand) -> None:
    encoded = stand.view.encoded
    assert encoded is not None
    facts = dict(encoded.facts(1))
    assert facts["token id"] == str(int(encoded.tokens.ids[1]))
    assert (facts["bytes"], facts["characters"], facts["kind"]) == ("74 68 65", "0 to 3", "normal")
    byte = int(np.flatnonzero(encoded.tokens.groups >= 0)[0])
    assert encoded.facts(byte)[-1] == ("", "one of 4 tokens that share 🐱")


# --- selection --------------------------------------------------------------------------------------------------


def test_selected_tokens_are_marked_in_the_table_and_in_the_prompt(stand: Stand) -> None:
    seen: list[tuple[int, int]] = []
    stand.bench.selection_changed.connect(lambda s: seen.append((s.start, s.end)))
    stand.presenter.select_tokens(1, 2)
    assert seen == [(0, 7)]
    assert stand.view.rows_marked[-1] == (1, 2)
    stand.presenter.select_tokens(3, 3, in_table=True)
    assert stand.view.tokens_marked[-1] == (3, 3)


def test_selected_characters_select_their_tokens(stand: Stand) -> None:
    stand.bench.select(4, 8, "the editor")
    assert stand.view.tokens_marked[-1] == (2, 3)
    assert stand.view.rows_marked[-1] == (2, 3)
    stand.bench.select(4, 4, "the editor")
    assert stand.view.tokens_marked[-1] == (-1, -1)


def test_copies(stand: Stand) -> None:
    encoded = stand.view.encoded
    assert encoded is not None
    stand.presenter.copy_selected("text")
    assert stand.view.copied[-1] == TEXT
    stand.presenter.select_tokens(1, 2)
    stand.presenter.copy_selected("text")
    assert stand.view.copied[-1] == "the cat"
    stand.presenter.copy_selected("ids")
    assert json.loads(stand.view.copied[-1]) == encoded.tokens.ids[1:3].tolist()
    stand.presenter.copy_python()
    compile(stand.view.copied[-1], "snippet", "exec")
    assert repr(TEXT) in stand.view.copied[-1]


# --- the table --------------------------------------------------------------------------------------------------


def column(stand: Stand, name: int) -> list[str]:
    assert stand.view.rows is not None
    return [stand.view.rows.cell(row, name) for row in range(len(stand.view.rows))]


def test_the_table_sorts_filters_and_finds_its_rows(stand: Stand) -> None:
    stand.presenter.table.change(column=2, descending=True)
    stand.jobs.run_all()
    ids = [int(cell) for cell in column(stand, 2)]
    assert ids == sorted(ids, reverse=True)
    stand.presenter.table.change(query="THE", column=0, descending=False)
    stand.jobs.run_all()
    assert set(column(stand, 1)) == {"the", "␣the"}
    stand.presenter.table.change(query=str(BOS))
    stand.jobs.run_all()
    assert column(stand, 2)[0] == "0"
    stand.presenter.table.change(query="", kind=3)
    stand.jobs.run_all()
    rows = stand.view.rows
    assert rows is not None
    assert set(column(stand, 7)) == {"bytes"}
    assert rows.row_of(int(rows.indices[1])) == 1
    assert rows.row_of(0) == -1


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_table_is_exported(stand: Stand, tmp_path: Path, kind: str) -> None:
    stand.view.path = tmp_path / f"tokens.{kind}"
    stand.presenter.table.save(kind)
    stand.jobs.run_all()
    written = stand.view.path.read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(written))) if kind == "csv" else json.loads(written)["tokens"]
    assert stand.view.encoded is not None
    assert [int(row["token_id"]) for row in rows] == stand.view.encoded.tokens.ids.tolist()
    assert rows[1]["text"] == "the"
    assert stand.notifier.said == [f"Saved as tokens.{kind}."]


# --- the tabs ---------------------------------------------------------------------------------------------------


def test_a_tab_works_only_while_it_is_in_front(stand: Stand) -> None:
    assert stand.view.pipeline is None
    stand.presenter.change(tab="pipeline")
    stand.jobs.run_all()
    assert stand.view.pipeline is not None
    assert stand.view.pipeline.text == TEXT
    stand.presenter.change(tab="table")
    stand.bench.prompt = "short"
    stand.jobs.run_all()
    assert stand.view.pipeline.text == TEXT
    stand.presenter.change(tab="pipeline")
    stand.jobs.run_all()
    assert stand.view.pipeline.text == "short"


def test_the_word_of_the_selected_token_is_traced_step_by_step(stand: Stand) -> None:
    stand.presenter.change(tab="merges")
    stand.jobs.run_all()
    stand.presenter.select_tokens(2, 2)
    stand.jobs.run_all()
    assert stand.view.word == " cat"
    traced = stand.view.traced
    assert traced is not None
    assert (traced.steps, stand.view.step) == (3, 3)
    stand.presenter.merges.go(1)
    assert stand.view.step == 1
    stand.presenter.merges.go(-5)
    assert stand.view.step == 0
    stand.presenter.merges.go(99)
    assert stand.view.step == 3


def test_a_typed_word_stays_when_the_text_changes(stand: Stand) -> None:
    stand.presenter.change(tab="merges")
    stand.presenter.merges.type_word("zebra")
    stand.bench.prompt = "no such animal"
    stand.jobs.run_all()
    assert stand.view.traced is not None
    assert stand.view.traced.word == "zebra"
    stand.presenter.merges.type_word("z" * 101)
    stand.jobs.run_all()
    assert stand.view.traced is None
    assert stand.notifier.errors[-1].message == "The word is too long."


def test_the_vocabulary_is_searched_and_a_bad_query_says_so(stand: Stand) -> None:
    stand.presenter.change(tab="vocabulary")
    stand.presenter.vocabulary.change(text="at")
    stand.jobs.run_all()
    found = stand.view.found
    assert found is not None
    assert [found.table.texts[i] for i in found.ids.tolist()] == [" cat"]
    assert found.lengths[4] == 1
    assert found.lengths.sum() == 1
    stand.presenter.vocabulary.change(text="(", mode="regex")
    stand.jobs.run_all()
    assert stand.view.errors[-1].message == "This is no regular expression."
    stand.presenter.vocabulary.look_at(int(found.ids[0]))
    stand.jobs.run_all()
    assert stand.view.details is not None
    assert stand.view.details.text == " cat"


def test_near_tokens_come_from_the_loaded_model_and_only_for_its_own_tokens(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = Neighbours(np.array([BOS, 9999], np.int32), np.array([0.5, 0.25], np.float32))
    monkeypatch.setattr(FakeEngine, "neighbours", lambda *_: near, raising=False)
    stand.presenter.change(tab="vocabulary")
    stand.jobs.run_all()
    stand.presenter.vocabulary.look_at(5)
    stand.jobs.run_all()
    assert stand.view.neighbours == (("<s>", 0.5), ("id 9999", 0.25))
    stand.presenter.change(tokenizer="bundled:encoder")
    stand.jobs.run_all()
    stand.presenter.vocabulary.look_at(5)
    stand.jobs.run_all()
    assert stand.view.neighbours == ()


def test_messages_are_rendered_with_the_tokenizers_template(stand: Stand) -> None:
    stand.presenter.change(tab="chat")
    stand.presenter.chat.change("user: What is\na cat?\nassistant: An animal.")
    stand.jobs.run_all()
    rendered = stand.view.chat[0]
    assert rendered is not None
    assert rendered.tokens.text == "[user] What is\na cat?\n[assistant] An animal.\n[assistant]"
    stand.presenter.change(generation_prompt=False)
    stand.jobs.run_all()
    rendered = stand.view.chat[0]
    assert rendered is not None
    assert rendered.tokens.text.endswith("An animal.\n")
    stand.presenter.chat.change("")
    stand.jobs.run_all()
    assert stand.view.chat == (None, "There are no messages. Type one.")
    stand.presenter.open_tokenizer("plain")
    stand.jobs.run_all()
    assert "no chat template" in stand.view.chat[1]
    assert stand.presenter.settled


def test_chunks_and_price(stand: Stand, tmp_path: Path) -> None:
    stand.presenter.change(tab="tools", chunk_size=4, chunk_overlap=1, rate=2.5)
    stand.jobs.run_all()
    chunks = stand.view.chunks
    assert chunks is not None
    assert stand.view.encoded is not None
    assert stand.view.price == pytest.approx((len(stand.view.encoded), len(stand.view.encoded) * 2.5e-6))
    assert all(len(part.ids) <= 4 for part in chunks.parts)
    stand.view.path = tmp_path / "chunks.csv"
    stand.presenter.tools.save("csv")
    stand.jobs.run_all()
    rows = list(csv.DictReader(io.StringIO(stand.view.path.read_text("utf-8"), newline="")))
    assert [row["text"] for row in rows] == [TEXT[part.start : part.end] for part in chunks.parts]
    stand.presenter.change(chunk_size=2, chunk_overlap=9)
    stand.jobs.run_all()
    assert stand.view.chunks is not None
    assert (stand.view.chunks.size, stand.view.chunks.overlap) == (2, 1), "never more than the chunk"


def test_several_tokenizers_are_compared(stand: Stand) -> None:
    stand.presenter.change(tab="compare", compared=("bundled:encoder",))
    stand.jobs.run_all()
    compared = stand.view.compared
    assert compared is not None
    assert compared.specs == ("bundled:decoder", "bundled:encoder")
    assert compared.differing == 0
    assert not any(column.flags.any() for column in compared.columns)
    stand.presenter.change(compared=("missing",))
    stand.jobs.run_all()
    assert stand.view.errors[-1].message == "There is no such tokenizer."
    assert stand.presenter.settled


def test_after_closing_nothing_arrives(stand: Stand) -> None:
    stand.bench.prompt = "late"
    stand.presenter.close()
    stand.jobs.run_all()
    assert stand.view.encoded is not None
    assert stand.view.encoded.tokens.text == TEXT
    stand.bench.prompt = "later"
    assert stand.jobs.pending == []


# --- settings ---------------------------------------------------------------------------------------------------


def test_settings_come_back_and_nonsense_is_left_at_its_default() -> None:
    params = Params(tokenizer="a/b", colouring="kind", tab="tools", compared=("x",), chunk_size=9, chunk_overlap=3)
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    nonsense = {"tokenizer": 3, "colouring": "pink", "tab": None, "compared": "x", "chunk_size": -1, "rate": math.nan}
    assert Params.from_dict(nonsense) == Params()
    assert Params.from_dict({"chunk_size": 8, "chunk_overlap": 8}).chunk_overlap == 0


def test_samples_are_there_in_many_scripts() -> None:
    names = [item.name for item in samples()]
    assert {"English", "Chinese", "Arabic", "Emoji", "Source code", "Invisible"} <= set(names)
    assert all(item.text for item in samples())
