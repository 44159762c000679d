"""Prompts of different lengths read side by side, each as if it were alone.

A decoder's prompts are padded on the left, so that all go on at the same place; the padding is masked, and positions
count a row's own tokens only. An encoder's texts are padded on the right, and masked for the decoder too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import BaseModelOutput

from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import Control
from llmlab.engine.reading import PREFILL, Reader, decoder_start, forbidden, forward_parameters, guarded, layers
from llmlab.engine.scoring import common_length
from llmlab.engine.shots.batching import LEAST_SHARED, padded


class Batch:
    """Rows that go on side by side, one token each at a time. `mask` int64 (rows, tokens): 0 where there is padding."""

    def __init__(self, loaded: LoadedModel, mask: torch.Tensor, cache: Any = None) -> None:
        self._loaded = loaded
        self._mask = mask.to(loaded.device)
        self._cache = cache
        self._forbidden = forbidden(loaded.model)

    @torch.inference_mode()
    def next_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Read one token in each row; float32 (rows, vocabulary), −inf where the model's settings forbid a token."""
        return self._allowed(self._read(torch.tensor(ids, device=self._loaded.device)[:, None]))

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        """Read `ids` (rows, tokens); the logits (rows, vocabulary) of what follows."""
        raise NotImplementedError

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.float()
        if self._forbidden:
            logits[:, self._forbidden] = -torch.inf
        return logits

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        chosen = torch.tensor(rows, device=self._loaded.device)
        self._mask = self._mask[chosen]
        self._cache.batch_select_indices(chosen)

    def drop(self) -> None:
        """Let go of every tensor."""
        self._cache = None


class PromptBatch(Batch):
    """A decoder's. Its mask grows with what is read; a beginning that all rows share lies in the cache given."""

    def __init__(self, loaded: LoadedModel, rows: Sequence[Sequence[int]], shared: int, cache: Any) -> None:
        ids, mask = padded(rows, 0, left=True)
        super().__init__(loaded, torch.cat((torch.ones(len(rows), shared, dtype=torch.long), mask), dim=1), cache)
        self._ids = ids.to(loaded.device)
        self._done = shared
        self._lean = {"logits_to_keep": 1} if "logits_to_keep" in forward_parameters(loaded.model) else {}

    @torch.inference_mode()
    def begin(self, control: Control) -> torch.Tensor:
        """Read the prompts; float32 (rows, vocabulary). Raises Cancelled."""
        logits: torch.Tensor | None = None
        width = max(1, PREFILL // len(self._ids))
        for begin in range(0, self._ids.shape[1], width):
            control.check()
            logits = self._forward(self._ids[:, begin : begin + width])
        assert logits is not None
        return self._allowed(logits)

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        self._mask = torch.cat((self._mask, torch.ones_like(ids)), dim=1)
        return self._forward(ids)

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = self._mask[:, : self._done + ids.shape[1]]
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, self._done :]  # (rows, tokens)
        self._done = mask.shape[1]
        model: Any = self._loaded.model
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            **self._lean,
        )
        self._cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1]
        return logits


class AnswerBatch(Batch):
    """An encoder-decoder model's: all rows begin with the decoder's start; the mask is that of the encoder's texts."""

    def __init__(self, loaded: LoadedModel, rows: Sequence[Sequence[int]]) -> None:
        ids, mask = padded(rows, loaded.tokenizer.pad_token_id or 0)
        super().__init__(loaded, mask)
        self._ids = ids.to(loaded.device)
        self._states: torch.Tensor | None = None  # (rows, tokens, hidden)

    @torch.inference_mode()
    def begin(self, control: Control) -> torch.Tensor:
        """Read the texts and the decoder's start; float32 (rows, vocabulary). Raises Cancelled."""
        control.check()
        model: Any = self._loaded.model
        encoded = model.get_encoder()(input_ids=self._ids, attention_mask=self._mask, return_dict=True)
        self._states = encoded.last_hidden_state
        start = torch.tensor(decoder_start(self._loaded), device=self._loaded.device)
        return self._allowed(self._read(start.expand(len(self._ids), -1)))

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        model: Any = self._loaded.model
        output = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._states),
            attention_mask=self._mask,
            decoder_input_ids=ids,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        super().select(rows)
        assert self._states is not None
        self._states = self._states[torch.tensor(rows, device=self._states.device)]

    def drop(self) -> None:
        """Let go of every tensor."""
        super().drop()
        self._states = None


class Prompts:
    """A decoder's prompts, each to be followed by up to `most` tokens; what all begin with is read once and copied.

    Raises OutOfMemoryError, and Cancelled.
    """

    def __init__(self, loaded: LoadedModel, rows: Sequence[list[int]], most: int, control: Control) -> None:
        self._loaded = loaded
        shared = min(common_length(min(rows), max(rows)), min(map(len, rows)) - 1)
        longest = max(map(len, rows)) + most
        ids = list(rows[0][: max(1, shared)])
        reader = Reader(loaded, ids, control)
        guarded(lambda: reader.plain_logits(ids), reader.drop)
        self.row_bytes = reader.cache_bytes * longest // len(ids)
        cache, _, _ = reader.given_up()
        takes = {"attention_mask", "position_ids"} <= forward_parameters(loaded.model)
        self.can_pad = takes and _keeps_every_token(cache)
        # A window counts places, not positions: padding after the shared beginning would push that out of it.
        narrow = min((getattr(layer, "sliding_window", longest + 1) for layer in layers(cache)), default=0)
        self._shared = shared if shared >= LEAST_SHARED and longest < narrow else 0
        self._cache = cache if self._shared else None

    @torch.inference_mode()
    def batch(self, rows: Sequence[Sequence[int]]) -> PromptBatch:
        """Some of the prompts; nothing is read yet."""
        cache = copy.deepcopy(self._cache)
        if cache is not None:
            cache.batch_repeat_interleave(len(rows))
        return PromptBatch(self._loaded, [row[self._shared :] for row in rows], self._shared, cache)


class Sources:
    """An encoder-decoder model's texts, each to be answered with up to `most` tokens. Raises as `Prompts`."""

    def __init__(self, loaded: LoadedModel, rows: Sequence[list[int]], most: int, control: Control) -> None:
        self._loaded = loaded
        longest = max(rows, key=len)
        reader = guarded(lambda: Reader(loaded, list(longest), control))
        guarded(lambda: reader.plain_logits(reader.start), reader.drop)
        read = len(longest) + len(reader.start)
        self.row_bytes = reader.cache_bytes * (read + most) // read
        self.can_pad = _keeps_every_token(reader.given_up()[0])

    def batch(self, rows: Sequence[Sequence[int]]) -> AnswerBatch:
        """Some of the texts; nothing is read yet."""
        return AnswerBatch(self._loaded, rows)


def _keeps_every_token(cache: Any) -> bool:
    """Whether the cache holds a key and a value of each token, which a mask can hide: a state takes padding in."""
    found = layers(cache)
    return bool(found) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in found)
