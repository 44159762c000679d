"""Words that a configuration names by the ids of their tokens: they act, stay, are shown, and never mean others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import NoBadWordsLogitsProcessor, SequenceBiasLogitsProcessor

from llmlab.engine.context import Context
from llmlab.engine.errors import InputError
from llmlab.engine.sampling import shape
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.ui.panels.decoding import presets, words
from llmlab.ui.panels.decoding.params import MAX_WORDS, Params
from llmlab.ui.panels.decoding.words import TokenWord
from tests.presenters.decoding_fakes import WORDS, model_info, ready, set_model
from tests.presenters.test_decoding import Stand, make

CAT, THE_CAT = TokenWord((5,), (" cat",)), TokenWord((7, 5), (" the", " cat"))
CONFIG = {"do_sample": True, "bad_words_ids": [[5], [7, 5]], "sequence_bias": [[[3], 2.5], [[4, 3], -1.0]]}


@pytest.fixture
def stand() -> Stand:
    made = make(model_info(), "Once")
    made.settle()
    return made


def imported(stand: Stand, folder: Path, content: dict[str, Any], name: str = "generation_config.json") -> Params:
    path = folder / name
    path.write_text(json.dumps(content))
    stand.presenter.presets.read(path)
    stand.settle()
    return stand.presenter.params


def named(*ids: int) -> TokenWord:
    return TokenWord(ids, tuple(WORDS[index] for index in ids))


# --- files ------------------------------------------------------------------------------------------------------


def test_a_preset_has_words_by_ids_under_transformers_names_and_gives_them_back() -> None:
    params = Params(banned=("dog", THE_CAT), biases=(("sun", 1.5), (CAT, -2.25)))
    text = presets.to_yaml(params)
    assert "bad_words_ids:" in text
    assert "sequence_bias:" in text
    assert replace(Params(), **presets.from_yaml(text).changes) == params
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params


token_words = st.lists(st.tuples(st.integers(0, 10**6), st.text(max_size=8)), min_size=1, max_size=4).map(
    lambda pairs: TokenWord(tuple(index for index, _ in pairs), tuple(text for _, text in pairs))
)


@given(
    st.lists(st.one_of(st.text(min_size=1, max_size=8), token_words), unique=True, max_size=4),
    st.dictionaries(st.one_of(st.text(min_size=1, max_size=8), token_words), st.floats(-100, 100), max_size=4),
)
def test_any_words_survive_files_and_restarts(banned: list[Any], biases: dict[Any, float]) -> None:
    params = Params(banned=tuple(banned), biases=tuple(biases.items()))
    back = replace(Params(), **presets.from_yaml(presets.to_yaml(params)).changes)
    assert set(back.banned) == set(banned)
    assert dict(back.biases) == biases
    assert Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_ids_may_be_written_as_transformers_writes_them() -> None:
    found = presets.from_yaml("bad_words_ids: [[5], [7, 5]]\nsequence_bias: [[[3], 2]]")
    assert found.changes["banned"] == (TokenWord((5,)), TokenWord((7, 5)))
    assert found.changes["biases"] == ((TokenWord((3,)), 2.0),)
    assert found.unnamed
    assert presets.from_generation_config(CONFIG).changes["banned"] == found.changes["banned"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bad_words_ids", [[], [5]]),
        ("bad_words_ids", [["five"], [5]]),
        ("bad_words_ids", [[-1], [5]]),
        ("bad_words_ids", [{"ids": [1, 2], "texts": ["one"]}, [5]]),
        ("sequence_bias", [[[5], 1.0], [[6], 1e9]]),
        ("sequence_bias", [[[5], 1.0], [6, 1.0], [[7]]]),
        ("sequence_bias", {"(5,)": 1.0}),
        ("bad_words_ids", 5),
    ],
)
def test_what_is_no_ids_is_named_and_the_rest_is_taken(name: str, value: Any) -> None:
    found = presets.from_generation_config({name: value, "temperature": 0.5, "do_sample": True})
    (message,) = found.left_out
    assert f"of {name}, which are no ids of tokens" in message
    assert found.changes["temperature"] == 0.5
    kept = [word for word, *_ in (*((word,) for word in found.changes["banned"]), *found.changes["biases"])]
    assert kept == ([TokenWord((5,))] if isinstance(value, list) else [])


def test_more_words_than_the_lists_hold_are_counted() -> None:
    found = presets.from_generation_config({"bad_words_ids": [[index] for index in range(MAX_WORDS + 44)]})
    assert len(found.changes["banned"]) == MAX_WORDS
    assert found.left_out == (f"44 words beyond the first {MAX_WORDS}",)


# --- in the panel -----------------------------------------------------------------------------------------------


def test_an_imported_configuration_acts_as_it_says(stand: Stand, tmp_path: Path) -> None:
    config = GenerationConfig(**CONFIG)
    config.save_pretrained(tmp_path)
    stand.presenter.presets.read(tmp_path / "generation_config.json")
    stand.settle()
    params = stand.presenter.params
    assert params.banned == (named(5), named(7, 5))
    assert params.biases == ((named(3), 2.5), (named(4, 3), -1.0))
    assert params.sampling.bad_words_ids == ((5,), (7, 5)), "exactly these ids, not another spelling"
    assert params.sampling.sequence_bias == (((3,), 2.5), ((4, 3), -1.0))
    assert stand.notifier.said == ["Settings from generation_config.json."]
    assert stand.notifier.hints == [""]
    stand.presenter.runs.generate()
    stand.settle()
    assert stand.engine.generated[-1]["bad_words_ids"] == ((5,), (7, 5))
    stand.presenter.sharing.copy_python()
    assert "bad_words_ids=((5,), (7, 5))" in stand.view.copied[-1]
    assert "sequence_bias=(((3,), 2.5), ((4, 3), -1.0))" in stand.view.copied[-1]


def test_imported_words_mean_what_transformers_processors_mean(stand: Stand, tmp_path: Path) -> None:
    """Every knob but the words is off; the context ends with parts of them, or not."""
    config = GenerationConfig(**CONFIG, top_k=0, eos_token_id=9)
    config.save_pretrained(tmp_path)
    stand.presenter.presets.read(tmp_path / "generation_config.json")
    stand.settle()
    settings = replace(stand.presenter.params.sampling, temperature=1.0)
    assert settings.stages == ("sequence_bias", "bad_words_ids")
    bias = SequenceBiasLogitsProcessor(config.sequence_bias)
    bad = NoBadWordsLogitsProcessor(config.bad_words_ids, eos_token_id=torch.tensor([9]))
    rows = np.random.default_rng(3).normal(0, 4, (30, 50)).astype(np.float32)
    for context in ((1, 2), (2, 7), (2, 4), (7,), (4, 7, 4)):
        ids = torch.tensor([context])
        for row in rows:
            scores = bad(ids, bias(ids, torch.from_numpy(row.copy())[None]))[0]
            shaped = shape(SortedLogits.from_logits(row, Context.of(context, given=1, ends=(9,))), settings)
            wanted = scores.double().softmax(-1).numpy()
            assert set(shaped.ids[: shaped.kept].tolist()) == set(torch.nonzero(scores > -np.inf)[:, 0].tolist())
            np.testing.assert_allclose(shaped.probabilities, wanted[shaped.ids], atol=1e-6)


def test_copied_greedy_settings_name_the_ids_for_generate(stand: Stand, tmp_path: Path) -> None:
    imported(stand, tmp_path, {**CONFIG, "do_sample": False})
    stand.presenter.sharing.copy_python()
    assert "bad_words_ids=[[5], [7, 5]]" in stand.view.copied[-1]
    assert "sequence_bias=[[[3], 2.5], [[4, 3], -1.0]]" in stand.view.copied[-1]


def test_ids_that_the_model_does_not_have_are_said_and_the_rest_is_taken(stand: Stand, tmp_path: Path) -> None:
    params = imported(stand, tmp_path, {"bad_words_ids": [[5], [3, 999]], "sequence_bias": [[[50], 1.0]]})
    assert params.banned == (named(5),)
    assert params.biases == ()
    (hint,) = stand.notifier.hints
    assert hint == (
        "Left out: 2 of the words that are named by token ids, since the model has no token 999, 50: its ids end at 49."
    )


def test_without_a_model_ids_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    stand = make(None, "Once")
    params = imported(stand, tmp_path, {**CONFIG, "temperature": 0.5})
    assert (params.temperature, params.words) == (0.5, ())
    assert "open it first" in stand.notifier.hints[-1]


def test_another_model_that_comes_meanwhile_is_asked_anew(stand: Stand, tmp_path: Path) -> None:
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(CONFIG))
    stand.presenter.presets.read(path)
    stand.jobs.run_next()  # the file
    assert stand.presenter.params.words == ()
    stand.engine.words = tuple(f" other{index}" for index in range(50))
    ready(stand.bench, model_info(name="Other"), generation=2)
    stand.settle()
    assert stand.presenter.params.banned[0] == TokenWord((5,), (" other5",))


def test_another_tokenizer_makes_them_inactive_and_says_so(stand: Stand, tmp_path: Path) -> None:
    imported(stand, tmp_path, CONFIG)
    ready(stand.bench, model_info(name="Same words"), generation=2)
    stand.settle()
    assert stand.presenter.params.sampling.bad_words_ids == ((5,), (7, 5)), "the same ids for the same texts"
    assert len(stand.notifier.said) == 1
    own, stand.engine.words = stand.engine.words, tuple(f" other{index}" for index in range(50))
    ready(stand.bench, model_info(name="Other"), generation=3)
    stand.settle()
    params = stand.presenter.params
    assert (params.sampling.bad_words_ids, params.sampling.sequence_bias) == ((), ())
    assert set(params.inactive) == set(params.words) == {named(5), named(7, 5), named(3), named(4, 3)}
    assert stand.notifier.said[-1] == "4 words name tokens of another tokenizer, so the settings leave them out."
    stand.presenter.change(temperature=0.5)
    stand.settle()
    assert len(stand.notifier.said) == 2, "said once a model"
    stand.engine.words = own
    ready(stand.bench, model_info(name="First"), generation=4)
    stand.settle()
    assert stand.presenter.params.sampling.bad_words_ids == ((5,), (7, 5)), "they come back with their tokenizer"


def test_a_smaller_vocabulary_makes_them_inactive(stand: Stand, tmp_path: Path) -> None:
    imported(stand, tmp_path, CONFIG)
    smaller = replace(model_info(name="Small"), vocabulary=6)
    stand.engine.info = smaller
    ready(stand.bench, smaller, generation=2)
    stand.settle()
    assert stand.presenter.params.inactive == (named(7, 5),)


def test_a_word_that_cannot_be_read_does_not_take_the_ids_with_it(stand: Stand) -> None:
    def refuse(words: Any) -> Any:
        if words:
            raise InputError("No.", "Try.")
        return ()

    stand.engine.word_ids = refuse  # type: ignore[method-assign]
    stand.presenter.change(banned=("bad", named(5)))
    stand.settle()
    assert stand.presenter.params.sampling.bad_words_ids == ((5,),)
    assert stand.presenter.params.inactive == ()


def test_the_more_exact_bias_has_the_say(stand: Stand) -> None:
    stand.presenter.change(biases=((named(3), 7.0), ("word3", 1.0)))
    stand.settle()
    assert stand.presenter.params.sampling.sequence_bias == (((3,), 7.0),)


def test_the_models_own_words_are_named_and_single_ones_it_never_writes_anyway() -> None:
    stand = make(model_info(), "Once")
    stand.engine.own_settings = CONFIG
    stand.settle()
    assert stand.screen.own_settings == "sample, temperature 1, top-k 50, 1 banned word, 2 biased words"
    stand.presenter.presets.use_own()
    stand.settle()
    assert stand.presenter.params.banned == (named(7, 5),)


def test_a_preset_of_another_tokenizer_is_kept_and_inactive(stand: Stand, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(presets.to_yaml(Params(banned=(THE_CAT,))))
    stand.presenter.presets.read(path)
    stand.settle()
    assert stand.presenter.params.inactive == (THE_CAT,)
    assert stand.notifier.said[-1].startswith("1 word names tokens of another tokenizer")


def test_a_model_that_is_gone_spells_nothing(stand: Stand, tmp_path: Path) -> None:
    imported(stand, tmp_path, CONFIG)
    set_model(stand.bench, replace(stand.bench.model, info=None, generation=2))
    assert stand.presenter.params.sampling.bad_words_ids == ()
    assert stand.presenter.params.inactive == (), "there is no tokenizer to say so"


def test_how_words_are_shown() -> None:
    assert [words.label(word) for word in ("a\nb", CAT, THE_CAT, TokenWord((9, 8)))] == [
        "a\\nb", "␣cat", "␣the|␣cat", "tokens 9, 8"
    ]  # fmt: skip
    assert words.about(THE_CAT) == "Exactly these tokens, in no other spelling: 7 ␣the, 5 ␣cat"
