"""What every head of a model attends to, for texts of any length.

transformers hands attention to a function it looks up by name. Ours computes the output with SDPA, as usual, and
keeps each layer's queries and keys; `output_attentions=True` would hold every queries × keys matrix at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from llmlab.engine.attention.layers import (
    AttentionLayer,
    Causal,
    Layer,
    MaterialisedLayer,
    Rows,
    attend,
    blocks,
    compact_bias,
    compact_mask,
)
from llmlab.engine.attention.types import AttentionShape
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import check_ids, check_length, decoder_start, guarded, prompt_ids
from llmlab.engine.tokenization import Speller, encode
from llmlab.engine.types import Architecture, Feature, Float32

NAME = "llmlab_capture"  # under which transformers finds our function
EAGER_TOKENS = 1024  # the longest text for architectures that can only hand out whole matrices
CROSS = re.compile(r"EncDecAttention|encoder_attn|cross_?att", re.IGNORECASE)


class AttentionCapture:
    """The attention of one text, all layers and heads; weights are computed when asked for.

    `kinds` is ("self",), or ("encoder", "decoder", "cross") where the model has an encoder and a decoder.
    """

    def __init__(
        self, layers: dict[str, list[Layer]], tokens: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    ) -> None:
        self._layers = layers
        self._tokens = tokens

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of maps there are."""
        return tuple(self._layers)

    @property
    def layers(self) -> int:
        """Layers of the first kind; `shape` tells those of each."""
        return len(self._layers[self.kinds[0]])

    @property
    def heads(self) -> int:
        """Heads of the first kind."""
        return self.shape(self.kinds[0]).heads

    def shape(self, kind: str = "self") -> AttentionShape:
        """How many layers and heads there are of `kind`, and the tokens on the axes. Raises InputError."""
        layers = self._of(kind)
        queries, keys = self._tokens[kind]
        return AttentionShape(
            kind=kind,
            layers=len(layers),
            heads=max(layer.heads for layer in layers),
            key_value_heads=max(layer.key_value_heads for layer in layers),
            query_tokens=queries,
            key_tokens=keys,
            windows=tuple(layer.window for layer in layers),
        )

    def weights(self, layer: int, head: int | None = None, kind: str = "self") -> Float32:
        """Attention weights float32 (heads, queries, keys), or (queries, keys) of one head; each row sums to 1.

        Raises InputError for a layer, head or kind that is not there, OutOfMemoryError where a whole map does not fit.
        """
        source = self._layer(kind, layer)
        heads = _head(source, head)
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
        source = self._layer(kind, layer)
        if not 0 <= start <= stop <= source.size[0]:
            raise InputError(
                f"There are no rows {start} to {stop} in a map of {source.size[0]} rows.", "Choose rows of the map."
            )
        heads = _head(source, head)
        rows: Float32 = guarded(lambda: _numbers(source, heads, start, stop))[0]
        return rows

    def _of(self, kind: str) -> list[Layer]:
        if kind not in self._layers:
            raise InputError(f"The model has no “{kind}” attention.", f"Choose one of: {', '.join(self.kinds)}.")
        return self._layers[kind]

    def _layer(self, kind: str, layer: int) -> Layer:
        layers = self._of(kind)
        if not 0 <= layer < len(layers):
            raise InputError(f"There is no layer {layer}.", f"Choose a layer from 0 to {len(layers) - 1}.")
        return layers[layer]


def capture(
    loaded: LoadedModel, speller: Speller, text: str, target: str | None = None, control: Control = UNCONTROLLED
) -> AttentionCapture:
    """The attention of the model while it reads `text`.

    Of an encoder-decoder model the encoder reads `text`, and the decoder what it starts with and then `target`.
    Raises InputError for a text that is too long.
    """
    require(loaded, Feature.ATTENTION)
    ids = prompt_ids(loaded, text)
    tokens = speller.texts(ids)
    if loaded.info.architecture is not Architecture.ENCODER_DECODER:
        layers = _run(loaded, {"input_ids": ids}, control)
        return AttentionCapture(layers, {"self": (tokens, tokens)})
    answer = decoder_start(loaded) + encode(loaded.tokenizer, target or "", special=False, target=True)
    check_ids(loaded, answer)
    check_length(loaded, len(answer))
    layers = _run(loaded, {"input_ids": ids, "decoder_input_ids": answer}, control)
    answers = speller.texts(answer)
    return AttentionCapture(
        layers, {"encoder": (tokens, tokens), "decoder": (answers, answers), "cross": (answers, tokens)}
    )


@torch.inference_mode()
def _run(loaded: LoadedModel, inputs: dict[str, list[int]], control: Control) -> dict[str, list[Layer]]:
    given = {name: torch.tensor([ids], device=loaded.device) for name, ids in inputs.items()}
    if not loaded.model._can_set_attn_implementation():
        return _finished_weights(loaded, given, control)
    recorder = _Recorder(loaded.model, control)
    with _capturing(loaded.model, recorder):
        _body(loaded)(**given, use_cache=False)
    if not any(recorder.layers.values()):
        return _finished_weights(loaded, given, control)
    return recorder.layers


def _body(loaded: LoadedModel) -> Any:
    """The model without its output layer, whose logits (tokens, vocabulary) nobody needs here."""
    return loaded.model if loaded.info.architecture is Architecture.ENCODER_DECODER else loaded.model.base_model


