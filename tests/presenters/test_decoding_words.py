"""Words in the settings become the loaded model's tokens; all settings are found again."""

from __future__ import annotations

import math

import pytest

from llmlab.engine.errors import InputError
from llmlab.engine.knobs import STAGES, Cut
from llmlab.ui.panels.decoding.params import MAX_WORDS, Params
from llmlab.ui.screen import Kind
from tests.presenters.decoding_fakes import model_info, ready
from tests.presenters.test_decoding import Stand, make


@pytest.fixture
def stand() -> Stand:
    made = make(model_info(), "Once")
    made.settle()
    return made


def cut_of(stand: Stand, token: int) -> Cut:
    shaped = stand.picture.shaped
    return Cut(int(shaped.cut[shaped.ids.tolist().index(token)]))


def test_a_banned_word_is_removed_as_soon_as_its_tokens_are_known(stand: Stand) -> None:
    stand.presenter.change(banned=("word7", "unknown"), do_sample=False)
    stand.frame()
    assert cut_of(stand, 7) is Cut.KEPT
    assert not stand.presenter.settled
    stand.settle()
    assert cut_of(stand, 7) is Cut.BAD_WORDS
    assert stand.presenter.params.sampling.bad_words_ids == ((7,),)
    assert stand.presenter.settled
    assert stand.picture.reasons[Cut.BAD_WORDS] == "banned words"


def test_words_are_asked_for_once_and_again_of_another_model(stand: Stand) -> None:
    stand.presenter.change(biases=(("word3", 4.0),))
    stand.settle()
    before = stand.picture.shaped.probabilities[stand.picture.shaped.ids.tolist().index(3)]
    stand.presenter.change(biases=(("word3", 9.0),))
    assert stand.jobs.pending == []
    stand.frame()
    assert stand.picture.shaped.probabilities[stand.picture.shaped.ids.tolist().index(3)] > before
    ready(stand.bench, model_info(name="Other"), generation=2)
    assert stand.presenter.params.sampling.sequence_bias == ()
    assert "words" in stand.jobs.titles()
    stand.settle()
    assert stand.presenter.params.sampling.sequence_bias == (((3,), 9.0),)


def test_words_that_cannot_be_read_are_said_once(stand: Stand) -> None:
    stand.engine.word_ids = lambda words: (_ for _ in ()).throw(InputError("No.", "Try."))  # type: ignore[method-assign]
    stand.presenter.change(banned=("word1",))
    stand.settle()
    stand.presenter.change(temperature=0.5)
    stand.settle()
    assert [error.message for error in stand.notifier.errors] == ["No."]


def test_a_completion_is_made_with_all_settings(stand: Stand) -> None:
    stand.presenter.change(banned=("word1",), typical_p=0.5, no_repeat_ngram_size=2, order=tuple(reversed(STAGES)))
    stand.settle()
    stand.presenter.change(max_new_tokens=2)
    stand.presenter.runs.generate()
    stand.settle()
    (given,) = stand.engine.generated
    assert given["bad_words_ids"] == ((1,),)
    assert (given["typical_p"], given["no_repeat_ngram_size"]) == (0.5, 2)
    assert given["order"] == tuple(reversed(STAGES))


def test_all_settings_are_found_again() -> None:
    params = Params(
        typical_p=0.5, epsilon_cutoff=0.001, presence_penalty=-1.0, no_repeat_ngram_size=3, banned=("a b",),
        biases=(("c", -2.5),), order=tuple(reversed(STAGES)), folded=("Shape",), spelled={"c": ((1,),)},
    )  # fmt: skip
    saved = params.to_dict()
    assert "spelled" not in saved
    assert Params.from_dict(saved) == params


@pytest.mark.parametrize(
    "saved",
    [
        {"banned": [1, "", "x" * 1000], "biases": [["a"], ["b", math.nan], ["c", 1e9], 5]},
        {"order": ["top_k"], "folded": ["Nonsense"], "typical_p": 0.0},
        {"order": list(STAGES)},
        {"order": [*STAGES[:-1], []], "banned": "word"},
    ],
)
def test_settings_that_make_no_sense_are_left_out(saved: dict[str, object]) -> None:
    assert Params.from_dict(saved).sampling == Params().sampling


def test_no_more_words_than_can_be_shown() -> None:
    assert len(Params.from_dict({"banned": [f"w{i}" for i in range(2 * MAX_WORDS)]}).banned) == MAX_WORDS


def test_settings_that_leave_no_token_are_said_in_place_of_the_bars(stand: Stand) -> None:
    everything = {"all": tuple((token,) for token in range(50))}
    stand.presenter.change(banned=("all",), spelled=everything)
    stand.frame()
    assert stand.view.picture is None
    assert stand.screen.stage.kind is Kind.ERROR
    assert "every token" in stand.screen.stage.title
    stand.presenter.change(banned=(), spelled={})
    stand.settle()
    assert stand.screen.stage.kind is Kind.READY
    assert stand.picture.shaped.kept
