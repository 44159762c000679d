"""A stand-in for the hub on the loopback interface: what huggingface_hub asks for when it downloads a model.

Repositories are dicts of file name → content. `on_body` is called while a large file is sent, and may cut the
connection; every request is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" + "0" * 34
CHUNK = 64 * 1024


class Hub:
    """The server's state, which tests set and read."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.down = False  # answers every request with 503
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.authorization: set[str | None] = set()
        self.on_body: Callable[[str, int], bool] = lambda name, sent: True  # whether to go on
        self.url = ""

    def fetched(self, name: str) -> list[str | None]:
        """The Range of every GET of the file `name`."""
        return [scope for method, path, scope in self.requests if method == "GET" and path.endswith(f"/{name}")]


def etag(name: str, content: bytes) -> str:
    """Large files carry their SHA-256, small ones their Git hash."""
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers like the hub: model information, and files with their tag, commit and ranges."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Keep the terminal quiet."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        self.hub.authorization.add(self.headers.get("Authorization"))
        if self.hub.down:
            return self._send(503, b"", body=body)
        if path.startswith("/api/models/"):
            return self._information(path.removeprefix("/api/models/").partition("/revision/")[0])
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        return self._file(repo, rest.partition("/")[2], body=body)

    def _information(self, repo: str) -> None:
        files = self.hub.repos.get(repo)
        if files is None:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        siblings = [
            {"rfilename": name, "size": len(content), "blobId": etag(name, content)} for name, content in files.items()
        ]
        content = json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": []}).encode()
        return self._send(200, content, {"Content-Type": "application/json"})

    def _file(self, repo: str, name: str, *, body: bool) -> None:
        files = self.hub.repos.get(repo)
        if files is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        if repo in self.hub.gated:
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
        if name not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        content = files[name]
        headers = {"ETag": f'"{etag(name, content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if not start:
            return self._send(200, content, headers, body=body, name=name)
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self._send(206, content[start:], headers, body=body, name=name)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, *, body: bool = True, name: str = ""
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        for start in range(0, len(content), CHUNK):
            if not self.hub.on_body(name, start):
                self.close_connection = True
                return
            self.wfile.write(content[start : start + CHUNK])
            self.wfile.flush()


@contextlib.contextmanager
def serve() -> Iterator[Hub]:
    """A running hub; it stops when the block is left."""
    hub = Hub()

    class Bound(Handler):
        pass

    Bound.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed is no news
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
