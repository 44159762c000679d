"""What the engine answers: frozen dataclasses of numpy arrays and Python scalars, never a tensor.

This module imports no torch, so that the window can name these types before a model exists.
Axis names in the shapes: `tokens` the length of the encoded text, `vocabulary` the width of the logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.later import Later

if TYPE_CHECKING:
    from llmlab.engine.sorted_logits import SortedLogits

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]
Bool: TypeAlias = NDArray[np.bool_]


class Architecture(StrEnum):
    """The three families of transformers."""

    DECODER = "decoder-only"
    ENCODER = "encoder-only"
    ENCODER_DECODER = "encoder-decoder"


class Feature(StrEnum):
    """What can be done with a loaded model; panels ask for these, never for an architecture's name."""

    TOKENIZE = "tokenize"
    NEXT_TOKEN = "next token"
    GENERATE = "generate"
    FILL_MASK = "fill mask"
    ATTENTION = "attention"
    SCORE = "score"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Which model to open, and how.

    `spec` is `bundled:decoder`, a folder, or a hub id such as `openai-community/gpt2`.
    `device` is auto, cpu, cuda, cuda:1 … or mps; `dtype` auto, float32, bfloat16 or float16;
    `quantization` None, int8, nf4 or fp4, and `double_quantization` quantizes the scales of the latter two as well.
    """

    spec: str
    device: str = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    double_quantization: bool = False
    offline: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the model bar shows of the loaded model."""

    request: ModelRequest
    name: str  # as people say it: "Llama Lab Storyteller", "gpt2"
    architecture: Architecture
    model_type: str  # transformers' name of the architecture: llama, t5 …
    parameters: int
    layers: int
    heads: int
    key_value_heads: int
    hidden_size: int
    vocabulary: int  # width of the logits, which may exceed the tokenizer's entries
    context: int | None  # tokens, None where the architecture sets no limit
    device: str  # where the inputs go: cpu, cuda:0, mps
    dtype: str
    quantization: str | None
    features: frozenset[Feature]
    mask_token: str | None = None  # for fill-mask: the text that stands for a masked position
    notes: tuple[str, ...] = ()  # what the user should know: "split over 2 GPUs", "no fast tokenizer" …


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes in use now. The CUDA fields are None where the model is not on a CUDA device."""

    process_rss: int
    weights: int
    cuda_allocated: int | None = None
    cuda_reserved: int | None = None
    cuda_total: int | None = None


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text as the model reads it, special tokens included.

    `ids` int64 (tokens,); `tokens` the vocabulary's own spelling (byte-level pieces as the tokenizer writes them);
    `pieces` the text each token stands for, incomplete UTF-8 shown as <0xE2>; `offsets` int64 (tokens, 2), start and
    end in characters (code points) of `text`, (0, 0) for a token that was added; `special` bool (tokens,).
    """

    text: str
    ids: Int64
    tokens: tuple[str, ...]
    pieces: tuple[str, ...]
    offsets: Int64
    special: Bool

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class NextToken:
    """The distribution of one position, before and after the settings.

    `logits`, `raw_probabilities`, `probabilities`: float32 (vocabulary,). `raw_probabilities` is the softmax of the
    logits; `probabilities` what is sampled from, 0 where a setting removed the token.
    """

    logits: Float32
    raw_probabilities: Float32
    probabilities: Float32


