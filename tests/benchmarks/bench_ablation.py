"""What it costs to remove every head alone, with the layers before each computed again and without."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llmlab.engine import Engine
from llmlab.engine.attention import inputs
from llmlab.engine.attention.ablation import ablation_effects
from llmlab.engine.attention.types import AttentionRequest
from tests.benchmarks.measure import Row, interleaved, seconds
from tests.engine import tiny

TOKENS = 96
LAYERS = 8
STORY = "Lily has a red ball. Tom has a blue car. "


def run() -> list[Row]:
    """A Llama of 8 × 8 heads with random weights, and the bundled decoder as it comes."""
    return [_prefix(), *_bundled()]


def _prefix() -> Row:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=320,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=LAYERS,
            num_attention_heads=8,
            num_key_value_heads=2,
            max_position_embeddings=TOKENS,
        )
    )
    engine = tiny.wrap(model, tiny.byte_level(), context=TOKENS)
    request = AttentionRequest(" a" * (TOKENS - 1))
    given = inputs.read(engine.loaded, engine._speller, request).tensors(engine.loaded)

    def sweep(*, reuse: bool) -> None:
        for _ in ablation_effects(engine.loaded, given, reuse=reuse):
            pass

    ratio = interleaved(lambda: sweep(reuse=True), lambda: sweep(reuse=False), repeats=3).ratio
    # Half of the layers remain on average: (1 + … + n) / n² of the work.
    name = f"sweep of 8 × 8 heads, prefix reused ÷ not, {TOKENS} tokens"
    return Row(name, ratio, "×", f"at most 0.75 × ({(LAYERS + 1) / (2 * LAYERS):.2f} at best)", ratio <= 0.75)


def _bundled() -> list[Row]:
    engine = Engine.open("bundled:decoder", device="cpu")
    request = AttentionRequest(STORY * 6)
    tokens = len(engine.tokenize(request.text))
    list(engine.ablation_effects(request))
    sweep = seconds(lambda: list(engine.ablation_effects(request)))
    lens = seconds(lambda: engine.logit_lens(request))
    return [
        Row(f"effect of all 48 heads, bundled decoder, {tokens} tokens", sweep, "s", "", None),
        Row(f"logit lens, bundled decoder, {tokens} tokens", lens, "s", "", None),
    ]
