"""From a configuration to a `ModelShape`: the architecture is built on the meta device and looked over."""

from __future__ import annotations

import inspect
import re
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from llmlab.engine.architecture import architecture_of
from llmlab.engine.errors import UnsupportedModelError
from llmlab.engine.memory import casts
from llmlab.engine.memory.blocks import BIASED, CLASSIC, FUSED, GATED, Block, block_of
from llmlab.engine.memory.cache import cached_elements, caching_layers
from llmlab.engine.memory.layout import ConfigLike, as_config, layout_of, meta_model, quantized_weights
from llmlab.engine.memory.shape import CacheLayer, Group, Latent, ModelShape, WeightTensor
from llmlab.engine.types import Architecture

_ATTENTION = ("attn", "attention", "SelfAttention", "EncDecAttention", "self_attention")
_NORMS = ("norm", "ln_", "ln1", "ln2", "layernorm")
_MLP = ("mlp", "fc1", "fc2", "fc_in", "fc_out", "feed_forward", "DenseReluDense", "intermediate", "ffn", "dense_h")
_HEAD = ("lm_head", "cls.", "score", "classifier", "qa_outputs", "embed_out", "pooler", "predictions", "head.")
_EMBEDDINGS = ("wte", "wpe", "shared", "project_in", "project_out")  # the latter widen OPT-350M's
_GATES = ("gate_proj", "gate_up_proj", "experts.w1", ".mlp.Wi.weight", "wi_0")
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "hidden_dropout", "resid_pdrop", "resid_dropout", "dropout", "dropout_rate")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop", "dropout_rate")
_MLP_DROPOUT = ("activation_dropout", "dropout_rate")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a layer, in a parameter's name
_WRITTEN_OUT = ("gelu_new", "gelu_fast", "quick_gelu", "gelu_accurate")


def describe(config: ConfigLike, name: str = "") -> ModelShape:
    """The architecture of `config` in numbers. Raises ModelFileError or UnsupportedModelError."""
    configuration = as_config(config)
    model = meta_model(configuration)
    layout = layout_of(model, config)
    text = configuration.get_text_config(decoder=True)
    if not getattr(text, "num_attention_heads", None) or not getattr(text, "hidden_size", None):
        raise UnsupportedModelError(
            f"“{configuration.model_type}” has no attention heads, which the calculator's sums are about.",
            "Choose a transformer; of other models parameter_count alone is known.",
        )
    heads = int(text.num_attention_heads)
    size = int(
        getattr(text, "qk_head_dim", None)
        or getattr(text, "head_dim", None)
        or getattr(text, "d_kv", None)
        or text.hidden_size // heads
    )
    key_value = int(getattr(text, "num_key_value_heads", None) or heads)
    tensors = _tensors(model, layout.parameters)
    experts, active = _experts(text)
    shared = int(getattr(text, "shared_expert_intermediate_size", None) or 0) if experts else 0
    layers, block = _layers(configuration), block_of(text)
    windows = [] if configuration.is_encoder_decoder else [w for _, w in caching_layers(text) if w]
    return ModelShape(
        name=name or configuration.name_or_path or configuration.model_type,
        architecture=architecture_of(configuration),
        tensors=tensors,
        layout=layout,
        layers=layers,
        hidden=int(text.hidden_size),
        heads=heads,
        query=heads * size,
        key_value=key_value * size,
        intermediate=_intermediate(text) * max(1, active + int(getattr(text, "n_shared_experts", None) or 0)) + shared,
        vocabulary=int(text.vocab_size),
        context=_context(text),
        cache=_cache(configuration, text),
        block=block or _similar(tensors),
        query_key_norm=any("q_norm" in tensor.name for tensor in tensors),
        primitive_gelu=_activation(text) in _WRITTEN_OUT,
        relu=_activation(text) == "relu",
        gated=any(mark in tensor.name for tensor in tensors for mark in _GATES),
        dropout=_drops(text, _HIDDEN_DROPOUT),
        attention_dropout=_drops(text, _ATTENTION_DROPOUT),
        mlp_dropout=_drops(text, _MLP_DROPOUT),
        experts=experts,
        active_experts=active,
        gates_shared_expert=any("shared_expert_gate" in tensor.name for tensor in tensors),
        counted=block is not None and block.exact,
        casts_counted=text.model_type in casts.COUNTED,
        divides_weights=bool(experts and getattr(text, "norm_topk_prob", text.model_type == "mixtral")),
        dense_layers=layers - _mixing_layers(tensors) if experts else 0,
        dense_intermediate=int(getattr(text, "intermediate_size", None) or 0),
        latent=_latent(text),
        window=min(windows, default=None),
        windowed_layers=len(windows),
        fuses=type(model)._supports_sdpa,
        transforms_output=any(_transforms(tensor, text.hidden_size) for tensor in tensors),
        caps_logits=bool(getattr(text, "final_logit_softcapping", None)),
        encoder_layers=_encoder_layers(configuration),
        float32_loss=_computes_loss_in_float32(model),
    )


