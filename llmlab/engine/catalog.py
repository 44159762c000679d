"""Which models can be opened: bundled ones, folders, hub ids. Imports no torch, no transformers.

The window and the command line ask here what a text means before anything heavy is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llmlab.engine.errors import ModelNotFoundError
from llmlab.paths import bundled_model

BUNDLED_PREFIX = "bundled:"
CONFIG_FILE = "config.json"
WEIGHT_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")  # may run code when read

_BUNDLED_TEXTS = {
    "decoder": ("Llama Lab Storyteller", "Decoder-only: continues a story, one token at a time."),
    "encoder": ("Lab Cloze", "Encoder-only: reads a whole sentence and fills its gaps."),
    "seq2seq": ("Lab Restorer", "Encoder-decoder: reads a damaged sentence and writes it out whole."),
    "draft": ("Llama Lab Draft", "Draft model for Llama Lab Storyteller: guesses what it will write next."),
}
_BUNDLED_DRAFTS = {"decoder": "draft"}  # who guesses for whom in assisted decoding
_MODEL_FILES = re.compile(
    r"config\.json|generation_config\.json|tokenizer.*\.(json|model)|.*\.safetensors(\.index\.json)?"
)
_HUB_ID = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?")


class SourceKind(StrEnum):
    """Where a model comes from."""

    BUNDLED = "bundled"
    FOLDER = "folder"
    HUB = "hub"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a spec stands for: a folder on this machine, or a repository on the hub."""

    kind: SourceKind
    spec: str  # canonical: opening it again later means the same model
    name: str  # as people say it
    path: Path | None = None  # None for the hub
    repo_id: str | None = None  # only for the hub


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One model that can be offered in a list. `size` is in bytes on disk."""

    source: ModelSource
    description: str
    size: int


def resolve(spec: str) -> ModelSource:
    """What `spec` names: `bundled:decoder`, a model folder (or a file in one), or a hub id.

    Only looks whether the place exists; whether a model can be opened from it is the loader's to say.
    Raises ModelNotFoundError.
    """
    spec = spec.strip().strip('"')
    if spec.startswith(BUNDLED_PREFIX):
        return _bundled_source(spec.removeprefix(BUNDLED_PREFIX))
    if not spec or "\0" in spec or "\n" in spec:
        raise _not_a_spec(spec)
    path = _expanded(spec)
    if _exists(path):
        return _folder_source(path)
    if _HUB_ID.fullmatch(spec) and not spec.endswith((".git", ".ipynb", *PICKLE_SUFFIXES, WEIGHT_SUFFIX)):
        return ModelSource(SourceKind.HUB, spec, spec.rpartition("/")[2], repo_id=spec)
    raise _not_a_spec(spec)


def bundled() -> tuple[CatalogEntry, ...]:
    """The models that came with the program and are really there, decoder first."""
    return tuple(
        CatalogEntry(_bundled_source(key), description, _folder_size(bundled_model(key)))
        for key, (_, description) in _BUNDLED_TEXTS.items()
        if looks_like_model_folder(bundled_model(key))
    )


def draft_for(spec: str) -> str | None:
    """The bundled model that was made to guess for the bundled model `spec`; None where there is none."""
    if not spec.startswith(BUNDLED_PREFIX):
        return None
    key = _BUNDLED_DRAFTS.get(spec.removeprefix(BUNDLED_PREFIX))
    return BUNDLED_PREFIX + key if key is not None and looks_like_model_folder(bundled_model(key)) else None


def cached_hub_models() -> tuple[CatalogEntry, ...]:
    """Models in the Hugging Face cache that have a config and safetensors weights, by name.

    Reads the cache's folders and imports huggingface_hub (about half a second): call it from a job.
    """
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return ()
    entries = []
    for repo in repos:
        files = {file.file_name for revision in repo.revisions for file in revision.files}
        if repo.repo_type == "model" and CONFIG_FILE in files and any(f.endswith(WEIGHT_SUFFIX) for f in files):
            source = ModelSource(SourceKind.HUB, repo.repo_id, repo.repo_id.rpartition("/")[2], repo_id=repo.repo_id)
            entries.append(CatalogEntry(source, "In the Hugging Face cache.", repo.size_on_disk))
    return tuple(sorted(entries, key=lambda entry: entry.source.spec.lower()))


def looks_like_model_folder(path: str | Path) -> bool:
    """Whether `path` is a folder with a model's configuration in it."""
    try:
        return (_inside_cache_folder(Path(path)) / CONFIG_FILE).is_file()
    except (OSError, ValueError):
        return False


def _bundled_source(key: str) -> ModelSource:
    if key not in _BUNDLED_TEXTS:
        known = ", ".join(BUNDLED_PREFIX + name for name in _BUNDLED_TEXTS)
        raise ModelNotFoundError(f"There is no bundled model “{key}”.", f"The bundled models are {known}.")
    path = bundled_model(key)
    if not looks_like_model_folder(path):
        raise ModelNotFoundError(
            f"The bundled model “{key}” is not part of this installation.",
            "Install the program again, or open a folder or a hub id instead.",
        )
    return ModelSource(SourceKind.BUNDLED, BUNDLED_PREFIX + key, _BUNDLED_TEXTS[key][0], path=path)


def _folder_source(path: Path) -> ModelSource:
    """The source for something that exists: a folder, or a file inside a model folder."""
    folder = path
    if not path.is_dir():
        if not (_MODEL_FILES.fullmatch(path.name) or path.suffix in PICKLE_SUFFIXES):
            raise ModelNotFoundError(
                f"“{path.name}” is not a file of a model that can be opened here.",
                "Open the folder that holds config.json, the tokenizer files and the .safetensors weights.",
            )
        folder = path.parent
    folder = _inside_cache_folder(folder.absolute())
    return ModelSource(SourceKind.FOLDER, str(folder), _folder_name(folder), path=folder)


def _inside_cache_folder(folder: Path) -> Path:
    """The current snapshot, where `folder` is a repository of the Hugging Face cache; otherwise itself."""
    head = folder / "refs" / "main"
    if folder.name.startswith("models--") and head.is_file():
        return folder / "snapshots" / head.read_text(encoding="ascii", errors="replace").strip()
    return folder


def _folder_name(folder: Path) -> str:
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name or str(folder)


def _folder_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _expanded(spec: str) -> Path:
    path = Path(spec.removeprefix("file://"))
    try:
        return path.expanduser()
    except RuntimeError:  # “~name” of a user that does not exist
        return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the file system, for one
        return False


def _not_a_spec(spec: str) -> ModelNotFoundError:
    shown = spec if len(spec) <= 200 else spec[:200] + "…"
    return ModelNotFoundError(
        f"There is no model “{shown}”.",
        "Give a bundled model (bundled:decoder), an existing model folder, or a hub id such as openai-community/gpt2.",
    )
