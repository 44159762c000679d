"""Steps over a static cache write what plain ones write, and where they cannot, plain ones are taken and it is said."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError
from llmlab.engine.static_cache import Pass, Program, Recorder, cuda_graph, unrecorded
from llmlab.engine.types import GenerationStep
from tests.engine import checkpoints, tiny

PROMPT = "Once upon a time there was a little model"
GREEDY: dict[str, Any] = {"do_sample": False}
SAMPLED: dict[str, Any] = {"temperature": 1.2, "top_k": 60, "seed": 5}
NO_END = -1

SIZES: dict[str, Any] = {
    "vocab_size": checkpoints.VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 600,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
BOTH = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=600, vocab_size=checkpoints.VOCABULARY)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(head_dim=8, **SIZES)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(sliding_window=8, **SIZES)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(attn_implementation="eager", **BOTH, **SIZES)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**BOTH, **SIZES)),
}


def engines(kind: str, recorder: Recorder = unrecorded, context: int = 128) -> tuple[Engine, Engine]:
    """Two over the same model: one that reads as ever, and one with a static cache."""
    torch.manual_seed(3)
    plain = tiny.wrap(MODELS[kind](), checkpoints.tokenizer(), context=context)
    plain.loaded.model.generation_config.eos_token_id = NO_END
    return plain, Engine(plain.loaded, recorder)


def run(engine: Engine, tokens: int = 30, prompt: str = PROMPT, **options: Any) -> list[GenerationStep]:
    return list(engine.generate(prompt, max_new_tokens=tokens, **options))


def ids_of(steps: list[GenerationStep]) -> list[int]:
    return [step.token_id for step in steps]


def numbers(steps: list[GenerationStep]) -> list[tuple[int, float, float]]:
    """Bit by bit."""
    return [(step.token_id, step.raw_probability, step.entropy) for step in steps]


def _program(engine: Engine) -> Program:
    assert engine._steps is not None
    assert engine._steps._program is not None
    return engine._steps._program


def replayed(steps: list[GenerationStep]) -> int:
    return sum(step.computed.replayed for step in steps)


@pytest.mark.parametrize("options", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_text_is_the_plain_one(kind: str, options: dict[str, Any]) -> None:
    plain, static = engines(kind)
    expected, found = run(plain, **options), run(static, **options)
    assert ids_of(found) == ids_of(expected)
    assert [step.raw_probability for step in found] == pytest.approx(
        [step.raw_probability for step in expected], rel=1e-4
    )
    assert replayed(expected) == 0
    assert [step.computed.replayed for step in found] == [False] + [True] * 29, found[-1].computed.note


@pytest.mark.slow
@pytest.mark.parametrize("options", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_the_bundled_decoders_text_is_the_plain_one(options: dict[str, Any]) -> None:
    plain = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    plain.loaded.model.generation_config.eos_token_id = NO_END
    static = Engine(plain.loaded, unrecorded)
    found = run(static, 300, "Once upon a time", **options)
    assert ids_of(found) == ids_of(run(plain, 300, "Once upon a time", **options))
    assert replayed(found) == 299


def test_a_text_that_outgrows_its_slots_goes_on_in_more() -> None:
    recorded: list[Pass] = []

    def counting(work: Pass, device: torch.device) -> Pass:
        recorded.append(work)
        return work

    plain, static = engines("llama", counting, context=600)
    found = run(static, 280, **SAMPLED)
    assert ids_of(found) == ids_of(run(plain, 280, **SAMPLED))
    assert replayed(found) == 279
    assert len(recorded) == 2
    assert _program(static).slots == 512


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_a_branch_is_the_same_to_the_last_bit(kind: str) -> None:
    _, static = engines(kind)
    whole = run(static, 20, keep_cache=True, **SAMPLED)
    for at in (19, 7, 1, 0):
        given = ids_of(whole)[:at]
        rest = run(static, 20, given=given, known=at, keep_cache=True, **SAMPLED)
        assert ids_of(rest) == ids_of(whole)[at:]
        if kind == "llama":  # what has left a window is read again in one pass, which rounds otherwise
            assert numbers(rest) == numbers(whole)[at:]


def test_the_same_seed_gives_the_same_numbers_whatever_ran_before() -> None:
    _, static = engines("llama", context=600)
    first = run(static, 12, **SAMPLED)
    run(static, 5, PROMPT * 12, **GREEDY)  # more slots
    run(static, 40, "Another text", seed=9)
    assert numbers(run(static, 12, **SAMPLED)) == numbers(first)


def test_two_completions_at_once_do_not_meet() -> None:
    _, static = engines("llama")
    other = {**SAMPLED, "seed": 6}
    alone = numbers(run(static, 12, **SAMPLED)), numbers(run(static, 12, "A second text", **other))
    one = static.generate(PROMPT, max_new_tokens=12, **SAMPLED)
    two = static.generate("A second text", max_new_tokens=12, **other)
    pairs = list(zip(one, two, strict=True))
    assert numbers([pair[0] for pair in pairs]) == alone[0]
    assert numbers([pair[1] for pair in pairs]) == alone[1]
    assert replayed([pair[0] for pair in pairs]) == 11


def test_a_sliding_text_begins_anew_in_its_slots() -> None:
    plain, static = engines("llama", context=48)
    found = run(static, 90, overflow="slide", **SAMPLED)
    assert ids_of(found) == ids_of(run(plain, 90, overflow="slide", **SAMPLED))
    assert replayed(found) > 80
    assert run(static, 90, **SAMPLED)[-1].finish_reason == "context"


def test_a_stop_string_ends_it_and_a_branch_goes_on() -> None:
    plain, static = engines("llama")
    whole = run(plain, 20, **SAMPLED)
    stop = next(step.text for step in whole[8:] if step.text.strip())
    found = run(static, 20, stop=(stop,), keep_cache=True, **SAMPLED)
    assert found[-1].finish_reason == "stop"
    rest = run(static, 20, given=ids_of(found), known=len(found), keep_cache=True, **SAMPLED)
    assert ids_of(found + rest) == ids_of(whole)


def test_cancelling_leaves_a_cache_that_a_branch_can_use() -> None:
    class Impatient:
        left = 8

        def check(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None:
            """Nobody listens."""

    plain, static = engines("llama")
    steps: list[GenerationStep] = []
    cancelled = static.generate(PROMPT, max_new_tokens=30, keep_cache=True, control=Impatient(), **SAMPLED)
    with pytest.raises(Cancelled):
        steps.extend(cancelled)
    assert steps
    rest = run(static, given=ids_of(steps), known=len(steps), keep_cache=True, **SAMPLED)
    assert ids_of(steps + rest) == ids_of(run(plain, **SAMPLED))
    assert replayed(rest) == len(rest)


def test_what_has_no_static_cache_is_read_as_ever() -> None:
    engine = tiny.engine("t5")
    found = run(Engine(engine.loaded, unrecorded), **SAMPLED)
    assert numbers(found) == numbers(run(engine, **SAMPLED))
    assert replayed(found) == 0


def test_the_switch_has_every_step_plain() -> None:
    plain, static = engines("llama")
    found = run(static, cuda_graphs=False, **SAMPLED)
    assert numbers(found) == numbers(run(plain, **SAMPLED))
    assert {step.computed for step in found} == {run(plain, 1)[0].computed}


# --- what must not be recorded -------------------------------------------------------------------------------


def _dynamic_rope() -> PreTrainedModel:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    return LlamaForCausalLM(LlamaConfig(**SIZES | {"max_position_embeddings": 64}, rope_parameters=rope))


def _state_space() -> PreTrainedModel:
    return MambaForCausalLM(
        MambaConfig(vocab_size=checkpoints.VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2)
    )


@pytest.mark.parametrize(
    ("make", "note"),
    [(_dynamic_rope, "rotary"), (_state_space, "")],
    ids=["rotary embedding that changes", "state-space model"],
)
def test_models_that_cannot_be_recorded_are_read_as_ever(make: Callable[[], PreTrainedModel], note: str) -> None:
    plain = tiny.wrap(make(), checkpoints.tokenizer(), context=128)
    plain.loaded.model.generation_config.eos_token_id = NO_END
    found = run(Engine(plain.loaded, unrecorded), 8, **SAMPLED)
    assert numbers(found) == numbers(run(plain, 8, **SAMPLED))
    assert replayed(found) == 0
    assert note in found[-1].computed.note


def test_a_model_that_is_looked_into_is_read_as_ever() -> None:
    _, static = engines("llama")
    seen = 0

    def look(*_: Any) -> None:
        nonlocal seen
        seen += 1

    hook = static.loaded.model.model.layers[0].register_forward_hook(look)
    found = run(static, 8, **SAMPLED)
    hook.remove()
    assert (seen, replayed(found)) == (8, 0)
    assert "looks into the model" in found[-1].computed.note
    assert replayed(run(static, 8, **SAMPLED)) == 7


# --- recordings that go wrong --------------------------------------------------------------------------------


def _failing(_work: Pass, _device: torch.device) -> Pass:
    raise RuntimeError("operation not permitted when stream is capturing.\nMore lines")


def _out_of_memory(_work: Pass, _device: torch.device) -> Pass:
    raise torch.OutOfMemoryError("CUDA out of memory")


def _built_in(work: Pass, _device: torch.device) -> Pass:
    answer = work()  # position 0 for ever
    return lambda: answer


def _shifted(work: Pass, _device: torch.device) -> Pass:
    return lambda: work().roll(1)


def _not_a_number(work: Pass, _device: torch.device) -> Pass:
    return lambda: work() * torch.nan


def _failing_later(work: Pass, _device: torch.device) -> Pass:
    left = 6

    def replay() -> torch.Tensor:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("the device is lost")
        return work()

    return replay


@pytest.mark.parametrize(
    ("recorder", "good", "note"),
    [
        (_failing, 0, "operation not permitted when stream is capturing."),
        (_out_of_memory, 0, "not enough memory"),
        (_built_in, 0, "other numbers"),
        (_shifted, 0, "other numbers"),
        (_not_a_number, 0, "other numbers"),
        (_failing_later, 6, "the device is lost"),
    ],
)
@pytest.mark.parametrize("kind", ["llama", pytest.param("gemma3", marks=pytest.mark.slow)])
def test_a_bad_recording_never_reaches_the_text(kind: str, recorder: Recorder, good: int, note: str) -> None:
    plain, static = engines(kind, recorder)
    expected, found = run(plain, 20, **SAMPLED), run(static, 20, **SAMPLED)
    assert ids_of(found) == ids_of(expected)
    assert replayed(found) == good
    assert note in found[-1].computed.note
    assert "\n" not in found[-1].computed.note
    again = run(static, 20, **SAMPLED)
    assert (ids_of(again), replayed(again)) == (ids_of(expected), 0)
    assert again[-1].computed.note == found[-1].computed.note
    with pytest.raises(AssertionError):
        _program(static)


def test_a_step_whose_cache_is_wrong_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = Program.newest
    monkeypatch.setattr(Program, "newest", lambda self: [(key, value * 2) for key, value in newest(self)])
    plain, static = engines("llama")
    found = run(static, 8, **SAMPLED)
    assert numbers(found) == numbers(run(plain, 8, **SAMPLED))
    assert "other numbers" in found[-1].computed.note


def test_logits_that_are_no_numbers_end_the_run_and_say_nothing_about_the_recording() -> None:
    _, static = engines("llama")
    with torch.no_grad():
        static.loaded.model.get_input_embeddings().weight[7] = torch.nan
    with pytest.raises(InputError):
        run(static, 8, given=[7])
    assert replayed(run(static, 8, **GREEDY)) == 7


# --- memory --------------------------------------------------------------------------------------------------


def _slots(engine: Engine) -> weakref.ref[torch.Tensor]:
    return weakref.ref(_program(engine)._layers[0].keys)


def test_slots_are_freed_with_the_model() -> None:
    _, static = engines("llama")
    iterator = static.generate(PROMPT, max_new_tokens=9, **SAMPLED)
    next(iterator), next(iterator)
    slots = _slots(static)
    static.close()
    gc.collect()
    assert slots() is None, "although somebody still holds the completion"


def test_running_out_of_memory_frees_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    _, static = engines("llama")
    iterator = static.generate(PROMPT, max_new_tokens=9, **SAMPLED)
    next(iterator), next(iterator)
    slots = _slots(static)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("llmlab.engine.generation.choose", full)
    with pytest.raises(OutOfMemoryError):
        next(iterator)
    gc.collect()
    assert slots() is None
    monkeypatch.undo()
    assert replayed(run(static, 9, **SAMPLED)) == 8


# --- on a CUDA device ----------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_cuda_graphs_write_the_plain_text(kind: str) -> None:
    torch.manual_seed(3)
    engine = tiny.wrap(MODELS[kind](), checkpoints.tokenizer(), device="cuda", context=600)
    engine.loaded.model.generation_config.eos_token_id = NO_END
    for options in (GREEDY, SAMPLED):
        found = run(engine, 280, **options)
        assert replayed(found) == 279, found[-1].computed.note
        assert ids_of(found) == ids_of(run(engine, 280, cuda_graphs=False, **options))
        assert numbers(run(engine, 280, **options)) == numbers(found)


@pytest.mark.cuda
def test_a_closed_model_leaves_no_graph_behind() -> None:
    allocated = []
    for _ in range(2):  # what the libraries keep for themselves is there after the first
        engine = Engine.open("bundled:decoder", device="cuda")
        assert replayed(run(engine, 20, "Once upon a time", **GREEDY)) > 0
        engine.close()
        del engine
        gc.collect()
        torch.cuda.empty_cache()
        allocated.append(torch.cuda.memory_allocated())
    assert allocated[1] <= allocated[0] + 2**20


@pytest.mark.cuda
def test_a_pass_that_waits_for_the_device_is_refused() -> None:
    device = torch.device("cuda")
    value = torch.ones(1, device=device)
    stream = torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        cuda_graph(lambda: value * value.item(), device)
    assert torch.cuda.current_stream() == stream
    assert float(value * 2) == 2, "the device goes on"
