"""Looks a model folder over before anything of it is loaded, and says in words what is wrong with it.

Reads JSON and safetensors headers only; imports no torch. What passes here can still be refused by the architecture
itself (a tensor of the wrong shape), but a damaged, incomplete or unsafe folder never reaches the loader.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llmlab.engine.catalog import CONFIG_FILE, PICKLE_SUFFIXES, WEIGHT_SUFFIX
from llmlab.engine.errors import ModelFileError, ModelNotFoundError, UnsupportedModelError
from llmlab.engine.wording import some_of

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_JSON_BYTES = 200_000_000  # the largest tokenizer.json in the wild is about 35 MB
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
HEADER_LENGTH_BYTES = 8
_READ_WITH_IT = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")

# Bits per element, as the safetensors format defines them; sub-byte types are left out and not checked for size.
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8} | {
    name: int(name.strip("BFIU")) for name in ("F16", "BF16", "I16", "U16", "F32", "I32", "U32", "F64", "I64", "U64")
}
_TORCH_NAMES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}

_VOCABULARY_PREFIXES = ("tokenizer.", "tekken", "spiece", "sentencepiece", "spm", "source.spm", "vocab", "bpe.codes")
_VOCABULARY_SUFFIXES = (".tiktoken", ".tokenizer")
_WITHOUT_VOCABULARY = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")  # they read bytes or code points


def read_config(folder: Path) -> dict[str, Any]:
    """The model's configuration, checked. Raises ModelNotFoundError, ModelFileError or UnsupportedModelError."""
    if not folder.is_dir():
        raise ModelNotFoundError(f"The folder “{folder}” does not exist.", "It may have been moved; open it again.")
    if not (folder / CONFIG_FILE).is_file():
        raise _no_config(folder)
    config = read_json(folder / CONFIG_FILE)
    for name in _READ_WITH_IT:
        if (folder / name).is_file():
            read_json(folder / name)
    if not isinstance(config.get("model_type"), str):
        raise UnsupportedModelError(
            f"The file {CONFIG_FILE} of “{folder.name}” does not say which architecture it describes.",
            "It needs an entry “model_type” with transformers' name of the architecture, such as llama or bert.",
        )
    return config


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelFileError where it is damaged, too deep or too large."""
    again = f"Copy or download {path.name} again."
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelFileError(f"The file {path.name} is larger than {MAX_JSON_BYTES // 10**6} MB.", again)
        content = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_constant)
    except RecursionError:
        raise ModelFileError(f"The file {path.name} is nested too deeply to be a model's.", again) from None
    except (ValueError, OSError) as error:
        raise ModelFileError(f"The file {path.name} cannot be read: {_sentence(error)}", again) from None
    if not isinstance(content, dict):
        raise ModelFileError(f"The file {path.name} does not hold a JSON object.", again)
    return content


def check_tokenizer(folder: Path) -> None:
    """Raise ModelFileError where `folder` has no vocabulary: transformers would make one of a single token."""
    for file in folder.iterdir():
        if file.name.startswith(_VOCABULARY_PREFIXES) or file.name.endswith(_VOCABULARY_SUFFIXES):
            return
    settings = folder / "tokenizer_config.json"
    tokenizer_class = str(read_json(settings).get("tokenizer_class")) if settings.is_file() else ""
    if tokenizer_class.removesuffix("Fast") in _WITHOUT_VOCABULARY:
        return
    raise ModelFileError(
        f"The folder “{folder.name}” has no tokenizer files, so no text can be given to the model.",
        "Copy tokenizer.json and tokenizer_config.json from where the model came from into the folder.",
    )


def check_weights(folder: Path) -> str:
    """Compare every weight file's table of tensors with the file; the commonest floating type, as torch names it.

    Raises ModelFileError.
    """
    files = weight_files(folder)
    headers = {file: read_header(file) for file in files}
    if (index := folder / INDEX_FILE).is_file() and files != (folder / WEIGHTS_FILE,):
        _check_index(_weight_map(index), {file.name: header for file, header in headers.items()})
    elements: Counter[str] = Counter()
    for header in headers.values():
        for entry in header.values():
            elements[entry["dtype"]] += math.prod(entry["shape"])
    return next((_TORCH_NAMES[kind] for kind, _ in elements.most_common() if kind in _TORCH_NAMES), "float32")


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that hold the weights, in the order transformers prefers them. Raises ModelFileError."""
    if (single := folder / WEIGHTS_FILE).is_file():
        return (single,)
    if not (index := folder / INDEX_FILE).is_file():
        raise _no_weights(folder)
    names = sorted(set(_weight_map(index).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelFileError(
            f"{len(missing)} of the {len(names)} weight files of “{folder.name}” are missing: {some_of(missing)}.",
            "Download or copy the missing files into the folder; all of them are needed.",
        )
    return tuple(folder / name for name in names)


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Tensor name → {dtype, shape, data_offsets} of a safetensors file, compared with the file's real size.

    Format: https://huggingface.co/docs/safetensors (8 bytes little-endian length, JSON, then the tensors without
    gaps). Raises ModelFileError.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
            if size < HEADER_LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - HEADER_LENGTH_BYTES):
                raise _damaged(path, "it is empty" if size == 0 else "it ends before its table of tensors does")
            header = json.loads(file.read(length), parse_constant=_constant)
        header.pop("__metadata__", None)
        ends = [_check_entry(path, name, entry) for name, entry in header.items()]
    except OSError as error:
        raise _damaged(path, f"reading it failed ({error.strerror or error})") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _damaged(path, "its table of tensors cannot be read") from None
    expected = HEADER_LENGTH_BYTES + length + max(ends, default=0)
    if size != expected:
        raise _damaged(path, f"it should have {expected:,} bytes and has {size:,}")
    return dict(header)


