"""Presets and generation_config.json: what goes out comes back, and what makes no sense is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from llmlab.engine.errors import InputError
from llmlab.engine.knobs import STAGES
from llmlab.ui.panels.decoding import presets
from llmlab.ui.panels.decoding.params import Params
from tests.presenters.decoding_fakes import model_info, ready
from tests.presenters.test_decoding import Stand, make

FULL = Params(
    do_sample=False, temperature=1.25, top_k=0, typical_p=0.5, banned=("no", " yes\n"), biases=(("ü", -2.5),),
    order=tuple(reversed(STAGES)), stop=("\n\n",), seed=5, min_new_tokens=3,
)  # fmt: skip


def applied(params: Params, text: str) -> Params:
    return replace(params, **presets.from_yaml(text).changes)


def test_only_what_differs_is_written() -> None:
    assert presets.to_yaml(Params()) == presets.FIRST_LINE
    assert presets.to_yaml(Params(top_p=0.5, seed=9)) == presets.FIRST_LINE + "top_p: 0.5\n"


def test_a_preset_comes_back_whole_and_leaves_the_seed_alone() -> None:
    back = applied(Params(seed=77, top_k=3), presets.to_yaml(FULL))
    assert back == replace(FULL, seed=77)
    assert applied(FULL, presets.FIRST_LINE) == Params(seed=FULL.seed)


@given(
    st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=4),
    st.dictionaries(st.text(min_size=1, max_size=20), st.floats(-50, 50), max_size=4),
    st.floats(0, 2),
)
def test_any_words_survive(banned: list[str], biases: dict[str, float], temperature: float) -> None:
    params = Params(banned=tuple(banned), biases=tuple(biases.items()), temperature=temperature)
    assert applied(Params(), presets.to_yaml(params)) == params


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temperature: hot", "temperature"),
        ("top_p: 1.5", "top_p"),
        ("order: [top_k]", "order"),
        ("banned: word", "banned"),
        ("a: &x [1]\nb: *x", "not a preset"),
        ("- 1\n- 2", "no settings"),
        ("x: !!python/object/apply:os.system [echo]", "not a preset"),
        ("[" * 5_000, "not a preset"),
        ("do_sample: Yes please", "do_sample"),
    ],
)
def test_what_is_no_preset_says_so(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        presets.from_yaml(text)
    assert caught.value.hint.endswith(".")


def test_unknown_settings_are_named() -> None:
    assert presets.from_yaml("mirostat: 2\ntop_k: 3").left_out == ("mirostat",)


def test_a_generation_config_means_what_it_means_to_transformers(tmp_path: Path) -> None:
    config = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.9, repetition_penalty=1.05, eos_token_id=[1, 2])
    config.save_pretrained(tmp_path)
    imported = presets.read(tmp_path / "generation_config.json")
    params = replace(Params(min_p=0.3, banned=("x",)), **imported.changes)
    assert params.sampling.knobs() == Params(
        temperature=0.6, top_p=0.9, repetition_penalty=1.05, top_k=50
    ).sampling.knobs() | {"do_sample": True}
    assert imported.left_out == ()
    assert params.max_new_tokens == Params().max_new_tokens


def test_an_empty_generation_config_is_greedy() -> None:
    assert presets.from_generation_config({"transformers_version": "5"}).changes["do_sample"] is False


def test_what_has_no_place_here_is_named() -> None:
    config = {"do_sample": True, "num_beams": 4, "temperature": 9.0, "bad_words_ids": [[3]], "num_beam_groups": 1}
    imported = presets.from_generation_config(config)
    assert set(imported.left_out) == {"num_beams", "temperature 9.0"}
    assert "temperature" not in imported.changes


def test_a_summary_names_what_is_on() -> None:
    config = {"do_sample": True, "temperature": 0.6, "top_p": 0.9}
    assert presets.summary(presets.from_generation_config(config).changes) == (
        "sample, temperature 0.6, top-k 50, top-p 0.9"
    )
    assert presets.summary({"do_sample": False, "temperature": 0.5}) == "greedy"


def test_files_that_cannot_be_settings(tmp_path: Path) -> None:
    big, broken, absent = tmp_path / "big.yaml", tmp_path / "x.json", tmp_path / "absent.yaml"
    big.write_text("#" * 200_000)
    broken.write_text("{")
    for path in (big, broken, absent):
        with pytest.raises(InputError):
            presets.read(path)
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 90_000)
    with pytest.raises(InputError, match="not JSON"):
        presets.read(deep)
    nested = tmp_path / "nested.json"
    nested.write_text(json.dumps([1]))
    with pytest.raises(InputError, match="no settings"):
        presets.read(nested)


# --- in the panel -----------------------------------------------------------------------------------------------


@pytest.fixture
def stand() -> Stand:
    made = make(model_info(), "Once")
    made.engine.own_settings = {"do_sample": True, "temperature": 0.6, "num_beams": 4}
    made.settle()
    return made


def test_the_models_own_settings_are_shown_and_one_call_away(stand: Stand) -> None:
    assert stand.screen.own_settings == "sample, temperature 0.6, top-k 50"
    stand.presenter.presets.use_own()
    stand.settle()
    assert (stand.presenter.params.temperature, stand.presenter.params.top_k) == (0.6, 50)
    assert stand.view.params is stand.presenter.params, "the controls follow"
    assert stand.notifier.said == ["Settings from the model's generation_config.json."]
    ready(stand.bench, model_info(name="Other"), generation=2)
    assert stand.screen.own_settings == ""


def test_a_preset_is_saved_and_opened_again(stand: Stand, tmp_path: Path) -> None:
    stand.view.path = tmp_path / "mine.yaml"
    stand.presenter.change(temperature=1.5, banned=("word3",))
    kept = stand.presenter.params
    stand.presenter.presets.save(kept)
    stand.settle()
    assert stand.view.asked == ["preset.yaml"]
    stand.presenter.change(**{name: getattr(Params(), name) for name in presets.PRESET})
    stand.presenter.presets.open()
    stand.settle()
    assert stand.presenter.params == kept
    assert stand.presenter.params.sampling.bad_words_ids == ((3,),)


def test_a_file_that_is_no_preset_changes_nothing(stand: Stand, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("top_p: 7")
    before = stand.presenter.params
    stand.presenter.presets.read(bad)
    stand.settle()
    assert stand.presenter.params == before
    assert "top_p" in stand.notifier.errors[0].message
