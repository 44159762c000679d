"""One text in the model's hands: its layers, its encoder and its head can be run each on their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from llmlab.engine.attention.stack import Output, Stack, find_stack, hidden_of, with_hidden
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import mask_label
from llmlab.engine.reading import forbidden
from llmlab.engine.types import Architecture, Feature

PROBE = 4  # tokens that are enough to see how a model is built
EXACT = 1e-3  # of the largest number: what two ways to compute the same may differ by, at any precision
LOGIT_BYTES = 2**26  # of logits held at a time
NEXT = "next"  # how a position that is not a mask is called, as in `engine.distribution`

Given = Mapping[str, torch.Tensor]  # what the model's forward takes by name, each (1, tokens)


class Subject:
    """A text that is read again and again, in batches whose elements differ in what is done to the layers.

    `inputs` are those of the whole model: input_ids, and where needed attention_mask, token_type_ids, position_ids
    and decoder_input_ids. All methods want inference mode. Raises UnsupportedFeatureError for a model without a head.
    """

    def __init__(self, loaded: LoadedModel, inputs: Given) -> None:
        if not {Feature.NEXT_TOKEN, Feature.FILL_MASK} & loaded.info.features:
            raise UnsupportedFeatureError(
                f"“{loaded.info.name}” was opened without the part that predicts tokens.",
                "Open a model with a language modelling head.",
            )
        self.loaded = loaded
        self.inputs = inputs
        self.is_pair = loaded.info.architecture is Architecture.ENCODER_DECODER
        model: Any = loaded.model
        self.encoder: nn.Module | None = model.get_encoder() if self.is_pair else None
        self.root: nn.Module = model.get_decoder() if self.is_pair else model.base_model
        self._model = model
        self._forbidden = forbidden(loaded.model) if Feature.NEXT_TOKEN in loaded.info.features else []
        self._encoded: torch.Tensor | None = None
        self._template: Output = None

    @property
    def ids(self) -> torch.Tensor:
        """What the part that predicts reads, (tokens,): of an encoder-decoder model what the decoder reads."""
        return self.inputs["decoder_input_ids" if self.is_pair else "input_ids"][0]

    def predicted(self) -> tuple[list[int], list[str]]:
        """The positions at which the model predicts a token, and what they are called. Raises InputError.

        That is the last one, or of an encoder-only model every mask.
        """
        ids = self.ids.tolist()
        if self.loaded.info.architecture is not Architecture.ENCODER:
            return [self._last()], [NEXT]
        places = [place for place, index in enumerate(ids) if index == self.loaded.tokenizer.mask_token_id]
        if not places:
            raise InputError(
                "The text has no masked position for the model to fill in.",
                f"Type {self.loaded.info.mask_token} where a word is missing.",
            )
        return places, [mask_label(self.loaded, ids, place) for place in places]

    def _last(self) -> int:
        """The last token that is no padding."""
        mask = self.inputs.get("decoder_attention_mask" if self.is_pair else "attention_mask")
        return len(self.ids) - 1 if mask is None else int(mask[0].nonzero()[-1])

    def encode(self, batch: int = 1) -> torch.Tensor:
        """What the encoder makes of the text, (batch, tokens, hidden)."""
        assert self.encoder is not None
        given = {name: value for name, value in self.inputs.items() if not name.startswith("decoder_")}
        states: torch.Tensor = self.encoder(**_repeated(given, batch)).last_hidden_state
        return states

    def run(self, batch: int = 1, encoded: torch.Tensor | None = None) -> None:
        """Run the layers before the head; of an encoder-decoder model the decoder's, which reads `encoded`."""
        if not self.is_pair:
            self.root(**_repeated(self.inputs, batch), use_cache=False)
            return
        of_decoder = {
            name.removeprefix("decoder_"): value for name, value in self.inputs.items() if name.startswith("decoder_")
        }
        given = _repeated(of_decoder | self._encoder_mask(), batch)
        self.root(**given, encoder_hidden_states=self._read(batch, encoded), use_cache=False)

    def final_states(self, stack: Stack, batch: int = 1, encoded: torch.Tensor | None = None) -> torch.Tensor:
        """What the last layer returns, (batch, tokens, hidden)."""
        with stack.recorded() as outputs:
            self.run(batch, encoded)
        return hidden_of(outputs[-1])

    def all_logits(self, batch: int = 1, encoded: torch.Tensor | None = None) -> torch.Tensor:
        """The whole model's logits, (batch, tokens, vocabulary)."""
        given: dict[str, Any] = _repeated(self.inputs, batch)
        if self.is_pair:
            given |= {"input_ids": None, "encoder_outputs": BaseModelOutput(self._read(batch, encoded))}
        return self._allowed(self._model(**given, use_cache=False).logits)

    def logits(self, stack: Stack, states: torch.Tensor) -> torch.Tensor:
        """What the model's own final norm and head make of `states` (batch, n, hidden): (batch, n, vocabulary).

        `n` is at most the number of tokens. The layers do not run: the last one returns the states instead.
        """
        if self._template is None:
            with stack.recorded() as outputs:
                self.part(PROBE).run()
            self._template = outputs[-1]
        batch, n = states.shape[:2]
        nothing = self._read(batch, None)[:, :1] if self.is_pair else None  # for layers that do not run
        with stack.skipped(len(stack), with_hidden(self._template, states)):
            return self.part(n, padding=True).all_logits(batch, nothing)

    def part(self, tokens: int, *, padding: bool = False) -> Subject:
        """The same with the first `tokens`, or those that are no padding; the encoder reads no more than it must."""
        given: dict[str, torch.Tensor] = {}
        for name, value in self.inputs.items():
            prefix = "decoder_" if name.startswith("decoder_") else ""
            if name == f"{prefix}attention_mask":
                continue
            mask = None if padding else self.inputs.get(f"{prefix}attention_mask")
            count = tokens if prefix or not self.is_pair else PROBE
            given[name] = (value if mask is None else value[:, mask[0].bool()])[:, :count]
        return Subject(self.loaded, given)

    def _read(self, batch: int, encoded: torch.Tensor | None) -> torch.Tensor:
        """What the decoder reads: `encoded`, or what the encoder makes of the text, once for all elements."""
        if encoded is not None:
            return encoded
        if self._encoded is None:
            self._encoded = self.encode()
        return self._encoded.expand(batch, -1, -1)

    def _encoder_mask(self) -> dict[str, torch.Tensor]:
        mask = self.inputs.get("attention_mask")
        return {} if mask is None else {"encoder_attention_mask": mask}

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        """float32, −inf where the model's own settings forbid a token, as everywhere else in the program."""
        logits = logits.float()
        if self._forbidden:
            logits = logits.clone()
            logits[..., self._forbidden] = -torch.inf
        return logits


