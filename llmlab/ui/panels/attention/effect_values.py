"""What removing each head does, as far as it has been measured: ranked, scaled, and as text. No Qt."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from llmlab.engine.attention.types import AttentionShape, Effect, HeadAt, LayerEffects
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.heatmap.norm import Norm, Scale, nice_limit
from llmlab.ui.widgets.tokentext import visible

KINDS = {"self": "", "encoder": "encoder ", "decoder": "decoder ", "cross": "cross "}  # before "layer 3"


class Measure(StrEnum):
    """How large an effect is said to be."""

    KL = "kl"  # divergence of the distribution from what it was, in nats
    DELTA = "delta"  # change of the probability of the token that was first


class Order(StrEnum):
    """How the heads are laid out."""

    LAYER = "layer"
    EFFECT = "effect"


@dataclass(frozen=True, slots=True)
class Place:
    """A head, or (`head` None) the whole layer's attention."""

    kind: str
    layer: int
    head: int | None

    @property
    def name(self) -> str:
        """In words."""
        words = f"{KINDS[self.kind]}layer {self.layer}"
        return f"all of {words}" if self.head is None else f"{words}, head {self.head}"

    @property
    def short(self) -> str:
        """In little room, as everywhere in the panel: layer.head."""
        initial = "" if self.kind == "self" else f"{self.kind[0]} "
        return f"{initial}{self.layer}" if self.head is None else f"{initial}{self.layer}.{self.head}"


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """`sizes`: kind → (layers, heads); `known`: what has been measured, by kind and layer."""

    sizes: Mapping[str, tuple[int, int]]
    known: Mapping[tuple[str, int], LayerEffects]

    @classmethod
    def none(cls, shapes: Mapping[str, AttentionShape]) -> Effects:
        """Nothing is known yet of a model with these maps."""
        return cls({kind: (shape.layers, shape.heads) for kind, shape in shapes.items()}, {})

    def having(self, found: Iterable[LayerEffects]) -> Effects:
        """With more that has been measured."""
        return replace(self, known={**self.known, **{(each.kind, each.layer): each for each in found}})

    @property
    def complete(self) -> bool:
        """Whether every layer has been measured."""
        return len(self.known) == sum(layers for layers, _ in self.sizes.values())

    @property
    def places(self) -> Iterator[Place]:
        """All heads, and after those of each layer the layer."""
        for kind, (layers, heads) in self.sizes.items():
            for layer in range(layers):
                for head in (*range(heads), None):
                    yield Place(kind, layer, head)

    def heads_of(self, place: Place) -> frozenset[HeadAt]:
        """The heads that `place` stands for."""
        heads = range(self.sizes[place.kind][1]) if place.head is None else (place.head,)
        return frozenset(HeadAt(place.kind, place.layer, head) for head in heads)

    def has(self, head: HeadAt) -> bool:
        """Whether the model has this head."""
        layers, heads = self.sizes.get(head.kind, (0, 0))
        return head.layer < layers and head.head < heads

    def value(self, place: Place, measure: Measure) -> float | None:
        """The effect of removing `place`; None where it has not been measured."""
        found = self.known.get((place.kind, place.layer))
        if found is None:
            return None
        if place.head is None:
            return found.layer_kl if measure is Measure.KL else found.layer_delta
        return float((found.kl if measure is Measure.KL else found.delta)[place.head])

    def ranked(self, measure: Measure) -> tuple[Place, ...]:
        """The heads that have been measured, the largest effect first; layers as a whole are not among them."""
        heads = (place for place in self.places if place.head is not None and (place.kind, place.layer) in self.known)
        return tuple(sorted(heads, key=lambda place: -abs(self.value(place, measure) or 0.0)))

    def norm(self, measure: Measure, *, logarithmic: bool = False) -> Norm:
        """The colour scale of the heads. Whole layers have larger effects and may lie beyond its end."""
        values = [(each.kl if measure is Measure.KL else each.delta) for each in self.known.values()]
        largest = max((float(np.abs(each).max()) for each in values), default=0.0)
        if measure is Measure.DELTA:
            return Norm(Scale.DIFFERENCE, nice_limit(largest))
        return Norm(Scale.LOG if logarithmic else Scale.LINEAR, nice_limit(largest))

    def csv(self) -> str:
        """A line for every head and every layer that has been measured."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["kind", "layer", "head", "kl_nats", "delta_probability_of_first_token"])
        for place in self.places:
            kl, delta = self.value(place, Measure.KL), self.value(place, Measure.DELTA)
            if kl is not None and delta is not None:
                head = "all" if place.head is None else place.head
                writer.writerow([place.kind, place.layer, head, numbers.exact(kl), numbers.exact(delta)])
        return out.getvalue()


def effect_lines(effect: Effect, separator: str = "\t") -> str:
    """The tokens of a comparison with all digits, for the clipboard or as CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(["token", "id", "before", "after", "change"])
    for text, index, before, after in zip(
        effect.texts, effect.ids.tolist(), effect.before.tolist(), effect.after.tolist(), strict=True
    ):
        writer.writerow([visible(text), index, *map(numbers.exact, (before, after, after - before))])
    return out.getvalue()


def off_text(off: frozenset[HeadAt], effects: Effects) -> str:
    """Which heads are off, in words; whole layers as one."""
    if not off:
        return "All heads are on."
    words = []
    for kind, layer in sorted({(head.kind, head.layer) for head in off}):
        whole = Place(kind, layer, None)
        if effects.heads_of(whole) <= off:
            words.append(f"layer {whole.short}")
        else:
            words += [Place(kind, layer, h.head).short for h in sorted(off) if (h.kind, h.layer) == (kind, layer)]
    return f"Off: {', '.join(words)}"


def signed(value: float) -> str:
    """A change of probability: +0.0312, −1.2e-06, 0."""
    if value == 0:
        return "0"
    return ("+" if value > 0 else "−") + numbers.probability(abs(value))


def nats(value: float) -> str:
    """A divergence in little room."""
    return numbers.probability(value) if value < 10 else f"{value:.2f}"
