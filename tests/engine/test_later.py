"""Work that waits until somebody asks is done once."""

from __future__ import annotations

import pytest

from llmlab.engine.later import Later
from llmlab.engine.sampling import SamplingSettings, shape
from tests.engine import tiny


def test_work_is_done_once_and_let_go() -> None:
    calls: list[int] = []
    later = Later(lambda: calls.append(1) or len(calls))
    assert not calls
    assert (later(), later()) == (1, 1)
    assert calls == [1]


def test_work_that_fails_can_be_asked_again() -> None:
    answers = iter([ValueError("not yet"), 7])

    def work() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    later = Later(work)
    with pytest.raises(ValueError, match="not yet"):
        later()
    assert later() == 7


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_the_figures_of_a_step_come_from_its_position(penalty: float) -> None:
    engine = tiny.engine("llama")
    options = {"max_new_tokens": 12, "do_sample": False, "repetition_penalty": penalty}
    kept = list(engine.generate("Once upon", capture=True, **options))
    told = list(engine.generate("Once upon", **options))
    settings = SamplingSettings(do_sample=False, repetition_penalty=penalty)
    for step, other in zip(kept, told, strict=True):
        assert step.sorted is not None
        assert other.sorted is None
        assert (step.token_id, step.rank) == (other.token_id, other.rank)
        assert step.probability == pytest.approx(other.probability, rel=1e-6)
        shaped = shape(step.sorted, settings)
        assert step.entropy == pytest.approx(shaped.entropy, abs=1e-5)
        assert step.alternatives.ids.tolist() == shaped.ids[: len(step.alternatives.ids)].tolist()
        assert step.alternatives.ids.tolist() == other.alternatives.ids.tolist()
        assert step.alternatives.texts == other.alternatives.texts


def test_a_step_without_its_position_has_its_figures() -> None:
    engine = tiny.engine("llama")
    (step,) = engine.generate("Once upon", capture=True, max_new_tokens=1, do_sample=False)
    assert step.without_position().sorted is None
    assert step.without_position().alternatives.ids[0] == step.token_id
