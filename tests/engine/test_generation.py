"""Generation: greedy text is `model.generate`'s, sampling is reproducible, and every ending is named."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError
from llmlab.engine.sampling import SamplingSettings, draw, shape
from llmlab.engine.types import GenerationStep
from tests.engine import tiny
from tests.engine.test_sampling import expected

PROMPT = "Once upon a time there was"
WORDS = [*PROMPT.split(), "a", "little", "model", "that", "read", "the", "same", "sentence", "again"]
PROMPTS = [" ".join(WORDS[:n]) for n in range(1, 11)] + [" " + " ".join(WORDS[n:]) for n in range(9)] + ["日本 🌍"]
WHO = ["The old fox", "A little robot", "Mia's cat", "Three birds", "The tired king"]
WHAT = ["found a key", "was afraid of the dark", "wanted to bake", "lost a red shoe", "could not sleep", "said no"]
FIFTY = PROMPTS + [f"{who} {what}{'.' if n % 2 else ' and'}" for n, who in enumerate(WHO) for what in WHAT]
GENERATIVE = ["gpt2", "llama", "t5", "bart"]


def text_of(steps: list[GenerationStep]) -> str:
    return "".join(step.text for step in steps)


def by_transformers(engine: Engine, text: str, **options: Any) -> list[int]:
    """New tokens by `model.generate`."""
    loaded = engine.loaded
    inputs = loaded.tokenizer(text, return_tensors="pt").to(loaded.device)
    inputs.pop("token_type_ids", None)
    if loaded.model.config.model_type == "t5":
        options["use_cache"] = False  # its cache is as deep as the encoder, where the decoder may be deeper
    with torch.inference_mode():
        out = loaded.model.generate(**inputs, pad_token_id=1, **options)[0]
    return out[1 if loaded.model.config.is_encoder_decoder else inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("kind", GENERATIVE)
def test_greedy_text_is_that_of_transformers(kind: str, device: str) -> None:
    engine = tiny.engine(kind, device)
    assert len(PROMPTS) == 20
    for prompt in PROMPTS:
        want = by_transformers(engine, prompt, do_sample=False, max_new_tokens=12)
        steps = list(engine.generate(prompt, do_sample=False, max_new_tokens=12))
        assert [step.token_id for step in steps] == want, prompt
        assert text_of(steps) == engine.loaded.tokenizer.decode(want, skip_special_tokens=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder", "seq2seq", "draft"])
def test_greedy_text_of_the_bundled_models(name: str, device: str) -> None:
    engine = Engine.open(f"bundled:{name}", device=device, dtype="float32")
    assert len(set(FIFTY)) == 50
    for prompt in FIFTY:
        want = by_transformers(engine, prompt, do_sample=False, max_new_tokens=30)
        steps = list(engine.generate(prompt, do_sample=False, max_new_tokens=30))
        assert [step.token_id for step in steps] == want, prompt
        assert text_of(steps) == engine.loaded.tokenizer.decode(want, skip_special_tokens=True)


def test_greedy_with_a_repetition_penalty_is_that_of_transformers() -> None:
    for kind in GENERATIVE:
        engine = tiny.engine(kind)
        want = by_transformers(engine, PROMPT, do_sample=False, max_new_tokens=20, repetition_penalty=1.5)
        steps = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=20, repetition_penalty=1.5))
        assert [step.token_id for step in steps] == want


def test_the_recorded_number_draws_the_same_token_again() -> None:
    engine = tiny.engine("llama")
    options: dict[str, Any] = {"temperature": 1.3, "top_k": 50}
    for step in engine.generate(PROMPT, max_new_tokens=12, seed=4, capture=True, **options):
        assert step.sorted is not None
        assert step.uniform is not None
        shaped = shape(step.sorted, SamplingSettings(**options))
        assert shaped.ids[draw(shaped, step.uniform)] == step.token_id
    greedy = list(engine.generate(PROMPT, max_new_tokens=3, do_sample=False))
    assert [step.uniform for step in greedy] == [None] * 3, "nothing is drawn"


def test_each_step_tells_its_distribution() -> None:
    engine = tiny.engine("llama")
    options = {"temperature": 0.8, "top_k": 60, "repetition_penalty": 1.1}
    settings = SamplingSettings(**options)
    context = engine.tokenize(PROMPT).ids.tolist()
    steps = list(engine.generate(PROMPT, max_new_tokens=8, seed=3, capture=True, **options))
    for index, step in enumerate(steps):
        with torch.inference_mode():
            logits = engine.loaded.model(input_ids=torch.tensor([context])).logits[0, -1].numpy()
        _, want = expected(logits, np.array(context), settings)
        raw = torch.from_numpy(logits).double().softmax(-1).numpy()
        assert step.index == index
        assert step.probability == pytest.approx(want[step.token_id], abs=1e-5)
        assert step.raw_probability == pytest.approx(raw[step.token_id], abs=1e-5)
        assert step.rank == (logits > logits[step.token_id]).sum()
        assert step.entropy == pytest.approx(-(want[want > 0] * np.log(want[want > 0])).sum(), abs=1e-4)
        best = step.alternatives
        assert len(best.ids) == len(best.texts) == len(best.logits)
        assert len(best.ids) in (20, 21)
        assert step.token_id in best.ids
        np.testing.assert_allclose(best.probabilities, want[best.ids], atol=1e-5)
        np.testing.assert_allclose(best.raw_probabilities, raw[best.ids], atol=1e-5)
        np.testing.assert_allclose(best.logits, logits[best.ids], atol=1e-4)
        assert np.all(np.diff(best.probabilities) <= 0)
        assert step.sorted is not None
        assert shape(step.sorted, settings).entropy == pytest.approx(step.entropy)
        context.append(step.token_id)
    assert steps[-1].finish_reason == "length"
    assert [step.finish_reason for step in steps[:-1]] == [None] * 7
    assert np.all(np.diff([step.seconds for step in steps]) > 0)


def test_steps_keep_no_logits_unless_asked() -> None:
    assert all(step.sorted is None for step in tiny.engine("llama").generate(PROMPT, max_new_tokens=2))


@pytest.mark.parametrize("kind", GENERATIVE)
def test_the_same_seed_gives_the_same_text(kind: str, device: str) -> None:
    engine = tiny.engine(kind, device)
    options: dict[str, Any] = {"max_new_tokens": 20, "temperature": 1.5}

    def ids(seed: int) -> list[int]:
        return [step.token_id for step in engine.generate(PROMPT, seed=seed, **options)]

    first = ids(7)
    torch.manual_seed(99)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what must not matter
    list(tiny.engine("gpt2" if kind != "gpt2" else "t5", device).generate("Once", max_new_tokens=3, seed=1))
    state = torch.get_rng_state()
    assert ids(7) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert ids(8) != first


def test_sampling_follows_the_distribution() -> None:
    engine = tiny.engine("llama")
    probabilities = engine.next_token(PROMPT, top_k=5).probabilities
    drawn = [next(engine.generate(PROMPT, top_k=5, seed=seed)).token_id for seed in range(300)]
    counts = np.bincount(drawn, minlength=320) / 300
    assert np.abs(counts - probabilities).max() < 0.12  # four standard deviations
    assert set(drawn) <= set(np.flatnonzero(probabilities).tolist())


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_end_of_text_ends_it(kind: str) -> None:
    engine = tiny.engine(kind)
    engine.loaded.model.generation_config.eos_token_id = 319
    last = list(engine.generate(PROMPT, seed=1, max_new_tokens=5))[-1].token_id
    engine.loaded.model.generation_config.eos_token_id = [319, last]
    steps = list(engine.generate(PROMPT, seed=1, max_new_tokens=50))
    assert steps[-1].finish_reason == "eos"
    assert steps[-1].token_id == last
    assert len(steps) <= 5


def test_a_stop_string_ends_the_text_before_it() -> None:
    engine = tiny.engine("llama")
    whole = text_of(list(engine.generate(PROMPT, max_new_tokens=40, seed=1)))
    stop = whole[10:14]
    steps = list(engine.generate(PROMPT, max_new_tokens=40, seed=1, stop=[stop]))
    assert steps[-1].finish_reason == "stop"
    assert text_of(steps) == whole[: whole.find(stop)]
    again = list(engine.generate(PROMPT, max_new_tokens=40, seed=1, stop=stop))
    assert text_of(again) == text_of(steps)


def test_text_held_back_is_given_at_the_end() -> None:
    engine = tiny.engine("llama")
    free = list(engine.generate(PROMPT, max_new_tokens=12, seed=1))
    held = list(engine.generate(PROMPT, max_new_tokens=12, seed=1, stop=[text_of(free)[-3:] + "§"]))
    assert text_of(held) == text_of(free)
    assert held[-1].finish_reason == "length"


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_the_context_window_ends_the_text(kind: str) -> None:
    engine = tiny.engine(kind)
    engine.loaded.model.generation_config.eos_token_id = None
    engine.loaded.tokenizer.eos_token = None
    steps = list(engine.generate(" a" * 60, max_new_tokens=500, seed=2))
    full = list(engine.generate(" a" * 64, max_new_tokens=500, seed=2))
    assert steps[-1].finish_reason == full[-1].finish_reason == "context"
    assert len(steps) == (5 if kind == "gpt2" else 64)
    assert len(full) == (1 if kind == "gpt2" else 64)


def test_what_cannot_work_is_refused_at_once() -> None:
    engine = tiny.engine("gpt2")
    for bad in ({"top_p": 1.5}, {"max_new_tokens": 0}, {"seed": -1}, {"stop": [""]}, {"temperature": -1.0}):
        with pytest.raises(InputError):
            engine.generate(PROMPT, **bad)
    with pytest.raises(InputError, match="64"):
        engine.generate(" a" * 65)


def test_an_empty_prompt_generates() -> None:
    engine = tiny.engine("llama")
    assert list(engine.generate("", max_new_tokens=2))[-1].finish_reason == "length"


def test_cancelling_takes_effect_within_a_step() -> None:
    class CancelAfter:
        def __init__(self, checks: int) -> None:
            self.left = checks

        def check(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    control = CancelAfter(10**9)
    steps = tiny.engine("llama").generate(PROMPT, control=control)
    next(steps)
    next(steps)
    control.left = 0
    with pytest.raises(Cancelled):
        next(steps)


def test_inference_mode_does_not_leak_out_of_a_step() -> None:
    steps = tiny.engine("llama").generate(PROMPT)
    next(steps)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    steps.close()


def test_runs_in_another_thread_without_gradients() -> None:
    engine = tiny.engine("llama")
    result: list[list[GenerationStep]] = []
    thread = threading.Thread(target=lambda: result.append(list(engine.generate(PROMPT, max_new_tokens=3))))
    thread.start()
    thread.join()
    assert len(result[0]) == 3


def test_a_model_without_a_cache_reads_everything_again() -> None:
    engine = tiny.engine("gpt2")
    want = [step.token_id for step in engine.generate(PROMPT, do_sample=False, max_new_tokens=10)]
    model = engine.loaded.model
    forward = model.forward

    def without_cache(input_ids: torch.Tensor, **options: Any) -> Any:
        assert options.get("past_key_values") is None
        output = forward(input_ids=input_ids, use_cache=False)
        output.past_key_values = None
        return output

    model.forward = without_cache
    got = [step.token_id for step in engine.generate(PROMPT, do_sample=False, max_new_tokens=10)]
    assert got == want


def test_a_token_that_is_forced_first_is_what_the_decoder_starts_with() -> None:
    engine = tiny.engine("bart")
    engine.loaded.model.generation_config.forced_bos_token_id = 0
    want = by_transformers(engine, PROMPT, do_sample=False, max_new_tokens=9)
    steps = list(engine.generate(PROMPT, do_sample=False, max_new_tokens=8))
    assert [0, *(step.token_id for step in steps)] == want


def test_logits_that_are_not_numbers_stop_generation_in_words() -> None:
    engine = tiny.engine("llama")
    steps = engine.generate(PROMPT)
    next(steps)
    with torch.no_grad():
        engine.loaded.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN"):
        next(steps)


@pytest.fixture
def full_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A model that runs out of memory after as many forward passes as the list says."""
    left = [10**9]
    forward = torch.nn.Embedding.forward

    def fails(self: torch.nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return forward(self, ids)

    monkeypatch.setattr(torch.nn.Embedding, "forward", fails)
    return left


def test_running_out_of_memory_is_told_and_survived(full_memory: list[int], device: str) -> None:
    engine = tiny.engine("llama", device)
    steps = engine.generate(PROMPT)
    next(steps)
    full_memory[0] = 0
    calls = [
        lambda: next(steps),
        lambda: engine.next_token(PROMPT),
        lambda: engine.distribution(PROMPT),
        lambda: engine.score(PROMPT, [" a"]),
        lambda: engine.attention(PROMPT),
    ]
    for call in calls:
        with pytest.raises(OutOfMemoryError) as caught:
            call()
        assert caught.value.hint
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
    full_memory[0] = 10**9
    assert len(list(engine.generate(PROMPT, max_new_tokens=2))) == 2


def fill(hoard: list[torch.Tensor], size: int) -> None:
    """Take blocks of `size` bytes until there are none left."""
    try:
        while True:
            hoard.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        return


@pytest.mark.cuda
def test_a_gpu_that_is_really_full_recovers() -> None:
    engine = tiny.engine("llama", "cuda")
    engine.next_token(PROMPT)
    torch.cuda.set_per_process_memory_fraction(0.02)
    hoard: list[torch.Tensor] = []
    try:
        for size in (2**24, 2**20, 2**16, 2**9):  # so small that not even the rest of a cached block is left
            fill(hoard, size)
        with pytest.raises(OutOfMemoryError) as caught:
            next(engine.generate(PROMPT))
        assert "GPU" in caught.value.message
    finally:
        hoard.clear()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(list(engine.generate(PROMPT, max_new_tokens=3))) == 3
