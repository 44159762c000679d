"""What a tokenizer is made of, taken from the library's own description of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmlab.engine.types import Bool, Int32

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from llmlab.engine.tokens.types import VocabularyTable

BYTE_LEVEL_BPE = "byte-level BPE"
SLOW = "slow"
_HIDDEN = ("vocab", "merges")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """An opened tokenizer: transformers' object, the Rust one behind it (None for a slow one), and its vocabulary.

    `model` is the state of the Rust model without its vocabulary and merges; `merges` the BPE merges in the order of
    their ranks; `vocabulary` token → id, without added tokens. `glue` bool (vocabulary, 2): whether a token begins,
    and whether it ends, with a character that words are made of. `spelled` int32 (vocabulary,): the UTF-8 bytes that
    each token covers in a text, where the tokens of a text are all of its bytes in a row; otherwise None.
    """

    tokenizer: PreTrainedTokenizerBase
    backend: Tokenizer | None
    algorithm: str
    model: dict[str, Any]
    merges: tuple[tuple[str, str], ...]
    vocabulary: dict[str, int]
    added: frozenset[int]
    table: VocabularyTable
    glue: Bool
    spelled: Int32 | None


def component_state(component: Any) -> dict[str, Any]:
    """A part of the Rust tokenizer as its JSON describes it; empty for None."""
    return dict(json.loads(component.__getstate__())) if component is not None else {}


def component_names(component: Any) -> str:
    """The library's names of a part, in the order they act: “Prepend, Replace”. Empty for None."""
    return ", ".join(state["type"] for state in steps_of(component_state(component)))


def steps_of(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The single steps of a part that may be a sequence."""
    if state.get("type") == "Sequence":
        inner = next(state[key] for key in ("normalizers", "pretokenizers", "processors", "decoders") if key in state)
        for step in inner:
            yield from steps_of(step)
    elif state:
        yield state


def algorithm_of(backend: Tokenizer, model: dict[str, Any]) -> str:
    """The name of the algorithm, as people say it."""
    if model["type"] != "BPE":
        return str(model["type"])
    parts = (backend.normalizer, backend.pre_tokenizer, backend.decoder)
    is_byte_level = any("ByteLevel" in component_names(part) for part in parts)
    return BYTE_LEVEL_BPE if is_byte_level else "BPE"


def keeps_every_byte(backend: Tokenizer) -> bool:
    """Whether a text's tokens cover its bytes without gaps: byte-level, nothing normalized, added or trimmed."""
    steps = list(steps_of(component_state(backend.pre_tokenizer)))
    after = list(steps_of(component_state(backend.post_processor)))
    return (
        backend.normalizer is None
        and all(step["type"] in ("ByteLevel", "Digits", "Split") for step in steps)
        and any(step["type"] == "ByteLevel" for step in steps)
        and not any(step.get("add_prefix_space") for step in steps)
        and not any(step.get("behavior") == "Removed" for step in steps)
        and not any(step.get("trim_offsets") for step in after)
    )


def model_state(backend: Tokenizer) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """The Rust model's settings, and its merges in the order of their ranks."""
    state = component_state(backend.model)
    merges = tuple((pair[0], pair[1]) for pair in map(_pair, state.get("merges") or ()))
    if state["type"] == "Unigram":
        scores = np.array([score for _, score in state["vocab"]], np.float64)
        return {key: value for key, value in state.items() if key not in _HIDDEN} | {"scores": scores}, ()
    return {key: value for key, value in state.items() if key not in _HIDDEN}, merges


def _pair(merge: Any) -> Any:
    return merge.split(" ") if isinstance(merge, str) else merge  # older files write "a b"
