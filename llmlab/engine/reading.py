"""How a model reads: what it is given first, what it can take, and one sequence with its key-value cache."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer, EncoderDecoderCache

from llmlab.engine.devices import is_out_of_memory, release_memory
from llmlab.engine.errors import InputError, OutOfMemoryError, UnsupportedModelError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.static_cache import Kept
from llmlab.engine.tokenization import encode
from llmlab.engine.types import PLAIN, Architecture, Computed

if TYPE_CHECKING:
    from llmlab.engine.static_steps import StaticSteps

Result = TypeVar("Result")

PREFILL = 1024  # tokens of a prompt read at a time, so that a long one can be cancelled


def guarded(work: Callable[[], Result], drop: Callable[[], None] = lambda: None) -> Result:
    """The result of `work`. Running out of memory becomes an OutOfMemoryError in words.

    `drop` lets go of tensors that would outlive the error. No context manager: the error it raises would carry the
    original one as its context, and with that every tensor of the frames it came through.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_out_of_memory(error):
            raise
        on_gpu = isinstance(error, torch.OutOfMemoryError)
    drop()
    release_memory()
    raise OutOfMemoryError(
        f"There was not enough {'GPU ' if on_gpu else ''}memory for this text.",
        "Use a shorter text or fewer new tokens, or open the model in a smaller number format, quantized, or on "
        "another device.",
    )


def prompt_ids(loaded: LoadedModel, text: str, *, special: bool = True) -> list[int]:
    """The tokens of `text` as the model's input. Raises InputError for what the model cannot read.

    `special`: with the special tokens that the tokenizer adds to every text. An empty prompt is the token that marks
    the beginning of a text, as in transformers' `generate`.
    """
    ids = encode(loaded.tokenizer, text, special=special)
    if not ids:
        ids = _beginning(loaded)
    check_ids(loaded, ids)
    check_length(loaded, len(ids))
    return ids


def completion_ids(loaded: LoadedModel, text: str, completion: str) -> list[int]:
    """The tokens of `completion` as it follows `text`. Raises InputError for what the model cannot read.

    Of a decoder-only model both are tokenized together; where the end of the text would merge with the beginning of
    the completion, the completion is tokenized alone.
    """
    decodes = loaded.info.architecture is Architecture.DECODER
    if decodes and text:
        alone = prompt_ids(loaded, text)
        whole = encode(loaded.tokenizer, text + completion)
        if whole[: len(alone)] == alone:
            check_ids(loaded, whole)
            return whole[len(alone) :]
    ids = encode(loaded.tokenizer, completion, special=False, target=not decodes)
    check_ids(loaded, ids)
    return ids


def decoder_start(loaded: LoadedModel) -> list[int]:
    """What an encoder-decoder model's decoder reads first: its start token, and a token its settings force."""
    settings, config = loaded.model.generation_config, loaded.model.config
    named = (
        getattr(settings, "decoder_start_token_id", None),
        getattr(config, "decoder_start_token_id", None),
        getattr(settings, "bos_token_id", None),
        getattr(settings, "pad_token_id", None),
    )
    start = next((_first(value) for value in named if value is not None), None)
    if start is None:
        raise UnsupportedModelError(
            "The model does not say with which token its decoder starts.",
            "Add decoder_start_token_id to its generation_config.json.",
        )
    forced = getattr(settings, "forced_bos_token_id", None)
    return [start] if forced is None else [start, forced]


def check_length(loaded: LoadedModel, tokens: int) -> None:
    """Raise InputError for more tokens than the model's context window holds."""
    context = loaded.info.context
    if context is not None and tokens > context:
        raise InputError(
            f"The text has {tokens:,} tokens, but the model reads at most {context:,}.",
            f"Shorten it by at least {tokens - context:,} tokens, or open a model with a longer context.",
        )


def check_ids(loaded: LoadedModel, ids: Sequence[int]) -> None:
    """Raise InputError for a token without an embedding: on a GPU that would take the whole process down."""
    known = embeddings(loaded.model)
    if ids and max(ids) >= known:
        token = loaded.tokenizer.convert_ids_to_tokens([max(ids)])[0]
        raise InputError(
            f"The text has the token “{token}”, which the model knows nothing about.",
            "Remove it from the text; the tokenizer has more tokens than the model.",
        )


