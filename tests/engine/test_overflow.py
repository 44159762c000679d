"""The full context window: the text stops, slides, or is refused beforehand; nothing crashes."""

from __future__ import annotations

import pytest
import torch

from llmlab.engine.errors import InputError
from tests.engine.test_branches import PROMPT, engine_of, ids_of


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_a_text_slides_on_over_the_window(kind: str) -> None:
    engine = engine_of(kind)
    engine.loaded.model.generation_config.eos_token_id = 319  # which none of these texts comes to
    stopped = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=150))
    assert stopped[-1].finish_reason == "context"
    steps = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=150, overflow="slide", capture=True))
    assert ids_of(steps)[: len(stopped)] == ids_of(stopped)
    assert (len(steps), steps[-1].finish_reason) == (150, "length")
    if kind == "gpt2":
        text = [*engine.tokenize(PROMPT).ids.tolist(), *ids_of(steps)]
        place = len(engine.tokenize(PROMPT).ids) + len(stopped)  # the first token after the window had to slide
        with torch.inference_mode():
            logits = engine.loaded.model(torch.tensor([text[place - 32 : place]])).logits[0, -1]
        assert int(logits.argmax()) == text[place], "it is what follows the newer half of the window"


def test_what_may_not_fit_is_refused_beforehand() -> None:
    engine = engine_of("gpt2")
    room = 64 - len(engine.tokenize(PROMPT).ids) + 1
    with pytest.raises(InputError, match=r"context window holds 64"):
        engine.generate(PROMPT, max_new_tokens=room + 1, overflow="refuse")
    steps = list(engine.generate(PROMPT, max_new_tokens=room, do_sample=False, overflow="refuse"))
    assert steps[-1].finish_reason in ("length", "eos")
    with pytest.raises(InputError):
        engine.generate(PROMPT, overflow="burst")


def test_a_branch_of_a_text_that_slid_goes_on_too() -> None:
    engine = engine_of("gpt2")
    first = ids_of(list(engine.generate(PROMPT, do_sample=False, max_new_tokens=90, overflow="slide", keep_cache=True)))
    for at in (80, 60, 3):
        for overflow in ("slide", "stop"):
            options = {"given": [*first[:at], 9], "known": at, "max_new_tokens": 120, "overflow": overflow}
            steps = list(engine.generate(PROMPT, do_sample=False, keep_cache=True, **options))  # type: ignore[arg-type]
            assert steps[0].token_id == 9
            assert steps[-1].finish_reason == ("length" if overflow == "slide" else "context")


def test_a_sweep_ends_with_the_window() -> None:
    from llmlab.engine.sampling import GenerationSettings, SamplingSettings

    engine = engine_of("gpt2")
    settings = [GenerationSettings(SamplingSettings(do_sample=False), 100, overflow="slide")]
    steps = [step for _, step in engine.sweep(PROMPT, settings)]
    assert steps[-1].finish_reason == "context"
