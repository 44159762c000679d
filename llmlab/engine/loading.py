"""Opens a model: from a `ModelRequest` to a `LoadedModel` on its device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from llmlab.engine import catalog
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.types import Architecture, Feature, ModelInfo, ModelRequest

FEATURES = {
    Architecture.DECODER: frozenset(
        {Feature.TOKENIZE, Feature.NEXT_TOKEN, Feature.GENERATE, Feature.ATTENTION, Feature.SCORE}
    ),
    Architecture.ENCODER: frozenset({Feature.TOKENIZE, Feature.FILL_MASK, Feature.ATTENTION}),
    Architecture.ENCODER_DECODER: frozenset(
        {Feature.TOKENIZE, Feature.NEXT_TOKEN, Feature.GENERATE, Feature.ATTENTION, Feature.SCORE}
    ),
}
_AUTO_CLASSES = {
    Architecture.DECODER: AutoModelForCausalLM,
    Architecture.ENCODER: AutoModelForMaskedLM,
    Architecture.ENCODER_DECODER: AutoModelForSeq2SeqLM,
}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model in evaluation mode on its device, with its tokenizer."""

    info: ModelInfo
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device  # where the inputs go


def load(request: ModelRequest, control: Control = UNCONTROLLED) -> LoadedModel:
    """Open the model that `request` names. Raises an `EngineError`, or `Cancelled`."""
    source = catalog.resolve(request.spec)
    place: str | Path = source.path if source.path is not None else request.spec
    control.report(f"Reading the configuration of {source.name}")
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    architecture = architecture_of(config)
    control.check()
    control.report("Reading the tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    control.check()
    control.report("Reading the weights")
    device = torch.device("cpu" if request.device == "auto" else request.device)
    dtype = torch.float32 if request.dtype == "auto" else getattr(torch, request.dtype)
    model = _AUTO_CLASSES[architecture].from_pretrained(
        place, config=config, dtype=dtype, use_safetensors=True, trust_remote_code=False
    )
    model = model.to(device).eval()
    control.check()
    info = _describe(request, source.name, architecture, model, tokenizer, device)
    return LoadedModel(info, model, tokenizer, device)


def architecture_of(config: PreTrainedConfig) -> Architecture:
    """Which of the three families `config` belongs to."""
    if config.is_encoder_decoder:
        return Architecture.ENCODER_DECODER
    names = config.architectures or []
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if (
        masked
        and not getattr(config, "is_decoder", False)
        and not any("CausalLM" in n or "LMHead" in n for n in names)
    ):
        return Architecture.ENCODER
    return Architecture.DECODER


def _describe(
    request: ModelRequest,
    name: str,
    architecture: Architecture,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    device: torch.device,
) -> ModelInfo:
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    return ModelInfo(
        request=request,
        name=name,
        architecture=architecture,
        model_type=config.model_type,
        parameters=sum(p.numel() for p in model.parameters()),
        layers=config.num_hidden_layers,
        heads=heads,
        key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
        hidden_size=config.hidden_size,
        vocabulary=config.vocab_size,
        context=getattr(config, "max_position_embeddings", None),
        device=str(device),
        dtype=str(model.dtype).removeprefix("torch."),
        quantization=request.quantization,
        features=FEATURES[architecture],
        mask_token=tokenizer.mask_token if architecture is Architecture.ENCODER else None,
    )