def is_complete(folder: Path) -> bool:
    """Whether configuration, tokenizer and all weight files are there; says nothing about what is in them."""
    try:
        read_config(folder)
        check_tokenizer(folder)
        weight_files(folder)
    except (ModelFileError, ModelNotFoundError, UnsupportedModelError):
        return False
    return True


def pickled(names: Iterable[str]) -> list[str]:
    """Those of the file names that are pickles: reading them can run code."""
    return sorted(name for name in names if name.endswith(PICKLE_SUFFIXES) and name != "training_args.bin")


def pickle_only(name: str, files: list[str]) -> ModelFileError:
    """The refusal of a model whose weights are pickles only."""
    return ModelFileError(
        f"“{name}” has its weights only as {some_of(files)}: such pickle files can run code when they are read.",
        "Open a variant with .safetensors files. If you trust the origin, convert them once in Python with "
        "AutoModelForCausalLM.from_pretrained(folder, use_safetensors=False).save_pretrained(new_folder).",
    )


def _check_entry(path: Path, name: str, entry: dict[str, Any]) -> int:
    """Where the tensor ends, in bytes behind the header."""
    begin, end = entry["data_offsets"]
    elements = math.prod(entry["shape"])
    bits = _BITS.get(entry["dtype"])
    if not 0 <= begin <= end or (bits is not None and elements * bits != 8 * (end - begin)):
        raise _damaged(path, f"the place of its tensor “{name}” does not agree with the tensor's shape")
    return int(end)


def _check_index(weight_map: dict[str, str], headers: dict[str, dict[str, dict[str, Any]]]) -> None:
    missing = sorted(tensor for tensor, file in weight_map.items() if tensor not in headers[file])
    if missing:
        raise ModelFileError(
            f"{len(missing)} tensors are listed in {INDEX_FILE} but are not in the weight files: {some_of(missing)}.",
            "The weight files belong to different versions of the model, or one is damaged; download them again.",
        )


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor → file name, as the index says; file names lead nowhere outside the folder."""
    weight_map = read_json(index).get("weight_map")
    names = set(weight_map.values()) if isinstance(weight_map, dict) and weight_map else {None}
    if not all(isinstance(n, str) and n.endswith(WEIGHT_SUFFIX) and Path(n).name == n and "\\" not in n for n in names):
        raise ModelFileError(
            f"The file {INDEX_FILE} does not say in which .safetensors file each tensor lies.",
            f"Download {INDEX_FILE} again.",
        )
    return dict(weight_map or {})


def _no_config(folder: Path) -> ModelFileError:
    if (folder / "adapter_config.json").is_file():
        return ModelFileError(
            f"“{folder.name}” is an adapter (LoRA), not a whole model.",
            "Merge it into its base model with PEFT's merge_and_unload(), save that, and open the result.",
        )
    if any(folder.glob("*.gguf")):
        return ModelFileError(
            f"“{folder.name}” holds GGUF files, which are made for llama.cpp.",
            "Open the original model, the one with config.json and .safetensors files.",
        )
    inner = [child.name for child in folder.iterdir() if (child / CONFIG_FILE).is_file()]
    return ModelFileError(
        f"The folder “{folder.name}” has no {CONFIG_FILE}, so it is not a transformers model.",
        f"Open one of the folders in it: {some_of(sorted(inner))}."
        if inner
        else f"Open the folder that holds {CONFIG_FILE}, the tokenizer files and the .safetensors weights.",
    )


def _no_weights(folder: Path) -> ModelFileError:
    names = [file.name for file in folder.iterdir()]
    if any(name.endswith(WEIGHT_SUFFIX) for name in names):
        return ModelFileError(
            f"“{folder.name}” has .safetensors files, but neither {WEIGHTS_FILE} nor {INDEX_FILE}.",
            f"If the model came in several parts, copy {INDEX_FILE} from where it came from as well.",
        )
    if pickles := pickled(names):
        return pickle_only(folder.name, pickles)
    return ModelFileError(
        f"“{folder.name}” has a configuration but no weights.",
        f"Copy {WEIGHTS_FILE} into the folder, or all the parts together with {INDEX_FILE}.",
    )


def _damaged(path: Path, what: str) -> ModelFileError:
    return ModelFileError(
        f"The weight file {path.name} is damaged: {what}.", "Download or copy it again; nothing of it was loaded."
    )


def _constant(text: str) -> float:
    """JSON has no NaN, and no setting of a model means anything with it; Infinity does occur (Mamba's limits)."""
    if text == "NaN":
        raise ValueError("it contains NaN")
    return float(text)


def _sentence(error: Exception) -> str:
    text = (getattr(error, "strerror", None) or str(error)).strip().rstrip(".")
    return text[:200] + "."
