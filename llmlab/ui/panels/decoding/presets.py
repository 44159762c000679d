"""Settings as files: presets in YAML, and transformers' generation_config.json. No Qt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from llmlab.engine.errors import InputError
from llmlab.engine.knobs import Tokens
from llmlab.engine.wording import some_of
from llmlab.ui.panels.decoding import words
from llmlab.ui.panels.decoding.knob_specs import KNOBS, STAGE_NAMES
from llmlab.ui.panels.decoding.params import LIMITS, MAX_WORDS, Params, checked_biases
from llmlab.ui.panels.decoding.recognising import HEADER, MAX_BYTES, UNTOLD
from llmlab.ui.panels.decoding.words import TokenWord, Word

DEFAULTS = Params()
PRESET = (
    "do_sample", *(name for name in KNOBS), "stop", "banned", "biases", "order",
)  # fmt: skip
"""What a preset has: everything that decides how a token is chosen and when a completion ends, but the seed."""
FIRST_LINE = f"{HEADER}; what is not named has its default\n"
# What transformers assumes where a generation_config.json is silent, as far as it is not off.
TRANSFORMERS = {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}
OFF = {"min_p": 0.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "repetition_penalty": 1.0}
OFF |= {"encoder_repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
OFF |= {"no_repeat_ngram_size": 0, "min_new_tokens": 0}
BY_IDS = ("bad_words_ids", "sequence_bias")  # words as transformers names them, by the ids of their tokens


@dataclass(frozen=True, slots=True)
class Imported:
    """What to change, and what the file asks for that has no place here."""

    changes: Mapping[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def unnamed(self) -> bool:
        """Whether there are words by ids of which it is not known what they read in the vocabulary they belong to."""
        return any(_lacks_texts(word) for word in _words(self.changes))

    def named(self, vocabulary: int, texts_of: Callable[[Tokens], tuple[str, ...]]) -> Imported:
        """With the texts that a model of so many tokens has for them. Ids that it does not have are left out."""
        changes, left_out = dict(self.changes), list(self.left_out)
        foreign = [word for word in _words(changes) if _lacks_texts(word) and not word.within(vocabulary)]
        if foreign:
            ids = [str(index) for word in foreign for index in word.ids if index >= vocabulary]
            left_out.append(
                f"{len(foreign)} of the words that are named by token ids, since the model has no token "
                f"{some_of(list(dict.fromkeys(ids)))}: its ids end at {vocabulary - 1:,}"
            )

        def with_texts(word: Word) -> Word:
            return word.named(texts_of) if _lacks_texts(word) else word

        changes["banned"] = tuple(with_texts(word) for word in changes["banned"] if word not in foreign)
        biases = ((with_texts(word), bias) for word, bias in changes["biases"] if word not in foreign)
        changes["biases"] = tuple(biases)
        return replace(self, changes=changes, left_out=tuple(left_out))

    def nameless(self) -> Imported:
        """Without those words: there is no model to say what they are."""
        changes = dict(self.changes)
        changes["banned"] = tuple(word for word in changes["banned"] if not _lacks_texts(word))
        changes["biases"] = tuple((word, bias) for word, bias in changes["biases"] if not _lacks_texts(word))
        reason = "words that are named by token ids, which mean something to one model only: open it first"
        return replace(self, changes=changes, left_out=(*self.left_out, reason))


def to_yaml(params: Params) -> str:
    """A preset: only what differs from the default."""
    import yaml

    values = params.to_dict()
    different = {name: values[name] for name in PRESET if getattr(params, name) != getattr(DEFAULTS, name)}
    different |= {"banned": [word for word in params.banned if isinstance(word, str)]}
    different |= {"biases": {word: bias for word, bias in params.biases if isinstance(word, str)}}
    different["bad_words_ids"] = [words.saved(word) for word in params.banned if isinstance(word, TokenWord)]
    different["sequence_bias"] = [
        {"ids": list(word.ids), "texts": list(word.texts), "bias": bias}
        for word, bias in params.biases
        if isinstance(word, TokenWord)
    ]
    different = {name: value for name, value in different.items() if value not in ([], {})}
    # As it is written, letters stay letters; but of line breaks beyond "\n" YAML would make spaces.
    typed = (text for word in params.words for text in ((word,) if isinstance(word, str) else word.texts))
    readable = "".join((*typed, *params.stop)).isprintable()
    body = yaml.safe_dump(different, allow_unicode=readable, sort_keys=False) if different else ""
    return FIRST_LINE + body


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
    unknown = tuple(str(key) for key in values if key not in (*PRESET, *BY_IDS))
    biases = values.get("biases")
    if isinstance(biases, Mapping):
        values["biases"] = list(biases.items())
    read_ = Params.from_dict(values)
    wrong = [key for key in PRESET if key in values and _as_read(values[key]) != _as_read(getattr(read_, key))]
    if wrong:
        key = wrong[0]
        limits = f" Use a value from {LIMITS[key][0]:g} to {LIMITS[key][1]:g}." if key in LIMITS else ""
        raise InputError(f"{name} sets {key} to {values[key]!r}, which it cannot be.", f"Mend the file.{limits}")
    changes = {key: getattr(read_, key) for key in PRESET}
    return Imported(changes | _with_ids(changes, values, left_out := list(unknown)), tuple(left_out))


def from_generation_config(config: Mapping[str, Any], *, own: bool = False) -> Imported:
    """What a model's generation_config.json changes; values that the sliders cannot show are left out and named.

    Single tokens that the loaded model's `own` file bans are no words in a list: they are never written anyway.
    """
    wanted = TRANSFORMERS | OFF | {key: value for key, value in config.items() if value is not None}
    if own:
        bad = wanted.get("bad_words_ids") or []
        wanted["bad_words_ids"] = [tokens for tokens in bad if not isinstance(tokens, list) or len(tokens) != 1]
    changes: dict[str, Any] = {"banned": (), "biases": (), "order": ()}
    left_out = [key for key in config if key not in UNTOLD and key not in KNOBS and key not in ("do_sample", *BY_IDS)]
    left_out = [key for key in left_out if config[key] not in (None, False, 1, 1.0, 0, [], {})]
    for key in ("do_sample", *KNOBS):
        if key not in wanted:
            continue
        read_ = Params.from_dict({key: wanted[key]})
        if _as_read(getattr(read_, key)) == _as_read(wanted[key]):
            changes[key] = getattr(read_, key)
        else:
            left_out.append(f"{key} {wanted[key]!r}")
    changes |= _with_ids(changes, wanted, left_out)
    return Imported(changes, tuple(left_out))


def summary(changes: Mapping[str, Any]) -> str:
    """Settings on one line, as far as they are on."""
    drawn = changes.get("do_sample", True)
    told = [
        f"{STAGE_NAMES[name].lower()} {value:g}"
        for name, value in changes.items()
        if name in KNOBS and name != "max_new_tokens" and value != OFF.get(name, {"top_k": 0, "top_p": 1.0}.get(name))
    ]
    counts = [(len(changes.get("banned", ())), "banned"), (len(changes.get("biases", ())), "biased")]
    listed = [f"{count} {what} word{'s' if count != 1 else ''}" for count, what in counts if count]
    return ", ".join(["sample" if drawn else "greedy", *(told if drawn else ()), *listed])


def _with_ids(changes: Mapping[str, Any], values: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    """The lists of words with those that `values` names by ids; what cannot be one is told in `left_out`.

    Each is a list of ids, with its bias behind it, as in generation_config.json; or, as presets have it, a mapping.
    """
    banned = [
        words.checked(each) if isinstance(each, dict) else words.of_ids(each) for each in _list(values, BY_IDS[0])
    ]
    pairs = [_biased(each) for each in _list(values, BY_IDS[1])]
    biases = dict(pair for pair in pairs if pair is not None)
    for name, wrong in (("bad_words_ids", banned.count(None)), ("sequence_bias", pairs.count(None))):
        if wrong:
            left_out.append(f"{wrong} of {name}, which are no ids of tokens{_within(name)}")
    found = {
        "banned": tuple(dict.fromkeys((*changes["banned"], *(word for word in banned if word is not None)))),
        "biases": tuple((dict(changes["biases"]) | biases).items()),
    }
    more = sum(max(0, len(each) - MAX_WORDS) for each in found.values())
    if more:
        left_out.append(f"{more} words beyond the first {MAX_WORDS}")
    return {name: each[:MAX_WORDS] for name, each in found.items()}


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    value = values.get(name)
    return value if isinstance(value, list) else [] if value is None else [None]


def _biased(value: Any) -> tuple[Word, float] | None:
    """A word by ids with its bias, in transformers' form or in a preset's."""
    if isinstance(value, dict):
        pair = (words.checked(value), value.get("bias"))
    elif isinstance(value, (list, tuple)) and len(value) == 2:
        pair = (words.of_ids(value[0]), value[1])
    else:
        return None
    checked = checked_biases([pair])
    return checked[0] if checked else None


def _within(name: str) -> str:
    low, high = LIMITS["bias"]
    return f" with a bias from {low:g} to {high:g}" if name == "sequence_bias" else ""


def _words(changes: Mapping[str, Any]) -> Iterable[Any]:
    yield from changes.get("banned", ())
    yield from (word for word, _ in changes.get("biases", ()))


def _lacks_texts(word: Word) -> TypeGuard[TokenWord]:
    return isinstance(word, TokenWord) and not word.texts


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

    class Plain(yaml.SafeLoader):  # type: ignore[misc]  # yaml comes without types
        """No aliases: a few of them can stand for gigabytes."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader=Plain)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{name} is not a preset in YAML.", "A preset has lines such as “temperature: 0.7”.") from None