def _tensors(model: PreTrainedModel, counted: int) -> tuple[WeightTensor, ...]:
    quantized = quantized_weights(model)
    found = [
        WeightTensor(name, tuple(parameter.shape), group_of(name, tuple(parameter.shape)), name in quantized)
        for name, parameter in model.named_parameters()
    ]
    untied = counted - sum(tensor.elements for tensor in found)
    if untied:  # an output layer that the file has although the class ties it
        output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        found.append(WeightTensor("lm_head.weight", tuple(output.weight.shape), Group.HEAD, quantized=False))
    return tuple(found)


def group_of(name: str, shape: tuple[int, ...]) -> Group:
    """Which kind of module a parameter belongs to, from its name and shape."""
    parts = name.split(".")
    if any("expert" in part for part in parts) and "shared" not in name:
        return Group.EXPERTS
    if any(mark in part.lower() for part in parts[-2:] for mark in _NORMS):
        return Group.NORMS
    if any(mark in name for mark in _HEAD):
        return Group.HEAD
    if "embed" in name or any(part in _EMBEDDINGS for part in parts):
        return Group.EMBEDDINGS
    if "relative_attention_bias" in name or any(part in _ATTENTION or part.endswith("_attn") for part in parts):
        return Group.ATTENTION
    if any(mark in part for part in parts for mark in _MLP) or (parts[-2] in ("output", "dense") and len(shape) < 3):
        return Group.MLP
    return Group.OTHER


def _layers(config: PreTrainedConfig) -> int:
    if not config.is_encoder_decoder:
        return int(config.get_text_config(decoder=True).num_hidden_layers)
    decoder = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None)
    return _encoder_layers(config) + int(decoder or config.num_hidden_layers)


def _encoder_layers(config: PreTrainedConfig) -> int:
    """Layers of the encoder that a decoder listens to; 0 where there is none."""
    if not config.is_encoder_decoder:
        return 0
    encoder = getattr(config, "encoder_layers", None) or getattr(config, "num_layers", None)
    return int(encoder or config.num_hidden_layers)


def _cache(config: PreTrainedConfig, text: PreTrainedConfig) -> tuple[CacheLayer, ...]:
    if architecture_of(config) is Architecture.ENCODER:
        return ()
    return tuple(CacheLayer(cached_elements(layer), window) for layer, window in caching_layers(text))


def _intermediate(config: PreTrainedConfig) -> int:
    """The width of the hidden layer of one MLP, or of one expert."""
    names = (
        "moe_intermediate_size",
        "intermediate_size",
        "d_ff",
        "ffn_dim",
        "decoder_ffn_dim",
        "n_inner",
        "hidden_dim",
    )
    found = next((value for name in names if (value := getattr(config, name, None))), None)
    return int(found or 4 * config.hidden_size)


def _experts(config: PreTrainedConfig) -> tuple[int, int]:
    """How many routed experts there are, and how many of them one token goes through."""
    names = ("n_routed_experts", "num_local_experts", "num_experts")
    experts = int(next((value for name in names if (value := getattr(config, name, None))), 0))
    return (experts, int(getattr(config, "num_experts_per_tok", None) or 1)) if experts else (0, 0)


def _context(config: PreTrainedConfig) -> int | None:
    value = getattr(config, "max_position_embeddings", None)
    return int(value) if value else None


def _activation(config: PreTrainedConfig) -> str:
    names = ("hidden_act", "activation_function", "dense_act_fn")
    return str(next((value for name in names if (value := getattr(config, name, None))), ""))


def _drops(config: PreTrainedConfig, names: tuple[str, ...]) -> bool:
    """Whether one of these dropouts of the configuration drops anything."""
    return any(getattr(config, name, None) for name in names)


def _computes_loss_in_float32(model: PreTrainedModel) -> bool:
    """Whether the class uses transformers' own loss, which does; the encoder-decoder models do not."""
    forward = inspect.unwrap(type(model).forward)
    return "loss_function" in forward.__code__.co_names


def _transforms(tensor: WeightTensor, hidden: int) -> bool:
    """Whether this is a linear layer that stands before the output layer, as in BERT's head."""
    if tensor.shape != (hidden, hidden) or "pooler" in tensor.name:
        return False
    dense = tensor.group is Group.HEAD and tensor.name.endswith(".dense.weight")
    return dense or tensor.name.endswith("vocab_transform.weight")


def _mixing_layers(tensors: tuple[WeightTensor, ...]) -> int:
    """How many layers have experts."""
    return len({found.group() for t in tensors if t.group is Group.EXPERTS if (found := _NUMBER.search(t.name))})


def _latent(config: PreTrainedConfig) -> Latent | None:
    rank = getattr(config, "kv_lora_rank", None)
    if not rank:
        return None
    rotary, values = int(config.qk_rope_head_dim), int(config.v_head_dim)
    heads = int(config.num_attention_heads)
    projected = heads * (int(config.qk_nope_head_dim) + values)
    return Latent(int(config.q_lora_rank or 0), int(rank), rotary, heads * values, projected)


def _similar(tensors: tuple[WeightTensor, ...]) -> Block:
    """The family that code which nobody has looked at is most like."""
    if any("gate_proj" in t.name or "gate_up_proj" in t.name or "experts.w1" in t.name for t in tensors):
        return GATED
    if any(t.name.endswith("SelfAttention.relative_attention_bias.weight") for t in tensors):
        return BIASED
    return FUSED if any(t.name.endswith(".mlp.Wi.weight") for t in tensors) else CLASSIC
