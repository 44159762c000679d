"""Work in processes of its own, because only a process can be ended at any moment: how each is started and found."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Child:
    """A module with a `main()` that reads from stdin and writes to stdout.

    `argument` starts it in a frozen program, which is its own interpreter and knows no `-m`.
    """

    argument: str
    module: str

    @property
    def command(self) -> list[str]:
        """How this program starts it: from a checkout, an installation or a frozen bundle."""
        if getattr(sys, "frozen", False):
            return [sys.executable, self.argument]
        return [sys.executable, "-m", self.module]


HUB_DOWNLOAD = Child("--hub-download", "llmlab.engine.hub_download")
RENDER_CHAT = Child("--render-chat", "llmlab.engine.tokens.chat_child")
RENDER_TEMPLATES = Child("--render-templates", "llmlab.engine.shots.template_child")
SHARDING_RANK = Child("--sharding-rank", "llmlab.engine.sharding.rank")


def run_as_child(arguments: Sequence[str]) -> int | None:
    """Be the child that the command line asks for; its exit status, or None where it asks for none."""
    for child in (HUB_DOWNLOAD, RENDER_CHAT, RENDER_TEMPLATES, SHARDING_RANK):
        if list(arguments[:1]) == [child.argument]:
            return int(import_module(child.module).main())
    return None


def end_with_parent(tidy: Callable[[], None] = lambda: None) -> None:
    """In a child: end at once, after `tidy`, when standard input closes, which it does however the parent ends."""

    def wait() -> None:
        sys.stdin.read()
        tidy()
        os._exit(1)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()
