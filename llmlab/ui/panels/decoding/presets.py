"""Settings as files: presets in YAML, and transformers' generation_config.json. No Qt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.ui.panels.decoding.knob_specs import KNOBS, STAGE_NAMES
from llmlab.ui.panels.decoding.params import LIMITS, Params

MAX_BYTES = 100_000
DEFAULTS = Params()
PRESET = (
    "do_sample", *(name for name in KNOBS), "stop", "banned", "biases", "order",
)  # fmt: skip
"""What a preset has: everything that decides how a token is chosen and when a completion ends, but the seed."""
HEADER = "# LLM Lab: settings of decoding; what is not named has its default\n"
# What transformers assumes where a generation_config.json is silent, as far as it is not off.
TRANSFORMERS = {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}
OFF = {"min_p": 0.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "repetition_penalty": 1.0}
OFF |= {"encoder_repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
OFF |= {"no_repeat_ngram_size": 0, "min_new_tokens": 0}
# What says nothing about how tokens are chosen, or is the same in our loop.
UNTOLD = frozenset((
    "_from_model_config", "transformers_version", "bos_token_id", "eos_token_id", "pad_token_id", "use_cache",
    "decoder_start_token_id", "output_attentions", "output_hidden_states", "output_scores", "output_logits",
    "return_dict_in_generate", "max_length", "num_return_sequences", "forced_bos_token_id", "suppress_tokens",
    "_commit_hash",
))  # fmt: skip

IN_IDS = "ids of tokens, which mean words to one vocabulary only: type the words under Words"


@dataclass(frozen=True, slots=True)
class Imported:
    """What to change, and what the file asks for that has no place here."""

    changes: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


def to_yaml(params: Params) -> str:
    """A preset: only what differs from the default."""
    import yaml

    values = params.to_dict()
    different = {name: values[name] for name in PRESET if getattr(params, name) != getattr(DEFAULTS, name)}
    if "biases" in different:
        different["biases"] = dict(params.biases)
    # As it is written, letters stay letters; but of line breaks beyond "\n" YAML would make spaces.
    readable = "".join((*params.words, *params.stop)).isprintable()
    body = yaml.safe_dump(different, allow_unicode=readable, sort_keys=False) if different else ""
    return HEADER + body


def read(path: Path) -> Imported:
    """The settings in a file: a preset, or a generation_config.json. Raises InputError for anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.", "Choose another file.") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path.name} is too large for settings.", "Choose a preset or a generation_config.json.")
    text = data.decode("utf-8", "replace")
    if path.suffix.lower() == ".json":
        return from_generation_config(_json(text, path.name))
    return from_yaml(text, path.name)


def from_yaml(text: str, name: str = "The preset") -> Imported:
    """What a preset changes. Raises InputError for what is none."""
    values = _mapping(_yaml(text, name), name)
    unknown = tuple(str(key) for key in values if key not in PRESET)
    biases = values.get("biases")
    if isinstance(biases, Mapping):
        values["biases"] = list(biases.items())
    read_ = Params.from_dict(values)
    wrong = [key for key in PRESET if key in values and _as_read(values[key]) != _as_read(getattr(read_, key))]
    if wrong:
        key = wrong[0]
        limits = f" Use a value from {LIMITS[key][0]:g} to {LIMITS[key][1]:g}." if key in LIMITS else ""
        raise InputError(f"{name} sets {key} to {values[key]!r}, which it cannot be.", f"Mend the file.{limits}")
    return Imported({key: getattr(read_, key) for key in PRESET}, unknown)


def from_generation_config(config: Mapping[str, Any], *, own: bool = False) -> Imported:
    """What a model's generation_config.json changes; values that the sliders cannot show are left out and named.

    Words stand there as ids of one vocabulary's tokens, which the lists of words cannot hold: they are left out, and
    it is said why, but for single tokens that the loaded model's `own` file bans, since these act always.
    """
    wanted = TRANSFORMERS | OFF | {key: value for key, value in config.items() if value is not None}
    changes: dict[str, Any] = {"banned": (), "biases": (), "order": ()}
    left_out = [key for key in config if key not in UNTOLD and key not in KNOBS and key != "do_sample"]
    left_out = [key for key in left_out if config[key] not in (None, False, 1, 1.0, 0, [], {})]
    if own and all(len(tokens) == 1 for tokens in config.get("bad_words_ids") or ()):
        left_out = [key for key in left_out if key != "bad_words_ids"]
    left_out = [f"{key} ({IN_IDS})" if key in ("bad_words_ids", "sequence_bias") else key for key in left_out]
    for key in ("do_sample", *KNOBS):
        if key not in wanted:
            continue
        read_ = Params.from_dict({key: wanted[key]})
        if _as_read(getattr(read_, key)) == _as_read(wanted[key]):
            changes[key] = getattr(read_, key)
        else:
            left_out.append(f"{key} {wanted[key]!r}")
    return Imported(changes, tuple(left_out))


def summary(changes: Mapping[str, Any]) -> str:
    """Settings on one line, as far as they are on."""
    if not changes.get("do_sample", True):
        return "greedy"
    told = [
        f"{STAGE_NAMES[name].lower()} {value:g}"
        for name, value in changes.items()
        if name in KNOBS and name != "max_new_tokens" and value != OFF.get(name, {"top_k": 0, "top_p": 1.0}.get(name))
    ]
    return "sample" + "".join(f", {each}" for each in told)


def _as_read(value: Any) -> Any:
    """Numbers compare as numbers, lists as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(_as_read(each) for each in value)
    return value


def _mapping(content: Any, name: str) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{name} holds no settings.", "A preset has lines such as “temperature: 0.7”.")
    return content


def _json(text: str, name: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{name} is not JSON.", "Choose a preset or a generation_config.json.") from None
    return _mapping(content, name)


def _yaml(text: str, name: str) -> Any:
    import yaml

    class Plain(yaml.SafeLoader):
        """No aliases: a few of them can stand for gigabytes."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader=Plain)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{name} is not a preset in YAML.", "A preset has lines such as “temperature: 0.7”.") from None
