"""Completions side by side are the ones that `generate` writes one after another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from llmlab.engine import Engine, sweep
from llmlab.engine.batch import BatchReader
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import GenerationStep
from tests.engine.test_branches import engine_of
from tests.engine.test_generation import PROMPT

GRID = [
    GenerationSettings(SamplingSettings(temperature=temperature, top_p=top_p), 12, seed, ("ag",))
    for temperature in (0.0, 0.7, 1.5)
    for top_p in (0.5, 1.0)
    for seed in (3, 4)
]


def one_by_one(engine: Engine, settings: GenerationSettings) -> list[GenerationStep]:
    knobs: dict[str, Any] = {"temperature": settings.sampling.temperature, "top_p": settings.sampling.top_p}
    return list(
        engine.generate(PROMPT, max_new_tokens=settings.max_new_tokens, seed=settings.seed, stop=settings.stop, **knobs)
    )


def collected(engine: Engine, grid: list[GenerationSettings]) -> dict[int, list[GenerationStep]]:
    found: dict[int, list[GenerationStep]] = {}
    for number, step in engine.sweep(PROMPT, grid):
        found.setdefault(number, []).append(step)
    return found


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart", "gemma3", "mamba"])
def test_each_text_is_the_one_that_generate_writes(kind: str) -> None:
    engine = engine_of(kind)
    found = collected(engine, GRID)
    assert sorted(found) == list(range(len(GRID)))
    for number, settings in enumerate(GRID):
        alone = one_by_one(engine, settings)
        assert [step.token_id for step in found[number]] == [step.token_id for step in alone]
        assert [step.text for step in found[number]] == [step.text for step in alone]
        assert found[number][-1].finish_reason == alone[-1].finish_reason
        for mine, other in zip(found[number], alone, strict=True):
            assert mine.probability == pytest.approx(other.probability, abs=1e-4)


def test_texts_of_different_lengths_leave_the_batch_one_by_one() -> None:
    engine = engine_of("llama")
    engine.loaded.model.generation_config.eos_token_id = list(range(2, 80))
    found = collected(engine, GRID)
    lengths = {len(steps) for steps in found.values()}
    assert len(lengths) > 1
    for number, settings in enumerate(GRID):
        assert [step.token_id for step in found[number]] == [step.token_id for step in one_by_one(engine, settings)]


def test_what_does_not_fit_at_once_comes_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama")
    whole = collected(engine, GRID)
    sizes: list[int] = []
    begin = sweep._Batch.begin

    def counted(self: Any, control: Any) -> None:
        begin(self, control)
        sizes.append(self.size)

    monkeypatch.setattr(sweep._Batch, "begin", counted)
    monkeypatch.setattr(sweep, "MOST_ROWS", 5)
    parts = collected(engine, GRID)
    assert sizes == [5, 5, 2]
    assert {n: [step.token_id for step in steps] for n, steps in parts.items()} == {
        n: [step.token_id for step in steps] for n, steps in whole.items()
    }
    sizes.clear()
    monkeypatch.setattr(sweep, "MOST_BYTES", 1)
    collected(engine, GRID[:2])
    assert sizes == [1, 1]


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_a_batch_that_runs_out_of_memory_goes_on_in_halves(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    engine = engine_of("llama")
    whole = collected(engine, GRID)
    sizes: list[int] = []
    forward = BatchReader.next_logits

    def failing(self: BatchReader, ids: list[int]) -> torch.Tensor:
        sizes.append(len(ids))
        if len(sizes) > after and len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, ids)

    monkeypatch.setattr(BatchReader, "next_logits", failing)
    halves = collected(engine, GRID)
    assert max(sizes) > 3 >= sizes[-1]
    for number, steps in whole.items():
        assert [step.index for step in halves[number]] == list(range(len(steps))), "every step is told once"
        assert [step.token_id for step in halves[number]] == [step.token_id for step in steps]
        assert [step.text for step in halves[number]] == [step.text for step in steps]
        assert not any(step.given for step in halves[number])


def test_one_text_that_does_not_fit_alone_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama")

    def failing(_self: BatchReader, _ids: list[int]) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(BatchReader, "next_logits", failing)
    with pytest.raises(OutOfMemoryError, match="not enough GPU memory"):
        collected(engine, GRID)


def test_wrong_settings_are_refused_and_a_sweep_can_be_cancelled() -> None:
    engine = engine_of("gpt2")
    with pytest.raises(InputError):
        engine.sweep(PROMPT, [GenerationSettings(SamplingSettings(top_p=2.0))])

    class Twice:
        calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls > 4:
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    with pytest.raises(Cancelled):
        list(engine.sweep(PROMPT, GRID, control=Twice()))
