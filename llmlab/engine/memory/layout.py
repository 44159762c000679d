"""What a model costs in memory, from its configuration alone: no weight is read, nothing is allocated.

Parameter counts come from the architecture itself, built on torch's meta device. Everything is in bytes; who shows
it says whether GB (10⁹) or GiB (2³⁰) is meant.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llmlab.engine.architecture import architecture_of, auto_class, check_known, unsound_configuration
from llmlab.engine.catalog import CONFIG_FILE
from llmlab.engine.errors import UnsupportedModelError
from llmlab.engine.inspection import read_json
from llmlab.engine.memory.weights import WeightLayout
from llmlab.engine.wording import first_line

ConfigLike: TypeAlias = dict[str, Any] | str | Path | PreTrainedConfig


def parameter_count(config: ConfigLike) -> int:
    """How many parameters the architecture of `config` (a config.json as dict or path) has, exactly.

    A tied embedding counts once. `architectures` in the configuration picks the head; without it, the language
    modelling head of the model's family is counted. Raises ModelFileError or UnsupportedModelError.
    """
    return weight_layout(config).parameters


def weight_layout(config: ConfigLike) -> WeightLayout:
    """The sizes of every weight of the architecture, from a model built on the meta device."""
    return layout_of(meta_model(config), config)


def layout_of(model: PreTrainedModel, config: ConfigLike) -> WeightLayout:
    """The sizes of every weight of `model`, which `config` describes."""
    quantized = quantized_weights(model)
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
        others=sum(others.values()) + _untied_output(model, as_dict(config)),
        saved_buffers=sum(saved.values()),
        float32_in_float16=kept[torch.float16],
        float32_in_bfloat16=kept[torch.bfloat16],
        other_buffers=sum(b.numel() * b.element_size() for name, b in buffers.items() if name not in saved),
        largest=max(parameters.values(), default=0),
    )


def meta_model(config: ConfigLike) -> PreTrainedModel:
    """The architecture of `config` with weights that have shapes but no memory."""
    configuration = as_config(config)
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


def as_dict(config: ConfigLike) -> dict[str, Any]:
    """The configuration as its config.json has it. Raises ModelFileError."""
    if isinstance(config, PreTrainedConfig):
        return config.to_dict()
    if isinstance(config, dict):
        return config
    path = Path(config).expanduser()
    return read_json(path / CONFIG_FILE if path.is_dir() else path)


def as_config(config: ConfigLike) -> PreTrainedConfig:
    """The configuration as transformers has it. Raises ModelFileError or UnsupportedModelError."""
    if isinstance(config, PreTrainedConfig):
        return config
    values = as_dict(config)
    if "model_type" not in values:
        named = getattr(transformers, (values.get("architectures") or [""])[0], None)
        values = {**values, "model_type": getattr(getattr(named, "config_class", None), "model_type", None)}
    check_known(values)
    try:
        return CONFIG_MAPPING[values["model_type"]].from_dict(values)
    except Exception as error:  # noqa: BLE001 - the configuration classes check with errors of many kinds
        raise unsound_configuration(str(values["model_type"]), error) from None


def quantized_weights(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
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
