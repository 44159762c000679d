"""A conversation as the text that the loaded model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmlab.engine.loading import LoadedModel
from llmlab.engine.tokenization import encode
from llmlab.engine.tokens import chatting


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A rendered conversation.

    `text` is what the template makes of it, special tokens written out; `ids` its tokens, to which no other special
    ones are added. `plain` is the same as a prompt like any other: None where its tokens would not be these.
    """

    text: str
    ids: tuple[int, ...]
    plain: str | None


def has_template(loaded: LoadedModel) -> bool:
    """Whether the model was made to take part in conversations."""
    return chatting.template_of(loaded.tokenizer) is not None


def chat_prompt(loaded: LoadedModel, messages: Sequence[Mapping[str, str]]) -> ChatPrompt:
    """What the model reads to go on with `messages`, each with a role and a content.

    The template comes with the model and is run in a process of its own. After anything but the assistant's words it
    begins the assistant's answer. Raises InputError where there is no template, or where it fails.
    """
    answered = bool(messages) and messages[-1]["role"] == "assistant"
    text = chatting.render(loaded.tokenizer, messages, add_generation_prompt=not answered)
    ids = encode(loaded.tokenizer, text, special=False)
    return ChatPrompt(text, tuple(ids), _plain(loaded, text, ids))


def _plain(loaded: LoadedModel, text: str, ids: list[int]) -> str | None:
    """`text`, without the token that marks its beginning where the tokenizer adds that one itself."""
    first = loaded.tokenizer.bos_token
    shorter = (text.removeprefix(first),) if isinstance(first, str) and first else ()
    return next((plain for plain in (text, *shorter) if encode(loaded.tokenizer, plain) == ids), None)
