"""What it costs to capture attention, against the plain forward pass of the same layers."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from llmlab.engine import Engine
from tests.benchmarks.measure import Row, interleaved, seconds
from tests.engine import tiny

TOKENS = 1024


def run() -> list[Row]:
    """GPT-2 small's and Llama's shapes with random weights."""
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=TOKENS, bos_token_id=0, eos_token_id=2))
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=320,
            hidden_size=512,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=8,
            num_key_value_heads=2,
            max_position_embeddings=TOKENS,
        )
    )
    return [_compare("GPT-2 small", gpt2), _compare("a Llama of 8 layers", llama), _all_heads(gpt2)]


def _engine(model: PreTrainedModel) -> Engine:
    return tiny.wrap(model, tiny.byte_level(), context=TOKENS)


def _compare(name: str, model: PreTrainedModel) -> Row:
    engine = _engine(model)
    text = " a" * (TOKENS - 1)
    ids = torch.tensor([engine.tokenize(text).ids.tolist()])

    def plain() -> None:
        with torch.inference_mode():
            model.base_model(input_ids=ids, use_cache=False)

    ratio = interleaved(lambda: engine.attention(text), plain).ratio
    return Row(f"capture ÷ SDPA forward, {name}, 1,023 tokens", ratio, "×", "at most 1.15 ×", ratio <= 1.15)


def _all_heads(model: PreTrainedModel) -> Row:
    engine = _engine(model)
    text = " a" * 512

    def everything() -> None:
        captured = engine.attention(text)
        for layer in range(captured.layers):
            captured.weights(layer)

    everything()
    return Row("capture and all weights, 12 × 12 heads, 512 tokens", seconds(everything), "s", "at most 1.5 s", None)
