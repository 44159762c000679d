"""Tokenizers are opened without weights, and remembered."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llmlab.children import RENDER_CHAT
from llmlab.engine.errors import AccessError, EngineError, ModelFileError, ModelNotFoundError
from llmlab.engine.tokens.opened import OpenTokenizer
from llmlab.engine.tokens.shelf import Shelf, context_of, shelf
from tests.engine.small_tokenizers import FAST, backend


def folder(path: Path, kind: str = "byte_level", **config: object) -> Path:
    FAST[kind]().save_pretrained(path)
    if config:
        (path / "config.json").write_text(json.dumps(config))
    return path


def test_opens_a_folder_without_weights(tmp_path: Path) -> None:
    spec = str(folder(tmp_path / "walker", model_type="gpt2", n_positions=64))
    opened = Shelf().get(spec)
    assert opened.info.context == 64
    assert (opened.info.spec, opened.info.name) == (spec, "walker")
    assert (opened.info.algorithm, opened.info.fast) == ("byte-level BPE", True)
    assert opened.encode("walk").ids.tolist() == backend("byte_level").encode("walk").ids


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("fallback", "BPE"), ("word_piece", "WordPiece"), ("unigram", "Unigram"), ("word_level", "WordLevel")],
)
def test_a_tokenizer_file_is_enough(tmp_path: Path, kind: str, algorithm: str) -> None:
    backend(kind).save(str(tmp_path / "tokenizer.json"))
    assert Shelf().get(str(tmp_path)).info.algorithm == algorithm


def test_remembers_the_last_ones(tmp_path: Path) -> None:
    small = Shelf(2)
    specs = [str(folder(tmp_path / str(n))) for n in range(3)]
    first = [small.get(spec) for spec in specs[:2]]
    assert small.get(specs[0]) is first[0]
    small.get(specs[2])
    assert small.get(specs[0]) is first[0]
    assert small.get(specs[1]) is not first[1]


def test_opens_again_what_has_changed(tmp_path: Path) -> None:
    shelf_ = Shelf()
    before = shelf_.get(str(folder(tmp_path)))
    folder(tmp_path, "word_piece")
    after = shelf_.get(str(tmp_path))
    assert (before.info.algorithm, after.info.algorithm) == ("byte-level BPE", "WordPiece")


def test_threads_open_a_tokenizer_once(tmp_path: Path) -> None:
    shelf_, spec, found = Shelf(), str(folder(tmp_path)), []
    threads = [threading.Thread(target=lambda: found.append(shelf_.get(spec))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(opened) for opened in found}) == 1
    assert isinstance(found[0], OpenTokenizer)


def test_there_is_one_shelf() -> None:
    assert shelf() is shelf()


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="not in the Hugging Face cache"):
        Shelf().get("nobody/nothing")
    with pytest.raises(ModelNotFoundError):
        Shelf().get(str(tmp_path / "missing") + "/")
    with pytest.raises(ModelFileError, match="no tokenizer files"):
        Shelf().get(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(EngineError, match="cannot be read"):
        Shelf().get(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("[" * 100_000)
    with pytest.raises(EngineError) as caught:
        Shelf().get(str(tmp_path))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"model_type": "llama", "max_position_embeddings": 4096}, 4096),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "t5", "n_positions": 512}, None),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 131072}}, 131072),
        ({}, None),
    ],
)
def test_context(config: dict[str, object], context: int | None) -> None:
    assert context_of(config) == context


def test_importing_the_package_brings_no_torch() -> None:
    code = (
        "import sys, llmlab.engine.tokens.shelf, llmlab.engine.tokens.comparing; "
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'PySide6') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_renderer_imports_nothing_heavy() -> None:
    code = (
        "import sys, llmlab.engine.tokens.chat_child; "
        "print([name for name in ('torch', 'transformers', 'numpy', 'PySide6') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_packaged_program_renders_templates_itself() -> None:
    request = json.dumps({"template": "{{ greeting }}!", "variables": [{"greeting": "Hello"}]})
    result = subprocess.run(
        [sys.executable, "-m", "llmlab", RENDER_CHAT.argument],
        input=request + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == 'ready\n{"texts": ["Hello!"]}\n'
