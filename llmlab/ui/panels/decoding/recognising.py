"""Whether a file holds settings of decoding or the record of a run: told by what is in it. No Qt, and quick."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from llmlab.engine.knobs import STAGES

MAX_BYTES = 100_000
HEADER = "# LLM Lab: settings of decoding"
# What a generation_config.json has that says nothing about how tokens are chosen, or is the same in our loop.
UNTOLD = frozenset((
    "_from_model_config", "transformers_version", "bos_token_id", "eos_token_id", "pad_token_id", "use_cache",
    "decoder_start_token_id", "output_attentions", "output_hidden_states", "output_scores", "output_logits",
    "return_dict_in_generate", "max_length", "num_return_sequences", "forced_bos_token_id", "suppress_tokens",
    "_commit_hash",
))  # fmt: skip
SETTINGS = frozenset((*STAGES, "do_sample", "max_new_tokens", "num_beams", "stop", "banned", "biases", "order"))
KEY = re.compile(r"^([^\s#:'\"\[{-][^\s:]*):(?:\s|$)", re.MULTILINE)  # of the outermost mapping of a YAML file
SUFFIXES = (".yaml", ".yml", ".json")
RECORD_HEAD = 4_096  # characters in which a record names its version and the model
RECORD_START = re.compile(r'\s*\{\s*"record"\s*:.*"weights_sha256"\s*:', re.DOTALL)


def holds_settings(path: Path) -> bool:
    """Whether at least half of what a small YAML or JSON file names are settings. Never raises."""
    if path.suffix.lower() not in SUFFIXES or path.name == "config.json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return False
    text = data.decode("utf-8-sig", "replace")
    return len(data) <= MAX_BYTES and (text.startswith(HEADER) or _are_settings(_keys(path, text)))


def holds_record(path: Path) -> bool:
    """Whether a JSON file begins as the record of a run does, of whatever version. Never raises."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return bool(RECORD_START.match(file.read(RECORD_HEAD).decode("utf-8-sig", "replace")))
    except OSError:
        return False


def is_known(path: Path) -> bool:
    """Whether Decoding is the place for a file."""
    return holds_record(path) or holds_settings(path)


def promise(path: Path) -> str:
    """What a drop would do."""
    if holds_record(path):
        return f"Replay the run that is recorded in {path.name}, in Decoding"
    return f"Take the settings of decoding from {path.name}"


def _keys(path: Path, text: str) -> Iterable[str]:
    if path.suffix.lower() != ".json":
        return KEY.findall(text)  # parsing YAML takes longer than a drag may wait
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return content if isinstance(content, dict) else ()


def _are_settings(keys: Iterable[str]) -> bool:
    named = set(keys)
    known = named & (SETTINGS | UNTOLD)
    return bool(known) and 2 * len(known) >= len(named)
