"""Chat templates: messages in, the text that a model reads out. Each template is run in a process of its own.

A template comes with the model and is a program: jinja2's sandbox keeps it from the machine, but not from running
forever or from taking all memory. The process that renders it has two seconds and one gibibyte.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from llmlab.children import RENDER_CHAT
from llmlab.engine import hub
from llmlab.engine.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SECONDS = 2.0  # for the template
START_SECONDS = 30.0  # for the process, on a busy machine
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
    template = template_of(tokenizer)
    if template is None:
        raise InputError(
            "This tokenizer has no chat template: the model was not made to take part in a conversation.",
            "Write the prompt by hand, or open a model that was tuned on chats.",
        )
    if not messages:
        raise InputError("There are no messages yet.", "Add at least one, for example from the user.")
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    answer = _ask(
        {
            "template": template,
            "variables": {
                **special,
                "messages": [dict(message) for message in messages],
                "tools": None,
                "documents": None,
                "add_generation_prompt": add_generation_prompt,
            },
        }
    )
    if "text" in answer:
        return str(answer["text"])
    raise _in_words(answer)


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    """What the child answers, or why there is no answer."""
    process = subprocess.Popen(
        RENDER_CHAT.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=hub.child_environment(),
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    assert process.stdin is not None
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, lines), name="chat-template", daemon=True)
    reader.start()
    try:
        if lines.get(timeout=START_SECONDS).strip() != b"ready":
            return {"error": "start"}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        line = lines.get(timeout=SECONDS)
        return dict(json.loads(line)) if line else {"error": "memory"}
    except queue.Empty:
        return {"error": "time"}
    except (OSError, ValueError):
        return {"error": "memory"}
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        with contextlib.suppress(OSError):  # the request may not have been read
            process.stdin.close()


def _read(output: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    for line in output:
        lines.put(line)
    lines.put(b"")


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
