"""Where would the text have changed? Other settings, the same random numbers; the oracle is generating again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from llmlab.engine.sampling import SamplingSettings, draw, shape
from llmlab.engine.types import GenerationStep
from llmlab.ui.panels.decoding import changing
from tests.presenters.decoding_fakes import WORDS, FakeEngine, logits_of, model_info, ready, step
from tests.presenters.test_decoding import Stand, make

UNIFORMS = (0.05, 0.5, 0.95, 0.3, 0.7, 0.99, 0.2, 0.8)


def drawing(self: FakeEngine, text: str, *, control: Any, given: Any = (), **settings: Any) -> Iterator[GenerationStep]:
    """The fake draws: with the same numbers at the same places, whatever the seed."""
    self.generated.append({"text": text, **settings})
    sampling = SamplingSettings(**{name: settings[name] for name in SamplingSettings.__dataclass_fields__})
    known = settings.get("known", 0)
    for index in range(settings["max_new_tokens"]):
        shaped = shape(logits_of(text), sampling)
        uniform = UNIFORMS[index]
        chosen = 0 if sampling.greedy else draw(shaped, uniform)
        token = given[index] if index < len(given) else int(shaped.ids[chosen])
        made = replace(step(index, text, sampling), token_id=token, token=WORDS[token], text=WORDS[token])
        text += made.text
        if index >= known:
            yield replace(made, uniform=None if sampling.greedy else uniform)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(FakeEngine, "generate", drawing)
    made = make(model_info(), "Once")
    made.settle()
    made.presenter.change(temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=8)
    made.presenter.runs.generate()
    made.settle()
    return made


def ids_with(stand: Stand, **changes: Any) -> list[int]:
    """The completion that other settings make from the beginning."""
    params = replace(stand.presenter.params, **changes)
    steps = drawing(stand.engine, "Once", control=None, max_new_tokens=8, **params.sampling.knobs())
    return [each.token_id for each in steps]


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 0.1}, {"temperature": 1.9}, {"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.02}, {"do_sample": False}],
)
def test_the_first_token_that_would_differ_is_marked(stand: Stand, changes: dict[str, Any]) -> None:
    run = stand.presenter.run
    assert run is not None
    assert stand.screen.change is None, "nothing has been turned"
    want = ids_with(stand, **changes)
    at = next((i for i, (old, new) in enumerate(zip(run.ids, want, strict=True)) if old != new), None)
    stand.presenter.change(**changes)
    stand.settle()
    shown = stand.screen.change
    assert (shown.at if shown else None) == at
    if shown is not None and at is not None:
        assert (shown.drawn, shown.other) == (WORDS[run.ids[at]], WORDS[want[at]])
    stand.presenter.change(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, do_sample=True)
    stand.settle()
    assert stand.screen.change is None


def test_one_click_goes_on_from_there_with_the_same_seed(stand: Stand) -> None:
    stand.presenter.change(temperature=0.3, seed=99)
    stand.settle()
    change = stand.screen.change
    assert change is not None
    stand.presenter.change(max_new_tokens=8 - change.at)
    stand.presenter.runs.take_change()
    stand.settle()
    run = stand.presenter.run
    assert run is not None
    assert run.parted == change.at
    assert run.settings.seed == 0, "that of the text, not the one in the field"
    assert list(run.ids) == ids_with(stand, temperature=0.3), "as if made with the new settings from the beginning"
    assert stand.screen.change is None


def test_what_takes_long_is_found_in_a_job(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changing, "AT_ONCE", -1.0)
    last = ids_with(stand, top_p=0.97)
    run = stand.presenter.run
    assert run is not None
    stand.presenter.change(top_p=0.97)
    stand.frame()
    at = next((i for i, (old, new) in enumerate(zip(run.ids, last, strict=True)) if old != new), None)
    if at != 0:
        assert "change" in stand.jobs.titles()
        assert not stand.presenter.settled
    stand.settle()
    shown = stand.screen.change
    assert (shown.at if shown else None) == at


def test_no_claim_without_the_random_numbers_or_the_model(stand: Stand) -> None:
    stand.presenter.change(temperature=0.1)
    stand.settle()
    assert stand.screen.change is not None
    ready(stand.bench, model_info(name="Other"), generation=2)
    assert stand.screen.change is None
    stand.settle()
    stand.presenter.change(do_sample=False)
    stand.presenter.runs.generate()
    stand.settle()
    stand.presenter.change(do_sample=True, temperature=2.0)
    stand.settle()
    assert stand.screen.change is None, "a greedy text has no random numbers"
