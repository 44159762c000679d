"""What the model is asked for the embedding tab, and what it answers. No Qt; `ask` runs in the model's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmlab.engine.errors import InputError
from llmlab.engine.tokens.types import HiddenPath, Neighbours
from llmlab.engine.types import Float32
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.vectors import Target

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine

NEIGHBOURS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What the tab is to show."""

    generation: int
    encoded: Encoded
    target: Target
    layer: int

    def same_as(self, other: Wanted | None) -> bool:
        """Whether nothing needs to be asked again."""
        return other is not None and (
            (self.generation, self.target, self.layer) == (other.generation, other.target, other.layer)
            and self.encoded is other.encoded
        )


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the model said. `path` is None for the input embeddings; `offset`: special tokens before the strip's."""

    wanted: Wanted
    layer: int  # that `vector` comes out of: 0 for the input embedding
    vector: Float32
    near: Neighbours | None
    problem: str
    path: HiddenPath | None
    offset: int = 0

    def moved(self, wanted: Wanted, path: HiddenPath) -> Answer:
        """The same token after another layer, as far as it is known without asking."""
        layer = min(wanted.layer, len(path.vectors) - 1)
        return Answer(wanted, layer, path.vectors[layer], None, "", path, self.offset)


def same_path(wanted: Wanted, former: Answer) -> bool:
    """Whether the former answer's path is the one that is wanted."""
    before = former.wanted
    return (
        former.path is not None
        and before.generation == wanted.generation
        and before.encoded is wanted.encoded
        and (wanted.target.position < 0 or before.target.position == wanted.target.position)
    )


def ask(engine: Engine, *, wanted: Wanted, known: HiddenPath | None, offset: int) -> Answer:
    """Ask the model. Called in its thread."""
    target, layer = wanted.target, wanted.layer
    path, trouble = (known, "") if layer else (None, "")
    if layer and path is None:
        try:
            path, offset = _read_path(engine, wanted.encoded, max(0, target.position))
        except InputError as error:  # the text is longer than the model reads: the vocabulary is still there
            trouble = f"{error.message} {error.hint} The input embedding is shown instead."
    if path is None or target.position < 0:
        layer, vector = 0, engine.embedding([target.token_id])[0]
        near, problem = guarded(lambda: engine.neighbours(target.token_id, NEIGHBOURS))
    else:
        layer = min(layer, len(path.vectors) - 1)  # an encoder may have fewer layers than its decoder
        vector = path.vectors[layer]
        near, problem = guarded(lambda: engine.neighbours(vector, NEIGHBOURS))
    return Answer(wanted, layer, vector, near, trouble or problem, path, offset)


def _read_path(engine: Engine, encoded: Encoded, token: int) -> tuple[HiddenPath, int]:
    """The text as the model reads it, and how many special tokens come before those of the strip."""
    ids = engine.tokenize(encoded.given).ids
    size = len(encoded)
    places = (at for at in range(len(ids) - size + 1) if np.array_equal(ids[at : at + size], encoded.tokens.ids))
    offset = 0 if encoded.special else next(places, 0)
    return engine.hidden_path(encoded.given, token + offset), offset


def guarded(work: Callable[[], Neighbours]) -> tuple[Neighbours | None, str]:
    """Neighbours, or why there are none."""
    try:
        return work(), ""
    except InputError as error:
        return None, f"{error.message} {error.hint}"
