"""One token's vector and what lies near it, in words and as files. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmlab.engine.tokens.types import EmbeddingMap, HiddenPath, Neighbours, TokenKind
from llmlab.engine.types import Float32
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.export import table_text
from llmlab.ui.screen import Fact
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tokentext import visible

if TYPE_CHECKING:
    from llmlab.ui.panels.tokens.arithmetic import Sum

DEVIATIONS = 3.0  # root mean squares at which the colours end


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked at: a token of the vocabulary, and where it stands in the strip, −1 for nowhere."""

    token_id: int
    position: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A vector float32 (hidden,) with its words. `layer` is 0 for the input embedding, of `layers`.

    `limit`: where the colours end on either side of 0; the same for all vectors of the model after this layer.
    """

    name: str
    token_id: int
    text: str  # the prompt it stands in
    layer: int
    layers: int
    vector: Float32
    limit: float
    facts: tuple[Fact, ...]
    compared: str  # what its neighbours are
    note: str = ""

    @property
    def of_layer(self) -> str:
        """What kind of vector it is."""
        return f"after layer {self.layer} of {self.layers}" if self.layer else "input embedding"


@dataclass(frozen=True, slots=True)
class NearToken:
    """One neighbour."""

    token_id: int
    text: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Near:
    """Tokens, the nearest first, or the reason why there are none."""

    title: str
    tokens: tuple[NearToken, ...] = ()
    message: str = ""


def chosen(encoded: Encoded, token: int) -> Target | None:
    """The token at a place of the strip; at −1 the first one that stands for text."""
    if not len(encoded):
        return None
    if not 0 <= token < len(encoded):
        normal = np.flatnonzero(encoded.tokens.kinds != TokenKind.SPECIAL)
        token = int(normal[0]) if len(normal) else 0
    return Target(int(encoded.tokens.ids[token]), token)


def name_of(texts: Sequence[str], token_id: int) -> str:
    """The token's text with everything visible; a model may have more embeddings than its tokenizer has tokens."""
    return visible(texts[token_id]) if token_id < len(texts) else f"id {token_id}"


def looked(
    encoded: Encoded,
    target: Target,
    layers: int,
    vector: Float32,
    found: EmbeddingMap,
    path: HiddenPath | None,
    layer: int,
) -> Looked:
    """Describe `vector`: the target's state after `layer` on its `path`, or its input embedding where it has none."""
    name = name_of(encoded.table.texts, target.token_id)
    note, spread, facts = "", found.spread, _facts(vector)
    if path is not None and target.position >= 0:
        spread, facts = float(path.spread[layer]), facts + _since_start(path, layer)
    else:
        layer = 0
        if path is not None:
            note = f"{name} is not in the prompt: without a place in a text it has its input embedding only."
    compared = f"Input embeddings nearest to the state after layer {layer}" if layer else "Nearest input embeddings"
    limit = nice(DEVIATIONS * spread)
    return Looked(name, target.token_id, encoded.given, layer, layers, vector, limit, facts, compared, note)


def near_of(texts: Sequence[str], title: str, near: Neighbours | None, message: str = "") -> Near:
    """Neighbours with their texts."""
    pairs = zip(near.ids.tolist(), near.cosines.tolist(), strict=True) if near is not None else ()
    return Near(title, tuple(NearToken(i, name_of(texts, i), cosine) for i, cosine in pairs), message)


def equation(texts: Sequence[str], found: Sum) -> str:
    """The sum in the tokens that were used."""
    plus = " + ".join(name_of(texts, i) for i in found.plus)
    minus = "".join(f" − {name_of(texts, i)}" for i in found.minus)
    return f"{plus}{minus} ≈"


def nice(value: float) -> float:
    """The next of 1, 2, 5 × 10ⁿ that is not smaller."""
    if not (math.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(power * step for step in (1, 2, 5, 10) if value <= power * step * (1 + 1e-9)))


def cosine(first: Float32, second: Float32) -> float:
    """Of the angle between two vectors, 0 where one has no length."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


def vector_text(looked: Looked) -> str:
    """The vector as CSV."""
    rows = ((dimension, numbers.exact(value)) for dimension, value in enumerate(looked.vector.tolist()))
    return table_text(("dimension", "value"), rows)


def near_text(near: Near, delimiter: str = ",") -> str:
    """Neighbours as CSV, or tab-separated for the clipboard."""
    rows = ((rank + 1, t.token_id, t.text, numbers.exact(t.cosine)) for rank, t in enumerate(near.tokens))
    return table_text(("rank", "token_id", "token", "cosine"), rows, delimiter)


def _facts(vector: Float32) -> tuple[Fact, ...]:
    exact = vector.astype(np.float64)
    low, high = int(np.argmin(vector)), int(np.argmax(vector))
    return (
        Fact("dimensions", f"{len(vector):,}", "How many values the vector has: the model's hidden size."),
        Fact("norm", f"{np.linalg.norm(exact):.4g}", "The vector's length: the root of the sum of squares, ‖v‖."),
        Fact("mean", f"{exact.mean():.3g}", "The mean of its values."),
        Fact("min", f"{exact.min():.4g}", f"The smallest value, in dimension {low}."),
        Fact("max", f"{exact.max():.4g}", f"The largest value, in dimension {high}."),
    )


def _since_start(path: HiddenPath, layer: int) -> tuple[Fact, ...]:
    value = cosine(path.vectors[0], path.vectors[layer])
    tooltip = (
        "Cosine between the token's vector before the first layer and the one shown: how far context has turned it."
    )
    return (Fact("cos to layer 0", f"{value:.4f}", tooltip),)