def end_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokens that end a text; none where neither model nor tokenizer name one."""
    ends = getattr(loaded.model.generation_config, "eos_token_id", None)
    if ends is None:
        ends = loaded.tokenizer.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)


def embeddings(model: PreTrainedModel) -> int:
    """How many token ids the model can read."""
    module: Any = model.get_input_embeddings()
    return int(getattr(module, "num_embeddings", None) or module.weight.shape[0])


def forbidden(model: PreTrainedModel) -> list[int]:
    """Tokens that the model's generation_config.json rules out everywhere: Marian must never write its padding."""
    settings = model.generation_config
    words: list[list[int]] = getattr(settings, "bad_words_ids", None) or []
    suppressed: list[int] = getattr(settings, "suppress_tokens", None) or []
    return sorted({*suppressed, *(word[0] for word in words if len(word) == 1)})


def _beginning(loaded: LoadedModel) -> list[int]:
    if loaded.info.architecture is Architecture.DECODER:
        named = (getattr(loaded.model.generation_config, "bos_token_id", None), loaded.tokenizer.bos_token_id)
        first = next((_first(value) for value in named if value is not None), None)
        if first is not None:
            return [first]
    raise InputError(
        "The text is empty, and the model has no token that marks the beginning of a text.", "Type some text."
    )


def _first(value: int | list[int]) -> int:
    return value[0] if isinstance(value, list) else value


