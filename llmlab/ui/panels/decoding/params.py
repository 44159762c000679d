"""The panel's settings: one frozen dataclass, to and from the settings file. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from llmlab.engine.knobs import OVERFLOWS, STAGES, Tokens
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.ui.panels.decoding import words
from llmlab.ui.panels.decoding.words import TokenWord, Word

MAX_SEED = 2**31 - 1  # what a number field can hold
MAX_STOPS = 16
MAX_STOP_LENGTH = 200
MAX_WORDS = 256  # that are banned, and as many that are biased
GROUPS = ("Shape", "Cut-offs", "Penalties", "Words", "Length", "Order")  # of the controls
WAYS = ("greedy", "sample", "beam search", "beam sample", "prompt lookup", "assisted")  # that Strategies compares
MAX_TYPED = 20_000  # characters that a tab keeps of what was typed
TABS = ("completion", "waterfall", "branches", "strategies", "sweep", "ask", "chat")  # below the bars, in this order

# What each setting may be; the sliders end here too, so that the engine never has to refuse one.
LIMITS: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_k": (0, 1000),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.01, 1.0),
    "epsilon_cutoff": (0.0, 0.5),
    "eta_cutoff": (0.0, 0.5),
    "repetition_penalty": (0.5, 2.0),
    "encoder_repetition_penalty": (0.5, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "no_repeat_ngram_size": (0, 20),
    "min_new_tokens": (0, 4000),
    "bias": (-100.0, 100.0),
    "max_new_tokens": (1, 4000),
    "seed": (0, MAX_SEED),
    "samples": (1, 8),
    "beams": (2, 16),
    "guesses": (1, 20),
    "sweep_seeds": (1, 16),
}


@dataclass(frozen=True, slots=True)
class Params:
    """How the next token is chosen, how long, and how the bars are drawn."""

    do_sample: bool = True
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 100
    seed: int = 0
    stop: tuple[str, ...] = ()
    logarithmic: bool = False
    tab: str = TABS[0]
    enlarged: bool = False  # the tab takes the bars' room as well
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    encoder_repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    min_new_tokens: int = 0
    banned: tuple[Word, ...] = ()
    biases: tuple[tuple[Word, float], ...] = ()
    order: tuple[str, ...] = ()  # of the settings; empty is transformers'
    folded: tuple[str, ...] = ("Penalties", "Words", "Order")
    overflow: str = OVERFLOWS[0]  # what happens when the context window is full
    cuda_graphs: bool = True  # on a CUDA device, where they pay
    ways: tuple[str, ...] = WAYS[:-1]
    samples: int = 3
    beams: int = 4
    draft: str = ""  # the draft model's spec; empty is the model itself
    guesses: int = 5  # of the draft model in a pass
    sweep_columns: tuple[str, ...] = ()  # a setting and its values as typed; empty as offered
    sweep_rows: tuple[str, ...] = ()
    sweep_seeds: int = 3
    asked: str = ""  # continuations, one a line
    asked_spaced: bool = True
    system: str = ""  # what a chat model is told before the conversation
    spelled: Mapping[Word, tuple[Tokens, ...]] = field(
        default_factory=dict, compare=False
    )  # words as the model's tokens

    @property
    def sampling(self) -> SamplingSettings:
        """What reshapes the distribution. Words of which the tokens are not known (yet) are left out."""
        # Where a typed word is spelled as one that is named by its ids, the more exact one has the say.
        exact_last = sorted(self.biases, key=lambda pair: isinstance(pair[0], TokenWord))
        biases = {tokens: bias for word, bias in exact_last for tokens in self.spelled.get(word, ()) if bias}
        return SamplingSettings(
            do_sample=self.do_sample,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            typical_p=self.typical_p,
            epsilon_cutoff=self.epsilon_cutoff,
            eta_cutoff=self.eta_cutoff,
            sequence_bias=tuple(biases.items()),
            bad_words_ids=tuple(dict.fromkeys(tokens for word in self.banned for tokens in self.spelled.get(word, ()))),
            no_repeat_ngram_size=self.no_repeat_ngram_size,
            encoder_repetition_penalty=self.encoder_repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            min_new_tokens=self.min_new_tokens,
            order=self.order,
        )

    @property
    def words(self) -> tuple[Word, ...]:
        """Those whose tokens must be known."""
        return tuple(dict.fromkeys((*self.banned, *(word for word, _ in self.biases))))

    @property
    def inactive(self) -> tuple[TokenWord, ...]:
        """Those that name tokens of another tokenizer than the loaded model's."""
        return words.inactive(self.words, self.spelled)

    @property
    def generation(self) -> GenerationSettings:
        """What a completion is made with."""
        return GenerationSettings(
            self.sampling, self.max_new_tokens, self.seed, self.stop, self.overflow, self.cuda_graphs
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "spelled"}
        values |= {name: list(values[name]) for name in CHECKED_LISTS}
        values["banned"] = [words.saved(word) for word in self.banned]
        values["biases"] = [[words.saved(word), bias] for word, bias in self.biases]
        return values

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote. A value that is missing or makes no sense is left at its default."""
        good = {}
        for each in fields(cls):
            value = _checked(each.name, saved.get(each.name), each.default)
            if value is not None:
                good[each.name] = value
        return cls(**good)


def _checked(name: str, value: object, default: object) -> Any:
    """`value` if it can stand for setting `name`, else None."""
    if name in CHECKED_LISTS:
        return CHECKED_LISTS[name](value) if isinstance(value, (list, tuple)) else None
    if name == "spelled":
        return None
    if name == "tab":
        return value if value in TABS else None
    if name in ("draft", "asked", "system"):
        return value if isinstance(value, str) and len(value) <= MAX_TYPED else None
    if name == "overflow":
        return value if value in OVERFLOWS else None
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    low, high = LIMITS[name]
    if not low <= value <= high:
        return None
    return int(value) if isinstance(default, int) else float(value)


def checked_stops(values: Sequence[Any]) -> tuple[str, ...]:
    """The usable stop strings among `values`: text, not empty, each once, not too many."""
    good = [value for value in values if isinstance(value, str) and 0 < len(value) <= MAX_STOP_LENGTH]
    return tuple(dict.fromkeys(good))[:MAX_STOPS]


def checked_words(values: Sequence[Any]) -> tuple[Word, ...]:
    """The usable words among `values`, each once, not too many."""
    good = (words.checked(value) for value in values)
    return tuple(dict.fromkeys(word for word in good if word is not None))[:MAX_WORDS]


def checked_biases(values: Sequence[Any]) -> tuple[tuple[Word, float], ...]:
    """The usable (word, bias) among `values`, each word once, not too many."""
    pairs = [tuple(value) for value in values if isinstance(value, (list, tuple)) and len(value) == 2]
    good = {words.checked(word): float(bias) for word, bias in pairs if _checked("bias", bias, 0.0) is not None}
    return tuple((word, bias) for word, bias in good.items() if word is not None)[:MAX_WORDS]


def checked_order(values: Sequence[Any]) -> tuple[str, ...] | None:
    """The order of the settings, empty where it is transformers'; None if it does not name all of them once."""
    order = tuple(values)
    if order and sorted(map(str, order)) != sorted(STAGES):
        return None
    return () if order == STAGES else order


def checked_groups(values: Sequence[Any]) -> tuple[str, ...]:
    """The groups among `values`."""
    return tuple(group for group in GROUPS if group in values)


def checked_ways(values: Sequence[Any]) -> tuple[str, ...] | None:
    """The ways of decoding among `values`; None if there is none."""
    return tuple(way for way in WAYS if way in values) or None


def checked_axis(values: Sequence[Any]) -> tuple[str, ...]:
    """A setting and its values as they were typed; empty if `values` are something else."""
    good = len(values) == 2 and all(isinstance(value, str) and len(value) <= words.MAX_LENGTH for value in values)
    return tuple(values) if good else ()


CHECKED_LISTS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "stop": checked_stops,
    "banned": checked_words,
    "biases": checked_biases,
    "order": checked_order,
    "folded": checked_groups,
    "ways": checked_ways,
    "sweep_columns": checked_axis,
    "sweep_rows": checked_axis,
}
