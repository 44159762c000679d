"""Tells what a loaded model is: the numbers of the model bar, read from the model itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from llmlab.engine.architecture import FEATURES, HEADLESS
from llmlab.engine.placement import Placement
from llmlab.engine.types import Architecture, Feature, ModelInfo, ModelRequest


def describe(
    request: ModelRequest,
    name: str,
    architecture: Architecture,
    placement: Placement,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    has_head: bool,
) -> ModelInfo:
    """The facts about `model`, with notes on what the user would not expect."""
    config = model.config.get_text_config(decoder=architecture is not Architecture.ENCODER)
    heads = _whole(config, "num_attention_heads")
    layers = _whole(config, "num_decoder_layers", "num_hidden_layers")
    features = FEATURES[architecture] if has_head else HEADLESS
    mask_token = tokenizer.mask_token if architecture is Architecture.ENCODER else None
    if architecture is Architecture.ENCODER and mask_token is None:
        features -= {Feature.FILL_MASK}
    if heads == 0:  # Mamba, RWKV, FNet
        features -= {Feature.ATTENTION}
    return ModelInfo(
        request=request,
        name=name,
        architecture=architecture,
        model_type=model.config.model_type,
        parameters=count_parameters(model),
        layers=layers,
        heads=heads,
        key_value_heads=_whole(config, "num_key_value_heads") or heads,
        hidden_size=_whole(config, "hidden_size"),
        vocabulary=_vocabulary(model, config),
        context=_context(model, config),
        device=str(input_device(model)),
        dtype=placement.dtype,
        quantization=placement.quantization,
        features=features,
        mask_token=mask_token,
        notes=placement.notes + _notes(architecture, model.config, layers, tokenizer, has_head=has_head),
    )


def count_parameters(model: PreTrainedModel) -> int:
    """Parameters as the architecture has them: 4-bit weights lie packed two to a byte, and count as two."""
    total = 0
    for parameter in model.parameters():
        state: Any = getattr(parameter, "quant_state", None)
        total += parameter.numel() if state is None else state.shape.numel()
    return total


def input_device(model: PreTrainedModel) -> torch.device:
    """Where token ids go: to the embeddings, which a split model has on its first GPU."""
    try:
        weight: torch.Tensor = next(model.get_input_embeddings().parameters())
    except NotImplementedError:  # CANINE embeds hashes of characters
        return model.device
    return weight.device


def _vocabulary(model: PreTrainedModel, config: PreTrainedConfig) -> int:
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return output.out_features if isinstance(output, nn.Linear) else _whole(config, "vocab_size")


def _context(model: PreTrainedModel, config: PreTrainedConfig) -> int | None:
    """The most tokens the model can read. RoBERTa's positions start behind its padding index."""
    positions = _whole(config, "max_position_embeddings")
    if positions <= 0:
        return None
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return positions - module.padding_idx - 1
    return positions


def _notes(
    architecture: Architecture,
    config: PreTrainedConfig,
    layers: int,
    tokenizer: PreTrainedTokenizerBase,
    *,
    has_head: bool,
) -> tuple[str, ...]:
    notes = []
    if not has_head:
        use = "fill masks" if architecture is Architecture.ENCODER else "predict tokens"
        notes.append(f"The checkpoint holds the model without its output layer, so it cannot {use}.")
    if architecture is Architecture.ENCODER and has_head and tokenizer.mask_token is None:
        notes.append("The tokenizer has no mask token, so masks cannot be filled.")
    encoder = _whole(config, "encoder_layers", "num_layers")
    if architecture is Architecture.ENCODER_DECODER and encoder not in (0, layers):
        notes.append(f"{encoder} encoder layers and {layers} decoder layers.")
    if not tokenizer.is_fast:
        notes.append("There is no fast tokenizer, so the places of tokens in the text are not known.")
    return tuple(notes)


def _whole(config: PreTrainedConfig, *names: str) -> int:
    """The first of the attributes that is there; where the layers differ in it, the largest. 0 without one."""
    for name in names:
        try:
            value = getattr(config, name, None)
        except RuntimeError:  # transformers' way to say that the layers differ in it
            value = [getattr(layer, name) for layer in config.per_layer_config]
        if isinstance(value, (list, tuple)) and value:
            return int(max(value))
        if isinstance(value, int):
            return value
    return 0
