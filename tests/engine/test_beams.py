"""Beam search finds what transformers' `generate` finds, with its scores, and tells how."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError
from llmlab.engine.types import BeamNode, BeamState, BeamStep
from tests.engine import tiny
from tests.engine.test_branches import engine_of
from tests.engine.test_generation import FIFTY, PROMPT, PROMPTS

VARIANTS: list[dict[str, Any]] = [
    {"num_beams": 2},
    {"num_beams": 5, "length_penalty": 0.0},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 3, "length_penalty": -1.0, "early_stopping": "never"},
]


def by_transformers(engine: Engine, text: str, **options: Any) -> tuple[list[list[int]], list[float]]:
    """New tokens and scores of all beams, by `model.generate`."""
    loaded = engine.loaded
    inputs = loaded.tokenizer(text, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    if loaded.model.config.model_type == "t5":
        options["use_cache"] = False  # its cache is as deep as the encoder, where the decoder may be deeper
    with torch.inference_mode():
        out = loaded.model.generate(
            **inputs,
            num_return_sequences=options["num_beams"],
            return_dict_in_generate=True,
            output_scores=True,
            pad_token_id=1,
            **{"do_sample": False, **options},
        )
    start = 1 if loaded.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return [row[start:].tolist() for row in out.sequences], out.sequences_scores.tolist()


def assert_the_same(engine: Engine, text: str, **options: Any) -> None:
    *_, last = engine.beam_search(text, **options)
    ids, scores = by_transformers(engine, text, **options)
    assert len(last.hypotheses) == options["num_beams"]
    for hypothesis, want, score in zip(last.hypotheses, ids, scores, strict=True):
        assert list(hypothesis.ids) == want[: len(hypothesis.ids)]
        assert set(want[len(hypothesis.ids) :]) <= {0, 1, 2}, "only padding follows"
        assert hypothesis.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart", "gemma3"])
def test_beams_are_those_of_transformers(kind: str) -> None:
    engine = engine_of(kind)
    for prompt in PROMPTS[:3]:
        for options in VARIANTS:
            assert_the_same(engine, prompt, max_new_tokens=8, **options)


def test_texts_that_end_early_are_found_as_there() -> None:
    """An end token that is often likely: hypotheses of different lengths compete."""
    engine = tiny.engine("llama")
    engine.loaded.model.generation_config.eos_token_id = list(range(2, 60))
    for options in VARIANTS:
        for prompt in PROMPTS[:4]:
            assert_the_same(engine, prompt, max_new_tokens=10, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder", "seq2seq"])
def test_beams_of_the_bundled_models(name: str) -> None:
    engine = Engine.open(f"bundled:{name}", device="cpu", dtype="float32")
    for prompt in FIFTY:
        *_, last = engine.beam_search(prompt, num_beams=4, max_new_tokens=20)
        ids, scores = by_transformers(engine, prompt, num_beams=4, max_new_tokens=20)
        best = last.hypotheses[0]
        assert list(best.ids) == ids[0][: len(best.ids)], prompt
        assert best.score == pytest.approx(scores[0], abs=1e-4)


def test_a_model_without_a_cache_searches_too() -> None:
    engine = engine_of("mamba")
    *_, last = engine.beam_search(PROMPT, num_beams=3, max_new_tokens=5)
    best = last.hypotheses[0]
    assert best.log_probability == pytest.approx(summed(engine, list(best.ids)), abs=1e-4)


def summed(engine: Engine, ids: list[int]) -> float:
    """The log-probability of `ids` after the prompt in one forward pass."""
    before = engine.tokenize(PROMPT).ids.tolist()
    with torch.inference_mode():
        logits = engine.loaded.model(torch.tensor([before + ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[len(before) - 1 + i, token]) for i, token in enumerate(ids))


def test_every_candidate_is_told_with_its_place_in_the_tree() -> None:
    engine = tiny.engine("llama")
    steps: list[BeamStep] = list(engine.beam_search(PROMPT, num_beams=3, max_new_tokens=6))
    nodes: dict[int, BeamNode] = {}
    for step in steps:
        for node in step.nodes:
            assert node.index == step.index
            if node.parent >= 0:
                parent = nodes[node.parent]
                assert parent.state is BeamState.KEPT, "only what was kept goes on"
                assert node.total == pytest.approx(parent.total + node.log_probability, abs=1e-5)
            nodes[node.number] = node
        kept = [node for node in step.nodes if node.state is BeamState.KEPT]
        assert len(kept) == (3 if not step.hypotheses else 0)
        pruned = [node.total for node in step.nodes if node.state is BeamState.PRUNED]
        assert not kept or not pruned or min(node.total for node in kept) >= max(pruned)
    for hypothesis in steps[-1].hypotheses:
        path, number = [], hypothesis.node
        while number >= 0:
            path.append(nodes[number].token_id)
            number = nodes[number].parent
        assert tuple(reversed(path)) == hypothesis.ids
        assert nodes[hypothesis.node].state is BeamState.FINISHED
        assert hypothesis.log_probability == pytest.approx(summed(engine, list(hypothesis.ids)), abs=1e-4)


def test_beams_find_a_text_no_less_probable_than_greedy() -> None:
    engine = tiny.engine("gpt2")
    greedy = [step.token_id for step in engine.generate(PROMPT, do_sample=False, max_new_tokens=6)]
    *_, last = engine.beam_search(PROMPT, num_beams=8, max_new_tokens=6, length_penalty=0.0)
    assert last.hypotheses[0].log_probability >= summed(engine, greedy) - 1e-4


def test_a_search_ends_at_the_context_window() -> None:
    engine = tiny.engine("gpt2")
    room = 64 - len(engine.tokenize(PROMPT).ids) + 1
    *_, last = engine.beam_search(PROMPT, num_beams=2, max_new_tokens=500)
    assert max(len(hypothesis.ids) for hypothesis in last.hypotheses) <= room


def test_wrong_settings_are_refused_and_a_search_can_be_cancelled() -> None:
    engine = tiny.engine("gpt2")
    for wrong in ({"num_beams": 1}, {"num_beams": 100}, {"max_new_tokens": 0}, {"length_penalty": float("nan")}):
        with pytest.raises(InputError):
            engine.beam_search(PROMPT, **wrong)  # type: ignore[arg-type]

    class Once:
        calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls > 4:
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    with pytest.raises(Cancelled):
        list(engine.beam_search(PROMPT, max_new_tokens=30, control=Once()))


SAMPLED: list[dict[str, Any]] = [
    {"num_beams": 2, "temperature": 1.3},
    {"num_beams": 3, "top_k": 5, "length_penalty": 0.0},
    {"num_beams": 4, "temperature": 0.7, "top_p": 0.6, "early_stopping": True},
    {"num_beams": 3, "repetition_penalty": 1.4, "min_p": 0.05, "typical_p": 0.4},
]


@pytest.mark.parametrize(
    "kind", ["gpt2", "bart", "gemma3", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("llama", "t5"))]
)
def test_sampled_beams_are_those_of_transformers_with_the_same_draws(kind: str) -> None:
    """`generate` draws from the global generator, ours from its own: with one seed both draw the same."""
    engine = engine_of(kind)
    for seed, options in enumerate(SAMPLED):
        assert_sampled_the_same(engine, PROMPTS[seed], seed, max_new_tokens=8, **options)


def test_sampled_texts_that_end_early_are_those_of_transformers() -> None:
    engine = tiny.engine("llama")
    engine.loaded.model.generation_config.eos_token_id = list(range(2, 60))
    for seed, options in enumerate(SAMPLED):
        assert_sampled_the_same(engine, PROMPTS[seed], seed, max_new_tokens=10, **options)


def assert_sampled_the_same(engine: Engine, text: str, seed: int, **options: Any) -> None:
    *_, last = engine.beam_search(text, do_sample=True, seed=seed, **options)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        knobs = {"top_k": 0, **options}
        ids, scores = by_transformers(engine, text, do_sample=True, **knobs)
    finally:
        torch.set_rng_state(state)
    for hypothesis, want, score in zip(last.hypotheses, ids, scores, strict=True):
        assert list(hypothesis.ids) == want[: len(hypothesis.ids)], options
        assert set(want[len(hypothesis.ids) :]) <= {0, 1, 2}
        assert hypothesis.score == pytest.approx(score, abs=1e-4)


def test_what_the_settings_change_is_told_beside_the_models_own() -> None:
    engine = tiny.engine("llama")
    steps = list(
        engine.beam_search(PROMPT, do_sample=True, temperature=0.5, top_k=9, num_beams=3, max_new_tokens=5, seed=2)
    )
    nodes = {node.number: node for step in steps for node in step.nodes}
    best = steps[-1].hypotheses[0]
    raw, number = [], best.node
    while number >= 0:
        node = nodes[number]
        assert node.raw_log_probability is not None
        assert node.log_probability == pytest.approx(node.raw_log_probability / 0.5, abs=1e-4)
        raw.append(node.raw_log_probability)
        number = node.parent
    assert sum(raw) == pytest.approx(summed(engine, list(best.ids)), abs=1e-4)


def test_sampled_beams_follow_their_seed_and_nothing_else() -> None:
    engine = tiny.engine("llama")

    def best(seed: int) -> tuple[int, ...]:
        *_, last = engine.beam_search(PROMPT, do_sample=True, temperature=1.5, num_beams=3, max_new_tokens=8, seed=seed)
        return last.hypotheses[0].ids

    first = best(1)
    torch.manual_seed(5)
    assert best(1) == first
    assert len({best(seed) for seed in range(5)}) > 1


def test_a_cut_that_leaves_fewer_tokens_than_candidates_still_gives_texts() -> None:
    engine = tiny.engine("llama")
    steps = list(engine.beam_search(PROMPT, do_sample=True, top_k=1, num_beams=4, max_new_tokens=6))
    assert steps[-1].hypotheses
    assert all(math.isfinite(hypothesis.score) for hypothesis in steps[-1].hypotheses)
    with pytest.raises(InputError, match="temperature 0"):
        engine.beam_search(PROMPT, do_sample=True, temperature=0.0)
