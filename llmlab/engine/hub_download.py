"""The downloader that `hub` starts as a process of its own. Knows nothing of models but their file names.

Reads one request as a line of JSON from standard input, writes events as lines of JSON to standard output:
{"event": "bytes", "done", "total"}, then {"event": "done", "folder"} or {"event": "error", "code", "text", …}.
It ends at once when its standard input closes, so that it never outlives the program.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmlab.children import end_with_parent

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5,}-of-\d{5,}\.safetensors")
DESCRIPTION = re.compile(r"[^/]+\.(json|txt|model|jinja|tiktoken)|[^/]*(vocab|merges|bpe)[^/]*", re.IGNORECASE)
NEVER = re.compile(
    r".*\.(bin|pt|pth|ckpt|pkl|py|onnx|gguf|h5|msgpack|ot|tflite|safetensors|md)|(README|requirements).*"
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_SECONDS_BETWEEN_EVENTS = 0.1
_CHUNK_BYTES = 1 << 18  # huggingface_hub's 10 MB would show no progress for seconds, and lose as much when killed


class RefusedError(Exception):
    """The repository has nothing that can be opened. `code` as in the events."""

    def __init__(self, code: str, text: str = "", **more: Any) -> None:
        super().__init__(text)
        self.event = {"event": "error", "code": code, "text": text, **more}


def wanted(names: Sequence[str], *, weights: bool) -> list[str]:
    """The files to fetch: the small ones in the top folder, or those with the weights. Raises RefusedError."""
    if "config.json" not in names:
        raise RefusedError("no-config")
    if SINGLE in names:
        parts = [SINGLE]
    elif INDEX in names:
        parts = sorted(name for name in names if SHARD.fullmatch(name))
    else:
        pickles = sorted(name for name in names if name.endswith(PICKLES) and "/" not in name)
        raise RefusedError("pickle", files=pickles) if pickles else RefusedError("no-weights")
    if weights:
        return parts
    return sorted(name for name in names if DESCRIPTION.fullmatch(name) and not NEVER.fullmatch(name))


class Meter:
    """Adds up the bytes of all files and tells them, at most ten times a second."""

    def __init__(self, total: int, tell: Callable[[dict[str, Any]], None]) -> None:
        self._total = total
        self._tell = tell
        self._finished = 0
        self._current = 0
        self._last = 0.0

    def add(self, count: float | None = 1) -> None:
        """`count` more bytes of the file that is under way; fewer, if negative."""
        self._current += int(count or 0)
        self.show()

    def finish(self, size: int) -> None:
        """The file under way is there, all `size` bytes of it, however many were fetched now."""
        self._finished += size
        self._current = 0
        self.show()

    def show(self, *, now: bool = False) -> None:
        """Tell where things stand, unless that was just done."""
        if now or time.monotonic() - self._last >= _SECONDS_BETWEEN_EVENTS:
            self._last = time.monotonic()
            done = min(self._finished + self._current, self._total)
            self._tell({"event": "bytes", "done": done, "total": self._total})

    def bar(self) -> type[Any]:
        """What huggingface_hub takes for tqdm."""
        meter = self

        class Bar:
            def __init__(self, *_: object, initial: float = 0, **__: object) -> None:
                meter.add(initial)

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def update(self, count: float | None = 1) -> None:
                meter.add(count)

            def __getattr__(self, name: str) -> Callable[..., None]:
                return lambda *_, **__: None

        return Bar


def download(repo_id: str, cache_dir: str, *, weights: bool, tell: Callable[[dict[str, Any]], None]) -> Path:
    """Fetch what is missing of one part of the repository; the snapshot's folder in the cache."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.file_download import repo_folder_name

    info = HfApi().model_info(repo_id, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    names = wanted(list(sizes), weights=weights)
    commit = str(info.sha)
    repository = Path(cache_dir) / repo_folder_name(repo_id=repo_id, repo_type="model")
    snapshot = repository / "snapshots" / commit
    _check_room(cache_dir, sum(sizes[name] for name in names if not (snapshot / name).exists()))
    meter = Meter(sum(sizes[name] for name in names), tell)
    meter.show(now=True)
    for name in names:
        if not (snapshot / name).exists():
            blob = _resumable(repo_id, name, commit, repository, meter) if weights else None
            path = hf_hub_download(repo_id, name, revision=commit, cache_dir=cache_dir, tqdm_class=meter.bar())
            if blob is not None and not Path(path).is_symlink():
                blob.unlink(missing_ok=True)  # without symbolic links, the cache keeps a copy instead
        meter.finish(sizes[name])
    reference = repository / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit, encoding="ascii")
    meter.show(now=True)
    return snapshot