@dataclass(frozen=True, slots=True, eq=False)
class ScoredContinuation:
    """How probable the model finds one continuation, token by token. All arrays (tokens,).

    `log_probabilities` float64, natural logarithm; `ranks` int64, how many tokens the model finds more probable at
    that place; `best_…` the token it finds most probable there.
    """

    text: str
    ids: Int32
    tokens: tuple[str, ...]
    log_probabilities: Float64
    ranks: Int64
    best_ids: Int32
    best_tokens: tuple[str, ...]
    best_log_probabilities: Float64

    @property
    def total(self) -> float:
        """Log-probability of the whole continuation; 0 of an empty one."""
        return float(self.log_probabilities.sum())

    @property
    def mean(self) -> float | None:
        """Log-probability per token, which longer continuations can be compared by; None of an empty one."""
        return self.total / len(self.ids) if len(self.ids) else None

    @property
    def perplexity(self) -> float | None:
        """exp(−mean): as if each token had been one of so many equally probable ones."""
        return None if self.mean is None else math.exp(min(700.0, -self.mean))


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The best tokens of one step, most probable first. All arrays (n,)."""

    ids: Int32
    logits: Float32
    raw_probabilities: Float32
    probabilities: Float32  # after the settings; 0 where cut
    texts: tuple[str, ...]  # the text each token stands for


@dataclass(frozen=True, slots=True)
class Computed:
    """How a step's logits were computed: by the model's plain pass, or by a recorded one (a CUDA graph), replayed.

    `note` says in a sentence why it was a plain one where a recorded one was wanted.
    """

    replayed: bool = False
    note: str = ""


PLAIN = Computed()


@dataclass(frozen=True, slots=True)
class StepFigures:
    """What is told of a step besides its token.

    `rank` 0 is the most probable raw token; `entropy`, in nats, is of the distribution after the settings.
    """

    rank: int
    entropy: float
    alternatives: Alternatives


@dataclass(frozen=True, slots=True)
class GenerationStep:
    """One generated token. `"".join(step.text)` over all steps is the completion.

    `text` is what this token added to the completion: empty while a character's bytes are incomplete.
    `probability` is after the settings, `raw_probability` before.
    `seconds` is the time since generation began, prompt included; the first step's is the time to first token.
    `figures` may be worked out when they are first asked for, in well under a millisecond, from the `sorted` position.
    `finish_reason` is None while it goes on, otherwise "eos", "stop", "length" or "context".
    `sorted` is the whole position, to be shaped by other settings, where it was asked for: 8 bytes a vocabulary entry
    once it has been looked at, 4 before.
    `uniform` is the number from [0, 1) that the token was drawn with: `draw(shape(step.sorted, settings), uniform)`
    tells what other settings would have drawn; None where nothing was drawn, because the decoding was greedy, or the
    token was `given` by the caller. `computed` says how its logits came about.
    """

    index: int
    token_id: int
    token: str  # the piece, readable on its own
    text: str
    probability: float
    raw_probability: float
    figures: Later[StepFigures]
    seconds: float
    finish_reason: str | None = None
    sorted: SortedLogits | None = None
    uniform: float | None = None
    given: bool = False
    computed: Computed = PLAIN

    @property
    def rank(self) -> int:
        """See `StepFigures`."""
        return self.figures().rank

    @property
    def entropy(self) -> float:
        """See `StepFigures`."""
        return self.figures().entropy

    @property
    def alternatives(self) -> Alternatives:
        """The best tokens here, and the chosen one."""
        return self.figures().alternatives

    def without_position(self) -> GenerationStep:
        """Itself, without the memory that the whole position takes."""
        self.figures()  # they may come from the position
        return replace(self, sorted=None)


class BeamState(StrEnum):
    """What became of a candidate of beam search."""

    KEPT = "kept"  # it goes on
    PRUNED = "pruned"  # others were better
    FINISHED = "finished"  # it ended, and is among the best texts so far


@dataclass(frozen=True, slots=True)
class BeamNode:
    """One candidate of one step. `parent` is the number of the node that it continues, -1 at the beginning.

    `log_probability` is the token's own; `total` the sum over the whole sequence, natural logarithms both. Where
    settings act they have changed both, and `raw_log_probability` is the model's own; else it is None.
    """

    number: int
    parent: int
    index: int  # of the token in the completion
    token_id: int
    token: str
    log_probability: float
    total: float
    state: BeamState
    raw_log_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text that beam search has found. `score` is its log-probability over its length to the length penalty."""

    node: int
    ids: tuple[int, ...]
    text: str
    log_probability: float
    score: float


@dataclass(frozen=True, slots=True)
class BeamStep:
    """One step of beam search, best candidates first; the last one has the texts, best first.

    `seconds` is the time since the search began, prompt included.
    """

    index: int
    nodes: tuple[BeamNode, ...]
    seconds: float
    hypotheses: tuple[Hypothesis, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftedToken:
    """One token of assisted decoding. `accepted`: it had been proposed; else the model wrote it itself."""

    token_id: int
    token: str  # the piece, readable on its own
    text: str  # what it adds to the completion
    log_probability: float  # the model's own, natural logarithm
    accepted: bool


@dataclass(frozen=True, slots=True)
class DraftStep:
    """One pass of assisted decoding: what was written, and the rest of the proposal, which was not.

    `rest` is text held back until the end, where a character was incomplete; `finish_reason` None while it goes on.
    """

    tokens: tuple[DraftedToken, ...]
    rejected: tuple[str, ...]
    seconds: float
    rest: str = ""
    finish_reason: str | None = None
