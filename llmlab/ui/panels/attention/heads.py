"""What the head grid shows: which heads there are, in which order, with which scores. Frozen, no Qt."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llmlab.engine.attention.scores import ALL_SCORES
from llmlab.engine.attention.types import AttentionShape, Survey
from llmlab.ui.panels.attention.params import BY_LAYER, Params
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.tiles import Tiles
from llmlab.ui.panels.attention.words import group_of

Place = tuple[int | None, int | None]  # layer and head; None for all of them


@dataclass(frozen=True, eq=False)
class Heads:
    """The grid of one kind of attention: a row for each layer and one for all, a column for each head and one for all.

    `order`: the single heads from the largest score to the smallest, where they are not in the order of their layers.
    """

    shape: AttentionShape
    focus: Place
    survey: Survey | None
    tiles: Tiles | None
    reduction: str
    score_name: str
    threshold: float
    order: tuple[Place, ...] | None

    @property
    def layers(self) -> int:
        return self.shape.layers

    @property
    def heads(self) -> int:
        return self.shape.heads

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """All tiles in the order of the arrow keys."""
        if self.order is not None:
            return self.order
        return tuple((layer, head) for layer in (*range(self.layers), None) for head in (*range(self.heads), None))

    @cached_property
    def index(self) -> Mapping[Place, int]:
        """Where each tile stands in that order."""
        return {place: number for number, place in enumerate(self.places)}

    @cached_property
    def known(self) -> frozenset[Place]:
        """The tiles that have a picture."""
        return frozenset(self.places) if self.survey is not None else frozenset()

    @cached_property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """First and last head of each group that shares keys and values."""
        share = self.shape.heads // max(1, self.shape.key_value_heads)
        if share <= 1:
            return ()
        return tuple((first, first + share - 1) for first in range(0, self.heads, share))

    def looks_like(self, other: Heads) -> bool:
        """Whether the tiles are the same, whatever is in focus."""
        return (
            self.tiles is other.tiles
            and self.shape is other.shape
            and (self.reduction, self.score_name, self.threshold, self.order)
            == (other.reduction, other.score_name, other.threshold, other.order)
        )

    def tile_index(self, place: Place) -> tuple[int, int]:
        """Where the tile stands in `Tiles`."""
        layer, head = place
        return self.layers if layer is None else layer, self.heads if head is None else head

    @property
    def caption(self) -> str:
        """What the bars below the tiles tell."""
        if self.survey is None:
            return "The heads are being looked through." if not self.shape.captured else "One layer at a time."
        said = [f"bars: {ALL_SCORES[self.score_name].title}"] if self.score_name in self.survey.scores else []
        said += ["◫ sliding window"] if any(self.shape.windows) and self.order is None else []
        said += ["line: shared keys"] if self.groups and self.order is None else []
        return " · ".join(said)

    def share(self, place: Place) -> float | None:
        """The chosen score of a head, 0 to 1 (a score without an end of its own: of the largest); None without."""
        score = self._score(place, self.score_name)
        return None if score is None else score / self._largest

    @cached_property
    def _largest(self) -> float:
        values = self.survey.scores[self.score_name] if self.survey else np.zeros(1, np.float32)
        return max(1.0, float(np.nanmax(values))) if np.isfinite(values).any() else 1.0

    def _score(self, place: Place, name: str) -> float | None:
        layer, head = place
        if self.survey is None or layer is None or head is None or name not in self.survey.scores:
            return None
        value = float(self.survey.scores[name][layer, head])
        return None if np.isnan(value) else value

    def is_filtered(self, place: Place) -> bool:
        """Whether the filter leaves this head out."""
        score = self.share(place)
        return self.threshold > 0 and None not in place and (score is None or score < self.threshold)

    def is_broken(self, place: Place) -> bool:
        """Whether there are NaN or infinity among its weights."""
        layer, head = place
        if self.survey is None or layer is None or head is None:
            return False
        return bool(self.survey.broken[layer, head])

    def head_name(self, head: int | None) -> str:
        return self.reduction if head is None else str(head)

    def layer_name(self, layer: int | None) -> str:
        """The number, with a mark where the layer sees a sliding window only."""
        if layer is None:
            return self.reduction
        return f"◫{layer}" if self.window(layer) is not None else str(layer)

    def window(self, layer: int) -> int | None:
        """Tokens of the layer's sliding window."""
        return self.shape.windows[layer] if layer < len(self.shape.windows) else None

    def short_name(self, place: Place) -> str:
        return f"{place[0]}·{place[1]}"

    def describe(self, place: Place) -> str:
        """In a line."""
        layer, head = place
        first = "all layers" if layer is None else f"layer {layer}"
        second = f"{self.reduction} of all heads" if head is None else f"head {head}"
        return f"{first}, {second}".capitalize()

    def facts(self, place: Place) -> tuple[tuple[str, str], ...]:
        """Names and values: its scores, its group, its window."""
        layer, head = place
        said = []
        if self.survey is not None:
            for name in self.survey.scores:
                value = self._score(place, name)
                if value is not None:
                    said.append((ALL_SCORES[name].title if name in ALL_SCORES else name, f"{value:.4f}"))
        group = None if head is None else group_of(self.shape, head)
        if group is not None:
            said.append(("keys and values", f"group {group}"))
        if layer is not None and self.window(layer) is not None:
            said.append(("sliding window", f"{self.window(layer):,} tokens"))
        if self.is_broken(place):
            said.append(("", "Some weights are NaN or infinite."))
        return tuple(said)


def scores_text(survey: Survey, delimiter: str = ",") -> str:
    """A line for each head with all its scores; empty where one has no meaning."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["kind", "layer", "head", *survey.scores, "broken"])
    layers, heads = survey.broken.shape
    for layer in range(layers):
        for head in range(heads):
            values = (float(scores[layer, head]) for scores in survey.scores.values())
            numbers = ["" if np.isnan(value) else f"{value:.9g}" for value in values]
            writer.writerow([survey.kind, layer, head, *numbers, int(survey.broken[layer, head])])
    return out.getvalue()


def heads_of(reading: Reading, tiles: Tiles | None) -> Heads:
    """The grid of a reading with the panel's settings."""
    params, survey = reading.params, reading.survey
    return Heads(
        reading.shape,
        (reading.focus.layer, reading.focus.head),
        survey,
        tiles if survey is not None else None,
        params.reduction,
        params.score,
        params.threshold,
        _order(survey, params),
    )


def _order(survey: Survey | None, params: Params) -> tuple[Place, ...] | None:
    if survey is None or params.sort == BY_LAYER or params.sort not in survey.scores:
        return None
    scores = survey.scores[params.sort]
    ranked = np.argsort(np.where(np.isnan(scores), np.inf, -scores), axis=None, kind="stable")
    heads = scores.shape[1]
    return tuple((int(place) // heads, int(place) % heads) for place in ranked)
