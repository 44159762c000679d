"""Errors with words a user can act on."""

from __future__ import annotations


class EngineError(Exception):
    """Something the user can understand and mend.

    `message` says what is wrong, `hint` what to do about it; both are complete sentences.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class Cancelled(Exception):  # noqa: N818 - a request that was honoured, not an error
    """The work was cancelled at one of its check points."""


class ModelNotFoundError(EngineError):
    """The folder, file or hub id does not exist, or is not a model."""


class ModelLostError(EngineError):
    """Another model could not be opened, and the former one, which had made room for it, is gone too."""


class ModelFileError(EngineError):
    """A file of the model is missing, damaged, or of a kind that is not safe to read."""


class UnsupportedModelError(EngineError):
    """The architecture is unknown, or would need code that the model brings along."""


class AccessError(EngineError):
    """The hub cannot be reached, or asks for a licence or a login first."""


class DeviceError(EngineError):
    """The device, precision or quantization that was asked for is not to be had here."""


class OutOfMemoryError(EngineError):
    """The model, or what it was asked to do, does not fit."""


class UnsupportedFeatureError(EngineError):
    """The loaded model's architecture does not offer what was asked for."""


class InputError(EngineError):
    """The prompt or a setting is outside what the model can take."""