class Reader:
    """One sequence as the model reads it: what was read lies in the cache, so that only new tokens cost.

    For an encoder-decoder model the text is read by the encoder, and the sequence is the decoder's.
    Models without a key-value cache (state-space models) read all tokens again each time.
    Where there are `steps`, tokens that come one at a time are read through them; `computed` is how the last one was.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        text_ids: list[int],
        control: Control = UNCONTROLLED,
        steps: StaticSteps | None = None,
    ) -> None:
        self._loaded = loaded
        self._control = control
        self._steps = steps
        self.computed: Computed = PLAIN
        self._kept = Kept()
        self._text_ids = text_ids
        self._read: list[int] = []
        self._encoded: Any = None
        self._forbidden = forbidden(loaded.model)
        self._lean = {"logits_to_keep": 1} if "logits_to_keep" in forward_parameters(loaded.model) else {}
        if loaded.info.architecture is Architecture.ENCODER_DECODER:
            self.start = decoder_start(loaded)
            self._encode(text_ids)
        else:
            self.start = text_ids

    def next_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Read `ids`; the logits (vocabulary,) of what follows, −inf where the model's own settings forbid a token."""
        logits = self.plain_logits(ids)
        if self._forbidden:
            with torch.inference_mode():
                logits = logits.clone()
                logits[self._forbidden] = -torch.inf
        return logits

    def plain_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Read `ids`; the logits (vocabulary,) of what follows, whatever the model's own settings forbid."""
        if self._steps is not None and len(ids) == 1 and self._kept.read:
            return self._step(self._steps, ids[0])
        self.computed = PLAIN
        return self._forward_in_parts(list(ids))

    def given_up(self) -> tuple[Any, Any, list[int]]:
        """Cache, encoder's output and tokens read, for somebody who goes on with them; nothing of it stays here."""
        parts = self._kept.cache, self._encoded, self._read
        self.drop()
        return parts

    def all_logits(self, ids: Sequence[int], *, forbids: bool = False) -> torch.Tensor:
        """Read `ids`; the logits (ids, vocabulary) of what follows each of them.

        `forbids`: −inf where the model's own settings forbid a token.
        """
        self._lean = {}
        logits: torch.Tensor = self._forward(list(ids)).logits[0, -len(ids) :]
        if forbids and self._forbidden:
            with torch.inference_mode():
                logits = logits.clone()
                logits[:, self._forbidden] = -torch.inf
        return logits

    def forget(self, count: int) -> None:
        """Have read only the first `count` tokens. Where the cache cannot go back, they are read again."""
        if count < len(self._read) and self._kept.cache is not None:
            if self.can_resume(count):
                self._kept.cache.crop(count - len(self._read))
            else:
                self._kept.cache = None
        del self._read[count:]

    def fork(self) -> Reader:
        """Another reader that has read the same, without reading it again."""
        other = copy.copy(self)
        with torch.inference_mode():
            other._kept = Kept(copy.deepcopy(self._kept.cache))
        other._read = list(self._read)
        return other

    def resumed(self, count: int, control: Control, steps: StaticSteps | None = None) -> Reader:
        """Another reader that has read the first `count` tokens of this one's; `can_resume` must allow it."""
        other = self.fork()
        other._control, other._steps = control, steps
        if other._kept.cache is not None and count < len(self._read):
            other._kept.cache.crop(count - len(self._read))
        del other._read[count:]
        return other

    def can_resume(self, count: int) -> bool:
        """Whether the cache still knows what it held after `count` tokens.

        What has left a sliding window is gone, and a recurrent state holds only its last moment.
        """
        return count == len(self._read) or all(map(_can_crop, layers(self._kept.cache)))

    def shared(self, text_ids: list[int], ids: Sequence[int]) -> int:
        """How many of `ids` this reader has read as its first ones; none if its encoder has read another text."""
        if self._encoded is not None and text_ids != self._text_ids:
            return 0
        pairs = zip(self._read, ids, strict=False)
        return next((i for i, (mine, other) in enumerate(pairs) if mine != other), min(len(self._read), len(ids)))

    @property
    def cache_bytes(self) -> int:
        """What its key-value cache takes, the encoder's part included."""
        tensors = [tensor for layer in layers(self._kept.cache) for tensor in (layer.keys, layer.values)]
        return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))

    def drop(self) -> None:
        """Let go of every tensor."""
        self._kept.cache = self._encoded = None

    @torch.inference_mode()
    def _encode(self, ids: list[int]) -> None:
        model: Any = self._loaded.model
        self._control.check()
        inputs = torch.tensor([ids], device=self._loaded.device)
        self._encoded = model.get_encoder()(input_ids=inputs, attention_mask=torch.ones_like(inputs), return_dict=True)

    def _step(self, steps: StaticSteps, token: int) -> torch.Tensor:
        """Read one token after others; a recorded pass or the plain one, as `steps` know better."""
        count = len(self._read)
        logits, self.computed = steps.logits(self._kept, token, count, lambda: self._forward([token]).logits[0, -1])
        self._read[count:] = [token]
        return logits

    def _forward_in_parts(self, ids: list[int]) -> torch.Tensor:
        logits: torch.Tensor | None = None
        for start in range(0, len(ids), PREFILL):
            self._control.check()
            logits = self._forward(ids[start : start + PREFILL]).logits[0, -1]
        assert logits is not None
        return logits

    @torch.inference_mode()
    def _forward(self, ids: list[int]) -> Any:
        """What the model answers; what it read is in the cache then."""
        first_again = bool(self._read) and self._kept.cache is None
        self._read += ids
        given = torch.tensor([self._read if first_again else ids], device=self._loaded.device)
        model: Any = self._loaded.model
        arguments: dict[str, Any] = {"past_key_values": self._kept.cache, "use_cache": True, **self._lean}
        if self._encoded is not None:
            output = model(encoder_outputs=self._encoded, decoder_input_ids=given, **arguments)
        else:
            output = model(input_ids=given, **arguments)
        self._kept.cache = output.get("past_key_values")
        return output


def layers(cache: Any) -> list[Any]:
    """The layers of a key-value cache, of an encoder-decoder model's both parts."""
    if isinstance(cache, EncoderDecoderCache):
        return [*cache.self_attention_cache.layers, *cache.cross_attention_cache.layers]
    return list(cache.layers) if isinstance(cache, Cache) else []


def _can_crop(layer: Any) -> bool:
    if type(layer) is DynamicSlidingWindowLayer:
        return bool(layer.get_seq_length() < layer.sliding_window)
    return type(layer) is DynamicLayer


def forward_parameters(model: PreTrainedModel) -> frozenset[str]:
    """The names of what the model's forward pass takes."""
    return frozenset(inspect.signature(model.forward).parameters)
