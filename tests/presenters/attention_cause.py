"""What the effect and the lens tab need in a test: an engine whose effects and readings are known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from llmlab.engine.attention.types import (
    AttentionRequest,
    AttentionShape,
    Effect,
    HeadAt,
    LayerEffects,
    Lens,
    LensPosition,
    LensRow,
)
from tests.presenters.attention_tabs import HEADS, LAYERS, Stand, shape_of, stand

NAMES = (" cat", " dog", "\n", " ball")
ROWS = (
    LensRow(0, "embedding"),
    *(LensRow(layer, place) for layer in range(LAYERS) for place in ("attention", "layer")),
)


def kl_of(head: HeadAt) -> float:
    """What removing a head does, in the fake: no two alike."""
    return 0.01 * (1 + head.layer * HEADS + (head.head * 3) % HEADS) + 0.2 * (head.kind == "cross")


def effect(off: tuple[HeadAt, ...], label: str = "next") -> Effect:
    """Before always the same; every head that is off takes a little from the first token."""
    before = np.array([0.6, 0.2, 0.1, 0.05], np.float32)
    after = before.copy()
    after[0] -= 0.02 * len(off)
    after[1] += 0.02 * len(off)
    ids = np.arange(4, dtype=np.int32)
    return Effect(off, label, ids, NAMES, before, after, sum(map(kl_of, off)), 1.0, 1.0 + 0.1 * len(off))


def layer_effects(kind: str, layer: int) -> LayerEffects:
    kl = np.array([kl_of(HeadAt(kind, layer, head)) for head in range(HEADS)], np.float32)
    sign = np.where(np.arange(HEADS) % 2, 1, -1)
    return LayerEffects(kind, layer, kl, (kl * sign / 2).astype(np.float32), float(kl.sum()), -float(kl.sum()) / 2)


def lens_of(positions: tuple[int, int], tokens: tuple[str, ...], *, attention: bool = True, best: int = 3) -> Lens:
    """The final token of position i is i % 4; early rows put another one first."""
    rows = tuple(row for row in ROWS if attention or row.place != "attention")
    places = np.arange(*positions, dtype=np.int32)
    size = len(rows), len(places)
    final = places % 4
    depth = np.arange(size[0])[:, None]
    first = np.where(depth < size[0] - 2, (final + 1) % 4, final)
    ids = np.stack([(first + n) % 4 for n in range(best)], -1).astype(np.int32)
    top = np.broadcast_to(0.4 + 0.5 * depth / size[0], size)
    probabilities = np.stack([top / (n + 1) ** 2 for n in range(best)], -1).astype(np.float32)
    is_final = first == final
    return Lens(
        rows=rows,
        positions=places,
        tokens=tuple(tokens[place] for place in places),
        ids=ids,
        probabilities=probabilities,
        final_ids=final.astype(np.int32),
        final_probability=np.where(is_final, top, 0.01).astype(np.float32),
        final_rank=np.where(is_final, 0, 99).astype(np.int32),
        entropy=np.broadcast_to(3.5 - 3 * depth / size[0], size).astype(np.float32),
        kl=np.broadcast_to(2.5 * (1 - (depth + 1) / size[0]), size).astype(np.float32),
        texts=dict(enumerate(NAMES)),
        without_attention="" if attention else "There are no rows after attention.",
    )


class CauseEngine:
    """Answers at once; `between` is called before each layer of a sweep; `fails` makes every call raise."""

    def __init__(self, *shapes: AttentionShape) -> None:
        self.shapes = {shape.kind: shape for shape in shapes}
        self.compared: list[tuple[AttentionRequest, frozenset[HeadAt]]] = []
        self.swept: list[AttentionRequest] = []
        self.known: list[frozenset[tuple[str, int]]] = []
        self.read: list[tuple[AttentionRequest, tuple[int, int]]] = []
        self.followed: list[int] = []
        self.labels: tuple[str, ...] = ("next",)
        self.attention = True
        self.fails: Exception | None = None
        self.between: Callable[[int], None] = lambda _: None

    def _check(self) -> None:
        if self.fails:
            raise self.fails

    def ablation(self, request: AttentionRequest, off: Collection[HeadAt], control: Any) -> tuple[Effect, ...]:
        self._check()
        self.compared.append((request, frozenset(off)))
        return tuple(effect(tuple(sorted(off)), label) for label in self.labels)

    def ablation_effects(
        self, request: AttentionRequest, control: Any, *, known: Collection[tuple[str, int]] = ()
    ) -> Iterator[LayerEffects]:
        self._check()
        self.swept.append(request)
        self.known.append(frozenset(known))
        places = [(kind, layer) for kind, shape in self.shapes.items() for layer in range(shape.layers)]
        for done, (kind, layer) in enumerate(places):
            self.between(done)
            control.check()
            control.report("Removing", done / len(places))
            if (kind, layer) not in known:
                yield layer_effects(kind, layer)

    def logit_lens(self, request: AttentionRequest, positions: tuple[int, int], control: Any) -> Lens:
        self._check()
        self.read.append((request, positions))
        control.report("Reading the hidden states", 0.5)
        shape = self.shapes.get("decoder") or self.shapes["self"]
        return lens_of(positions, shape.query_tokens, attention=self.attention)

    def lens_position(self, request: AttentionRequest, position: int, control: Any) -> LensPosition:
        self._check()
        self.followed.append(position)
        rows = tuple(row for row in ROWS if self.attention or row.place != "attention")
        ids = np.array([position % 4, (position + 1) % 4], np.int32)
        rising = np.linspace(0.01, 0.9, len(rows))
        ranks = np.array([[0, 1] if p > 0.5 else [1, 0] for p in rising], np.int32)
        probabilities = np.stack([rising, 1 - rising], -1).astype(np.float32)
        return LensPosition(position, rows, ids, tuple(NAMES[i] for i in ids), probabilities, ranks)


def cause_stand(*shapes: AttentionShape, **more: Any) -> tuple[Stand, CauseEngine]:
    """A stand whose engine knows effects."""
    shapes = shapes or (shape_of(),)
    made = stand(*shapes, **more)
    engine = CauseEngine(*shapes)
    made.jobs.session.engine = engine  # type: ignore[assignment]
    return made, engine
