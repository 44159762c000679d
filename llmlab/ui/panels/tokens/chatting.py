"""Chat templates: messages in, the text that the model reads out. No Qt."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.workshop import Workshop

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer

ROLES = ("system", "user", "assistant", "tool")
EXAMPLE = "system: You are a helpful assistant.\nuser: Tell me a story about a cat."
_BEGINS = re.compile(rf"({'|'.join(ROLES)}):[ \t]?(.*)", re.IGNORECASE | re.DOTALL)


class ChatView(Protocol):
    """What is asked of the tab."""

    def show_chat(self, encoded: Encoded | None, message: str) -> None:
        """Show the rendered messages, or none and why."""


class Chatting:
    """Renders what was typed with the template of the strip's tokenizer."""

    def __init__(self, workshop: Workshop, view: ChatView, generation_prompt: Callable[[], bool]) -> None:
        self._workshop = workshop
        self._view = view
        self._generation_prompt = generation_prompt
        self._of: Encoded | None = None
        self._asked: tuple[str, str, bool] | None = None
        self.text = EXAMPLE
        self.busy = False

    def bring(self, encoded: Encoded | None) -> None:
        """Use the template of the strip's tokenizer."""
        self._of = encoded
        self._render()

    def change(self, text: str) -> None:
        """Other messages were typed."""
        self.text = text
        self._render()

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)

    def _render(self) -> None:
        encoded = self._of
        if encoded is None or not encoded.info.has_chat_template:
            self._asked, self.busy = None, False
            name = encoded.info.name if encoded else "This tokenizer"
            self._view.show_chat(None, f"{name} brings no chat template: it was not trained on conversations.")
            return
        wanted = (encoded.spec, self.text, self._generation_prompt())
        if wanted != self._asked:
            self._asked, self.busy = wanted, True
            spec = encoded.spec
            self._workshop.ask(self, "chat", spec, lambda o: (wanted, _rendered(o, *wanted)), self._came, self._failed)

    def _came(self, result: tuple[tuple[str, str, bool], Encoded]) -> None:
        if self._asked is not None:
            self.busy = result[0] != self._asked
            self._view.show_chat(result[1], "")

    def _failed(self, error: ErrorInfo) -> None:
        self.busy = False
        self._view.show_chat(None, f"{error.message} {error.hint}")


def messages(text: str) -> list[dict[str, str]]:
    """Lines that begin with a role and a colon begin a message; the others go on with it."""
    found: list[dict[str, str]] = []
    for line in text.split("\n"):
        begins = _BEGINS.fullmatch(line)
        if begins:
            found.append({"role": begins[1].lower(), "content": begins[2]})
        elif found:
            found[-1]["content"] += "\n" + line
        elif line.strip():
            found.append({"role": "user", "content": line})
    return [{**message, "content": message["content"].rstrip("\n")} for message in found]


def _rendered(opened: OpenTokenizer, spec: str, text: str, generation_prompt: bool) -> Encoded:
    chat = opened.chat(messages(text), add_generation_prompt=generation_prompt)
    return Encoded.of(spec, opened, chat.text, chat.tokens)
