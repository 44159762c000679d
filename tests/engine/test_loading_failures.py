"""Folders that cannot be opened: each says what is wrong and what to do, before anything of it runs or stays."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from llmlab.engine import inspection, loading
from llmlab.engine.errors import (
    AccessError,
    DeviceError,
    EngineError,
    ModelFileError,
    ModelNotFoundError,
    OutOfMemoryError,
    UnsupportedModelError,
)
from llmlab.engine.loading import load
from llmlab.engine.types import ModelRequest
from tests.engine import checkpoints
from tests.engine.checkpoints import save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save("llama", tmp_path / "tiny")


def failure(folder: Path, kind: type[EngineError], words: str, **request: Any) -> EngineError:
    """The error of opening `folder`, which has `words` in its message and a hint in whole sentences."""
    with pytest.raises(kind, match=words) as caught:
        load(ModelRequest(str(folder), device="cpu", **request))
    error = caught.value
    assert error.message[0].isupper() or error.message.startswith("“") or error.message[0].isdigit()
    assert error.message.endswith(".")
    assert error.hint.endswith(".")
    assert "Traceback" not in str(error)
    return error


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# The folder


def test_a_folder_that_is_gone(folder: Path) -> None:
    shutil.rmtree(folder)
    failure(folder, ModelNotFoundError, "There is no model")


def test_a_folder_without_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    failure(folder, ModelFileError, "no config.json")


def test_a_folder_of_models_names_them(folder: Path) -> None:
    error = failure(folder.parent, ModelFileError, "no config.json")
    assert "tiny" in error.hint


def test_an_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    assert "merge" in failure(folder, ModelFileError, "adapter").hint.lower()


def test_gguf_files(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
    failure(folder, ModelFileError, "GGUF")


@pytest.mark.parametrize("method", ["iterdir", "stat"])
def test_a_folder_that_may_not_be_read(method: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inspection.Path, method, denied)
    failure(folder, EngineError, r"[Pp]ermission denied|no model")


# config.json

BROKEN_JSON = {
    "cut off": b'{"model_type": "llama", ',
    "empty": b"",
    "a list": b"[1, 2]",
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"model_type": "llama", "rms_norm_eps": NaN}',
    "a number of 5,000 digits": b'{"model_type": "llama", "hidden_size": ' + b"9" * 5000 + b"}",
    "UTF-16": '{"model_type": "llama"}'.encode("utf-16"),
    "with a byte order mark": b"\xef\xbb\xbf" + b'{"model_type": "llama"}',
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", BROKEN_JSON.values(), ids=BROKEN_JSON.keys())
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_broken_json(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    failure(folder, ModelFileError, name)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "large"},
        {"num_attention_heads": 7},
        {"num_hidden_layers": -1},
        {"hidden_size": 1e999},
        {"hidden_act": "nonsense"},
        {"vocab_size": None},
        {"rope_scaling": "no"},
    ],
    ids=str,
)
def test_values_that_no_model_can_have(changes: dict[str, Any], folder: Path) -> None:
    edit_config(folder, **changes)
    failure(folder, ModelFileError, "config.json|missing|other shapes")


def test_no_model_type(folder: Path) -> None:
    edit_config(folder, model_type=None)
    failure(folder, UnsupportedModelError, "does not say which architecture")


def test_an_unknown_architecture(folder: Path) -> None:
    edit_config(folder, model_type="hyperllama")
    failure(folder, UnsupportedModelError, "hyperllama.*not known")


@pytest.mark.parametrize("kind", ["vit", "whisper", "clip"])
def test_what_is_no_language_model(kind: str, folder: Path) -> None:
    edit_config(folder, model_type=kind)
    failure(folder, UnsupportedModelError, "not language models")


def test_remote_code_is_refused_and_never_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = folder / "ran"
    (folder / "modeling.py").write_text(f"open({str(marker)!r}, 'w')\nclass Model: pass\nclass Config: pass\n")
    edit_config(
        folder,
        model_type="owncode",
        auto_map={"AutoConfig": "modeling.Config", "AutoModelForCausalLM": "modeling.Model"},
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    failure(folder, UnsupportedModelError, "needs Python code")
    assert not marker.exists()


def test_a_known_architecture_opens_without_the_code_it_brings(folder: Path) -> None:
    marker = folder / "ran"
    (folder / "modeling.py").write_text(f"open({str(marker)!r}, 'w')\nclass Model: pass\n")
    edit_config(folder, auto_map={"AutoModelForCausalLM": "modeling.Model"})
    loaded = load(ModelRequest(str(folder), device="cpu"))
    assert type(loaded.model) is LlamaForCausalLM
    assert not marker.exists()


def test_a_tokenizer_that_needs_code(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["tok.Own", None]}}))
    failure(folder, UnsupportedModelError, "tokenizer .* needs Python code")


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8"])
def test_other_quantizations(method: str, folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": method, "bits": 4})
    assert "nf4" in failure(folder, UnsupportedModelError, f"quantized with {method}").hint


def test_a_quantized_checkpoint_is_not_quantized_again(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    failure(folder, DeviceError, "already quantized", quantization="nf4")


# The tokenizer


def test_no_tokenizer_files(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "tokenizer.json" in failure(folder, ModelFileError, "no tokenizer files").hint


def test_no_tokenizer_files_for_gpt2(tmp_path: Path) -> None:
    # Here transformers would make a tokenizer of one token, and say nothing.
    folder = save("gpt2", tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    failure(folder, ModelFileError, "no tokenizer files")


def test_a_vocabulary_of_special_tokens_only(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"] |= {
        "vocab": {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<mask>"])},
        "merges": [],
    }
    path.write_text(json.dumps(values))
    failure(folder, ModelFileError, "no vocabulary")


def test_half_a_tokenizer(tmp_path: Path) -> None:
    folder = save("gpt2", tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "merges.txt").write_text("")
    (folder / "vocab.json").write_text("{}")
    failure(folder, ModelFileError, "tokenizer of .* is incomplete|no vocabulary")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"model": 3}', b"[" * 100_000, bytes(range(256))])
def test_a_broken_tokenizer(content: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    failure(folder, ModelFileError, "tokenizer")


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    vocabulary = values["model"]["vocab"]
    vocabulary |= {f"word{index}": index for index in range(len(vocabulary), 500)}
    path.write_text(json.dumps(values))
    failure(folder, ModelFileError, "embeddings for 320")


def test_added_tokens_without_an_embedding_are_a_note(folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<image-{i}>" for i in range(60)]})
    tokenizer.save_pretrained(folder)
    beyond = [token for token, index in tokenizer.get_vocab().items() if index >= checkpoints.VOCABULARY]
    assert beyond, "the fixture's tokenizer has room left below the embeddings"
    notes = load(ModelRequest(str(folder), device="cpu")).info.notes
    assert any(token in note for token in beyond for note in notes)


# The weights


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    failure(folder, ModelFileError, "no weights")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "last.ckpt"])
def test_pickled_weights_only(name: str, folder: Path) -> None:
    marker = folder / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return Path.touch, (marker,)  # type: ignore[return-value]

    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    error = failure(folder, ModelFileError, "can run code")
    assert "save_pretrained" in error.hint
    assert not marker.exists()


def test_pickles_beside_safetensors_are_left_alone(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load(ModelRequest(str(folder), device="cpu")).info.layers == 2


def test_parts_without_their_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    assert "index" in failure(folder, ModelFileError, "neither").hint


def rewrite(folder: Path, change: Callable[[bytes], bytes]) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))


def header(content: bytes) -> dict[str, Any]:
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def with_header(content: bytes, table: bytes) -> bytes:
    data = content[8 + int.from_bytes(content[:8], "little") :]
    return struct.pack("<Q", len(table)) + table + data


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "0 bytes": lambda _: b"",
    "3 bytes": lambda content: content[:3],
    "cut in the header": lambda content: content[:100],
    "cut in the tensors": lambda content: content[:-1000],
    "one byte short": lambda content: content[:-1],
    "one byte more": lambda content: content + b"\0",
    "huge header length": lambda content: b"\xff" * 8 + content[8:],
    "header of 4 GB": lambda content: struct.pack("<Q", 2**32) + content[8:],
    "header is no JSON": lambda content: with_header(content, b"x" * 500),
    "header is a list": lambda content: with_header(content, b"[1, 2, 3]"),
    "header nested 100,000 deep": lambda content: with_header(content, b"[" * 100_000 + b"]" * 100_000),
    "header without offsets": lambda content: with_header(content, b'{"a": {"dtype": "F32", "shape": [1]}}'),
    "header with wrong offsets": lambda content: with_header(
        content, b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}'
    ),
    "header with offsets backwards": lambda content: with_header(
        content, b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}'
    ),
    "header with texts for numbers": lambda content: with_header(
        content, b'{"a": {"dtype": "F32", "shape": ["1"], "data_offsets": ["0", "4"]}}'
    ),
    "a web page": lambda _: b"<!DOCTYPE html><html><body>Please log in</body></html>" * 20,
    "a Git LFS pointer": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_weights(damage: Callable[[bytes], bytes], folder: Path) -> None:
    rewrite(folder, damage)
    failure(folder, ModelFileError, "model.safetensors is damaged")


@settings(deadline=None)
@given(
    st.binary(max_size=400)
    | st.builds(lambda n, b: struct.pack("<Q", n) + b, st.integers(0, 300), st.binary(max_size=300))
)
def test_any_bytes_are_a_table_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    with contextlib.suppress(ModelFileError):  # any other exception fails the test
        assert isinstance(inspection.read_header(path), dict)


def test_the_header_check_agrees_with_safetensors(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    found = inspection.read_header(folder / "model.safetensors")
    assert {name: tuple(entry["shape"]) for name, entry in found.items()} == {
        n: tuple(t.shape) for n, t in tensors.items()
    }


@pytest.mark.parametrize("kind", ["llama", "bert", "t5"])
def test_one_missing_tensor_is_never_made_up(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    body = [name for name in tensors if "layer" in name or "block" in name]
    for name in (body[0], body[-1]):
        save_file({n: t for n, t in tensors.items() if n != name}, path, metadata={"format": "pt"})
        failure(folder, ModelFileError, "1 tensor that the architecture needs is missing")


def test_half_a_head_is_no_head(tmp_path: Path) -> None:
    folder = save("bert", tmp_path)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("cls.predictions.transform.dense.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    failure(folder, ModelFileError, "cls.predictions.transform.dense.weight")


def test_a_folder_that_vanishes_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = loading.read_tokenizer

    def vanish(*arguments: Any) -> object:
        tokenizer = read(*arguments)
        shutil.rmtree(folder)
        return tokenizer

    monkeypatch.setattr(loading, "read_tokenizer", vanish)
    failure(folder, ModelFileError, "cannot be loaded")


def test_layers_that_the_configuration_does_not_have_are_a_note(folder: Path) -> None:
    edit_config(folder, num_hidden_layers=1)
    info = load(ModelRequest(str(folder), device="cpu")).info
    assert info.layers == 1
    assert any("9 tensors of layers" in note for note in info.notes)


def test_tensors_of_another_shape(folder: Path) -> None:
    edit_config(folder, intermediate_size=96)
    failure(folder, ModelFileError, "other shapes")


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "a")
    shutil.copy(save("gpt2", tmp_path / "b") / "model.safetensors", folder)
    failure(folder, ModelFileError, "missing from the weight files")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return save("llama", tmp_path / "sharded", shards="60KB")


def test_a_missing_shard(sharded: Path) -> None:
    lost = min(sharded.glob("model-*.safetensors"))
    lost.unlink()
    failure(sharded, ModelFileError, f"1 of the .* are missing: {lost.name}")


def test_a_damaged_shard(sharded: Path) -> None:
    last = max(sharded.glob("model-*.safetensors"))
    last.write_bytes(last.read_bytes()[:-5])
    failure(sharded, ModelFileError, f"{last.name} is damaged")


def test_a_tensor_that_no_shard_has(sharded: Path) -> None:
    first = min(sharded.glob("model-*.safetensors"))
    tensors = load_file(first)
    tensors.popitem()
    save_file(tensors, first, metadata={"format": "pt"})
    failure(sharded, ModelFileError, "1 tensors are listed")


@pytest.mark.parametrize(
    "weight_map",
    [
        None,
        {},
        [],
        {"a": 3},
        {"a": "../secret.safetensors"},
        {"a": "/etc/passwd"},
        {"a": "b.bin"},
        {"a": "x\\y.safetensors"},
    ],
    ids=str,
)
def test_an_index_that_leads_astray(weight_map: object, sharded: Path) -> None:
    (sharded / inspection.INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}))
    failure(sharded, ModelFileError, inspection.INDEX_FILE)


# Memory and packages


def test_running_out_of_memory_while_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(LlamaForCausalLM, "_load_pretrained_model", exhausted)
    monkeypatch.setattr("llmlab.engine.checkpoint.release_memory", lambda: released.append(True))
    released: list[bool] = []
    error = failure(folder, OutOfMemoryError, r"needs .* in float32 on cpu, and .* free")
    assert error.__context__ is None
    assert released


@pytest.mark.parametrize("message", ["[enforce fail] DefaultCPUAllocator: can't allocate memory", "not enough memory"])
def test_the_cpu_allocator_running_out(message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(LlamaForCausalLM, "_load_pretrained_model", exhausted)
    failure(folder, OutOfMemoryError, "needs")


def test_an_unforeseen_failure_is_told_in_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*_: object, **__: object) -> None:
        raise KeyError("mystery")

    monkeypatch.setattr(LlamaForCausalLM, "_load_pretrained_model", odd)
    failure(folder, EngineError, "mystery")


def test_bitsandbytes_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "llmlab.engine.devices.importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else find(name)
    )
    assert "pip install" in failure(folder, DeviceError, "bitsandbytes, which is not", quantization="nf4").hint


def test_an_unknown_quantization(folder: Path) -> None:
    failure(folder, DeviceError, "no quantization “int3”", quantization="int3")


def test_offline_and_not_in_the_cache() -> None:
    with pytest.raises(AccessError, match="not in the Hugging Face cache") as caught:
        load(ModelRequest("someone/some-model", device="cpu"))
    assert "offline" in caught.value.message
