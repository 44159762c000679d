"""The maps of the embedding tab: the vocabulary, or a text's way through the layers. No Qt."""

from __future__ import annotations

import numpy as np

from llmlab.engine.tokens.types import EmbeddingMap, HiddenPath
from llmlab.engine.types import Float32
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.export import table_text
from llmlab.ui.panels.tokens.plane import Facts, MapPicture
from llmlab.ui.panels.tokens.vectors import Target, name_of
from llmlab.ui.widgets import numbers

NOTHING = np.zeros(0, np.int32)


def of_vocabulary(found: EmbeddingMap, encoded: Encoded, target: Target) -> MapPicture:
    """Every input embedding, the prompt's tokens with their names."""
    texts, points = encoded.table.texts, found.points

    def describe(index: int) -> tuple[str, Facts]:
        return name_of(texts, index), (("token id", str(index)), *_place(points, index))

    ids = list(dict.fromkeys((target.token_id, *encoded.tokens.ids.tolist())))
    named = np.array([i for i in ids if i < len(points)], np.int32)
    names = tuple(name_of(texts, i) for i in named.tolist())
    title = f"All {len(points):,} input embeddings"
    selected = target.token_id if target.token_id < len(points) else -1
    return MapPicture(title, points, _explained(found), named, names, selected, NOTHING, describe)


def of_path(path: HiddenPath, encoded: Encoded, target: Target, layer: int, offset: int) -> MapPicture:
    """The text's tokens after `layer`; all other layers in the background; the target's way from layer to layer."""
    texts, count, layers = encoded.table.texts, len(path.ids), len(path.points)
    points = path.points.reshape(-1, 2)
    ids = path.ids.tolist()

    def describe(index: int) -> tuple[str, Facts]:
        at, token = divmod(index, count)
        where = "before layer 1" if at == 0 else f"after layer {at} of {layers - 1}"
        facts = (("", where), ("token", f"{token + 1:,} of {count:,}"), ("token id", str(ids[token])))
        return name_of(texts, ids[token]), (*facts, *_place(points, index))

    here = target.position + offset
    in_text = target.position >= 0
    order = [here, *(t for t in range(count) if t != here)] if in_text else list(range(count))
    named = np.array(order, np.int32) + layer * count
    way = np.arange(layers, dtype=np.int32) * count + here if in_text else NOTHING
    title = f"The prompt's {count:,} tokens"
    selected = layer * count + here if in_text else -1
    names = tuple(name_of(texts, ids[token]) for token in order)
    return MapPicture(title, points, _explained(path), named, names, selected, way, describe)


def vocabulary_text(found: EmbeddingMap, encoded: Encoded) -> str:
    """The map as CSV."""
    present = set(encoded.tokens.ids.tolist())
    rows = (
        (index, name_of(encoded.table.texts, index), numbers.exact(x), numbers.exact(y), int(index in present))
        for index, (x, y) in enumerate(found.points.tolist())
    )
    return table_text(("token_id", "token", "pc1", "pc2", "in_prompt"), rows)


def path_text(path: HiddenPath, encoded: Encoded) -> str:
    """The map of a text as CSV, layer by layer."""
    ids = path.ids.tolist()
    rows = (
        (layer, token, ids[token], name_of(encoded.table.texts, ids[token]), numbers.exact(x), numbers.exact(y))
        for layer, places in enumerate(path.points.tolist())
        for token, (x, y) in enumerate(places)
    )
    return table_text(("layer", "index", "token_id", "token", "pc1", "pc2"), rows)


def _place(points: Float32, index: int) -> Facts:
    x, y = points[index].tolist()
    return ("PC 1", numbers.exact(x)), ("PC 2", numbers.exact(y))


def _explained(found: EmbeddingMap | HiddenPath) -> tuple[float, float]:
    first, second = found.explained.tolist()
    return first, second
