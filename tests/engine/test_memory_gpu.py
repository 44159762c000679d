"""Predictions for a GPU held against what one would hold, traced without one; `gpu_trace` says how."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MarianConfig,
    MBartConfig,
    MT5Config,
    OPTConfig,
    PegasusConfig,
    PreTrainedConfig,
    Qwen3Config,
    T5Config,
)

from llmlab.engine.memory.activations import saved_by_layer
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.kept import Kept
from llmlab.engine.memory.training import (
    Precision,
    TrainingSettings,
    logit_bytes,
    training,
)
from llmlab.engine.memory_measure import MeasureSettings, measure, measuring
from llmlab.engine.memory_measure.live import LiveTensors
from llmlab.engine.progress import UNCONTROLLED
from llmlab.engine.types import Architecture
from llmlab.paths import bundled_model
from tests.engine import checkpoints, tiny
from tests.engine.gpu_trace import BLOCK, AsOnCuda, Trace, on_gpu, saved, training_step
from tests.engine.memory_shapes import billion

SEEDS = 24  # bytes of a fused kernel's random seed and offset, in each attention
BATCH, TOKENS, SOURCE, HEADS = 2, 32, 64, 4

VOCABULARY = 1009  # like nothing else

LLAMA: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
}
BART: dict[str, Any] = {
    "vocab_size": 32,
    "d_model": 64,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
}
T5: dict[str, Any] = {
    "vocab_size": 32,
    "d_model": 64,
    "d_ff": 96,
    "num_heads": HEADS,
    "d_kv": 16,
    "decoder_start_token_id": 0,
}
ONE_STACK: dict[str, Callable[[int], PreTrainedConfig]] = {
    "llama": lambda n: LlamaConfig(num_hidden_layers=n, **LLAMA),
    "qwen3": lambda n: Qwen3Config(num_hidden_layers=n, **LLAMA),
    "gpt2": lambda n: GPT2Config(vocab_size=32, n_embd=64, n_layer=n, n_head=HEADS, bos_token_id=0, eos_token_id=0),
    "opt": lambda n: OPTConfig(
        vocab_size=32,
        hidden_size=64,
        ffn_dim=96,
        num_hidden_layers=n,
        num_attention_heads=HEADS,
        word_embed_proj_dim=64,
    ),
    "bert": lambda n: BertConfig(
        vocab_size=32, hidden_size=64, intermediate_size=96, num_hidden_layers=n, num_attention_heads=HEADS
    ),
}


def t5(encoder: int, decoder: int, **more: Any) -> PreTrainedConfig:
    return T5Config(num_layers=encoder, num_decoder_layers=decoder, **T5, **more)


TWO_STACKS: dict[str, Callable[[int, int], PreTrainedConfig]] = {
    "t5": t5,
    "t5 v1.1": lambda e, d: t5(e, d, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "t5 v1.1, no dropout": lambda e, d: t5(e, d, feed_forward_proj="gated-gelu", dropout_rate=0.0),
    "bart": lambda e, d: BartConfig(encoder_layers=e, decoder_layers=d, **BART),
    "bart, all dropouts": lambda e, d: BartConfig(
        encoder_layers=e, decoder_layers=d, attention_dropout=0.1, activation_dropout=0.1, **BART
    ),
    "marian": lambda e, d: MarianConfig(encoder_layers=e, decoder_layers=d, **BART),
    "mbart": lambda e, d: MBartConfig(encoder_layers=e, decoder_layers=d, **BART),
    "pegasus": lambda e, d: PegasusConfig(encoder_layers=e, decoder_layers=d, **BART),
    "mt5": lambda e, d: MT5Config(num_layers=e, num_decoder_layers=d, feed_forward_proj="gated-gelu", **T5),
}
SETTINGS = [(torch.bfloat16, "sdpa"), (torch.bfloat16, "eager"), (torch.float32, "sdpa")]
IN_EVERY_SETTING = ("llama", "gpt2", "t5", "bart, all dropouts")  # of the others only the first is quick


def in_each_setting(kinds: Iterable[str]) -> pytest.MarkDecorator:
    """Every kind in every setting, as `kind`, `dtype` and `attention`."""
    quick = {(kind, *setting) for kind, setting in product(kinds, SETTINGS) if kind in IN_EVERY_SETTING}
    quick |= {(kind, *SETTINGS[0]) for kind in kinds}
    cases = [(kind, *setting) for kind, setting in product(kinds, SETTINGS)]
    marked = [case if case in quick else pytest.param(*case, marks=pytest.mark.slow) for case in cases]
    return pytest.mark.parametrize(("kind", "dtype", "attention"), marked, ids=str)


def kept_by(config: PreTrainedConfig, dtype: torch.dtype, attention: str) -> int:
    model = on_gpu(config, dtype)
    model.set_attn_implementation(attention)
    return saved(model, BATCH, TOKENS, SOURCE)


# What autograd saves


@in_each_setting(ONE_STACK)
def test_a_layer_is_the_formula_to_the_byte(kind: str, dtype: torch.dtype, attention: str) -> None:
    make = ONE_STACK[kind]
    three, two = (kept_by(make(layers), dtype, attention) for layers in (3, 2))
    shape = describe(make(2))
    fused = attention == "sdpa" and not (dtype is torch.float32 and shape.shares_keys)
    said = saved_by_layer(shape, dtype.itemsize, flash=fused).layer(BATCH, TOKENS, HEADS)
    assert 0 <= three - two - said <= SEEDS
    everything = Kept(shape, dtype.itemsize, fused=fused).bytes(BATCH, TOKENS)
    assert everything == pytest.approx(two, rel=0.02)


@in_each_setting(TWO_STACKS)
def test_encoder_and_decoder_are_the_formula_to_the_byte(kind: str, dtype: torch.dtype, attention: str) -> None:
    """Each at its own length; 24 bytes of seeds for each attention."""
    make = TWO_STACKS[kind]
    both, longer, deeper = (kept_by(make(*layers), dtype, attention) for layers in ((2, 2), (3, 2), (2, 3)))
    shape = describe(make(2, 2))
    width, fused = dtype.itemsize, attention == "sdpa"
    encoder = saved_by_layer(shape, width, flash=fused).layer(BATCH, SOURCE, HEADS)
    decoder = saved_by_layer(shape, width, flash=fused, cross=True).layer(BATCH, TOKENS, HEADS, SOURCE)
    assert 0 <= longer - both - encoder <= SEEDS
    assert 0 <= deeper - both - decoder <= 2 * SEEDS
    everything = Kept(shape, width, fused=fused, source=SOURCE).bytes(BATCH, TOKENS)
    assert everything == pytest.approx(both, rel=0.04 if kind == "marian" else 0.01)  # Marian has no norm around


def test_the_encoder_counts_at_its_own_length() -> None:
    shape = describe(TWO_STACKS["t5"](2, 2))
    same, short = (TrainingSettings(tokens=64, source_tokens=source) for source in (None, 8))
    assert training(shape, TrainingSettings(tokens=64, source_tokens=64)).terms == training(shape, same).terms
    less = training(shape, same).bytes_of("Activations") - training(shape, short).bytes_of("Activations")
    assert less > 2 * 56 * saved_by_layer(shape, 2, flash=True).per_token


# The loss


def logits_alive(live: LiveTensors) -> int:
    """The most bytes at once of tensors with a number for each logit."""
    return int(live.curve(lambda life: life.shape[-1:] == (VOCABULARY,) and math.prod(life.shape) > VOCABULARY).max())


@pytest.mark.parametrize(
    ("config", "dtype", "each"),
    [
        (ONE_STACK["llama"](1), torch.float32, 16),
        (ONE_STACK["llama"](1), torch.bfloat16, 14),  # transformers' own loss turns them into float32
        (ONE_STACK["gpt2"](1), torch.bfloat16, 14),
        (ONE_STACK["bert"](1), torch.bfloat16, 8),
        (TWO_STACKS["t5"](1, 1), torch.float32, 16),
        (TWO_STACKS["t5"](1, 1), torch.bfloat16, 8),
        (TWO_STACKS["bart"](1, 1), torch.bfloat16, 8),
        (TWO_STACKS["marian"](1, 1), torch.bfloat16, 8),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_bytes_of_a_logit_at_the_losss_worst_moment(config: PreTrainedConfig, dtype: torch.dtype, each: int) -> None:
    config.vocab_size = VOCABULARY
    if hasattr(config, "decoder_vocab_size"):
        config.decoder_vocab_size = VOCABULARY
    trace = training_step(on_gpu(config, dtype), BATCH, TOKENS)
    assert logits_alive(trace) == each * BATCH * TOKENS * VOCABULARY
    precision = Precision.FLOAT32 if dtype is torch.float32 else Precision.BFLOAT16
    assert logit_bytes(describe(config), TrainingSettings(precision)) == each


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_bytes_of_a_logit_under_autocast(kind: str) -> None:
    """Both losses are computed in float32 then, of logits in 16 bits."""
    torch.manual_seed(0)
    family: Any = AutoModelForCausalLM if kind == "llama" else AutoModelForSeq2SeqLM
    config = ONE_STACK[kind](1) if kind == "llama" else TWO_STACKS[kind](1, 1)
    config.vocab_size = VOCABULARY
    model = family.from_config(config).train()
    ids = torch.ones(BATCH, TOKENS, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16), LiveTensors(model.parameters(), UNCONTROLLED) as live:
        output = model(input_ids=ids, labels=ids, use_cache=False)
        output.loss.backward()
    assert logits_alive(live) == 14 * BATCH * TOKENS * VOCABULARY
    assert logit_bytes(describe(config), TrainingSettings(Precision.AUTOCAST)) == 14


def test_the_loss_in_parts_counts_nothing() -> None:
    shape = describe(ONE_STACK["llama"](1))
    assert training(shape, TrainingSettings(chunked_loss=True)).bytes_of("Logits and loss") == 0


# The peak


MODELS: dict[str, tuple[Callable[[], PreTrainedConfig], Architecture]] = {
    "decoder": (lambda: AutoConfig.from_pretrained(bundled_model("decoder")), Architecture.DECODER),
    "seq2seq": (lambda: AutoConfig.from_pretrained(bundled_model("seq2seq")), Architecture.ENCODER_DECODER),
    "1B": (billion, Architecture.DECODER),
}
of_each_model = pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *product(["decoder", "seq2seq"], [torch.bfloat16]),
        ("decoder", torch.float32),
        pytest.param("seq2seq", torch.float32, marks=pytest.mark.slow),
        *(pytest.param("1B", dtype, marks=pytest.mark.slow) for dtype in (torch.bfloat16, torch.float32)),
    ],
    ids=str,
)


@of_each_model
def test_the_peak_of_prefill_and_decoding(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the tests that need a GPU, 5 %; the measurement is the one that runs there."""
    make, architecture = MODELS[name]
    engine = tiny.wrap(on_gpu(make(), dtype), checkpoints.tokenizer(), architecture, "meta", context=2048)
    object.__setattr__(engine.loaded.info, "dtype", str(dtype).removeprefix("torch."))
    monkeypatch.setattr(measuring, "free_memory", lambda _: 10**15)
    monkeypatch.setattr(measuring, "memory_use", lambda loaded: SimpleNamespace(weights=weights_of(loaded.model)))
    with AsOnCuda(), Trace():
        found = measure(engine.loaded, MeasureSettings(tokens=256, batch=4, train=False))
    assert [phase.name for phase in found.phases] == ["Prefill", "Decoding"]
    for phase in found.phases:
        assert phase.predicted == pytest.approx(phase.peak, rel=0.05), phase.name
        assert all(abs(part.error or 0) < 0.05 for part in phase.components), phase.components


