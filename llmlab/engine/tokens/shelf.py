"""The tokenizers that are open, beside the model and without it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmlab.engine import catalog, hub, inspection
from llmlab.engine.catalog import CONFIG_FILE, ModelSource
from llmlab.engine.errors import AccessError, ModelFileError
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.tokens.opened import OpenTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SIZE = 6  # tokenizers; a large one takes about 100 MB
_TOKENIZER_FILE = "tokenizer.json"
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
_PADDED_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer")  # begin behind the padding
_WATCHED = (_TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja", CONFIG_FILE)

_Stamp = tuple[str, tuple[int, ...]]


class Shelf:
    """Opens tokenizers and remembers the last few. For several threads at once."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._open: OrderedDict[_Stamp, OpenTokenizer] = OrderedDict()
        self._lock = threading.Lock()  # around the table
        self._opening = threading.Lock()  # one tokenizer at a time

    def get(self, spec: str, control: Control = UNCONTROLLED) -> OpenTokenizer:
        """The tokenizer of `bundled:decoder`, of a folder, or of a hub id that is in the cache.

        Reads no weights, and opens again what has changed on the disk. The first one imports transformers, which
        takes seconds. Raises an EngineError.
        """
        source = catalog.resolve(spec)
        folder = source.path or _cached(source)
        stamp = (source.spec, _changed(folder))
        if (known := self._known(stamp)) is not None:
            return known
        control.report(f"Opening the tokenizer of {source.name}")
        with self._opening:
            if (known := self._known(stamp)) is not None:
                return known
            control.check()
            opened = open_folder(folder, source.spec, source.name)
            with self._lock:
                self._open[stamp] = opened
                while len(self._open) > self._size:
                    self._open.popitem(last=False)
            return opened

    def _known(self, stamp: _Stamp) -> OpenTokenizer | None:
        with self._lock:
            if stamp in self._open:
                self._open.move_to_end(stamp)
            return self._open.get(stamp)


@cache
def shelf() -> Shelf:
    """The shelf of this process."""
    return Shelf()


def open_folder(folder: Path, spec: str = "", name: str = "") -> OpenTokenizer:
    """Open the tokenizer in `folder`. A tokenizer.json is enough. Raises an EngineError."""
    from llmlab.engine.vocabulary import read_tokenizer

    name = name or folder.name
    config: dict[str, Any] = {}
    if (folder / CONFIG_FILE).is_file():
        config = inspection.read_config(folder)
    inspection.check_tokenizer(folder)
    if config or (folder / "tokenizer_config.json").is_file():
        tokenizer = read_tokenizer(folder, name)
    else:
        tokenizer = _bare(folder / _TOKENIZER_FILE, name)
    return OpenTokenizer(tokenizer, spec=spec or str(folder), name=name, context=context_of(config))


def context_of(config: dict[str, Any]) -> int | None:
    """The most tokens a model of this configuration reads; None where it sets no limit, as T5's relative places."""
    inner = config.get("text_config")
    values = {**config, **inner} if isinstance(inner, dict) else config
    if str(values.get("model_type", "")) in ("t5", "mt5", "umt5", "longt5", "byt5"):
        return None
    positions = next((values[name] for name in _POSITIONS if isinstance(values.get(name), int)), None)
    if not positions or positions < 0:
        return None
    if values.get("model_type") in _PADDED_POSITIONS:
        padding = values.get("pad_token_id")
        return int(positions) - (padding if isinstance(padding, int) else 1) - 1
    return int(positions)


def _bare(file: Path, name: str) -> PreTrainedTokenizerBase:
    """A tokenizer.json without anything beside it."""
    from transformers import PreTrainedTokenizerFast

    if file.is_file():
        inspection.read_json(file)
        try:
            return PreTrainedTokenizerFast(tokenizer_file=str(file))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - the Rust library raises plain exceptions
            text = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ModelFileError(f"The tokenizer of “{name}” cannot be read: {text}.", f"Download {file.name} again.")
    raise ModelFileError(
        f"The folder “{name}” has no {_TOKENIZER_FILE} and no {CONFIG_FILE}, so its tokenizer is not known.",
        f"Copy {CONFIG_FILE} and tokenizer_config.json from where the model came from into the folder.",
    )


def _cached(source: ModelSource) -> Path:
    folder = hub.cached_folder(source.spec)
    if folder is None:
        raise AccessError(
            f"“{source.spec}” is not in the Hugging Face cache of this computer.",
            "Open the model once with “Open…”, which downloads it, or choose a folder.",
        )
    return folder


def _changed(folder: Path) -> tuple[int, ...]:
    """When the files that make a tokenizer were last changed."""
    return tuple(path.stat().st_mtime_ns if (path := folder / name).is_file() else 0 for name in _WATCHED)
