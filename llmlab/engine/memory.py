"""What a model costs in memory, from its configuration alone: no weight is read, nothing is allocated.

Parameter counts come from the architecture itself, built on torch's meta device. Everything is in bytes; who shows
it says whether GB (10⁹) or GiB (2³⁰) is meant.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llmlab.engine.architecture import architecture_of, auto_class, check_known, unsound_configuration
from llmlab.engine.catalog import CONFIG_FILE
from llmlab.engine.errors import InputError, UnsupportedModelError
from llmlab.engine.inspection import read_json
from llmlab.engine.types import Architecture
from llmlab.engine.wording import first_line

ConfigLike: TypeAlias = dict[str, Any] | str | Path | PreTrainedConfig

BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "int8": 8, "fp8": 8, "int4": 4, "nf4": 4, "fp4": 4}
QUANTIZATIONS = ("int8", "nf4", "fp4")

_RECURRENT = ("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm")  # they keep a state of fixed size instead
_BLOCK = 64  # elements that share one scale in NF4 and FP4
_NESTED_BLOCK = 256  # scales that share one scale in double quantization
_CODEBOOK = 16 * 4  # the 16 values of a 4-bit type, in float32
_NESTED_STATE = 256 * 4 + 4 + 64  # 8-bit codebook and offset of the scales, and the 4-bit codebook
_KEPT_WEIGHTS = 2 + 2  # ZeRO: 16-bit weights and gradients
_OPTIMIZER = 12  # ZeRO's K: 32-bit weights, momentum and variance of mixed-precision Adam


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """The sizes that decide how many bytes the weights take at any precision.

    `matrices` (outputs, inputs) of every weight that bitsandbytes would quantize; `others` the elements of all other
    parameters, and `saved_buffers` of what else a checkpoint holds; of these two, `float32_in_float16` and
    `float32_in_bfloat16` stay in float32 at these precisions. `other_buffers` in bytes; `largest` the elements of the
    largest parameter.
    """

    matrices: tuple[tuple[int, int], ...]
    others: int
    saved_buffers: int
    float32_in_float16: int
    float32_in_bfloat16: int
    other_buffers: int
    largest: int

    @property
    def parameters(self) -> int:
        """All elements of all parameters, a tied one counted once."""
        return sum(outputs * inputs for outputs, inputs in self.matrices) + self.others


def parameter_count(config: ConfigLike) -> int:
    """How many parameters the architecture of `config` (a config.json as dict or path) has, exactly.

    A tied embedding counts once. `architectures` in the configuration picks the head; without it, the language
    modelling head of the model's family is counted. Raises ModelFileError or UnsupportedModelError.
    """
    return weight_layout(config).parameters


def weight_layout(config: ConfigLike) -> WeightLayout:
    """The sizes of every weight of the architecture, from a model built on the meta device."""
    model = meta_model(config)
    quantized = _quantized_weights(model)
    parameters = {name: parameter.numel() for name, parameter in model.named_parameters()}
    others = {name: size for name, size in parameters.items() if name not in quantized}
    in_file = model.state_dict().keys()
    buffers = dict(model.named_buffers())
    saved = {name: b.numel() for name, b in buffers.items() if name in in_file and b.is_floating_point()}
    kept = {
        dtype: sum(
            size for name, size in (others | saved).items() if _is_kept(name, tuple(model._get_dtype_plan(dtype)))
        )
        for dtype in (torch.float16, torch.bfloat16)
    }
    return WeightLayout(
        matrices=tuple(quantized.values()),
        others=sum(others.values()) + _untied_output(model, _as_dict(config)),
        saved_buffers=sum(saved.values()),
        float32_in_float16=kept[torch.float16],
        float32_in_bfloat16=kept[torch.bfloat16],
        other_buffers=sum(b.numel() * b.element_size() for name, b in buffers.items() if name not in saved),
        largest=max(parameters.values(), default=0),
    )


def weight_bytes(
    layout: WeightLayout, dtype: str = "float32", quantization: str | None = None, *, double: bool = False
) -> int:
    """Bytes of all parameters and buffers, with the weights of linear layers quantized where asked for.

    `dtype` is the precision of what is not quantized. bitsandbytes' layouts, n elements and out rows per matrix:
    LLM.int8 n + 4·out; NF4 and FP4 n/2 + 4·⌈n/64⌉ + 64; with double quantization
    n/2 + ⌈n/64⌉ + 4·⌈n/64/256⌉ + 1092. Raises InputError.
    """
    kept = {"float16": layout.float32_in_float16, "bfloat16": layout.float32_in_bfloat16}.get(dtype, 0)
    converted = layout.others + layout.saved_buffers - kept
    rest = converted * _bits(dtype) // 8 + 4 * kept + layout.other_buffers
    return rest + sum(
        matrix_bytes(outputs, inputs, dtype, quantization, double=double) for outputs, inputs in layout.matrices
    )


def matrix_bytes(outputs: int, inputs: int, dtype: str, quantization: str | None, *, double: bool = False) -> int:
    """Bytes of one weight matrix (outputs, inputs) at a precision, scales and codebooks included."""
    elements = outputs * inputs
    if quantization is None:
        return elements * _bits(dtype) // 8
    if quantization == "int8":
        return elements + 4 * outputs
    if quantization not in QUANTIZATIONS:
        raise InputError(f"There is no quantization “{quantization}”.", f"Choose one of {', '.join(QUANTIZATIONS)}.")
    blocks = math.ceil(elements / _BLOCK)
    packed = math.ceil(elements / 2)
    if double:
        return packed + blocks + 4 * math.ceil(blocks / _NESTED_BLOCK) + _NESTED_STATE
    return packed + 4 * blocks + _CODEBOOK


def kv_cache_bytes(
    config: ConfigLike, tokens: int = 4096, batch: int = 1, dtype: str = "float16", *, source_tokens: int = 0
) -> int:
    """Bytes of the keys and values that `tokens` tokens leave in the cache.

    2 · layers · key/value heads · head size · tokens · batch · bytes, per layer: a sliding window keeps
    min(tokens, window − 1) (as transformers does), multi-head latent attention one latent vector and one rotary key
    (arXiv:2405.04434, section 2.1), a layer that reuses another's cache nothing. Recurrent layers have a state of
    fixed size instead, which is not counted. For encoder-decoder models `tokens` are the decoder's, and the cross
    attention adds a fixed part for `source_tokens` of input. Encoder-only models keep no cache: 0.
    """
    for name, value, least in (("tokens", tokens, 0), ("batch", batch, 1), ("source_tokens", source_tokens, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, which is not possible.", f"Give a number from {least} up.")
    whole = _as_config(config)
    if architecture_of(whole) is Architecture.ENCODER:
        return 0
    text = whole.get_text_config(decoder=True)
    elements = 0
    for layer, window in _caching_layers(text):
        kept = tokens if window is None else min(tokens, max(window - 1, 0))
        elements += _cached_elements(layer) * (kept + (source_tokens if whole.is_encoder_decoder else 0))
    return elements * batch * _bits(dtype) // 8


def cache_windows(config: PreTrainedConfig) -> tuple[int | None, ...]:
    """For every layer that caches keys and values: its sliding window in tokens, or None for all of them."""
    return tuple(window for _, window in _caching_layers(config))


def zero_bytes_per_gpu(parameters: int, gpus: int, stage: int) -> int:
    """Bytes of weights, gradients and optimizer states on each GPU with mixed-precision Adam.

    ZeRO, arXiv:1910.02054, section 3 and table 1, with Ψ parameters and K = 12: stage 0 (4 + K)Ψ; stage 1 4Ψ + KΨ/N;
    stage 2 2Ψ + (2 + K)Ψ/N; stage 3 (4 + K)Ψ/N. Where N does not divide Ψ, the largest part counts.
    Raises InputError.
    """
    if parameters < 0 or gpus < 1 or stage not in range(4):
        raise InputError(
            f"ZeRO stage {stage} of {parameters} parameters on {gpus} GPUs is not possible.",
            "The stage is 0, 1, 2 or 3, and there is at least one GPU.",
        )
    split = (0, _OPTIMIZER, 2 + _OPTIMIZER, _KEPT_WEIGHTS + _OPTIMIZER)[
        stage
    ]  # bytes per parameter that are shared out
    return (_KEPT_WEIGHTS + _OPTIMIZER - split) * parameters + split * math.ceil(parameters / gpus)


def meta_model(config: ConfigLike) -> PreTrainedModel:
    """The architecture of `config` with weights that have shapes but no memory."""
    configuration = _as_config(config)
    named = getattr(transformers, (configuration.architectures or [""])[0], None)
    try:
        with torch.device("meta"):
            if isinstance(named, type) and issubclass(named, PreTrainedModel):
                return named(configuration)
            model: PreTrainedModel = auto_class(architecture_of(configuration)).from_config(configuration)
            return model
    except (ValueError, TypeError, RuntimeError, AttributeError, KeyError, ArithmeticError) as error:
        raise unsound_configuration(configuration.model_type, error) from None
    except ImportError as error:
        raise UnsupportedModelError(
            f"“{configuration.model_type}” models need another package: {first_line(error)}.",
            "Install the package and open the model again.",
        ) from None


def _as_dict(config: ConfigLike) -> dict[str, Any]:
    if isinstance(config, PreTrainedConfig):
        return config.to_dict()
    if isinstance(config, dict):
        return config
    path = Path(config).expanduser()
    return read_json(path / CONFIG_FILE if path.is_dir() else path)


def _as_config(config: ConfigLike) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    values = _as_dict(config)
    if "model_type" not in values:
        named = getattr(transformers, (values.get("architectures") or [""])[0], None)
        values = {**values, "model_type": getattr(getattr(named, "config_class", None), "model_type", None)}
    check_known(values)
    try:
        return CONFIG_MAPPING[values["model_type"]].from_dict(values)
    except Exception as error:  # noqa: BLE001 - the configuration classes check with errors of many kinds
        raise unsound_configuration(str(values["model_type"]), error) from None


def _quantized_weights(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """Parameter name → (outputs, inputs) of what transformers hands to bitsandbytes."""
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    skipped = [*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or ())]
    found = {}
    for name, module in model.named_modules():
        if not should_convert_module(name, skipped):
            continue
        if isinstance(module, Conv1D):  # GPT-2's linear layer, stored as (inputs, outputs)
            found[f"{name}.weight"] = (module.weight.shape[1], module.weight.shape[0])
        elif type(module) is torch.nn.Linear:
            found[f"{name}.weight"] = (module.out_features, module.in_features)
    return found


def _is_kept(name: str, globs: tuple[str, ...]) -> bool:
    """Whether transformers keeps the parameter in float32; it looks for its globs anywhere in the name."""
    return any(re.search(glob.replace("*", ".*"), name) for glob in globs)


def _untied_output(model: PreTrainedModel, config: dict[str, Any]) -> int:
    """Elements of an output layer that the file has although the class ties it.

    transformers 5 forces tied embeddings on T5; T5 v1.1 and Flan-T5 say `tie_word_embeddings: false` and come with
    an output layer of their own, which `from_pretrained` keeps.
    """
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if config.get("tie_word_embeddings") is not False or output is None:
        return 0
    inputs: Any = model.get_input_embeddings()
    return int(output.weight.numel()) if output.weight is inputs.weight else 0


def _caching_layers(config: PreTrainedConfig) -> list[tuple[PreTrainedConfig, int | None]]:
    """The configuration of every layer that caches keys and values, with its window."""
    if config.model_type in _RECURRENT:
        return []
    layers = _layer_configs(config)
    types = getattr(config, "layer_types", None) or [None] * len(layers)
    shared = getattr(config, "num_kv_shared_layers", None) or 0  # the last layers read the cache of earlier ones
    found: list[tuple[PreTrainedConfig, int | None]] = []
    for layer, kind in list(zip(layers, types, strict=False))[: len(layers) - shared]:
        window, chunk = getattr(layer, "sliding_window", None), getattr(layer, "attention_chunk_size", None)
        if kind in ("sliding_attention", "hybrid_sliding") or (kind is None and window is not None):
            found.append((layer, window))
        elif kind == "chunked_attention" or (kind is None and chunk is not None):
            found.append((layer, chunk))
        elif kind not in ("linear_attention", "conv", "moe", "mlp"):
            found.append((layer, None))
    return found


def _layer_configs(config: PreTrainedConfig) -> list[PreTrainedConfig]:
    """One configuration per decoder layer; in a few models (Gemma 4) layers differ in their head size."""
    count = getattr(config, "num_decoder_layers", None) or getattr(config, "num_hidden_layers", None)
    if count is None:
        raise UnsupportedModelError(
            f"The cache of “{config.model_type}” models is not known here.", "Measure it on the loaded model instead."
        )
    each = list(getattr(config, "per_layer_config", ()))
    return each if len(each) == count else [config] * count


def _cached_elements(config: PreTrainedConfig) -> int:
    """Elements that one token leaves in one layer's cache."""
    if getattr(config, "kv_lora_rank", None) is not None:
        return int(config.kv_lora_rank + config.qk_rope_head_dim)
    query_heads = config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", None) or query_heads
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        heads = 1  # Falcon-7B, GPT-BigCode
    size = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // query_heads
    return int(2 * heads * size)


def _bits(dtype: str) -> int:
    if dtype not in BITS:
        raise InputError(f"There is no number format “{dtype}”.", f"Choose one of {', '.join(BITS)}.")
    return BITS[dtype]
