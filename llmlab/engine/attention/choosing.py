"""The layers of one kind, and the choice of a layer, of heads and of a part; what is not there is said in words."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.attention.layers import ALL, Layer
from llmlab.engine.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """The layers of one kind: `count` that the model has, `kept` by their number."""

    count: int
    kept: dict[int, Layer]

    @property
    def heads(self) -> int:
        """The most heads that a layer has."""
        return max(layer.heads for layer in self.kept.values())

    @property
    def size(self) -> tuple[int, int]:
        """(queries, keys)."""
        return self.any.size

    @property
    def any(self) -> Layer:
        """One of the layers, for what they have in common."""
        return next(iter(self.kept.values()))

    def at(self, layer: int) -> Layer:
        """One layer. Raises InputError where there is none, or it was not kept."""
        if not 0 <= layer < self.count:
            raise InputError(f"There is no layer {layer}.", f"Choose a layer from 0 to {self.count - 1}.")
        if layer not in self.kept:
            raise InputError(
                f"Layer {layer} was not kept when the text was read.",
                "Choose one of the layers that were, or read the text again with this one.",
            )
        return self.kept[layer]

    def all(self) -> list[Layer]:
        """Every layer in order. Raises InputError where some were not kept."""
        return [self.at(index) for index in range(self.count)]


def chosen(source: Layer, head: int | None) -> slice:
    """The heads of a layer that `head` names, None for all. Raises InputError."""
    if head is None:
        return ALL
    if not 0 <= head < source.heads:
        raise InputError(f"There is no head {head}.", f"Choose a head from 0 to {source.heads - 1}.")
    return slice(head, head + 1)


def check_span(what: str, start: int, stop: int, length: int) -> None:
    """Raise InputError for rows or columns that the map does not have."""
    if not 0 <= start <= stop <= length:
        raise InputError(
            f"There are no {what} {start} to {stop} in a map of {length} {what}.", f"Choose {what} of the map."
        )
