"""Which form of prompt a model can read. No Qt."""

from __future__ import annotations

from llmlab.engine.shots.types import Form
from llmlab.engine.types import Architecture, ModelInfo

NAMES = {Form.TEXT: "running text", Form.CHAT: "conversations", Form.CLOZE: "a gap to fill"}
_NO_CLOZE = "This model has no mask to fill in"
_ONLY_CLOZE = "An encoder-only model fills in a mask and continues no text"


def form_for(model: ModelInfo, form: Form) -> Form:
    """`form`, or the one that the model reads instead."""
    if model.architecture is Architecture.ENCODER:
        return Form.CLOZE
    return Form.TEXT if form is Form.CLOZE else form


def impossible(model: ModelInfo | None) -> dict[Form, str]:
    """The forms that a model cannot read, and why; without a model all are possible."""
    if model is None:
        return {}
    if model.architecture is Architecture.ENCODER:
        return {Form.TEXT: _ONLY_CLOZE, Form.CHAT: _ONLY_CLOZE}
    return {Form.CLOZE: _NO_CLOZE}