def stack_of(subject: Subject) -> Stack | None:
    """The layers before the head, where it is proved on a few tokens that all depends on what the last one returns."""
    probe = subject.part(PROBE)
    stack = find_stack(probe.root, probe.run)
    if stack is None:
        return None
    with stack.recorded() as outputs:
        whole = probe.all_logits()
    return stack if _same(probe.logits(stack, hidden_of(outputs[-1])), whole) else None


def can_start_late(stack: Stack, subject: Subject) -> bool:
    """Whether a layer needs nothing of those before but the hidden states of the last one."""
    probe = subject.part(PROBE)
    with stack.recorded() as outputs:
        probe.run()
    with stack.skipped(len(stack) - 1, outputs[-2] if len(stack) > 1 else None):
        return _same(probe.final_states(stack), hidden_of(outputs[-1]))


def encoder_stack_of(subject: Subject) -> Stack | None:
    """The encoder's layers, where it is proved on a few tokens that each needs no more than the one before."""
    probe = subject.part(PROBE)
    assert probe.encoder is not None
    stack = find_stack(probe.encoder, probe.encode)
    if stack is None or len(stack) < 2:
        return stack
    with stack.recorded() as outputs:
        whole = probe.encode()
    with stack.skipped(len(stack) - 1, outputs[-2]):
        return stack if _same(probe.encode(), whole) else None


def _repeated(inputs: Given, batch: int) -> dict[str, torch.Tensor]:
    return {name: value.expand(batch, *value.shape[1:]) for name, value in inputs.items()}


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    finite = torch.isfinite(second)
    if not torch.equal(finite, torch.isfinite(first)) or not bool(finite.any()):
        return False
    scale = float(second[finite].abs().max())
    return bool(((first - second)[finite].abs() <= EXACT * scale).all())
