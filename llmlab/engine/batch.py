"""Several sequences that began alike, read side by side."""

from __future__ import annotations

from typing import Any

import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.reading import Reader, layers


class BatchReader:
    """`rows` sequences of equal length: each begins as `reader` has read, and then goes its own way.

    Takes the reader's cache over. A cache whose rows cannot be exchanged is given up, and everything is read again
    each time, as models without a cache have it.
    """

    def __init__(self, loaded: LoadedModel, reader: Reader, rows: int) -> None:
        self._loaded = loaded
        self._cache, self._encoded, read = reader.given_up()
        self._read = torch.tensor([read] * rows, device=loaded.device)  # (rows, tokens)
        if not all(
            hasattr(layer, "keys") and hasattr(layer, "batch_repeat_interleave") for layer in layers(self._cache)
        ):
            self._cache = None
        with torch.inference_mode():
            if self._cache is not None:
                self._cache.batch_repeat_interleave(rows)
            if self._encoded is not None:
                states = self._encoded.last_hidden_state  # (1, tokens, hidden) → (rows, tokens, hidden)
                self._encoded.last_hidden_state = states.expand(rows, -1, -1)

    @torch.inference_mode()
    def next_logits(self, ids: list[int]) -> torch.Tensor:
        """Read one token in each row; float32 (rows, vocabulary), the logits of what follows."""
        tokens = torch.tensor(ids, device=self._loaded.device)[:, None]
        self._read = torch.cat((self._read, tokens), dim=1)
        model: Any = self._loaded.model
        given = tokens if self._cache is not None else self._read
        arguments: dict[str, Any] = {"past_key_values": self._cache, "use_cache": self._cache is not None}
        if self._encoded is not None:
            output = model(encoder_outputs=self._encoded, decoder_input_ids=given, **arguments)
        else:
            output = model(input_ids=given, **arguments)
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    @torch.inference_mode()
    def select(self, rows: list[int]) -> None:
        """Row i goes on from what row `rows[i]` has read; there may be fewer rows than before."""
        chosen = torch.tensor(rows, device=self._loaded.device)
        self._read = self._read[chosen]
        if self._cache is not None:
            self._cache.batch_select_indices(chosen)
        if self._encoded is not None:
            self._encoded.last_hidden_state = self._encoded.last_hidden_state[chosen]

    def drop(self) -> None:
        """Let go of every tensor."""
        self._cache = self._encoded = None
