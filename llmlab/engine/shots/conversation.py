"""The chat form: shots as turns, made a text by the tokenizer's own template; which characters are whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmlab.engine.shots.compose import Message
from llmlab.engine.shots.types import Part, PartKind
from llmlab.engine.tokens import chatting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_OPEN, _CLOSE = "\ue001", "\ue002"  # around each message's words, to find them again


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as text, and its parts."""

    text: str
    parts: tuple[Part, ...]


def render(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Message]]) -> list[Conversation]:
    """All of them in one process, ready to be answered. Raises InputError where the template fails.

    The token that begins every text is left out where the tokenizer adds it anyway: it must not stand there twice.
    """
    plain = [_turns(messages) for messages in conversations]
    marked = [_turns(messages, marked=True) for messages in conversations]
    texts = [_once(tokenizer, text) for text in chatting.render_all(tokenizer, [*plain, *marked])]
    pairs = zip(conversations, texts[: len(plain)], texts[len(plain) :], strict=True)
    return [Conversation(text, _parts(messages, text, found)) for messages, text, found in pairs]


def _turns(messages: Sequence[Message], *, marked: bool = False) -> list[dict[str, str]]:
    content = _marked if marked else str
    return [{"role": message.role, "content": content(message.content)} for message in messages]


def _marked(content: str) -> str:
    """Marks inside the white space around the words, which many templates strip."""
    words = content.strip()
    return content.replace(words, f"{_OPEN}{words}{_CLOSE}", 1) if words else f"{_OPEN}{_CLOSE}{content}"


def _once(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Without a beginning that the tokenizer puts before every text itself."""
    first = tokenizer.bos_token
    if first and text.startswith(first) and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        return text[len(first) :]
    return text


def _parts(messages: Sequence[Message], text: str, marked: str) -> tuple[Part, ...]:
    """The stretches of `text`: each message's from its first word to the next one's; the rest is the template's own.

    Where a template does more to the messages than strip them, nothing can be told apart, and all is one frame.
    """
    if marked.replace(_OPEN, "").replace(_CLOSE, "") != text or marked.count(_OPEN) != len(messages):
        return (Part(PartKind.FRAME, 0, len(text)),)
    spans = _spans(marked)
    parts = [Part(PartKind.FRAME, 0, spans[0][0])] if spans[0][0] else []
    place = 0
    while place < len(messages):
        message, last = messages[place], place
        while last + 1 < len(messages) and message.shot is not None and messages[last + 1].shot == message.shot:
            last += 1
        end = spans[last + 1][0] if last + 1 < len(messages) else spans[last][1]
        answer = spans[last] if message.shot is not None else None
        parts.append(Part(message.kind, spans[place][0], end, message.shot, answer))
        place = last + 1
    if parts[-1].end < len(text):
        parts.append(Part(PartKind.FRAME, parts[-1].end, len(text)))
    return tuple(part for part in parts if part.end > part.start)


def _spans(marked: str) -> list[tuple[int, int]]:
    """Where the words of each message lie, counted without the marks."""
    spans, marks, start = [], 0, 0
    for place, character in enumerate(marked):
        if character == _OPEN:
            start = place - marks
        elif character == _CLOSE:
            spans.append((start, place - marks))
        marks += character in (_OPEN, _CLOSE)
    return spans
