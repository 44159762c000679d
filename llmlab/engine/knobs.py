"""The settings of decoding, under transformers' names, and the order in which they act. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, TypeAlias, TypedDict, cast

from llmlab.engine.errors import InputError

Tokens: TypeAlias = tuple[int, ...]

SMALLEST_TEMPERATURE = 1e-6  # below it logits / temperature leaves float32; 0 itself means greedy
MAX_PENALTY = 1e6
MAX_BIAS = 1e4

PROCESSORS = (
    "sequence_bias",
    "encoder_repetition_penalty",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "min_new_tokens",
    "presence_penalty",
    "frequency_penalty",
)
WARPERS = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
OVERFLOWS = ("stop", "slide", "refuse")
STAGES = PROCESSORS + WARPERS
"""The order in which transformers' `_get_logits_processor` lets the settings act; greedy decoding has no warpers.

transformers has no presence or frequency penalty. They stand where `generate` lets a user's own processors act.
"""


class Cut(IntEnum):
    """Why a token cannot be drawn."""

    KEPT = 0
    TOP_K = 1
    TOP_P = 2
    MIN_P = 3
    TEMPERATURE = 4  # temperature 0 leaves all the mass on the most probable token
    IMPOSSIBLE = 5  # the model, or its generation_config.json, gives it a logit of minus infinity
    NO_REPEAT_NGRAM = 6
    BAD_WORDS = 7
    MIN_NEW_TOKENS = 8
    TYPICAL_P = 9
    EPSILON = 10
    ETA = 11


class Knobs(TypedDict, total=False):
    """`SamplingSettings` as keyword arguments."""

    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    typical_p: float
    epsilon_cutoff: float
    eta_cutoff: float
    sequence_bias: tuple[tuple[Tokens, float], ...]
    bad_words_ids: tuple[Tokens, ...]
    no_repeat_ngram_size: int
    encoder_repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    min_new_tokens: int
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """The knobs, under transformers' names; the defaults change nothing.

    With `do_sample=False` (greedy) only the processors act, from `sequence_bias` to `frequency_penalty`, as in
    transformers. `temperature=0` is greedy too: the limit of small temperatures, with the whole mass on the most
    probable token. `presence_penalty` and `frequency_penalty` are OpenAI's: logit −= presence + frequency × how often
    the token was generated so far, not counting the prompt. `order` are all of `STAGES` in the order in which they
    act; empty is transformers' order.
    """

    do_sample: bool = True
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    sequence_bias: tuple[tuple[Tokens, float], ...] = ()
    bad_words_ids: tuple[Tokens, ...] = ()
    no_repeat_ngram_size: int = 0
    encoder_repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    min_new_tokens: int = 0
    order: tuple[str, ...] = ()

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return not self.do_sample or self.temperature == 0

    @property
    def stages(self) -> tuple[str, ...]:
        """The settings that change something, in the order in which they act."""
        acting = (name for name in self.order or STAGES if getattr(self, name) != NEUTRAL[name])
        return tuple(name for name in acting if self.do_sample or name not in WARPERS)

    @property
    def standard_order(self) -> bool:
        """Whether the settings act in transformers' order, as far as that can make a difference."""
        acting = self.stages
        return not self.order or acting == tuple(name for name in STAGES if name in acting)

    def knobs(self) -> Knobs:
        """As keyword arguments."""
        return cast(Knobs, {each.name: getattr(self, each.name) for each in fields(self)})

    def validated(self) -> SamplingSettings:
        """Itself. Raises InputError, in words, if a setting is outside what it can mean."""
        temperature = _number("temperature", self.temperature)
        if temperature < 0 or 0 < temperature < SMALLEST_TEMPERATURE:
            raise InputError(
                f"The temperature cannot be {temperature:g}.",
                f"Use 0 to always take the most probable token, or a value of at least {SMALLEST_TEMPERATURE:g}.",
            )
        for name, (low, high, hint) in RANGES.items():
            value = _number(name, getattr(self, name))
            if not low <= value <= high:
                raise InputError(f"{_spoken(name)} cannot be {value:g}.", hint)
        for name, meaning in COUNTS.items():
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise InputError(f"{_spoken(name)} cannot be {value!r}.", f"Use a whole number of {meaning}.")
        _check_words(self)
        if self.order and sorted(self.order) != sorted(STAGES):
            raise InputError(
                "The order of the settings does not name each of them once.",
                "Leave it empty for the order of transformers, or list all of: " + ", ".join(STAGES) + ".",
            )
        return self


