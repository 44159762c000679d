"""Captures what every layer attends with, while the model reads a text of any length.

transformers hands attention to a function it looks up by name. Ours computes the output with SDPA, as usual, and
keeps each layer's queries, keys and values; `output_attentions=True` would hold every queries × keys matrix at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from llmlab.engine.attention.captured import AttentionCapture
from llmlab.engine.attention.choosing import Layers
from llmlab.engine.attention.inputs import Inputs, body, read
from llmlab.engine.attention.layers import AttentionLayer, Layer, MaterialisedLayer, attend
from llmlab.engine.attention.masks import Causal, Rows, Unpadded, compact_bias, compact_mask
from llmlab.engine.attention.stack import attending
from llmlab.engine.attention.types import AttentionRequest
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Architecture

NAME = "llmlab_capture"  # under which transformers finds our function
EAGER_TOKENS = 1024  # the longest text for architectures that can only hand out whole matrices
CROSS = re.compile(r"EncDecAttention|encoder_attn|cross_?att", re.IGNORECASE)
_KINDS = {"encoder": ("text", "text"), "decoder": ("target", "target"), "cross": ("target", "text")}


def capture(
    loaded: LoadedModel, speller: Speller, request: AttentionRequest, control: Control = UNCONTROLLED
) -> AttentionCapture:
    """The attention of the model while it reads what `request` says.

    Raises InputError for a text that is too long or a layer that is not there, UnsupportedFeatureError for a model
    without attention.
    """
    inputs = read(loaded, speller, request)
    layers = run(loaded, inputs, request.layers, control)
    sides = {"text": inputs.text, "target": inputs.target or inputs.text}
    pairs = _KINDS if inputs.target is not None else {"self": ("text", "text")}
    return AttentionCapture(layers, {kind: (sides[pairs[kind][0]], sides[pairs[kind][1]]) for kind in layers}, speller)


@torch.inference_mode()
def run(
    loaded: LoadedModel, inputs: Inputs, only: tuple[int, ...] | None = None, control: Control = UNCONTROLLED
) -> dict[str, Layers]:
    """What the layers of each kind attend with; of the layers, `only` these are kept."""
    given = inputs.tensors(loaded)
    if not loaded.model._can_set_attn_implementation():
        return _finished_weights(loaded, inputs, given, only, control)
    control.report("Reading the text")
    recorder = _Recorder(loaded.model, only, control)
    with _capturing(loaded.model, recorder):
        body(loaded)(**given, use_cache=False)
    if not all(recorder.counts.values()):
        return _finished_weights(loaded, inputs, given, only, control)
    return _kept({kind: Layers(recorder.counts[kind], layers) for kind, layers in recorder.layers.items()}, only)


class _Recorder:
    """Sorts what the attention function sees by kind, in the order in which the layers run."""

    def __init__(self, model: PreTrainedModel, only: tuple[int, ...] | None, control: Control) -> None:
        self._control = control
        self._model = model
        self._only = only
        self._is_pair = bool(model.config.is_encoder_decoder)
        kinds = tuple(_KINDS) if self._is_pair else ("self",)
        self.layers: dict[str, dict[int, Layer]] = {kind: {} for kind in kinds}
        self.counts = dict.fromkeys(kinds, 0)
        self._names = {id(module): name for name, module in model.named_modules()}
        encoder: Any = model.get_encoder() if self._is_pair else None
        self._encoder = {id(module) for module in encoder.modules()} if self._is_pair else set()
        self._causal: dict[tuple[int, torch.device], Causal] = {}
        self._compact: dict[int, tuple[torch.Tensor, Rows]] = {}  # layers share masks and biases

    def add(self, module: torch.nn.Module, make: Callable[[], AttentionLayer]) -> None:
        """Keep what `module` attends with, if its layer is asked for."""
        self._control.check()
        kind = self._kind(module)
        index = self.counts[kind]
        self.counts[kind] += 1
        if self._only is None or index in self._only:
            self.layers[kind][index] = make()

    def mask(self, mask: torch.Tensor | None, size: tuple[int, int]) -> Rows | None:
        """The short form of `mask` (1, 1 or heads, 1 or queries, keys)."""
        if mask is None:
            return None
        return self._shared(mask, lambda: compact_mask(mask[0].expand(-1, *size)))

    def causal(self, keys: int, device: torch.device) -> Causal:
        """The causal mask, the same one for all layers on a device."""
        return self._causal.setdefault((keys, device), Causal(keys, device))

    def bias(self, bias: torch.Tensor | None) -> Rows | None:
        """The short form of `bias` (1, heads, queries, keys)."""
        return None if bias is None else self._shared(bias, lambda: compact_bias(bias[0]))

    def beside(self, module: torch.nn.Module) -> torch.nn.Module | None:
        """What BERT's family has beside its attention: the module with the projection of what comes out."""
        parent = self._model.get_submodule(self._names.get(id(module), "").rpartition(".")[0])
        output = getattr(parent, "output", None)
        return output if isinstance(output, torch.nn.Module) else None

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
    """Let `model` attend with our function, which tells `recorder`."""
    token = _ACTIVE.set(recorder)
    try:
        with attending(model, NAME):
            yield
    finally:
        _ACTIVE.reset(token)


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
    softcap, sinks = arguments.get("softcap"), arguments.get("s_aux")

    def make() -> AttentionLayer:
        mask = recorder.mask(attention_mask, size)
        if mask is None and causal and (size[0] > 1 or size == (1, 1)):
            mask = recorder.causal(size[1], key.device)
        own = _own(query[0], key[0], value[0])
        return AttentionLayer(
            query=own[0],
            key=own[1],
            scaling=scaling if scaling is not None else query.shape[-1] ** -0.5,
            mask=mask,
            bias=recorder.bias(position_bias),
            softcap=softcap,
            sinks=sinks,
            window=arguments.get("sliding_window") or getattr(module, "sliding_window", None),
            value=own[2],
            module=module,
            after=recorder.beside(module),
        )

    recorder.add(module, make)
    if softcap is not None or sinks is not None:
        return attend(make(), value[0])[None], None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout, scaling, is_causal, position_bias, **arguments
    )


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def _own(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors, copied where they are views into more memory than all of them need.

    GPT-2's three share one storage and cost nothing more; ModernBERT's value alone would hold on to all of it.
    """
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    if sum(storages.values()) <= 1.05 * sum(each.numel() * each.element_size() for each in tensors):
        return tensors
    return tuple(
        each.clone() if each.untyped_storage().nbytes() > each.numel() * each.element_size() else each
        for each in tensors
    )


def _finished_weights(
    loaded: LoadedModel,
    inputs: Inputs,
    given: dict[str, torch.Tensor],
    only: tuple[int, ...] | None,
    control: Control,
) -> dict[str, Layers]:
    """For architectures that attend in their own way (BLOOM, DeBERTa): whole matrices, so for short texts only."""
    longest = max(ids.shape[1] for ids in given.values())
    if longest > EAGER_TOKENS:
        raise InputError(
            f"The text has {longest:,} tokens, but {loaded.info.model_type} models can show the attention of at most "
            f"{EAGER_TOKENS:,}, because they compute it in a way of their own.",
            "Shorten the text, or open a model of another architecture.",
        )
    control.check()
    output = body(loaded)(**given, use_cache=False, output_attentions=True)
    fields = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    if not loaded.model.config.is_encoder_decoder:
        fields = {"self": "attentions"}
    found = {kind: [each[0] for each in output.get(field) or () if each is not None] for kind, field in fields.items()}
    if not all(found.values()):
        raise UnsupportedFeatureError(
            f"Models of the type {loaded.info.model_type} do not tell what they attend to.",
            "Open a model of another architecture.",
        )
    layers = {
        kind: Layers(len(weights), _materialised(loaded, inputs, kind, weights, only))
        for kind, weights in found.items()
    }
    return _kept(layers, only)


def _materialised(
    loaded: LoadedModel, inputs: Inputs, kind: str, weights: list[torch.Tensor], only: tuple[int, ...] | None
) -> dict[int, Layer]:
    causal = kind == "decoder" or (kind == "self" and loaded.info.architecture is Architecture.DECODER)
    keys = inputs.target if kind == "decoder" and inputs.target is not None else inputs.text
    device = weights[0].device
    mask: Rows | None = Causal(len(keys), device) if causal else None
    if not keys.real.all():
        mask = Unpadded(mask, torch.from_numpy(keys.real).to(device))
    return {index: MaterialisedLayer(each, mask) for index, each in enumerate(weights) if only is None or index in only}


def _kept(layers: dict[str, Layers], only: tuple[int, ...] | None) -> dict[str, Layers]:
    """The kinds of which something was kept. Raises InputError for a layer that no kind has."""
    most = max(each.count for each in layers.values())
    wrong = [index for index in only or () if not 0 <= index < most]
    if wrong or only == ():
        raise InputError(
            f"There is no layer {wrong[0]}." if wrong else "No layer was asked for.",
            f"Choose layers from 0 to {most - 1}.",
        )
    return {kind: each for kind, each in layers.items() if each.kept}