@of_each_model
def test_the_peak_of_a_training_step(name: str, dtype: torch.dtype) -> None:
    """Fused AdamW, as Trainer runs it, in blocks of the allocator: 3 %."""
    config = MODELS[name][0]()
    model = on_gpu(config, dtype)
    shape = describe(config)
    precision = Precision.FLOAT32 if dtype is torch.float32 else Precision.BFLOAT16
    said = training(shape, TrainingSettings(precision, tokens=256, batch=4, cuda_context=0, margin=0.0))
    peak = training_step(model, 4, 256).peak
    assert said.total == pytest.approx(peak, rel=0.03)


def test_blocks_and_kernels_own_memory_are_in_the_trace() -> None:
    with Trace() as trace:
        one = torch.empty(1, device="meta")
        two = torch.empty(200, device="meta")
        del one
        three = torch.empty(BLOCK, dtype=torch.uint8, device="meta")
    assert (two.numel(), three.numel()) == (200, BLOCK)
    assert trace.blocks.tolist() == [BLOCK, 3 * BLOCK, 3 * BLOCK]
    step = training_step(on_gpu(ONE_STACK["llama"](1), torch.bfloat16), BATCH, TOKENS)
    # a gradient in float32 over rows in multiples of 128, their sums, and keys and values for every query head
    assert list(step.scratch.values()) == [4 * BATCH * HEADS * 128 * (32 + 1) + 2 * BATCH * TOKENS * 64 * 2]


def weights_of(model: torch.nn.Module) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())
