"""What all tabs of the panel look at: what was read, where one looks, how it is shown. Frozen values, no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from llmlab.engine.attention.types import (
    AttentionRequest,
    AttentionShape,
    HeadAt,
    MapRequest,
    Reduction,
    Survey,
)
from llmlab.engine.types import Int32, ModelInfo
from llmlab.ui.panels.attention.params import SEGMENTS, Params

QUERIES, KEYS = "queries", "keys"


@dataclass(frozen=True, slots=True)
class Focus:
    """Where one looks: a head, or all heads (`head` None), or all layers; which query tokens, and which key token.

    `queries` are the tokens whose rows are pinned, in ascending order; several are summed.
    """

    kind: str = "self"
    layer: int | None = 0
    head: int | None = 0
    reduction: Reduction = Reduction.MEAN
    queries: tuple[int, ...] = ()
    key: int | None = None

    @property
    def at(self) -> HeadAt | None:
        """The head, where it is a single one."""
        return None if self.layer is None or self.head is None else HeadAt(self.kind, self.layer, self.head)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One text as one model has read it, and what is looked at in it.

    `number` grows with every text that was read anew: what was computed for another number is stale. `shapes` has an
    entry for each kind of attention. `survey` is that of `focus.kind`, None until it has been made. `spans`: for each
    kind and axis ("queries", "keys") int32 (tokens, 2), where each token stands in the prompt, (-1, -1) for one that
    does not.
    """

    number: int
    request: AttentionRequest
    info: ModelInfo
    shapes: Mapping[str, AttentionShape]
    spans: Mapping[tuple[str, str], Int32]
    focus: Focus
    params: Params
    survey: Survey | None = None
    cut: int = 0  # tokens of the text that were left out

    @property
    def shape(self) -> AttentionShape:
        """Of the kind that is looked at."""
        return self.shapes[self.focus.kind]

    @property
    def readable(self) -> bool:
        """Whether what is in focus was kept; where single layers are kept, another one is read anew first."""
        captured = self.shape.captured
        everything = not captured or len(captured) == self.shape.layers
        return everything if self.focus.layer is None else everything or self.focus.layer in captured

    def map_request(self, **changes: Any) -> MapRequest:
        """The map of the focus with the settings of the panel."""
        focus, params = self.focus, self.params
        made = MapRequest(
            kind=focus.kind,
            layer=focus.layer,
            head=focus.head,
            reduction=focus.reduction,
            value_weighted=params.value_weighted,
            hide_first=params.hide_first,
            words=params.words,
            segments=SEGMENTS[params.segments] if self.request.pair is not None else None,
        )
        return replace(made, **changes)


def captured(shape: AttentionShape) -> tuple[int, ...]:
    """The layers that were kept."""
    return shape.captured or tuple(range(shape.layers))


def fitting(focus: Focus, shapes: Mapping[str, AttentionShape]) -> Focus:
    """`focus` where there are other layers, heads and tokens."""
    kind = focus.kind if focus.kind in shapes else next(iter(shapes))
    shape = shapes[kind]
    layers = captured(shape)
    layer = focus.layer if (focus.layer is None and len(layers) > 1) or focus.layer in layers else layers[-1]
    head = focus.head if focus.head is None or focus.head < shape.heads else 0
    queries = tuple(query for query in focus.queries if query < len(shape.query_tokens))
    key = focus.key if focus.key is None or focus.key < len(shape.key_tokens) else None
    return replace(focus, kind=kind, layer=layer, head=head, queries=queries, key=key)


class Looker(Protocol):
    """What the tabs tell the presenter."""

    def look(self, **changes: Any) -> None:
        """Look elsewhere: any field of `Focus`. All tabs follow."""

    def point(self, axis: str, token: int | None) -> None:
        """A token on the axis "queries" or "keys" is under the mouse: mark it in the prompt, if it is there."""


class Part(Protocol):
    """What is on one of the tabs. No Qt: its widgets are a protocol of its own."""

    def bring(self, reading: Reading | None) -> None:
        """The tab is in front and shows `reading`; called again with each change of focus or settings.

        None: nothing has been read, or the model has changed.
        """

    def close(self) -> None:
        """Deliver nothing more."""

    @property
    def busy(self) -> bool:
        """Whether something that was asked for is not on screen yet."""
