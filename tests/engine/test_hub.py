"""Downloads, against a stand-in for the hub; each by a real child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from llmlab.children import HUB_DOWNLOAD
from llmlab.engine import hub
from llmlab.engine.errors import (
    AccessError,
    Cancelled,
    EngineError,
    ModelFileError,
    ModelNotFoundError,
    OutOfMemoryError,
    UnsupportedModelError,
)
from llmlab.engine.hub_download import NEVER, RefusedError, wanted
from llmlab.engine.loading import load
from llmlab.engine.types import ModelRequest
from tests.engine import checkpoints
from tests.engine.checkpoints import Recorder, save
from tests.engine.hub_server import Hub, etag, serve

REPO = "someone/tiny-llama"
EXTRAS = [
    "README.md",
    "pytorch_model.bin",
    "modeling.py",
    "model.onnx",
    "tiny-Q4.gguf",
    "onnx/model.onnx",
    "tf_model.h5",
]
LARGE = bytes(range(256)) * 16 * 1024  # 4 MiB


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model on it, and a cache that is empty."""
    with serve() as running:
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        folder = save("llama", tmp_path / "original")
        running.repos[REPO] = {file.name: file.read_bytes() for file in folder.iterdir()}
        running.repos[REPO] |= dict.fromkeys(EXTRAS, b"never to be fetched")
        yield running


def downloaders() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def fetched_so_far(tmp_path: Path) -> int:
    """Bytes of the file that is under way."""
    return sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.incomplete"))


def test_a_model_is_downloaded_and_opened(server: Hub) -> None:
    control = Recorder()
    loaded = load(ModelRequest(REPO, device="cpu"), control)
    ids = torch.arange(5, 20)[None]
    with torch.inference_mode():
        assert torch.equal(loaded.model(ids).logits, checkpoints.make("llama")(ids).logits)
    assert loaded.info.name == "tiny-llama"
    assert any(text.startswith(f"Downloading {REPO}") for text in control.texts)
    assert not [name for name in EXTRAS if server.fetched(name)]
    assert not downloaders()


@pytest.mark.slow
def test_the_second_time_the_network_is_not_asked(server: Hub) -> None:
    load(ModelRequest(REPO, device="cpu"))
    server.requests.clear()
    for offline in (False, True):
        assert load(ModelRequest(REPO, device="cpu", offline=offline)).info.layers == 2
    assert server.requests == []


@pytest.mark.slow
def test_what_was_downloaded_is_where_transformers_looks(server: Hub, tmp_path: Path) -> None:
    load(ModelRequest(REPO, device="cpu"))
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer;"
        f"AutoTokenizer.from_pretrained({REPO!r}); AutoModelForCausalLM.from_pretrained({REPO!r}, use_safetensors=True)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


def test_progress_counts_all_bytes(server: Hub) -> None:
    server.repos[REPO]["model.safetensors"] = LARGE
    hub.fetch(REPO)
    control = Recorder()
    folder = hub.fetch(REPO, control, weights=True)
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert control.fractions == sorted(control.fractions)
    assert control.fractions[0] == 0
    assert control.fractions[-1] == 1
    assert control.texts[-1] == f"Downloading {REPO}: 4 MB of 4 MB"


def test_the_small_files_come_first(server: Hub) -> None:
    folder = hub.fetch(REPO)
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert not server.fetched("model.safetensors")


@pytest.mark.slow
def test_shards(server: Hub, tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "sharded", shards="60KB")
    server.repos["someone/sharded"] = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert load(ModelRequest("someone/sharded", device="cpu")).info.layers == 2


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"model_type": "hyperllama"}, UnsupportedModelError, "not known"),
        ({"auto_map": {"AutoConfig": "c.C"}, "model_type": "own"}, UnsupportedModelError, "Python code"),
        ({"num_hidden_layers": 10**6}, OutOfMemoryError, "needs"),
    ],
    ids=["unknown", "code", "memory"],
)
def test_what_cannot_be_opened_is_known_before_the_weights_are_fetched(
    changes: dict[str, object], kind: type[EngineError], words: str, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind is OutOfMemoryError:
        changes = {}
        monkeypatch.setattr("llmlab.engine.placement.free_memory", lambda _: 1000)
    files = server.repos[REPO]
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), **changes}).encode()
    with pytest.raises(kind, match=words):
        load(ModelRequest(REPO, device="cpu"))
    assert not server.fetched("model.safetensors")