class _Recorder:
    """Sorts what the attention function sees by kind, in the order in which the layers run."""

    def __init__(self, model: PreTrainedModel, control: Control) -> None:
        self._control = control
        self._model = model
        self._is_pair = bool(model.config.is_encoder_decoder)
        kinds = ("encoder", "decoder", "cross") if self._is_pair else ("self",)
        self.layers: dict[str, list[Layer]] = {kind: [] for kind in kinds}
        self._names = {id(module): name for name, module in model.named_modules()}
        encoder: Any = model.get_encoder() if self._is_pair else None
        self._encoder = {id(module) for module in encoder.modules()} if self._is_pair else set()
        self._compact: dict[int, tuple[torch.Tensor, Rows]] = {}  # layers share masks and biases

    def add(self, module: torch.nn.Module, layer: AttentionLayer) -> None:
        """Keep what `module` attended with."""
        self._control.check()
        kind = self._kind(module)
        self.layers[kind].append(layer)

    def mask(self, mask: torch.Tensor | None, size: tuple[int, int]) -> Rows | None:
        """The short form of `mask` (1, 1 or heads, 1 or queries, keys)."""
        if mask is None:
            return None
        return self._shared(mask, lambda: compact_mask(mask[0].expand(-1, *size)))

    def bias(self, bias: torch.Tensor | None) -> Rows | None:
        """The short form of `bias` (1, heads, queries, keys)."""
        return None if bias is None else self._shared(bias, lambda: compact_bias(bias[0]))

    def _shared(self, values: torch.Tensor, make: Any) -> Rows:
        if id(values) not in self._compact:
            self._compact[id(values)] = (values, make())  # the tensor is kept so that its id stays its own
        return self._compact[id(values)][1]

    def _kind(self, module: torch.nn.Module) -> str:
        if not self._is_pair:
            return "self"
        if id(module) in self._encoder:
            return "encoder"
        return "cross" if CROSS.search(self._names.get(id(module), "")) else "decoder"


_ACTIVE: ContextVar[_Recorder] = ContextVar("llmlab_attention_recorder")


@contextmanager
def _capturing(model: PreTrainedModel, recorder: _Recorder) -> Iterator[None]:
    """Let `model` attend with our function; its own comes back in any case."""
    configs = {id(c): c for m in model.modules() if isinstance(c := getattr(m, "config", None), PreTrainedConfig)}
    before = [(config, config._attn_implementation_internal) for config in configs.values()]
    token = _ACTIVE.set(recorder)
    try:
        for config, _ in before:
            config._attn_implementation_internal = NAME
        yield
    finally:
        _ACTIVE.reset(token)
        for config, implementation in before:
            config._attn_implementation_internal = implementation


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (1, heads, queries, head_dim)
    key: torch.Tensor,  # (1, key-value heads, keys, head_dim)
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in place of its SDPA function."""
    recorder = _ACTIVE.get()
    size = query.shape[2], key.shape[2]
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    mask = recorder.mask(attention_mask, size)
    if mask is None and causal and size[0] > 1:
        mask = Causal(size[1], key.device)
    softcap, sinks = arguments.get("softcap"), arguments.get("s_aux")
    layer = AttentionLayer(
        query=query[0],
        key=key[0],
        scaling=scaling if scaling is not None else query.shape[-1] ** -0.5,
        mask=mask,
        bias=recorder.bias(position_bias),
        softcap=softcap,
        sinks=sinks,
        window=arguments.get("sliding_window") or getattr(module, "sliding_window", None),
    )
    recorder.add(module, layer)
    if softcap is not None or sinks is not None:
        return attend(layer, value[0])[None], None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout, scaling, is_causal, position_bias, **arguments
    )


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def _finished_weights(loaded: LoadedModel, given: dict[str, torch.Tensor], control: Control) -> dict[str, list[Layer]]:
    """For architectures that attend in their own way (BLOOM, DeBERTa): whole matrices, so for short texts only."""
    longest = max(ids.shape[1] for ids in given.values())
    if longest > EAGER_TOKENS:
        raise InputError(
            f"The text has {longest:,} tokens, but {loaded.info.model_type} models can show the attention of at most "
            f"{EAGER_TOKENS:,}, because they compute it in a way of their own.",
            "Shorten the text, or open a model of another architecture.",
        )
    control.check()
    output = _body(loaded)(**given, use_cache=False, output_attentions=True)
    fields = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    if not loaded.model.config.is_encoder_decoder:
        fields = {"self": "attentions"}
    layers: dict[str, list[Layer]] = {
        kind: [MaterialisedLayer(each[0]) for each in output.get(field) or () if each is not None]
        for kind, field in fields.items()
    }
    if not all(layers.values()):
        raise UnsupportedFeatureError(
            f"Models of the type {loaded.info.model_type} do not tell what they attend to.",
            "Open a model of another architecture.",
        )
    return layers


def _head(source: Layer, head: int | None) -> slice:
    if head is None:
        return slice(None)
    if not 0 <= head < source.heads:
        raise InputError(f"There is no head {head}.", f"Choose a head from 0 to {source.heads - 1}.")
    return slice(head, head + 1)


@torch.inference_mode()
def _numbers(source: Layer, heads: slice, start: int, stop: int) -> Float32:
    return source.rows(heads, start, stop).cpu().numpy()
