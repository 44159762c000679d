"""What the models are asked, by the settings. No Qt."""

from __future__ import annotations

from llmlab.engine.quantization.types import Question
from llmlab.engine.types import Architecture, Feature, ModelInfo
from llmlab.ui.panels.memory.quantization.params import SAMPLE, Params, Source

PROMPT_WORDS = 8  # of the text that are gone on from, where there is no prompt


def text_of(params: Params, prompt: str) -> str:
    """The text that is read; `prompt` is the one that all panels share."""
    if params.source is Source.PROMPT:
        return prompt
    return SAMPLE if params.source is Source.SAMPLE else params.own


def question_of(params: Params, prompt: str, info: ModelInfo) -> Question:
    """What both models are asked. Raises InputError for a text that is empty."""
    text = text_of(params, prompt)
    opening = " ".join(text.split(" ")[:PROMPT_WORDS])
    given = text if info.architecture is Architecture.ENCODER_DECODER else prompt or opening
    return Question(text, given, params.new_tokens)


def cannot(info: ModelInfo) -> str:
    """Why the model cannot be asked anything, or nothing."""
    if not info.features & {Feature.SCORE, Feature.FILL_MASK}:
        return "This model predicts no tokens: only its weights can be compared."
    return ""