def failure(repo: str, kind: type[EngineError], words: str) -> EngineError:
    with pytest.raises(kind, match=words) as caught:
        load(ModelRequest(repo, device="cpu"))
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")
    assert not downloaders()
    return caught.value


def test_a_gated_model(server: Hub) -> None:
    server.gated.add(REPO)
    error = failure(REPO, AccessError, "accepted its licence")
    assert f"{server.url}/{REPO}" in error.hint
    assert "hf auth login" in error.hint


def test_a_model_that_does_not_exist(server: Hub) -> None:
    assert "spelling" in failure("someone/nothing", ModelNotFoundError, "no model “someone/nothing”").hint


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        (["README.md", "model.gguf"], ModelNotFoundError, "no config.json"),
        (["config.json", "pytorch_model.bin"], ModelFileError, "can run code"),
        (["config.json", "tokenizer.json"], ModelFileError, "no weights"),
    ],
    ids=["no config", "pickles", "no weights"],
)
def test_repositories_without_a_model_to_open(
    files: list[str], kind: type[EngineError], words: str, server: Hub
) -> None:
    server.repos["someone/odd"] = dict.fromkeys(files, b"{}")
    failure("someone/odd", kind, words)
    assert not [path for method, path, _ in server.requests if "/resolve/" in path]


