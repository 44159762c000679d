"""Everything the calculator needs to know of an architecture, as plain numbers. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from llmlab.engine.memory.blocks import Block
from llmlab.engine.memory.weights import WeightLayout
from llmlab.engine.types import Architecture


class Group(StrEnum):
    """The kinds of modules that parameters are counted by."""

    EMBEDDINGS = "embeddings"
    ATTENTION = "attention"
    MLP = "MLP"
    EXPERTS = "experts"
    NORMS = "norms"
    HEAD = "head"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class WeightTensor:
    """One parameter. `quantized`: transformers hands it to bitsandbytes."""

    name: str
    shape: tuple[int, ...]
    group: Group
    quantized: bool

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def module(self) -> str:
        """The name that LoRA targets go by: q_proj, c_attn and so on."""
        return self.name.removesuffix(".weight").rsplit(".", 1)[-1]


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """One layer that caches: elements a token leaves, and its sliding window in tokens, or None for all tokens."""

    elements: int
    window: int | None


@dataclass(frozen=True, slots=True)
class Latent:
    """DeepSeek's latent attention.

    The narrow hidden states that `queries` (0: made directly) and `keys` are made of, the `rotary` keys beside the
    latter; all heads' `values`, and the matrix that they and their keys are `projected` into.
    """

    queries: int
    keys: int
    rotary: int
    values: int
    projected: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """An architecture in numbers. `tensors` holds every parameter once, tied ones included once.

    `layers` are those of the encoder and of the decoder together, `encoder_layers` of them the encoder's where there
    are both; `cache` has those that cache. `query` and
    `key_value` are the widths heads · head size. `intermediate` is the width of one MLP, or of the experts that one
    token goes through together. `active_experts` of `experts` experts see a token; both 0 where there are none.

    `groups` are the parameters by kind, which add up to `parameters` (a tied output layer counts as embeddings);
    `windows` the elements that a token leaves in all layers of the same sliding window.
    """

    name: str
    architecture: Architecture
    tensors: tuple[WeightTensor, ...]
    layout: WeightLayout
    layers: int
    hidden: int
    heads: int
    query: int
    key_value: int
    intermediate: int
    vocabulary: int
    context: int | None
    cache: tuple[CacheLayer, ...]
    block: Block
    query_key_norm: bool = False
    primitive_gelu: bool = False  # GELU written out in single operations, as GPT-2's
    relu: bool = False
    gated: bool = False  # the MLP has a second half that its activation is multiplied with
    dropout: bool = False  # of hidden states
    attention_dropout: bool = False
    mlp_dropout: bool = False  # between the MLP's two matrices
    encoder_layers: int = 0
    float32_loss: bool = True  # the loss turns logits of 16 bits into float32 first
    experts: int = 0
    active_experts: int = 0
    gates_shared_expert: bool = False  # the expert that every token goes through has a gate of its own
    divides_weights: bool = False  # a token's experts have weights that add up to 1
    dense_layers: int = 0  # layers without experts where others have them, of width `dense_intermediate`
    dense_intermediate: int = 0
    latent: Latent | None = None
    window: int | None = None  # tokens that `windowed_layers` look back at
    windowed_layers: int = 0
    fuses: bool = True  # transformers' code calls a kernel that never writes scores out
    transforms_output: bool = False  # a linear layer, an activation and a norm stand before the output layer
    caps_logits: bool = False  # a tanh bounds the logits
    casts_counted: bool = True  # so was what autocast turns into 16 bits
    counted: bool = True  # what autograd keeps was counted in this architecture's code, not in that of a similar one
    groups: Mapping[Group, int] = field(init=False, compare=False, repr=False)
    windows: Mapping[int | None, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Add hundreds of tensors up once: every move of a slider asks for these sums."""
        found = {group: sum(t.elements for t in self.tensors if t.group is group) for group in Group}
        object.__setattr__(self, "groups", {group: size for group, size in found.items() if size})
        windows: dict[int | None, int] = {}
        for layer in self.cache:
            windows[layer.window] = windows.get(layer.window, 0) + layer.elements
        object.__setattr__(self, "windows", windows)

    def __hash__(self) -> int:
        """Of a few numbers: what is worked out for an architecture is kept under it."""
        return hash((self.name, self.layers, self.hidden, self.vocabulary, len(self.tensors)))

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once."""
        return self.layout.parameters

    @property
    def position_bias(self) -> bool:
        """Whether each layer adds a number for every two positions to its scores."""
        return self.block.position_bias

    @property
    def shares_keys(self) -> bool:
        """Whether several query heads share one head of keys and values."""
        return self.key_value < self.query

    @property
    def encodes_first(self) -> bool:
        """Whether an encoder reads a source text."""
        return self.architecture is Architecture.ENCODER_DECODER

    def group(self, group: Group) -> int:
        """Parameters of one kind of modules."""
        return self.groups.get(group, 0)
