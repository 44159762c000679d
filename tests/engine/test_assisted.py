"""Assisted decoding: whoever guesses, the text is the model's own."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine import Engine
from llmlab.engine.assisted import assisted
from llmlab.engine.drafting import Guess, residual
from llmlab.engine.errors import InputError, UnsupportedModelError
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import DraftStep
from tests.engine import checkpoints, tiny
from tests.engine.test_branches import engine_of
from tests.engine.test_generation import PROMPT, PROMPTS
from tests.engine.test_lookup import ids_of, text_of


def noisy(engine: Engine, noise: float) -> Engine:
    """A draft that agrees now and then: the same model with other weights."""
    loaded = engine.loaded
    model = copy.deepcopy(loaded.model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += noise * weight.std(correction=0) * torch.randn(weight.shape, generator=generator)
    return tiny.wrap(model, loaded.tokenizer, loaded.info.architecture, context=loaded.info.context)


def by(engine: Engine, draft: Engine, prompt: str, num_tokens: int = 5, seed: int = 0, **knobs: Any) -> list[DraftStep]:
    count = knobs.pop("max_new_tokens", 25)
    settings = GenerationSettings(SamplingSettings(**knobs), count, seed)
    return list(assisted(engine.loaded, draft.loaded, engine._speller, prompt, settings, num_tokens))


@pytest.mark.parametrize(
    ("kind", "noise"),
    [
        *((kind, 0.05) for kind in ("llama", "t5", "gemma3", "mamba")),
        *(pytest.param(kind, 0.05, marks=pytest.mark.slow) for kind in ("gpt2", "bart")),
        ("llama", 0.0),
        ("llama", 3.0),
    ],
)
def test_greedy_text_does_not_depend_on_the_draft(kind: str, noise: float) -> None:
    engine = engine_of(kind)
    draft = noisy(engine, noise) if noise else engine
    for prompt in PROMPTS[:2]:
        greedy = list(engine.generate(prompt, do_sample=False, max_new_tokens=25))
        steps = by(engine, draft, prompt, do_sample=False)
        assert ids_of(steps) == [step.token_id for step in greedy]
        assert text_of(steps) == "".join(step.text for step in greedy)
        assert steps[-1].finish_reason == greedy[-1].finish_reason
        if not noise:
            assert not any(step.rejected for step in steps), "the model agrees with itself"
            assert len(steps) == math.ceil(len(greedy) / 6)


def test_greedy_text_with_processors_is_greedys_too() -> None:
    engine = engine_of("llama")
    knobs: dict[str, Any] = {"do_sample": False, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2}
    greedy = [step.token_id for step in engine.generate(PROMPT, max_new_tokens=25, **knobs)]
    assert ids_of(by(engine, noisy(engine, 0.05), PROMPT, **knobs)) == greedy


@given(st.integers(0, 10_000))
def test_accepted_and_rejected_guesses_together_follow_the_models_own_distribution(seed: int) -> None:
    """min(p, q) is what is accepted; the rest of the mass goes where the residual says: in sum exactly p."""
    generator = np.random.default_rng(seed)
    own, others = (generator.dirichlet(np.full(12, 0.4)).astype(np.float32) for _ in range(2))
    for probabilities in (others, own):
        accepted = np.minimum(own, probabilities)
        total = accepted.astype(np.float64)
        for token in np.flatnonzero(probabilities):
            rejected = float(probabilities[token] - accepted[token])
            if rejected > 0:
                rest = residual(own, Guess(int(token), probabilities)).astype(np.float64)
                total += rejected * rest / rest.sum()
        np.testing.assert_allclose(total, own, atol=1e-5)
    certain = generator.integers(12)
    rest = residual(own, Guess(int(certain))).astype(np.float64)
    total = (1 - own[certain]) * rest / rest.sum()
    total[certain] += own[certain]
    np.testing.assert_allclose(total, own, atol=1e-5)


def test_sampled_text_follows_the_distribution_of_plain_sampling() -> None:
    engine = engine_of("llama")
    draft = noisy(engine, 0.5)
    knobs: dict[str, Any] = {"temperature": 0.7, "top_k": 4}
    first = engine.next_token(PROMPT, **knobs).probabilities
    drawn = [ids_of(by(engine, draft, PROMPT, 2, seed, **knobs, max_new_tokens=2)) for seed in range(200)]
    counts = np.bincount([ids[0] for ids in drawn], minlength=len(first)) / 200
    assert np.abs(counts - first).max() < 0.15  # four standard deviations
    second = np.bincount([ids[1] for ids in drawn if len(ids) > 1], minlength=len(first)) / 200
    plain = [
        [step.token_id for step in engine.generate(PROMPT, seed=seed, max_new_tokens=2, **knobs)] for seed in range(200)
    ]
    want = np.bincount([ids[1] for ids in plain if len(ids) > 1], minlength=len(first)) / 200
    assert np.abs(second - want).max() < 0.2
    again = ids_of(by(engine, draft, PROMPT, 2, 3, **knobs, max_new_tokens=2))
    assert again == drawn[3], "the same seed gives the same text"


def test_a_pass_tells_what_was_accepted_and_what_was_not() -> None:
    engine = engine_of("llama")
    steps = by(engine, noisy(engine, 0.05), PROMPT, do_sample=False)
    accepted = [token.accepted for step in steps for token in step.tokens]
    assert any(accepted)
    assert any(step.rejected for step in steps)
    for step in steps:
        assert [token.accepted for token in step.tokens] == sorted((t.accepted for t in step.tokens), reverse=True)
    greedy = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=25))
    odds = [token.log_probability for step in steps for token in step.tokens]
    np.testing.assert_allclose(odds, [math.log(step.raw_probability) for step in greedy], atol=1e-3)


def test_the_context_window_ends_it_as_it_ends_plain_greedy() -> None:
    engine = engine_of("gpt2")
    greedy = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=500))
    steps = by(engine, noisy(engine, 0.05), PROMPT, do_sample=False, max_new_tokens=500)
    assert ids_of(steps) == [step.token_id for step in greedy]
    assert steps[-1].finish_reason == greedy[-1].finish_reason == "context"


def test_a_draft_with_other_tokens_or_of_another_kind_is_refused() -> None:
    engine = engine_of("llama")
    other = tiny.wrap(checkpoints.make("gpt2"), tiny.sentencepiece())
    with pytest.raises(UnsupportedModelError, match="same tokens"):
        by(engine, other, PROMPT)
    with pytest.raises(UnsupportedModelError, match="encoder-decoder"):
        by(engine, engine_of("t5"), PROMPT)
    with pytest.raises(InputError):
        by(engine, engine, PROMPT, 0)


def test_the_engine_opens_a_draft_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama")
    opened: list[str] = []

    def load(request: Any, _control: Any) -> Any:
        opened.append(request.spec)
        draft = noisy(engine, 0.05).loaded
        object.__setattr__(draft.info, "request", request)
        return draft

    monkeypatch.setattr("llmlab.engine.engine.load", load)
    for _ in range(2):
        steps = list(engine.assisted(PROMPT, draft=str(tmp_path), do_sample=False, max_new_tokens=5))
    assert opened == [str(tmp_path)]
    greedy = [step.token_id for step in engine.generate(PROMPT, do_sample=False, max_new_tokens=5)]
    assert ids_of(steps) == greedy == ids_of(list(engine.assisted(PROMPT, do_sample=False, max_new_tokens=5)))
