"""Opens a model's tokenizer, and refuses one that does not belong to the model."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from llmlab.engine.errors import EngineError, ModelFileError, UnsupportedModelError
from llmlab.engine.wording import first_line, some_of


def read_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, a fast one wherever there is one. Raises an EngineError."""
    problem: EngineError
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # noqa: BLE001 - what damaged files make the tokenizers raise is open
        problem = _in_words(error, name)
    else:
        if len(tokenizer.get_vocab()) > len(tokenizer.get_added_vocab()):
            return tokenizer
        problem = ModelFileError(
            f"The tokenizer of “{name}” has no vocabulary, only special tokens.",
            "Copy tokenizer.json from where the model came from into the folder.",
        )
    raise problem


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, name: str) -> tuple[str, ...]:
    """Notes on tokens the model has no embedding for. Raises ModelFileError where these are ordinary ones.

    Some models come with a few added tokens too many (a padding token, an image's placeholder): they open, and such
    a token in a prompt is refused then.
    """
    embeddings = getattr(config.get_text_config(), "vocab_size", None)
    if embeddings is None:
        return ()
    beyond = sorted(token for token, index in tokenizer.get_vocab().items() if index >= embeddings)
    if not beyond:
        return ()
    if set(beyond) <= set(tokenizer.get_added_vocab()):
        return (f"The model has no embedding for these added tokens, so they cannot be used: {some_of(beyond)}.",)
    raise ModelFileError(
        f"The tokenizer of “{name}” has {len(tokenizer):,} tokens, but the model has embeddings for {embeddings:,}.",
        "The tokenizer belongs to another model; copy the one that came with the weights into the folder.",
    )


def _in_words(error: Exception, name: str) -> EngineError:
    text, first = str(error), first_line(error)
    if "trust_remote_code" in text:
        return UnsupportedModelError(
            f"The tokenizer of “{name}” needs Python code that the model brings along, and such code is not run.",
            "Look for a version of the model with a tokenizer.json that transformers reads itself.",
        )
    if isinstance(error, ImportError) or "backend tokenizer" in text:
        return ModelFileError(
            f"The tokenizer of “{name}” is incomplete, or only there in an older form that needs another package.",
            "Look for a version of the model with a tokenizer.json.",
        )
    return ModelFileError(
        f"The tokenizer of “{name}” cannot be read: {first}.",
        "Download tokenizer.json and tokenizer_config.json again.",
    )
