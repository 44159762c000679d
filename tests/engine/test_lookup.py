"""Prompt lookup writes greedy's text in fewer passes."""

from __future__ import annotations

import math

import pytest

from llmlab.engine import Engine, reading
from llmlab.engine.errors import InputError
from llmlab.engine.lookup import proposal
from llmlab.engine.types import DraftStep
from tests.engine.test_branches import engine_of
from tests.engine.test_generation import PROMPT, PROMPTS


def ids_of(steps: list[DraftStep]) -> list[int]:
    return [token.token_id for step in steps for token in step.tokens]


def text_of(steps: list[DraftStep]) -> str:
    return "".join(token.text for step in steps for token in step.tokens) + steps[-1].rest


def test_a_proposal_is_what_followed_the_first_occurrence() -> None:
    assert proposal([1, 2, 3, 4, 9, 1, 2], 10) == [3, 4, 9, 1, 2]
    assert proposal([1, 2, 3, 4, 9, 1, 2], 1) == [3]
    assert proposal([5, 2, 3, 9, 1, 2], 10) == [3, 9, 1, 2], "no two alike, but one"
    assert proposal([1, 2, 3], 10) == []
    assert proposal([1], 10) == []
    assert proposal([7, 7], 10) == [7]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart", "gemma3", "mamba"])
def test_the_text_is_greedys(kind: str) -> None:
    engine = engine_of(kind)
    for prompt in [*PROMPTS[:4], "again and again and again and"]:
        greedy = list(engine.generate(prompt, do_sample=False, max_new_tokens=25))
        steps = list(engine.prompt_lookup(prompt, max_new_tokens=25))
        assert ids_of(steps) == [step.token_id for step in greedy]
        assert text_of(steps) == "".join(step.text for step in greedy)
        assert steps[-1].finish_reason == greedy[-1].finish_reason
        assert len(steps) <= len(greedy)


def test_accepted_tokens_save_passes_and_rejected_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama")
    calls: list[int] = []
    forward = reading.Reader._forward
    monkeypatch.setattr(reading.Reader, "_forward", lambda self, ids: (calls.append(len(ids)), forward(self, ids))[1])
    steps = list(engine.prompt_lookup(PROMPT, max_new_tokens=40))
    accepted = sum(token.accepted for step in steps for token in step.tokens)
    assert len(calls) == len(steps) + 1, "one pass a step, and one for the prompt"
    assert accepted == sum(len(step.tokens) for step in steps) - len(steps) or steps[-1].finish_reason == "eos"
    assert any(step.rejected for step in steps) or accepted
    greedy = {step.index: step for step in engine.generate(PROMPT, do_sample=False, max_new_tokens=40)}
    for index, token in enumerate(token for step in steps for token in step.tokens):
        assert token.log_probability == pytest.approx(math.log(greedy[index].raw_probability), abs=1e-3)


@pytest.mark.slow
def test_the_bundled_decoders_text_is_greedys() -> None:
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    for prompt in PROMPTS[:8]:
        greedy = [step.token_id for step in engine.generate(prompt, do_sample=False, max_new_tokens=60)]
        assert ids_of(list(engine.prompt_lookup(prompt, max_new_tokens=60))) == greedy


def test_the_text_ends_with_the_context_window_as_greedys_does() -> None:
    engine = engine_of("gpt2")
    greedy = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=500))
    steps = list(engine.prompt_lookup(PROMPT, max_new_tokens=500))
    assert steps[-1].finish_reason == greedy[-1].finish_reason == "context"
    assert ids_of(steps) == [step.token_id for step in greedy]


def test_wrong_numbers_are_refused() -> None:
    engine = engine_of("gpt2")
    for wrong in ({"max_new_tokens": 0}, {"num_tokens": 0}):
        with pytest.raises(InputError):
            engine.prompt_lookup(PROMPT, **wrong)
