"""What a scheme does to the model in use, from end to end: a copy is made, asked, and given up again."""

from __future__ import annotations

from llmlab.engine.devices import memory_use, release_memory
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.comparing import text_damage
from llmlab.engine.quantization.copies import second
from llmlab.engine.quantization.matrices import model_bytes
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import Measured, Question, SideBySide
from llmlab.engine.quantization.writing import greedy, side_by_side
from llmlab.engine.reading import guarded
from llmlab.engine.types import Architecture, Feature


def measure(loaded: LoadedModel, scheme: Scheme, question: Question, control: Control = UNCONTROLLED) -> Measured:
    """What `scheme` does to the model in use, which stays as it is.

    A second copy lies in memory meanwhile: `copies.copy_cost` says beforehand what it takes. Raises OutOfMemoryError,
    UnsupportedFeatureError for a model that is already quantized, DeviceError without bitsandbytes, InputError for the
    question, or Cancelled; nothing of the copy remains then.
    """
    try:
        return guarded(lambda: _measure(loaded, scheme, question, control))
    finally:
        release_memory()


def _measure(loaded: LoadedModel, scheme: Scheme, question: Question, control: Control) -> Measured:
    twin = second(loaded, scheme, control)
    answer = answer_to(loaded, question, control)
    text = text_damage(loaded, twin, question.text, answer, control)
    texts = None
    if Feature.GENERATE in loaded.info.features:
        texts = side_by_side(loaded, twin, question.prompt, question.max_new_tokens, control)
        texts = _without_speed(texts) if scheme.is_simulated else texts
    stored = model_bytes(loaded, scheme) if scheme.is_simulated else memory_use(twin).weights
    return Measured(scheme, memory_use(loaded).weights, stored, text, texts)


def answer_to(loaded: LoadedModel, question: Question, control: Control = UNCONTROLLED) -> tuple[int, ...] | None:
    """What an encoder-decoder model in use answers, which both are then asked to predict; of others None."""
    if loaded.info.architecture is not Architecture.ENCODER_DECODER:
        return None
    return greedy(loaded, question.text, question.max_new_tokens, control).ids


def _without_speed(texts: SideBySide) -> SideBySide:
    """Rounded weights are computed with in the model's own format, which says nothing about a kernel's speed."""
    return SideBySide(
        texts.prompt, texts.reference, texts.candidate, texts.first_difference, per_second=None, per_second_after=None
    )
