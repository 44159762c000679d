"""Tiny models of every way to attend, and the oracle: transformers' own eager attention."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers as t
from tokenizers import processors

from llmlab.engine import Engine
from llmlab.engine.types import Architecture
from tests.engine import checkpoints, tiny

PROMPT = "Once upon a time there was a little model"
SMALL = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
BIAS_AND_WINDOW = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 5}
DECODERS: dict[str, Callable[[], t.PreTrainedModel]] = {
    "gpt2": lambda: checkpoints.make("gpt2"),
    "llama": lambda: checkpoints.make("llama"),  # grouped queries
    "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(num_key_value_heads=2, head_dim=8, **SMALL)),
    "gemma3": lambda: t.Gemma3ForCausalLM(
        t.Gemma3TextConfig(num_key_value_heads=2, head_dim=8, **BIAS_AND_WINDOW, **SMALL)
    ),
    "gemma2": lambda: t.Gemma2ForCausalLM(
        t.Gemma2Config(num_key_value_heads=2, head_dim=8, attn_logit_softcapping=2.0, **BIAS_AND_WINDOW, **SMALL)
    ),
    "gpt_oss": lambda: t.GptOssForCausalLM(
        t.GptOssConfig(
            num_key_value_heads=2, head_dim=8, num_local_experts=2, num_experts_per_tok=1, **BIAS_AND_WINDOW, **SMALL
        )
    ),
    "opt": lambda: t.OPTForCausalLM(
        t.OPTConfig(
            vocab_size=320,
            hidden_size=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            word_embed_proj_dim=32,
        )
    ),
    "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SMALL)),
}
ENCODERS: dict[str, Callable[[], t.PreTrainedModel]] = {
    "bert": lambda: checkpoints.make("bert"),
    "roberta": lambda: checkpoints.make("roberta"),
    "modernbert": lambda: t.ModernBertForMaskedLM(
        t.ModernBertConfig(local_attention=6, global_attn_every_n_layers=2, cls_token_id=0, sep_token_id=2, **SMALL)
    ),
    "distilbert": lambda: t.DistilBertForMaskedLM(
        t.DistilBertConfig(vocab_size=320, dim=32, hidden_dim=48, n_layers=2, n_heads=4)
    ),
}
PAIRS: dict[str, Callable[[], t.PreTrainedModel]] = {
    "t5": lambda: checkpoints.make("t5"),
    "bart": lambda: checkpoints.make("bart"),
}
OWN_FAMILIES = {"bloom": Architecture.DECODER, "deberta": Architecture.ENCODER}
OF_THEIR_OWN: dict[str, Callable[[], t.PreTrainedModel]] = {
    "bloom": lambda: t.BloomForCausalLM(t.BloomConfig(vocab_size=320, hidden_size=32, n_layer=2, n_head=4)),
    "deberta": lambda: t.DebertaV2ForMaskedLM(
        t.DebertaV2Config(relative_attention=True, pos_att_type=["c2p", "p2c"], **SMALL)
    ),
}
FAMILIES = {Architecture.DECODER: DECODERS, Architecture.ENCODER: ENCODERS, Architecture.ENCODER_DECODER: PAIRS}
KINDS = [name for makers in FAMILIES.values() for name in makers]


def family_of(name: str) -> Architecture:
    found = [family for family, makers in FAMILIES.items() if name in makers]
    return found[0] if found else OWN_FAMILIES[name]


def make(name: str, device: str = "cpu", context: int | None = None) -> Engine:
    family = family_of(name)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = (FAMILIES[family] | OF_THEIR_OWN)[name]()
    with torch.no_grad():  # sharper than the tiny initial weights make it, so that a wrong mask or scale shows
        for each in model.parameters():
            if each.ndim == 2:
                each.mul_(3)
    return tiny.wrap(model, copy.deepcopy(checkpoints.tokenizer()), family, device, context)


def pairs() -> Engine:
    """A BERT with a tokenizer that knows pairs of sentences."""
    tokenizer = copy.deepcopy(tiny.wordpiece())
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tiny.wrap(checkpoints.make("bert"), tokenizer, Architecture.ENCODER, context=48)


def eager(engine: Engine, text: str, target: str | None = None) -> dict[str, list[np.ndarray]]:
    """The oracle: whole matrices, by transformers' own eager attention."""
    loaded = engine.loaded
    model = copy.deepcopy(loaded.model)
    if model._can_set_attn_implementation():
        model.set_attn_implementation("eager")
    inputs: dict[str, Any] = {"input_ids": torch.tensor([loaded.tokenizer(text)["input_ids"]], device=loaded.device)}
    names = {"self": "attentions"}
    if model.config.is_encoder_decoder:
        answer = [
            model.config.decoder_start_token_id,
            *loaded.tokenizer(target or "", add_special_tokens=False)["input_ids"],
        ]
        inputs["decoder_input_ids"] = torch.tensor([answer], device=loaded.device)
        names = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    with torch.inference_mode():
        output = model(**inputs, output_attentions=True, use_cache=False)
    return {kind: [a[0].float().cpu().numpy() for a in output[name]] for kind, name in names.items()}
