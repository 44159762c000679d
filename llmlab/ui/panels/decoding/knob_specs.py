"""The sliders: what each knob is called, which values it takes and what it does to the model. No Qt but the scale."""

from __future__ import annotations

from collections.abc import Mapping

from llmlab.ui.panels.decoding.params import LIMITS, Params
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob

DEFAULTS = Params()


def _scale(name: str, decimals: int = 0, *, logarithmic: bool = False, first: float = 1.0) -> Scale:
    return Scale(*LIMITS[name], decimals, logarithmic, first)


def _knob(
    name: str, label: str, scale: Scale, tooltip: str, step: float = 1, off: float | None = None
) -> tuple[str, Knob]:
    return name, Knob(label, scale, getattr(DEFAULTS, name), tooltip, step, off)


KNOBS: Mapping[str, Knob] = dict(
    (
        _knob(
            "temperature",
            "Temperature",
            _scale("temperature", 2),
            "Divides the logits before the softmax. Below 1 the model plays safe and the best tokens gain; above 1 it\n"
            "becomes adventurous and unlikely tokens gain. At 0 only the best token is left.",
            0.05,
        ),
        _knob(
            "top_k",
            "Top-k",
            _scale("top_k", logarithmic=True),
            "Keeps only the k most probable tokens, whatever their probabilities. Tokens that tie with the k-th stay.",
            1,
            off=0,
        ),
        _knob(
            "top_p",
            "Top-p",
            _scale("top_p", 2),
            "Nucleus sampling: keeps the fewest best tokens that together have at least this probability. Where the\n"
            "model is sure few stay, where it is not many.",
            0.01,
            off=1,
        ),
        _knob(
            "min_p",
            "Min-p",
            _scale("min_p", 3, logarithmic=True, first=0.001),
            "Removes tokens that are less probable than this share of the best token's probability.",
            0.01,
            off=0,
        ),
        _knob(
            "typical_p",
            "Typical-p",
            _scale("typical_p", 2),
            "Keeps the tokens that are about as surprising as the model expects of the next one, until they together\n"
            "have this probability. Unlike the other cut-offs it may remove the most probable token.",
            0.01,
            off=1,
        ),
        _knob(
            "epsilon_cutoff",
            "Epsilon cut-off",
            _scale("epsilon_cutoff", 5, logarithmic=True, first=0.00001),
            "Removes tokens whose probability is below this value, whatever the best token has.\n"
            "Common values: 0.0003 to 0.0009.",
            0.0001,
            off=0,
        ),
        _knob(
            "eta_cutoff",
            "Eta cut-off",
            _scale("eta_cutoff", 5, logarithmic=True, first=0.00001),
            "As the epsilon cut-off, with a lower threshold where the model is unsure: min(η, √η·e^−entropy).\n"
            "Common values: 0.0003 to 0.004.",
            0.0001,
            off=0,
        ),
        _knob(
            "repetition_penalty",
            "Repetition penalty",
            _scale("repetition_penalty", 2),
            "Makes tokens that already occurred less likely (above 1) or more likely (below 1). Positive logits are\n"
            "divided by it, negative ones multiplied. It acts in greedy decoding as well.",
            0.05,
            off=1,
        ),
        _knob(
            "encoder_repetition_penalty",
            "Prompt faithfulness",
            _scale("encoder_repetition_penalty", 2),
            "Makes the prompt's own tokens more likely (above 1) or less likely (below 1).\n"
            "transformers calls it encoder_repetition_penalty.",
            0.05,
            off=1,
        ),
        _knob(
            "presence_penalty",
            "Presence penalty",
            _scale("presence_penalty", 2),
            "Subtracted from the logit of every token that was generated before; the prompt does not count.\n"
            "As OpenAI defines it; transformers has no such setting.",
            0.1,
            off=0,
        ),
        _knob(
            "frequency_penalty",
            "Frequency penalty",
            _scale("frequency_penalty", 2),
            "Subtracted from a token's logit for every time it was generated before; the prompt does not count.\n"
            "As OpenAI defines it; transformers has no such setting.",
            0.1,
            off=0,
        ),
        _knob(
            "no_repeat_ngram_size",
            "No-repeat n-gram",
            _scale("no_repeat_ngram_size"),
            "Forbids every sequence of so many tokens that occurred before, in the prompt or the completion.",
            1,
            off=0,
        ),
        _knob(
            "max_new_tokens",
            "Max new tokens",
            _scale("max_new_tokens", logarithmic=True),
            "The completion ends after so many tokens, unless the model ends it earlier.",
            10,
        ),
        _knob(
            "min_new_tokens",
            "Min new tokens",
            _scale("min_new_tokens", logarithmic=True),
            "The model may not end its text before so many tokens.",
            1,
            off=0,
        ),
    )
)
SHAPE = ("temperature",)
CUT_OFFS = ("top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
PENALTIES = (
    "repetition_penalty",
    "encoder_repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "no_repeat_ngram_size",
)
LENGTH = ("max_new_tokens", "min_new_tokens")
SAMPLING_ONLY = (*SHAPE, *CUT_OFFS)
STAGE_NAMES: Mapping[str, str] = {
    "sequence_bias": "Biased words",
    "bad_words_ids": "Banned words",
    **{name: knob.label for name, knob in KNOBS.items() if name != "max_new_tokens"},
}
