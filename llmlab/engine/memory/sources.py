"""Where an architecture comes from: the built-in list, a config.json, a folder, the hub, or the loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig

from llmlab.engine import catalog, hub
from llmlab.engine.errors import AccessError, InputError, ModelFileError, UnsupportedModelError
from llmlab.engine.inspection import read_json
from llmlab.engine.memory.architectures import architecture
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.layout import as_config
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.progress import UNCONTROLLED, Control

if TYPE_CHECKING:
    from llmlab.engine.loading import LoadedModel

MOST_PARAMETERS = 10**15  # a thousand times the largest model there is
NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_NESTED = ("text_config", "language_config", "llm_config")
# Sizes beyond these are slips of the keyboard; the first also keeps the architecture from being built for hours.
_LIMITS = {
    "layers": (1, 2000, ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")),
    "heads": (1, 10**5, ("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads")),
    "widths": (
        1,
        10**7,
        ("hidden_size", "n_embd", "d_model", "dim", "intermediate_size", "d_ff", "ffn_dim", "n_inner"),
    ),
    "head sizes": (1, 10**6, ("head_dim", "d_kv", "kv_lora_rank", "qk_rope_head_dim")),
    "vocabulary": (1, 10**9, ("vocab_size",)),
    "experts": (0, 10**5, ("num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok")),
    "context": (1, 10**12, ("max_position_embeddings", "n_positions")),
}
_MAY_BE_NULL = frozenset({"num_key_value_heads", "head_dim", "n_inner", "intermediate_size", "kv_lora_rank"})


@dataclass(frozen=True, slots=True)
class Described:
    """An architecture in numbers, and sentences about what its source left unsaid."""

    shape: ModelShape
    notes: tuple[str, ...] = ()


def from_list(name: str) -> Described:
    """One of the built-in list. Raises InputError."""
    return Described(describe(architecture(name).config, name))


def from_loaded(loaded: LoadedModel) -> Described:
    """The model that is open. Raises UnsupportedModelError."""
    return Described(describe(loaded.model.config, loaded.info.name))


def from_values(values: dict[str, Any], name: str = "") -> Described:
    """The values of a config.json. Raises ModelFileError or UnsupportedModelError, which name the field."""
    check_fields(values)
    config = as_config(values)
    found = describe(values, name or str(values.get("_name_or_path") or config.model_type))
    if found.parameters > MOST_PARAMETERS:
        raise ModelFileError(
            f"“{found.name}” would have {found.parameters:.3g} parameters, which no computer holds.",
            "Compare the sizes in config.json with those where the model came from.",
        )
    return Described(found, unsaid(values, config))


def from_path(path: Path | str) -> Described:
    """A config.json, or a folder that has one. Raises ModelFileError or UnsupportedModelError."""
    file = Path(path).expanduser()
    name = file.name if file.is_dir() else file.parent.name if file.name == catalog.CONFIG_FILE else file.stem
    file = file / catalog.CONFIG_FILE if file.is_dir() else file
    if not file.is_file():
        raise ModelFileError(f"There is no file “{file}”.", "Choose a config.json, or a folder that has one.")
    return from_values(read_json(file), name)


def from_spec(spec: str, control: Control = UNCONTROLLED) -> Described:
    """A name of the list, a folder, a config.json or a hub id, of which the configuration is downloaded.

    Raises what `hub.fetch` raises, AccessError when offline, ModelFileError, ModelNotFoundError, UnsupportedModelError.
    """
    spec = spec.strip()
    if not spec:
        raise InputError("There is no model named.", "Give a hub id such as Qwen/Qwen3-0.6B, or a folder.")
    if Path(spec).expanduser().is_file():
        return from_path(spec)
    source = catalog.resolve(spec)
    folder = source.path or hub.cached_folder(spec)
    if folder is None or not (folder / catalog.CONFIG_FILE).is_file():
        if hub.is_offline():
            raise AccessError(
                f"“{spec}” is not in the Hugging Face cache of this computer, and the program is offline.",
                "Leave the offline mode, or choose one of the list.",
            )
        folder = hub.fetch(spec, control)
    return from_values(read_json(folder / catalog.CONFIG_FILE), source.name)


def check_fields(values: dict[str, Any]) -> None:
    """Raise ModelFileError for a size that is missing, no whole number or out of all bounds, by its name."""
    if not values.get("model_type") and not values.get("architectures"):
        raise UnsupportedModelError(
            "The file does not say which architecture it describes: “model_type” is missing.",
            "It needs an entry “model_type” with transformers' name of the architecture, such as llama or bert.",
        )
    for part in (values, *(values[name] for name in _NESTED if isinstance(values.get(name), dict))):
        for least, most, names in _LIMITS.values():
            for name in names:
                if name in part and not (part[name] is None and name in _MAY_BE_NULL):
                    _check_size(name, part[name], least, most)


def unsaid(values: dict[str, Any], config: PreTrainedConfig) -> tuple[str, ...]:
    """A sentence for every size that the file leaves to transformers' default, which may be another model's."""
    nested: dict[str, Any] = next((values[name] for name in _NESTED if isinstance(values.get(name), dict)), {})
    text = config.get_text_config(decoder=True)
    found = []
    for name in NEEDED:
        spelled = str(text.attribute_map.get(name, name))
        if not {name, spelled} & {*values, *nested}:
            found.append(f"{spelled} is missing; transformers takes {getattr(text, name, None):,}.")
    return tuple(found)


def _check_size(name: str, value: Any, least: int, most: int) -> None:
    hint = "Compare it with the config.json where the model came from."
    if type(value) is not int:
        said = "null" if value is None else f"“{value}”"
        raise ModelFileError(f"{name} is {said[:40]}, which is no whole number.", hint)
    if not least <= value <= most:
        raise ModelFileError(f"{name} is {value:,}, which is not possible."[:200], hint)
