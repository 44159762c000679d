"""What the engine answers about attention: frozen values of numpy arrays, no torch.

Axis names in the shapes: `queries` the tokens that look, `keys` the tokens that are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from llmlab.engine.types import Bool, Float32, Int32

MASKED = -1.0  # stands in a map where the model may not look: causal mask, padding, sliding window


class Reduction(StrEnum):
    """How several heads become one map."""

    MEAN = "mean"
    MAX = "max"


class Truncation(StrEnum):
    """What to do with a text that is longer than the context window."""

    REFUSE = "refuse"
    KEEP_BEGINNING = "keep the beginning"
    KEEP_END = "keep the end"


@dataclass(frozen=True, slots=True)
class AttentionRequest:
    """What the model reads while its attention is captured.

    `target`: of an encoder-decoder model, what the decoder reads after its start token. `pair`: a second sentence, of
    an encoder. `continued`: ids that were generated after `text`; of an encoder-decoder model they stand for `target`.
    `padding`: so many padding tokens after the text, or before it where negative. `layers`: only these are kept.
    """

    text: str
    target: str | None = None
    pair: str | None = None
    continued: tuple[int, ...] = ()
    padding: int = 0
    truncation: Truncation = Truncation.REFUSE
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class AttentionCost:
    """What a capture would take: tokens and bytes, before anything is computed.

    `over`: tokens beyond the context window. `bytes`: what is kept, and an estimate of what passes through while the
    text is read. `bytes_of_a_layer`: the same with `layers` of the request holding just one. `available`: free bytes
    where the model is.
    """

    tokens: int
    target_tokens: int
    over: int
    bytes: int
    bytes_of_a_layer: int
    available: int


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """One kind of attention map: how many layers and heads it has, and what stands on its axes.

    `query_words`, `key_words` int32 (tokens,): the word each token belongs to, -1 for special tokens; `query_segments`,
    `key_segments` int32 (tokens,): 0 and 1 for the first and second sentence, -1 for padding. `captured`: which layers
    were kept. `causal`: a token sees none that come later. `generated`: the first query that was generated, or None.
    """

    kind: str  # self, encoder, decoder or cross
    layers: int
    heads: int
    key_value_heads: int
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    windows: tuple[int | None, ...] = ()  # per layer: sliding window in tokens, or None
    query_words: Int32 | None = None
    key_words: Int32 | None = None
    query_segments: Int32 | None = None
    key_segments: Int32 | None = None
    captured: tuple[int, ...] = ()
    causal: bool = False
    generated: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class HeadAt:
    """One head of the model."""

    kind: str
    layer: int
    head: int


@dataclass(frozen=True, slots=True)
class MapRequest:
    """One map to look at. `layer`, `head` None: `reduction` over all of them.

    `value_weighted`: each weight times the length of what it carries (Kobayashi et al. 2020). `hide_first`: without
    the first key that is no padding, each row rescaled to sum to 1, after the reduction. `words`: subwords merged, keys
    summed and queries averaged. `segments`: only from the first to the second of these sentences, all else masked.
    `rows`, `columns`: a part (start, stop) of the map, in tokens, of whole words where these are merged. `limit`:
    pooled to at most so many rows and columns.
    """

    kind: str = "self"
    layer: int | None = 0
    head: int | None = 0
    reduction: Reduction = Reduction.MEAN
    value_weighted: bool = False
    hide_first: bool = False
    words: bool = False
    segments: tuple[int, int] | None = None
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    limit: int = 4096


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """`values` float32 (rows, columns), MASKED where the model may not look; NaN and infinity stay what they are.

    `row_edges` int32 (rows + 1,), `column_edges` int32 (columns + 1,): row i covers the tokens row_edges[i] up to, not
    including, row_edges[i + 1]. `pooled`: whether a cell is the maximum of several weights; merging words is none.
    """

    request: MapRequest
    values: Float32
    row_edges: Int32
    column_edges: Int32
    pooled: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """All heads of one kind at a glance, max-pooled to small tiles, and their scores.

    `tiles` float32 (layers, heads, rows, columns), MASKED where nothing may be seen; `heads_mean`, `heads_max`
    (layers, rows, columns) over the heads of each layer; `layers_mean`, `layers_max` (heads, rows, columns) over the
    layers of each head place; `mean`, `max` (rows, columns) over all. `scores`: name → float32 (layers, heads), NaN
    where a score has no meaning. `broken` bool (layers, heads): NaN or infinity among the weights.
    """

    kind: str
    tiles: Float32
    heads_mean: Float32
    heads_max: Float32
    layers_mean: Float32
    layers_max: Float32
    mean: Float32
    max: Float32
    row_edges: Int32
    column_edges: Int32
    scores: Mapping[str, Float32]
    broken: Bool


@dataclass(frozen=True, slots=True)
class NeuronView:
    """How one weight came about: softmax of (q · k × scaling, soft-capped, + bias), masked or not.

    `query`, `key`, `products` float32 (head_dim,). `dot` is the sum of `products`; `score` what enters the softmax;
    `log_sum` the logarithm of the sum of exp(score) over all keys of the row; weight = exp(score − log_sum).
    """

    head: HeadAt
    query_index: int
    key_index: int
    query: Float32
    key: Float32
    products: Float32
    dot: float
    scaling: float
    softcap: float | None
    bias: float | None
    masked: bool
    score: float
    log_sum: float
    weight: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What switching heads off does to the prediction at one position.

    The tokens are the most probable ones before or after, by the larger of the two. All arrays (n,). `kl` is
    KL(before ‖ after) in nats, over the whole vocabulary; `label` says which position this is.
    """

    off: tuple[HeadAt, ...]
    label: str
    ids: Int32
    texts: tuple[str, ...]
    before: Float32
    after: Float32
    kl: float
    entropy_before: float
    entropy_after: float