NEUTRAL: Mapping[str, Any] = {name: getattr(SamplingSettings(), name) for name in STAGES}
_PENALTY = (SMALLEST_TEMPERATURE, MAX_PENALTY)
RANGES: Mapping[str, tuple[float, float, str]] = {
    "top_p": (0, 1, "It is a probability: use a value from 0 to 1, where 1 keeps every token."),
    "min_p": (0, 1, "It is a share of the best token's probability: from 0 to 1, where 0 keeps every token."),
    "typical_p": (SMALLEST_TEMPERATURE, 1, "It is a probability: use a value above 0, where 1 keeps every token."),
    "epsilon_cutoff": (0, 1 - 1e-6, "It is a probability below 1; 0 keeps every token."),
    "eta_cutoff": (0, 1 - 1e-6, "It is a probability below 1; 0 keeps every token."),
    "repetition_penalty": (*_PENALTY, "Use a value above 0; 1 changes nothing, more makes repetition less likely."),
    "encoder_repetition_penalty": (
        *_PENALTY,
        "Use a value above 0; 1 changes nothing, more makes the prompt's own tokens more likely.",
    ),
    "presence_penalty": (-MAX_BIAS, MAX_BIAS, "It is subtracted from logits: use a number such as 0.5."),
    "frequency_penalty": (-MAX_BIAS, MAX_BIAS, "It is subtracted from logits: use a number such as 0.5."),
}
COUNTS: Mapping[str, str] = {
    "top_k": "tokens to keep, or 0 to keep all",
    "no_repeat_ngram_size": "tokens, or 0 to let all of them repeat",
    "min_new_tokens": "tokens, or 0 for no minimum",
}


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How a completion is made: how each token is chosen, and when to stop.

    `stop` are strings that end the completion; they are not part of it. `overflow` says what happens where text and
    completion fill the context window: "stop" ends the completion, "slide" goes on with the last half of the window,
    "refuse" does not begin what may not fit. `cuda_graphs`: on a CUDA device tokens are read by a recorded pass where
    that pays; False has the model read them by itself always.
    """

    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    max_new_tokens: int = 50
    seed: int = 0
    stop: tuple[str, ...] = ()
    overflow: str = "stop"
    cuda_graphs: bool = True

    def validated(self) -> GenerationSettings:
        """Itself. Raises InputError, in words, if a setting is outside what it can mean."""
        self.sampling.validated()
        if self.max_new_tokens < 1:
            raise InputError(
                f"The number of new tokens cannot be {self.max_new_tokens}.", "Ask for at least one token."
            )
        if not 0 <= self.seed < 2**63:
            raise InputError(f"The seed cannot be {self.seed}.", "Use a whole number from 0 to 9223372036854775807.")
        if any(not text for text in self.stop):
            raise InputError("A stop string is empty.", "Remove it, or type the text that should end the completion.")
        if self.overflow not in OVERFLOWS:
            raise InputError(
                f"A full context window cannot be met with {self.overflow!r}.", f"Use {' or '.join(OVERFLOWS)}."
            )
        return self


def _spoken(name: str) -> str:
    if "penalty" in name:
        return f"The {name.replace('_', ' ')}"
    return name


def _number(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InputError(f"The setting {name} is {value!r}, which is not a number.", "Use a finite number.")
    return float(value)


def _check_words(settings: SamplingSettings) -> None:
    for tokens, bias in settings.sequence_bias:
        _check_tokens("sequence_bias", tokens)
        if not abs(_number("sequence_bias", bias)) <= MAX_BIAS:
            raise InputError(
                f"The bias {bias:g} is too large.", f"Use a value from −{MAX_BIAS:g} to {MAX_BIAS:g}, or ban the word."
            )
    if len(dict(settings.sequence_bias)) != len(settings.sequence_bias):
        raise InputError("The same tokens have two biases.", "Give each sequence of tokens one bias.")
    for tokens in settings.bad_words_ids:
        _check_tokens("bad_words_ids", tokens)


def _check_tokens(name: str, tokens: object) -> None:
    fine = isinstance(tokens, tuple) and bool(tokens) and all(type(each) is int and each >= 0 for each in tokens)
    if not fine:
        raise InputError(f"{name} names {tokens!r}, which is no sequence of token ids.", "Use tuples of token ids.")