def test_a_hub_that_is_down(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.down = True
    error = failure(REPO, AccessError, "does not answer as it should")
    assert server.url in error.message


def test_no_network(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    assert "127.0.0.1:9" in failure(REPO, AccessError, "cannot be reached").message


def test_offline_is_honoured(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AccessError, match="offline"):
        load(ModelRequest(REPO, device="cpu", offline=True))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    failure(REPO, AccessError, "offline")
    assert server.requests == []


def test_offline_with_half_a_model(server: Hub) -> None:
    hub.fetch(REPO)
    with pytest.raises(AccessError, match="only partly"):
        load(ModelRequest(REPO, device="cpu", offline=True))


def test_the_standard_login_is_used(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    hub.fetch(REPO)
    assert server.authorization == {"Bearer hf_of_the_user"}


@pytest.mark.slow
def test_no_room_on_the_disk(server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import shutil, sys\n"
        "from llmlab.engine import hub_download\n"
        "shutil.disk_usage = lambda _: type('U', (), {'free': 5000})\n"
        "sys.exit(hub_download.main())\n"
    )
    monkeypatch.setattr(hub, "HUB_DOWNLOAD", SimpleNamespace(command=[sys.executable, str(child)]))
    assert "Make room" in failure(REPO, AccessError, "cannot be saved: .* GB are free").hint


def test_a_child_that_crashes(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; print('not ours'); print('{\"odd\": 1}'); sys.exit('the reason')"
    monkeypatch.setattr(hub, "HUB_DOWNLOAD", SimpleNamespace(command=[sys.executable, "-c", code]))
    failure(REPO, AccessError, "failed: the reason")


def test_a_frozen_program_starts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert HUB_DOWNLOAD.command == [sys.executable, HUB_DOWNLOAD.argument]


def test_cancel_kills_at_once_and_the_next_attempt_goes_on(server: Hub, tmp_path: Path) -> None:
    server.repos[REPO]["model.safetensors"] = LARGE
    hub.fetch(REPO)
    halfway, goes_on = threading.Event(), threading.Event()

    def stall(name: str, sent: int) -> bool:
        if name == "model.safetensors" and sent >= len(LARGE) // 2:
            halfway.set()
            goes_on.wait(30)
        return True

    class WhenHalfway(Recorder):
        def check(self) -> None:
            if halfway.is_set() and fetched_so_far(tmp_path):
                self.since = time.monotonic()
                raise Cancelled

    server.on_body = stall
    control = WhenHalfway()
    with pytest.raises(Cancelled):
        hub.fetch(REPO, control, weights=True)
    assert time.monotonic() - control.since < 2  # generous: the machine may be busy; the server would stall for 30
    assert not downloaders()
    assert not [thread for thread in threading.enumerate() if thread.name == "hub-download"]
    goes_on.set()
    kept = fetched_so_far(tmp_path)
    assert kept > 0
    server.on_body = lambda *_: True
    server.requests.clear()
    folder = hub.fetch(REPO, weights=True)
    assert server.fetched("model.safetensors") == [f"bytes={kept}-"]
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert not list((tmp_path / "cache").rglob("*.incomplete"))


@pytest.mark.slow
def test_a_connection_that_breaks_is_taken_up_again(server: Hub) -> None:
    server.repos[REPO]["model.safetensors"] = LARGE
    hub.fetch(REPO)
    breaks = iter([True])
    server.on_body = lambda name, sent: not (sent >= len(LARGE) // 2 and next(breaks, False))
    folder = hub.fetch(REPO, weights=True)
    first, second = server.fetched("model.safetensors")
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").rstrip("-")) > 0
    assert (folder / "model.safetensors").read_bytes() == LARGE


@pytest.mark.slow
def test_a_network_that_is_gone_keeps_what_has_arrived(server: Hub, tmp_path: Path) -> None:
    server.repos[REPO]["model.safetensors"] = LARGE
    hub.fetch(REPO)
    gone = threading.Event()

    def break_off(_: str, sent: int) -> bool:
        if sent >= len(LARGE) // 2:
            gone.set()
        return not gone.is_set()

    server.on_body = break_off
    with pytest.raises(AccessError, match="cannot be reached") as caught:
        hub.fetch(REPO, weights=True)
    assert "is kept" in caught.value.hint
    assert fetched_so_far(tmp_path) > 0


@pytest.mark.slow
def test_a_partial_file_that_does_not_belong_is_found_out(server: Hub, tmp_path: Path) -> None:
    hub.fetch(REPO)
    blobs = next((tmp_path / "cache").rglob("blobs"))
    content = server.repos[REPO]["model.safetensors"]
    (blobs / f"{etag('model.safetensors', content)}.incomplete").write_bytes(b"x" * 1000)
    with pytest.raises(AccessError, match="did not arrive as it was sent"):
        hub.fetch(REPO, weights=True)
    assert (hub.fetch(REPO, weights=True) / "model.safetensors").read_bytes() == content


def test_the_child_ends_when_its_parent_is_gone(server: Hub) -> None:
    request = {"repo_id": REPO, "weights": False, "cache_dir": "unused"}
    server.on_body = lambda *_: threading.Event().wait(30) and False
    child = subprocess.Popen(
        HUB_DOWNLOAD.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=hub.child_environment(),
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.close()
    assert child.wait(timeout=20) == 1
    child.stdout.close()


def test_the_child_imports_no_torch() -> None:
    code = "import sys, llmlab.engine.hub_download; print('torch' in sys.modules or 'transformers' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], env=hub.child_environment(), capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (
            ["config.json", "model.safetensors", "model.fp16.safetensors", "original/x.safetensors"],
            ["model.safetensors"],
        ),
        (
            ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors"],
        ),
        (["config.json", "model.safetensors", "model-00001-of-00002.safetensors"], ["model.safetensors"]),
    ],
)
def test_only_the_weights_that_are_loaded_are_wanted(names: list[str], weights: list[str]) -> None:
    assert wanted(names, weights=True) == weights


def test_what_a_tokenizer_needs_is_wanted_and_nothing_that_runs() -> None:
    small = [
        "config.json",
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "vocab.txt",
        "chat_template.jinja",
    ]
    small += ["tokenizer.model", "sentencepiece.bpe.model", "special_tokens_map.json", "qwen.tiktoken", "vocab.bpe"]
    found = wanted([*small, "model.safetensors", *EXTRAS, "sub/config.json", "requirements.txt"], weights=False)
    assert found == sorted(small)
    assert all(NEVER.fullmatch(name) for name in EXTRAS)
    with pytest.raises(RefusedError):
        wanted(["config.json"], weights=False)
