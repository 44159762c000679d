"""Chat templates: messages in, the text that a model reads out. Each template is run in a process of its own.

A template comes with the model and is a program: jinja2's sandbox keeps it from the machine, but not from running
forever or from taking all memory. The process that renders it has two seconds and one gibibyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmlab.children import RENDER_CHAT
from llmlab.engine.errors import InputError
from llmlab.engine.template_process import ask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SECONDS = 2.0  # for the template
SECONDS_EACH = 0.01  # more for each further conversation
_HINT = "The template comes with the tokenizer; change the messages, or use a model whose template allows them."


def template_of(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The tokenizer's chat template; of several named ones that for ordinary messages."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), None)
    return template if isinstance(template, str) else None


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    *,
    add_generation_prompt: bool = True,
) -> str:
    """The text of `messages`, as transformers' `apply_chat_template` would render it. Raises InputError."""
    return render_all(tokenizer, [messages], add_generation_prompt=add_generation_prompt)[0]


def render_all(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Mapping[str, str]]],
    *,
    add_generation_prompt: bool = True,
) -> list[str]:
    """The text of each conversation, all in one process. Raises InputError where the template fails with any."""
    template = template_of(tokenizer)
    if template is None:
        raise InputError(
            "This tokenizer has no chat template: the model was not made to take part in a conversation.",
            "Write the prompt by hand, or open a model that was tuned on chats.",
        )
    if not all(conversations):
        raise InputError("There are no messages yet.", "Add at least one, for example from the user.")
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    shared = {**special, "tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
    request = {
        "template": template,
        "variables": [{**shared, "messages": [dict(each) for each in messages]} for messages in conversations],
    }
    answer = ask(RENDER_CHAT, request, SECONDS + SECONDS_EACH * len(conversations))
    if "texts" in answer:
        return [str(text) for text in answer["texts"]]
    raise _in_words(answer)


def _in_words(answer: dict[str, Any]) -> InputError:
    text = str(answer.get("text_of_error", "")).strip().rstrip(".")[:300]
    place = f" in line {answer['line']}" if answer.get("line") else ""
    messages = {
        "start": "The process that renders chat templates could not be started.",
        "time": f"The chat template was stopped: it ran for more than {SECONDS:g} s.",
        "memory": "The chat template was stopped: it wanted too much memory.",
        "refused": f"The chat template refuses these messages: {text}.",
        "syntax": f"The chat template is not valid Jinja{place}: {text}.",
        "sandbox": f"The chat template tried something that templates may not do: {text}.",
        "undefined": f"The chat template needs something that was not given: {text}.",
    }
    return InputError(messages.get(str(answer.get("error")), f"The chat template failed: {text}."), _HINT)
