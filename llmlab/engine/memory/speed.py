"""How fast the loaded model really writes, to hold beside the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.types import Feature

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine

MOST_NEW_TOKENS = 256


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """`tokens` decoded one by one in `seconds`, the prompt's reading not counted.

    `context` is how many tokens were in the cache on average, which the roofline needs.
    """

    tokens: int
    seconds: float
    context: int

    @property
    def tokens_per_second(self) -> float:
        """Of one sequence."""
        return self.tokens / self.seconds


def measure_decode(
    engine: Engine, text: str, *, new_tokens: int = 48, control: Control = UNCONTROLLED
) -> MeasuredSpeed:
    """Decode greedily after `text` and time it; the first token, which includes the prompt, is left out.

    Raises UnsupportedFeatureError for a model that does not generate, InputError where too little came, Cancelled.
    """
    if Feature.GENERATE not in engine.info.features:
        raise UnsupportedFeatureError(f"“{engine.info.name}” writes no tokens one by one.", "Open a decoder.")
    if not 2 <= new_tokens <= MOST_NEW_TOKENS:
        raise InputError(f"{new_tokens} tokens cannot be timed.", f"Choose 2 to {MOST_NEW_TOKENS}.")
    first = last = 0.0
    count = 0
    for step in engine.generate(text, max_new_tokens=new_tokens, do_sample=False, overflow="slide", control=control):
        control.report(f"Decoding token {step.index + 1} of {new_tokens}", (step.index + 1) / new_tokens)
        first, last, count = first or step.seconds, step.seconds, count + 1
    if count < 2 or last <= first:
        raise InputError("The model ended its text at once, so there is nothing to time.", "Choose another prompt.")
    read = 0 if engine.info.architecture == "encoder-decoder" else len(engine.tokenize(text))
    return MeasuredSpeed(count - 1, last - first, read + (count + 1) // 2)
