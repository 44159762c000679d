"""How the layers of transformers' families are written, as far as it decides what autograd keeps. Imports no torch.

Each family is a row of `_FAMILIES`, read off its code in transformers; `activations` makes bytes of it, and tests hold
those to the byte against what autograd saves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Norm(StrEnum):
    """How a norm is written. What it keeps is in `activations.norm_bytes`."""

    LAYER = "layer"  # torch's own LayerNorm: GPT-2, BERT, GPT-NeoX
    LAYER_FLOAT32 = "layer, in float32"  # OLMo, without weights
    CENTERED = "centered"  # LayerNorm written out in float32: Cohere
    RMS = "rms"  # float32 until its weights come: Llama, Mistral, Qwen
    RMS_INPUT = "rms, and its input"  # T5's, whose float32 square and product are of two different tensors
    RMS_FLOAT32 = "rms, weights in float32"  # OLMo 2, gpt-oss
    RMS_ONE_PLUS = "rms, 1 + weights in float32"  # Gemma


class Router(StrEnum):
    """How a token's experts are chosen. What that keeps is in `experts.routing`."""

    SOFTMAX = "softmax"  # Qwen
    SOFTMAX_FLOAT32 = "softmax, weights stay in float32"  # Mixtral
    CHOSEN = "softmax of the chosen"  # gpt-oss
    GROUPS = "sigmoid, in groups"  # DeepSeek-V3
    ALL = "every expert reads every token"  # Llama 4


@dataclass(frozen=True, slots=True)
class Block:
    """One layer's code.

    `norms` of hidden states, `parallel`: all of them of the same; `reads` hidden states that linear layers read;
    `masks` dropouts of hidden states, `outer_masks` of them around a stack of layers. `fused_qkv`: queries, keys and
    values are one matrix, which a fused kernel keeps for its values; `fused_gate`: so are both halves of a gated MLP.
    `concatenated`: a part of each query is rotated, and joined with the rest. `position_bias`: a number for every two
    positions is added to each score. `float32_softmax`: scores that are written out become probabilities in float32;
    `float32_products`: queries and keys are float32 before; `softcap`: a tanh bounds the scores; `sinks`: each head
    has a score more. `whole_norm`: queries are normed all heads together, not one by one. `glu`: numbers that a gated
    MLP keeps of each of its width; `router` chooses experts where there are any. `embedding_norm`: there is a norm
    before the first layer. `rotary`: numbers of a position that each layer repeats for itself. `alive`:
    tensors as wide as the MLP that are there at once while it runs, where that is unlike other families; `scores`:
    tensors of scores in the model's precision that are there until it has run, where scores are written out. Not
    `exact`: layers differ in more than is said here.
    """

    norm: Norm
    norms: int = 2
    parallel: bool = False
    reads: int = 2
    masks: int = 2
    outer_masks: int = 1
    fused_qkv: bool = False
    fused_gate: bool = False
    concatenated: bool = False
    position_bias: bool = False
    float32_softmax: bool = True
    float32_products: bool = False
    softcap: bool = False
    sinks: bool = False
    whole_norm: bool = False
    glu: int = 4
    router: Router = Router.SOFTMAX_FLOAT32
    embedding_norm: bool = False
    rotary: int = 0
    alive: int = 0
    scores: int = 1
    exact: bool = True


CLASSIC = Block(Norm.LAYER, float32_softmax=False)  # LayerNorm, dropout, a plain MLP: GPT-2, BERT, BART
GATED = Block(Norm.RMS)  # RMSNorm in float32, a gated MLP, no dropout: Llama, Mistral, Qwen
BIASED = Block(Norm.RMS_INPUT, position_bias=True, outer_masks=2, float32_softmax=False)  # T5
FUSED = Block(Norm.LAYER, fused_qkv=True, fused_gate=True)  # ModernBERT

_PARALLEL = Block(Norm.LAYER, norms=1, reads=1)  # attention and MLP read the same normed hidden state

_FAMILIES: dict[str, Block] = {
    **dict.fromkeys(("gpt2", "bert", "roberta", "xlm-roberta", "camembert", "electra"), CLASSIC),
    **dict.fromkeys(("bart", "marian", "pegasus"), CLASSIC),
    "mbart": replace(CLASSIC, embedding_norm=True),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3"), GATED),
    "mixtral": GATED,
    **dict.fromkeys(("qwen2_moe", "qwen3_moe"), replace(GATED, router=Router.SOFTMAX)),
    "deepseek_v3": replace(GATED, router=Router.GROUPS),
    "distilbert": replace(CLASSIC, masks=1),
    "opt": Block(Norm.LAYER, outer_masks=0),
    "bloom": Block(Norm.LAYER, outer_masks=0, embedding_norm=True, alive=5, scores=2),
    "gpt_neo": Block(Norm.LAYER, float32_products=True),
    "gptj": replace(_PARALLEL, float32_products=True),
    "gpt_neox": Block(Norm.LAYER, parallel=True, fused_qkv=True, concatenated=True),
    "phi": replace(_PARALLEL, concatenated=True),
    "phi3": replace(GATED, fused_qkv=True, fused_gate=True, concatenated=True),
    "glm": replace(GATED, fused_gate=True, concatenated=True),
    "glm4": replace(GATED, norms=4, fused_gate=True, concatenated=True),
    "stablelm": Block(Norm.LAYER, outer_masks=0, concatenated=True),
    "starcoder2": Block(Norm.LAYER),
    **dict.fromkeys(("cohere", "cohere2"), replace(_PARALLEL, norm=Norm.CENTERED)),
    "olmo": Block(Norm.LAYER_FLOAT32),
    **dict.fromkeys(("olmo2", "olmo3"), replace(GATED, norm=Norm.RMS_FLOAT32, whole_norm=True)),
    "gpt_oss": replace(GATED, norm=Norm.RMS_FLOAT32, sinks=True, glu=7, alive=9, router=Router.CHOSEN),
    "llama4_text": replace(GATED, router=Router.ALL, exact=False),  # some layers norm their queries
    "gemma": replace(GATED, norm=Norm.RMS_ONE_PLUS),
    **dict.fromkeys(("gemma2", "gemma3_text"), replace(GATED, norm=Norm.RMS_ONE_PLUS, norms=4)),
    "modernbert": FUSED,
    **dict.fromkeys(("t5", "mt5"), BIASED),
}


def block_of(config: Any) -> Block | None:
    """The layers of a configuration's text model; None where nobody has looked at their code."""
    found = _FAMILIES.get(config.model_type)
    if found is None or not found.exact:
        return found
    if getattr(config, "qk_layernorm", False) or getattr(config, "use_qk_norm", False):
        return None  # Phi, StableLM and Cohere in variants whose queries are normed
    if config.model_type == "gpt_neox" and not config.use_parallel_residual:
        return replace(found, parallel=False)
    if config.model_type == "stablelm" and config.use_parallel_residual:
        return replace(found, norms=1, reads=1)
    if config.model_type == "gptj":  # sine and cosine, of queries and of keys
        return replace(found, rotary=4 * (config.rotary_dim or config.hidden_size))
    if config.model_type in ("glm", "glm4"):
        share = config.rope_parameters.get("partial_rotary_factor", 1.0)
        return replace(found, rotary=2 * int(config.head_dim * share))
    return replace(found, softcap=True) if getattr(config, "attn_logit_softcapping", None) else found
