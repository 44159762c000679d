"""Models on the Hugging Face hub: found in the cache, or downloaded by a child process that can be killed.

huggingface_hub has no way to stop a download, and swallows exceptions raised from its progress callbacks; a process
can be ended at any moment. What has arrived by then stays in the cache, and the next attempt goes on from there.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from llmlab.children import HUB_DOWNLOAD
from llmlab.engine.errors import AccessError, EngineError, ModelFileError, ModelNotFoundError
from llmlab.engine.inspection import pickle_only
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.wording import size_text

_SECONDS_BETWEEN_CHECKS = 0.1
_TRUE = {"1", "ON", "YES", "TRUE"}

Event: TypeAlias = dict[str, Any]

_LOGIN = "log in with “hf auth login” on a command line"
_KEPT = "What has arrived is kept, and the next attempt goes on from there."
_ERRORS: dict[str, tuple[type[EngineError], str, str]] = {
    "gated": (
        AccessError,
        "“{repo}” can only be downloaded by those who have accepted its licence.",
        f"Accept it at {{url}}, {_LOGIN} with that account, and open the model again.",
    ),
    "missing": (
        ModelNotFoundError,
        "The hub has no model “{repo}”, or it is private.",
        f"Check the spelling (owner/name). If it is a private model, {_LOGIN} first.",
    ),
    "token": (AccessError, "The hub does not accept your login.", f"Please {_LOGIN} again, with a valid token."),
    "network": (AccessError, "The hub at {url} cannot be reached: {text}.", f"Check the network. {_KEPT}"),
    "busy": (AccessError, "The hub at {url} does not answer as it should: {text}.", f"Try again later. {_KEPT}"),
    "disk": (AccessError, "The model cannot be saved: {text}.", "Make room on the disk that holds {cache}."),
    "damaged": (AccessError, "A file did not arrive as it was sent: {text}.", "Open the model again to repeat it."),
    "no-config": (
        ModelNotFoundError,
        "“{repo}” on the hub is not a transformers model: it has no config.json.",
        "Look for the original model; GGUF, ONNX and diffusion models cannot be opened here.",
    ),
    "no-weights": (
        ModelFileError,
        "“{repo}” on the hub has no weights.",
        "Look for another version of the model.",
    ),
    "other": (AccessError, "The download of “{repo}” failed: {text}.", f"Try again. {_KEPT}"),
}


def is_offline() -> bool:
    """Whether the environment forbids the network, as huggingface_hub and transformers understand it."""
    return any(os.environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def cached_folder(repo_id: str) -> Path | None:
    """The cached snapshot of the repository's main branch, complete or not; None where there is none."""
    repository = _cache() / ("models--" + repo_id.replace("/", "--"))
    try:
        commit = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    snapshot = repository / "snapshots" / commit
    return snapshot if commit and snapshot.is_dir() else None


def fetch(repo_id: str, control: Control = UNCONTROLLED, *, weights: bool = False) -> Path:
    """Download what is missing of the repository's configuration and tokenizer, and of its weights if asked.

    Returns the snapshot's folder in the cache. Honours HF_HOME, HF_ENDPOINT and the token of `hf auth login`.
    Raises AccessError, ModelNotFoundError or ModelFileError; Cancelled within a tenth of a second.
    """
    control.report(f"Asking the hub for the {'weights' if weights else 'configuration'} of {repo_id}")
    with _child({"repo_id": repo_id, "weights": weights, "cache_dir": str(_cache())}) as events:
        while True:
            event = _next(events, control)
            if event["event"] == "done":
                return Path(event["folder"])
            if event["event"] == "error":
                raise _in_words(repo_id, event)
            done, total = event["done"], event["total"]
            control.report(f"Downloading {repo_id}: {size_text(done)} of {size_text(total)}", done / max(total, 1))


@contextmanager
def _child(request: dict[str, Any]) -> Iterator[queue.SimpleQueue[Event]]:
    """The events a downloader sends while it lives; it is killed when the block is left."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            HUB_DOWNLOAD.command,
            stdin=subprocess.PIPE,  # stays open: the child ends itself when this process is gone
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=child_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        reader = threading.Thread(
            target=_read, args=(process.stdout, complaints, events), name="hub-download", daemon=True
        )
        reader.start()
        try:
            with suppress(BrokenPipeError):  # a child that could not start says so in its complaints
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            yield events
        finally:
            process.kill()
            process.wait()
            reader.join()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()


def _read(output: IO[bytes], complaints: IO[bytes], events: queue.SimpleQueue[Event]) -> None:
    """Pass the child's lines on, until it ends; anything that is not ours is skipped."""
    for line in output:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                events.put(event)
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    events.put({"event": "error", "code": "crash", "text": lines[-1] if lines else ""})


def _next(events: queue.SimpleQueue[Event], control: Control) -> Event:
    while True:
        control.check()
        with suppress(queue.Empty):
            return events.get(timeout=_SECONDS_BETWEEN_CHECKS)


def child_environment() -> dict[str, str]:
    """This process's environment, with the package where the child finds it."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "HF_HUB_DISABLE_TELEMETRY": "1"}


def _cache() -> Path:
    from huggingface_hub import constants  # reads the environment when it is first imported

    return Path(constants.HF_HUB_CACHE)


def _in_words(repo_id: str, event: Event) -> EngineError:
    """What a downloader's error means for the user."""
    if event["code"] == "pickle":
        return pickle_only(repo_id, list(event["files"]))
    kind, message, hint = _ERRORS.get(event["code"], _ERRORS["other"])
    text = str(event.get("text", "")).rstrip(".") or "it stopped unexpectedly"
    words = {"repo": repo_id, "text": text, "url": event.get("url", ""), "cache": _cache()}
    return kind(message.format(**words), hint.format(**words))
