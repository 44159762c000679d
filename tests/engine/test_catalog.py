"""What a spec names, without torch and without the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine import catalog
from llmlab.engine.catalog import SourceKind
from llmlab.engine.errors import ModelNotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Something that looks like a model."""
    folder = tmp_path / "My model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_text("{}")
    for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"):
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the bundled models: the decoder and the encoder are there, the others are not."""
    for name in ("decoder", "encoder", "seq2seq"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        (tmp_path / name / "deeper" / "file").write_bytes(b"x" * 100)
    for name in ("decoder", "encoder"):
        (tmp_path / name / "config.json").write_text("{}")
    monkeypatch.setattr(catalog, "bundled_model", lambda name: tmp_path / name)
    return tmp_path


def test_importing_the_catalog_imports_no_torch() -> None:
    code = (
        "import sys, llmlab.engine.catalog as c; c.bundled(); c.resolve('a/b');"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_bundled_models_that_are_there(models: Path) -> None:
    entries = catalog.bundled()
    assert [entry.source.spec for entry in entries] == ["bundled:decoder", "bundled:encoder"]
    assert [entry.source.name for entry in entries] == ["Llama Lab Storyteller", "Lab Cloze"]
    assert all(entry.size == 102 and entry.description for entry in entries)
    source = catalog.resolve("bundled:encoder")
    assert (source.kind, source.path) == (SourceKind.BUNDLED, models / "encoder")


def test_the_decoder_has_its_draft_model_where_that_is_there(models: Path) -> None:
    assert catalog.draft_for("bundled:decoder") is None
    (models / "draft").mkdir()
    (models / "draft" / "config.json").write_text("{}")
    assert catalog.draft_for("bundled:decoder") == "bundled:draft"
    assert catalog.resolve("bundled:draft").name == "Llama Lab Draft"
    assert [catalog.draft_for(spec) for spec in ("bundled:draft", "bundled:encoder", "decoder", "")] == [None] * 4


def test_bundled_models_that_are_not_there(models: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="not part of this installation"):
        catalog.resolve("bundled:seq2seq")
    with pytest.raises(ModelNotFoundError, match="no bundled model “diffuser”") as caught:
        catalog.resolve("bundled:diffuser")
    assert "bundled:decoder" in caught.value.hint


def test_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = catalog.resolve(str(folder))
    assert (source.kind, source.path, source.name) == (SourceKind.FOLDER, folder, "My model")
    assert catalog.resolve(source.spec) == source
    assert catalog.resolve(f'  "{folder}" ') == source
    monkeypatch.chdir(folder.parent)
    assert catalog.resolve("My model") == source
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert catalog.resolve("~/My model") == source


@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"],
)
def test_a_file_of_a_model_names_its_folder(name: str, folder: Path) -> None:
    assert catalog.resolve(str(folder / name)).path == folder


def test_another_file_is_no_model(folder: Path) -> None:
    (folder / "prompt.txt").write_text("hello")
    with pytest.raises(ModelNotFoundError, match=r"prompt\.txt"):
        catalog.resolve(str(folder / "prompt.txt"))


def test_a_repository_of_the_cache_names_its_snapshot(tmp_path: Path) -> None:
    repository = tmp_path / "models--someone--small-gpt"
    snapshot = repository / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    source = catalog.resolve(str(repository))
    assert (source.path, source.name) == (snapshot, "small-gpt")
    assert catalog.looks_like_model_folder(repository)


@pytest.mark.parametrize("spec", ["gpt2", "openai-community/gpt2", "Qwen/Qwen2.5-0.5B", "a_b/c.d-e"])
def test_hub_ids(spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    source = catalog.resolve(spec)
    assert (source.kind, source.repo_id, source.path) == (SourceKind.HUB, spec, None)
    assert source.name == spec.split("/")[-1]


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "   ",
        "/no/such/folder",
        "./nothing",
        "~/no such folder of mine",
        "~nobody of that name/model",
        "C:\\models\\gpt2",
        "a/b/c",
        "owner//name",
        "owner/na--me",
        "owner/..",
        "-x/y",
        "model.safetensors",
        "pytorch_model.bin",
        "https://huggingface.co/gpt2",
        "two words",
        "nul\0",
        "line\nbreak",
        "x" * 5000,
    ],
    ids=lambda spec: spec[:30],
)
def test_what_names_no_model(spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError) as caught:
        catalog.resolve(spec)
    assert caught.value.hint.endswith(".")
    assert len(caught.value.message) < 400


@given(st.text(max_size=120))
def test_any_text_is_a_source_or_a_sentence(text: str) -> None:
    try:
        source = catalog.resolve(text)
    except ModelNotFoundError:
        return
    assert source.path is not None or source.repo_id


def test_what_looks_like_a_model(folder: Path) -> None:
    assert catalog.looks_like_model_folder(folder)
    assert not catalog.looks_like_model_folder(folder.parent)
    assert not catalog.looks_like_model_folder(folder / "config.json")
    assert not catalog.looks_like_model_folder("nul\0")


def cached(cache: Path, repo: str, files: dict[str, str]) -> None:
    """Put a repository into a Hugging Face cache."""
    repository = cache / ("models--" + repo.replace("/", "--"))
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    blobs = repository / "blobs"
    blobs.mkdir()
    for index, (name, content) in enumerate(files.items()):
        (blobs / str(index)).write_text(content)
        (snapshot / name).symlink_to(blobs / str(index))


def test_models_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert catalog.cached_hub_models() == ()
    whole = {"config.json": json.dumps({"model_type": "llama"}), "model.safetensors": "x" * 1000}
    cached(tmp_path / "hub", "someone/Zebra", whole)
    cached(tmp_path / "hub", "someone/apple", whole)
    cached(tmp_path / "hub", "someone/no-weights", {"config.json": "{}"})
    cached(tmp_path / "hub", "someone/pickled", {"config.json": "{}", "pytorch_model.bin": "x"})
    entries = catalog.cached_hub_models()
    assert [entry.source.spec for entry in entries] == ["someone/apple", "someone/Zebra"]
    assert entries[0].size > 1000
    assert catalog.resolve(entries[0].source.spec) == entries[0].source
