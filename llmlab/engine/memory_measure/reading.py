"""Prefill and decoding, as transformers' `generate` does them, with every tensor followed."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.memory_measure.live import LiveTensors
from llmlab.engine.memory_measure.types import MeasureSettings
from llmlab.engine.progress import Control
from llmlab.engine.reading import decoder_start, embeddings, layers
from llmlab.engine.types import Architecture, Feature

CACHE, LOGITS, ENCODED = "KV cache", "Logits", "Encoder's answer"
_SEED = 0


@dataclass(slots=True, eq=False)
class Run:
    """What was seen of one phase. Bytes at its end; `cache_held` is the memory that the cache's tensors keep."""

    live: LiveTensors
    cache: int = 0
    cache_held: int = 0
    cross: int = 0
    logits: int = 0  # 0 of a model without an output layer
    facts: dict[str, int] = field(default_factory=dict)


class ReadingRun:
    """One batch that the model reads and continues. The model itself is left as it is."""

    def __init__(self, loaded: LoadedModel, settings: MeasureSettings, control: Control) -> None:
        self._loaded, self._settings, self._control = loaded, settings, control
        self._model: Any = loaded.model
        self._own = [*loaded.model.parameters(), *loaded.model.buffers()]
        self._takes = frozenset(inspect.signature(self._model.forward).parameters)
        self._has_head = bool(loaded.info.features & {Feature.GENERATE, Feature.FILL_MASK})
        self._two_parts = loaded.info.architecture is Architecture.ENCODER_DECODER
        self._cache: Any = None
        self._encoded: Any = None
        self._last: torch.Tensor | None = None

    @property
    def all_logits(self) -> bool:
        """Whether the model makes the logits of every token that it reads."""
        return "logits_to_keep" not in self._takes and not self._two_parts

    @property
    def held(self) -> int:
        """Bytes of the cache, and of the encoder's answer."""
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in self._kept()}.values())

    def prefill(self) -> Run:
        """Read all tokens at once; of an encoder-decoder model the encoder reads them, the decoder its start token."""
        ids = drawn(self._loaded, self._settings)
        with torch.no_grad(), LiveTensors(self._own, self._control) as live:
            if self._two_parts:
                self._encoded = self._model.get_encoder()(input_ids=ids, return_dict=True)
                start = torch.tensor([decoder_start(self._loaded)], device=self._loaded.device)
                ids = start.expand(self._settings.batch, -1)
            self._forward(ids, live)
        return self._looked_at(live)

    def decode(self) -> Run:
        """Write the tokens one by one, the most probable ones."""
        with torch.no_grad(), LiveTensors(self._own, self._control) as live:
            live.follow([*cached(self._cache), *cached(self._cache, cross=True)], CACHE)
            if self._encoded is not None:
                live.follow([self._encoded.last_hidden_state], ENCODED)
            for step in range(self._settings.steps):
                self._control.report(f"Writing token {step + 1} of {self._settings.steps}")
                assert self._last is not None
                self._forward(self._last, live)
                live.label(cached(self._cache), CACHE)
        return self._looked_at(live)

    def drop(self) -> None:
        """Let go of every tensor."""
        self._cache = self._encoded = self._last = None

    def _kept(self) -> list[torch.Tensor]:
        """Keys, values, and the encoder's answer."""
        answer = [] if self._encoded is None else [self._encoded.last_hidden_state]
        return [*cached(self._cache), *cached(self._cache, cross=True), *answer]

    def _forward(self, ids: torch.Tensor, live: LiveTensors) -> None:
        arguments: dict[str, Any] = {"return_dict": True}
        if "use_cache" in self._takes:
            arguments |= {"use_cache": True, "past_key_values": self._cache}
        if "logits_to_keep" in self._takes:
            arguments["logits_to_keep"] = 1
        if self._encoded is not None:
            arguments |= {"encoder_outputs": self._encoded, "decoder_input_ids": ids}
        else:
            arguments["input_ids"] = ids
        output = self._model(**arguments)
        self._cache = output.get("past_key_values")
        if self._has_head:
            scores = output.logits.float()  # what the next token is chosen from
            live.label([output.logits, scores], LOGITS)
            self._last = scores[:, -1:].argmax(-1)

    def _looked_at(self, live: LiveTensors) -> Run:
        own, cross = cached(self._cache), cached(self._cache, cross=True)
        live.label([*own, *cross], CACHE)
        return Run(
            live,
            cache=sum(tensor.nbytes for tensor in own),
            cache_held=live.bytes_of([*own, *cross]),
            cross=sum(tensor.nbytes for tensor in cross),
            logits=int(live.curve(lambda life: life.label == LOGITS).max()),
        )


def drawn(loaded: LoadedModel, settings: MeasureSettings) -> torch.Tensor:
    """Random token ids (batch, tokens) on the model's device: what the tokens are makes no difference to memory."""
    draws = torch.Generator().manual_seed(_SEED)
    ids = torch.randint(embeddings(loaded.model), (settings.batch, settings.tokens), generator=draws)
    return ids.to(loaded.device)


def cached(cache: Any, *, cross: bool = False) -> list[torch.Tensor]:
    """Keys and values of a cache: of the sequence itself, or of the encoder's text."""
    parts = getattr(cache, "cross_attention_cache", None) if cross else getattr(cache, "self_attention_cache", cache)
    found = [tensor for layer in layers(parts) for tensor in (layer.keys, layer.values)]
    return [tensor for tensor in found if isinstance(tensor, torch.Tensor)]
