"""Which of the three families a configuration belongs to, and what each family offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from llmlab.engine.errors import EngineError, ModelFileError, UnsupportedModelError
from llmlab.engine.types import Architecture, Feature

GENERATIVE = frozenset({Feature.TOKENIZE, Feature.NEXT_TOKEN, Feature.GENERATE, Feature.ATTENTION, Feature.SCORE})
FEATURES = {
    Architecture.DECODER: GENERATIVE,
    Architecture.ENCODER: frozenset({Feature.TOKENIZE, Feature.FILL_MASK, Feature.ATTENTION}),
    Architecture.ENCODER_DECODER: GENERATIVE,
}
HEADLESS = frozenset({Feature.TOKENIZE, Feature.ATTENTION})  # a checkpoint of the body alone

_AUTO_CLASSES: dict[Architecture, Any] = {
    Architecture.DECODER: AutoModelForCausalLM,
    Architecture.ENCODER: AutoModelForMaskedLM,
    Architecture.ENCODER_DECODER: AutoModelForSeq2SeqLM,
}


def check_known(config: dict[str, Any]) -> None:
    """Raise UnsupportedModelError where transformers has no code of its own for this config.json."""
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in CONFIG_MAPPING:
        return
    if config.get("auto_map"):
        raise UnsupportedModelError(
            f"The architecture “{model_type}” needs Python code that the model brings along, and such code is not run.",
            "Look for a version of the model that transformers supports itself.",
        )
    raise UnsupportedModelError(
        f"The architecture “{model_type}” is not known to the installed version of transformers.",
        "If the model is newer than this program, look for an update; otherwise check model_type in config.json.",
    )


def architecture_of(config: PreTrainedConfig) -> Architecture:
    """The family, from the configuration alone. Raises UnsupportedModelError for what is no language model.

    Some types exist both ways (a BERT can be a decoder): then the class that saved the checkpoint decides, and
    `is_decoder`.
    """
    kind = config.model_type
    if config.is_encoder_decoder and kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return Architecture.ENCODER_DECODER
    if not config.is_encoder_decoder and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        saved_as_decoder = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind] in (config.architectures or ())
        if kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or saved_as_decoder or getattr(config, "is_decoder", False):
            return Architecture.DECODER
    if not config.is_encoder_decoder and kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return Architecture.ENCODER
    raise UnsupportedModelError(
        f"“{kind}” models are not language models that read and write text alone.",
        "Open a decoder-only (GPT-2, Llama, Qwen …), encoder-only (BERT …) or encoder-decoder (T5, BART …) model.",
    )


def configuration(folder: Path, name: str) -> PreTrainedConfig:
    """The configuration in a folder whose config.json is known to be sound JSON. Raises ModelFileError."""
    problem: EngineError
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        layers = getattr(config.get_text_config(), "num_hidden_layers", 1)
    except Exception as error:  # noqa: BLE001 - the configuration classes check with errors of many kinds
        problem = unsound_configuration(name, error)
    else:
        if layers >= 1:
            return config
        problem = unsound_configuration(name, ValueError(f"it says {layers} layers"))
    raise problem


def unsound_configuration(name: str, error: Exception) -> ModelFileError:
    """The error for values in a config.json that the architecture cannot have."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return ModelFileError(
        f"The file config.json of “{name}” does not describe a model that can be built: {text}.",
        "Compare it with the config.json where the model came from, or download it again.",
    )


def own_quantization(config: dict[str, Any], name: str) -> tuple[str | None, bool]:
    """How the checkpoint itself is quantized: int8, nf4, fp4 or None, and whether its scales are as well.

    Raises UnsupportedModelError for methods other than bitsandbytes'.
    """
    settings = config.get("quantization_config")
    if not isinstance(settings, dict):
        return None, False
    if settings.get("load_in_8bit"):
        return "int8", False
    if settings.get("load_in_4bit"):
        return str(settings.get("bnb_4bit_quant_type", "fp4")), bool(settings.get("bnb_4bit_use_double_quant"))
    raise UnsupportedModelError(
        f"“{name}” is quantized with {settings.get('quant_method', 'a method of its own')}, which is not supported.",
        "Open the original model and choose int8, nf4 or fp4 as its quantization.",
    )


def auto_class(architecture: Architecture) -> Any:
    """The transformers class that opens models of this family with their language modelling head."""
    return _AUTO_CLASSES[architecture]