def _resumable(repo_id: str, name: str, commit: str, repository: Path, meter: Meter) -> Path | None:
    """Bring a large file into the cache's `blobs`, going on where an earlier attempt ended.

    huggingface_hub 2 writes to a file of a new random name each time, so what a killed download had fetched is lost
    to it. None for files beyond what plain HTTP serves; huggingface_hub fetches those by itself.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK_BYTES
    url = hf_hub_url(repo_id, name, revision=commit)
    facts = get_hf_file_metadata(url)
    if facts.etag is None or (facts.size or 0) > constants.MAX_HTTP_DOWNLOAD_SIZE:
        return None
    blob = repository / "blobs" / facts.etag
    partial = blob.with_name(f"{blob.name}.incomplete")
    lock = repository.parent / ".locks" / repository.name / f"{facts.etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return blob
        with partial.open("ab") as file:
            if facts.size is not None and file.tell() > facts.size:
                file.truncate(0)
            headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
            http_get(
                url, file, resume_size=file.tell(), headers=headers, expected_size=facts.size, tqdm_class=meter.bar()
            )
        _check_hash(partial, facts.etag, name)
        partial.replace(blob)
    return blob


def _check_hash(path: Path, etag: str, name: str) -> None:
    """Compare a file with the SHA-256 that large files have as their tag on the hub."""
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != etag:
        path.unlink()
        raise RefusedError("damaged", f"{name} has another checksum than the hub says")


def _check_room(cache_dir: str, needed: int) -> None:
    Path(cache_dir).mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise RefusedError("disk", f"{needed / 1e9:,.1f} GB are needed and {free / 1e9:,.1f} GB are free")


def _event_of(error: Exception) -> dict[str, Any]:
    """The error event for what huggingface_hub or the system raised."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", 0)
    text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    url = constants.ENDPOINT
    if isinstance(error, RefusedError):
        return error.event
    if isinstance(error, GatedRepoError):
        code = "gated"
    elif status == 401 and "credentials" in str(error).lower():
        code = "token"
    elif isinstance(error, RepositoryNotFoundError):
        code = "missing"
    elif isinstance(error, HfHubHTTPError):
        code = "busy" if status == 429 or status >= 500 else "other"
    elif "TransportError" in kinds or isinstance(error, ConnectionError):  # httpx's, under either of its names
        code = "network"
    elif isinstance(error, OSError) and (error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)):
        code = "disk"
    else:
        code = "other"
    return {"event": "error", "code": code, "text": text, "url": url}


def main() -> int:
    """Serve one request; 0 when everything arrived."""
    request = json.loads(sys.stdin.readline())
    end_with_parent()

    def tell(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    try:
        folder = download(request["repo_id"], request["cache_dir"], weights=request["weights"], tell=tell)
    except Exception as error:  # noqa: BLE001 - whatever went wrong goes to the parent as an event
        event = _event_of(error)
        if event["code"] == "gated":
            event["url"] = f"{event['url']}/{request['repo_id']}"
        tell(event)
        return 1
    tell({"event": "done", "folder": str(folder)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