@dataclass(frozen=True, slots=True)
class LayerEffects:
    """The effect of removing each head of a layer alone, and the whole layer. Arrays float32 (heads,).

    `kl` in nats; `delta` the change of the probability of the token that was most probable before; where an encoder
    fills in several masks, the means over them.
    """

    kind: str
    layer: int
    kl: Float32
    delta: Float32
    layer_kl: float
    layer_delta: float


@dataclass(frozen=True, slots=True)
class LensRow:
    """A place in the model at which the hidden state is read: after the attention, or at the end, of a layer."""

    layer: int  # from 0 on, as everywhere; with place "embedding": before layer 0
    place: str  # embedding, attention, layer


@dataclass(frozen=True, slots=True)
class Lens:
    """What the model would predict if it ended early (logit lens: nostalgebraist 2020), by its own final norm and head.

    Arrays (rows, positions) or (rows, positions, n): `ids` int32 and `probabilities` float32 of the n best tokens;
    `final_probability` and `final_rank` of the token that the whole model puts first at this position; `entropy` and
    `kl` to the final distribution, in nats. `positions`: int32, which tokens of the text they are. `texts`: id → text
    of every id that occurs. `without_attention`: why there are no rows after attention, or "".
    """

    rows: tuple[LensRow, ...]
    positions: Int32
    tokens: tuple[str, ...]
    ids: Int32
    probabilities: Float32
    final_ids: Int32
    final_probability: Float32
    final_rank: Int32
    entropy: Float32
    kl: Float32
    texts: Mapping[int, str]
    without_attention: str = ""


@dataclass(frozen=True, slots=True)
class LensPosition:
    """One position through all rows: `ids` (n,) every token that is first in some row; (rows, n) each one's course."""

    position: int
    rows: tuple[LensRow, ...]
    ids: Int32
    texts: tuple[str, ...]
    probabilities: Float32
    ranks: Int32
