"""The attention of one text, captured: what can be asked of it, for any layer and head, without running the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from llmlab.engine.attention.choosing import Layers, check_span, chosen
from llmlab.engine.attention.inputs import Sequence
from llmlab.engine.attention.layers import Layer, blocks
from llmlab.engine.attention.maps import attention_map
from llmlab.engine.attention.masks import is_causal
from llmlab.engine.attention.neuron import neuron
from llmlab.engine.attention.rollout import flow, rollout
from llmlab.engine.attention.saving import save
from llmlab.engine.attention.survey import SIZE, survey
from llmlab.engine.attention.types import AttentionMap, AttentionShape, HeadAt, MapRequest, NeuronView, Survey
from llmlab.engine.attention.values import value_norms
from llmlab.engine.errors import InputError
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import guarded
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Float32


class AttentionCapture:
    """The attention of one text, all layers and heads; weights are computed when asked for.

    `kinds` is ("self",), or ("encoder", "decoder", "cross") where the model has an encoder and a decoder.
    """

    def __init__(
        self, layers: dict[str, Layers], sides: dict[str, tuple[Sequence, Sequence]], speller: Speller
    ) -> None:
        self._layers = layers
        self._sides = sides
        self._speller = speller

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of maps there are."""
        return tuple(self._layers)

    @property
    def layers(self) -> int:
        """Layers of the first kind; `shape` tells those of each."""
        return self._layers[self.kinds[0]].count

    @property
    def heads(self) -> int:
        """Heads of the first kind."""
        return self._layers[self.kinds[0]].heads

    def shape(self, kind: str = "self") -> AttentionShape:
        """How many layers and heads there are of `kind`, and the tokens on the axes. Raises InputError."""
        layers = self.of(kind)
        queries, keys = self.sides(kind)
        kept = layers.kept
        first = next(iter(kept.values()))
        return AttentionShape(
            kind=kind,
            layers=layers.count,
            heads=layers.heads,
            key_value_heads=max(layer.key_value_heads for layer in kept.values()),
            query_tokens=self._speller.texts(queries.ids.tolist()),
            key_tokens=self._speller.texts(keys.ids.tolist()),
            windows=tuple(kept[index].window if index in kept else None for index in range(layers.count)),
            query_words=queries.words,
            key_words=keys.words,
            query_segments=queries.segments,
            key_segments=keys.segments,
            captured=tuple(sorted(kept)),
            causal=queries is keys and is_causal(first.mask, first.size[0]),
            generated=queries.first_generated,
        )

    def weights(self, layer: int, head: int | None = None, kind: str = "self") -> Float32:
        """Attention weights float32 (heads, queries, keys), or (queries, keys) of one head; each row sums to 1.

        Raises InputError for a layer, head or kind that is not there, OutOfMemoryError where a whole map does not fit.
        """
        source = self.layer(kind, layer)
        heads = chosen(source, head)
        queries, keys = source.size
        count = source.heads if head is None else 1

        def compute() -> Float32:
            result = np.empty((count, queries, keys), np.float32)
            for start, stop in blocks(queries, count * keys):
                result[:, start:stop] = _numbers(source, heads, start, stop)
            return result if head is None else result[0]

        return guarded(compute)

    def rows(self, layer: int, head: int, start: int, stop: int, kind: str = "self") -> Float32:
        """Rows `start` to `stop` of one head's weights, float32 (stop − start, keys). Raises InputError."""
        source = self.layer(kind, layer)
        check_span("rows", start, stop, source.size[0])
        heads = chosen(source, head)
        rows: Float32 = guarded(lambda: _numbers(source, heads, start, stop))[0]
        return rows

    def columns(self, layer: int, head: int, start: int, stop: int, kind: str = "self") -> Float32:
        """Columns `start` to `stop` of one head's weights, float32 (queries, stop − start). Raises InputError."""
        source = self.layer(kind, layer)
        check_span("columns", start, stop, source.size[1])
        heads = chosen(source, head)

        def compute() -> Float32:
            result = np.empty((source.size[0], stop - start), np.float32)
            for begin, end in blocks(*source.size):
                result[begin:end] = _numbers(source, heads, begin, end)[0, :, start:stop]
            return result

        return guarded(compute)

    def map(self, request: MapRequest, control: Control = UNCONTROLLED) -> AttentionMap:
        """One map, pooled and reduced as `request` says. Raises InputError for what is not there, Cancelled."""
        return guarded(lambda: attention_map(self.of(request.kind), self.sides(request.kind), request, control))

    def survey(self, kind: str = "self", control: Control = UNCONTROLLED, size: int = SIZE) -> Survey:
        """Tiles of at most `size` rows and columns, and the scores, of all heads of `kind` that were kept.

        Raises InputError, and Cancelled between blocks of rows.
        """
        return guarded(lambda: survey(kind, self.of(kind), self.sides(kind), control, size))

    def value_norms(self, layer: int, kind: str = "self") -> tuple[Float32, bool]:
        """(norms, projected): float32 (heads, keys), the length of what each key's value adds to the residual stream
        (Kobayashi et al. 2020, eq. 4 to 6); of the value itself, `projected` False, where its projection is not found.

        Raises UnsupportedFeatureError where the architecture hands out no values.
        """
        source = self.layer(kind, layer)
        norms, projected = guarded(lambda: value_norms(source))
        return norms.cpu().numpy(), projected

    def neuron(self, at: HeadAt, query: int, key: int) -> NeuronView:
        """How the weight of row `query` on `key` came about in the head `at`, dimension by dimension.

        Raises InputError for what is not there, UnsupportedFeatureError where queries and keys are not handed out.
        """
        source = self.layer(at.kind, at.layer)
        chosen(source, at.head)
        check_span("rows", query, query + 1, source.size[0])
        check_span("columns", key, key + 1, source.size[1])
        return neuron(source, at, query, key)

    def rollout(self, kind: str = "self", queries: slice | None = None, control: Control = UNCONTROLLED) -> Float32:
        """Attention rollout through all layers, float32 (queries, keys), rows summing to 1 (Abnar and Zuidema 2020).

        `queries` None: all of at most 1,024 tokens. Raises InputError for cross-attention or missing layers.
        """
        return guarded(lambda: rollout(kind, self.of(kind), queries, control))

    def flow(self, query: int, kind: str = "self", control: Control = UNCONTROLLED) -> Float32:
        """Attention flow from `query` after the last layer to each input token, float32 (keys,); same paper.

        Raises InputError above 48 tokens, for cross-attention and for missing layers.
        """
        return guarded(lambda: flow(kind, self.of(kind), query, control))

    def save(self, path: Path, control: Control = UNCONTROLLED) -> None:
        """Write every weight as float16 to an NPZ file: arrays "kind/layer_00" (heads, queries, keys), the tokens, and
        what it is as JSON. The file at `path` is replaced once all is written.

        Raises EngineError where it cannot be written, and Cancelled.
        """
        guarded(lambda: save(self, path, control))

    def of(self, kind: str) -> Layers:
        """The layers of this kind. Raises InputError where the model has none."""
        if kind not in self._layers:
            raise InputError(f"The model has no “{kind}” attention.", f"Choose one of: {', '.join(self.kinds)}.")
        return self._layers[kind]

    def sides(self, kind: str) -> tuple[Sequence, Sequence]:
        """The tokens that look, and those that are looked at."""
        self.of(kind)
        return self._sides[kind]

    def layer(self, kind: str, layer: int) -> Layer:
        """One layer. Raises InputError where there is none, or it was not kept."""
        return self.of(kind).at(layer)


@torch.inference_mode()
def _numbers(source: Layer, heads: slice, start: int, stop: int) -> Float32:
    return source.rows(heads, start, stop).cpu().numpy()
