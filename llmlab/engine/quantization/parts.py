"""The parts of a model that can be quantized alone: matrices, layers, matrices of one kind. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import decibels

ELSEWHERE = "–"  # the layer of a matrix that is in none
_NUMBER = "*"  # stands in a kind for the numbers within a layer: all experts' matrices are one part


class Grain(StrEnum):
    """How finely a model is taken apart."""

    WHOLE = "whole"
    LAYER = "layer"
    KIND = "kind"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True)
class Part:
    """Weight matrices that are quantized together while all others stay as they are.

    `layer` is its row in the map of all matrices ("3", of an encoder-decoder model "decoder 3"), `kind` its column
    ("q_proj"); empty where the part goes over several. `matrices` are parameter names, in the model's order.
    """

    grain: Grain
    layer: str
    kind: str
    matrices: tuple[str, ...]

    @property
    def name(self) -> str:
        """As a chart shows it: layer 3, every q_proj, 3.q_proj."""
        if self.grain is Grain.WHOLE:
            return "all matrices"
        if self.grain is Grain.LAYER:
            if self.layer == ELSEWHERE:
                return "outside the layers"
            return f"layer {self.layer}" if self.layer.isdigit() else self.layer
        if self.grain is Grain.KIND:
            return f"every {self.kind}"
        return self.kind if self.layer == ELSEWHERE else f"{self.layer}.{self.kind}"


@dataclass(frozen=True, slots=True)
class Parts:
    """A model taken apart. `layers` and `kinds` are the rows and columns of the map of `matrices`."""

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    whole: Part
    by_layer: tuple[Part, ...]
    by_kind: tuple[Part, ...]
    matrices: tuple[Part, ...]

    @property
    def all(self) -> tuple[Part, ...]:
        """Every part, coarse ones first: what is known early says most."""
        return (self.whole, *self.by_layer, *self.by_kind, *self.matrices)


def parts_of(names: Sequence[str]) -> Parts:
    """Take apart a model whose quantized matrices have these parameter names."""
    places = [_place(name) for name in names]
    stacks = _different(tuple(dict.fromkeys(stack for stack, number, _ in places if number is not None)))
    kinds = _shortest(tuple(dict.fromkeys(kind for *_, kind in places)))
    cells: dict[tuple[str, str], list[str]] = {}
    for name, (stack, number, kind) in zip(names, places, strict=True):
        layer = ELSEWHERE if number is None else number if len(stacks) == 1 else f"{stacks[stack]} {number}".strip()
        cells.setdefault((layer, kinds[kind]), []).append(name)
    matrices = tuple(Part(Grain.MATRIX, layer, kind, tuple(found)) for (layer, kind), found in cells.items())
    rows = tuple(dict.fromkeys(part.layer for part in matrices))
    columns = tuple(dict.fromkeys(part.kind for part in matrices))
    return Parts(
        layers=rows,
        kinds=columns,
        whole=Part(Grain.WHOLE, "", "", tuple(names)),
        by_layer=tuple(
            Part(Grain.LAYER, row, "", _together(part for part in matrices if part.layer == row)) for row in rows
        ),
        by_kind=tuple(
            Part(Grain.KIND, "", column, _together(part for part in matrices if part.kind == column))
            for column in columns
        ),
        matrices=matrices,
    )


def _together(parts: Iterable[Part]) -> tuple[str, ...]:
    return tuple(name for part in parts for name in part.matrices)


def _place(name: str) -> tuple[str, str | None, str]:
    """Stack, number of the layer, kind: ("model.layers", "3", "self_attn.q_proj")."""
    words = name.removesuffix(".weight").split(".")
    first = next((place for place, word in enumerate(words) if word.isdigit()), None)
    if first is None:
        return "", None, ".".join(words)
    kind = [_NUMBER if word.isdigit() else word for word in words[first + 1 :]]
    return ".".join(words[:first]), words[first], ".".join(kind)


def _shortest(kinds: Sequence[str]) -> dict[str, str]:
    """Each dotted name without as many of its first words as can go before two would be called the same."""
    return {kind: _ending(kind.split("."), [other.split(".") for other in kinds if other != kind]) for kind in kinds}


def _ending(words: list[str], others: Sequence[list[str]]) -> str:
    for count in range(1, len(words)):
        end = words[-count:]
        if end[0] != _NUMBER and all(other[-count:] != end for other in others):
            return ".".join(end)
    return ".".join(words)


def _different(stacks: Sequence[str]) -> dict[str, str]:
    """Each dotted name without the words that all have: "encoder" of "model.encoder.layers"."""
    same = set.intersection(*(set(stack.split(".")) for stack in stacks)) if stacks else set()
    return {stack: ".".join(word for word in stack.split(".") if word not in same) for stack in stacks}


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a text's predictions have moved: mean KL(before ‖ after) in nats a token, share of positions with the
    same most probable token, and the perplexity of the text now.
    """

    divergence: float
    agreement: float
    perplexity: float


@dataclass(frozen=True, slots=True)
class PartDamage:
    """What it costs to quantize one part of a model and nothing else.

    `elements` weights, `bytes_before` as they lie in memory and `bytes` as the scheme stores them; `signal` Σ w² and
    `noise` Σ (w − ŵ)². `layers_skipped` lie before the part and were not computed again.
    """

    part: Part
    scheme: Scheme
    shift: Shift
    perplexity_before: float
    elements: int
    bytes_before: int
    bytes: int
    signal: float
    noise: float
    layers_skipped: int

    @property
    def divergence(self) -> float:
        """Mean KL in nats a token."""
        return self.shift.divergence

    @property
    def sqnr(self) -> float:
        """Signal-to-quantization-noise ratio of its weights in dB."""
        return decibels(self.signal, self.noise)
