"""What can be learned about a tokenizer and its tokens: frozen dataclasses of numpy arrays and Python scalars.

Axis names in the shapes: `tokens` the length of the encoded text, special tokens included; `vocabulary` the
tokenizer's largest id + 1. Places in a text are code points, as Python counts the characters of a `str`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from llmlab.engine.types import Float32, Int32, Int64

UInt8: TypeAlias = NDArray[np.uint8]


class TokenKind(IntEnum):
    """What sort of token an id is; every id has exactly one.

    In a text, a normal token that goes on inside a word is a continuation as well, whatever the algorithm.
    """

    NORMAL = 0  # spells text
    SPECIAL = 1  # marks a beginning, an end, a mask …: never spells text
    ADDED = 2  # added to the vocabulary after training, and found in a text before anything else
    BYTES = 3  # spells bytes that are no whole character
    UNKNOWN = 4  # stands for what the vocabulary cannot spell
    CONTINUATION = 5  # goes on inside a word: WordPiece's ##, or the “ing” of “ walk|ing”


@dataclass(frozen=True, slots=True)
class TokenizerInfo:
    """What a tokenizer is made of. Stages that it does not have are empty strings."""

    spec: str  # opening it again means the same tokenizer
    name: str  # as people say it
    algorithm: str  # byte-level BPE, BPE, WordPiece, Unigram, WordLevel or slow
    vocabulary: int  # how many different tokens
    normalizer: str  # the library's names of its parts: "Prepend, Replace"
    pre_tokenizer: str
    post_processor: str
    fast: bool  # False: pure Python, without offsets and stages
    has_chat_template: bool
    context: int | None  # tokens, None where the model sets no limit or is not known
    notes: tuple[str, ...] = ()  # what the user should know: what a slow tokenizer cannot tell …


@dataclass(frozen=True, slots=True)
class VocabularyTable:
    """Every token, by its id. Ids that no token has are empty in `pieces`.

    `pieces` raw spelling; `texts` readable: the text that the token stands for on its own, incomplete UTF-8 as <0xE2>;
    `kinds` uint8 (vocabulary,) of TokenKind; `byte_lengths` int32 (vocabulary,), UTF-8 bytes that the token stands for,
    0 for a special one; `ranks` int32 (vocabulary,) place of the BPE merge that makes the token, else −1; `scores`
    float32 (vocabulary,) log-probabilities of a Unigram model (NaN for added tokens), otherwise None.
    """

    pieces: tuple[str, ...]
    texts: tuple[str, ...]
    kinds: UInt8
    byte_lengths: Int32
    ranks: Int32
    scores: Float32 | None
    data: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.pieces)

    def bytes_of(self, token_id: int) -> bytes:
        """The UTF-8 bytes that the token adds to a text; none for a special token."""
        return self.data[token_id]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as a tokenizer reads it. All arrays (tokens,).

    `text` is what was read: as given, but with `replaced` lone halves of surrogate pairs as U+FFFD, one for one.
    `starts`, `ends` the token's place in `text`, equal where it has none (an added special token, or a tokenizer that
    cannot tell); `words` the index of the pre-tokenizer's word, −1 for none; `kinds` of TokenKind; `groups` the same
    number ≥ 0 for neighbouring tokens that share one character, otherwise −1; `counts` how often the token's id occurs
    in this text.
    """

    text: str
    ids: Int32
    starts: Int32
    ends: Int32
    words: Int32
    kinds: UInt8
    groups: Int32
    counts: Int32
    replaced: int = 0
    has_offsets: bool = True  # False: a slow tokenizer, whose tokens could not be found in the text

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class StagePiece:
    """A part of a stage's output, and the place in the original text that it came from."""

    text: str
    start: int
    end: int
    token_id: int | None = None  # from the model stage on


@dataclass(frozen=True, slots=True)
class Stage:
    """One step from text to tokens, or back. `changed` says in a sentence what it did to its input."""

    name: str  # Normalizer, Pre-tokenizer, Model, Post-processor, Decoder
    component: str  # the library's name, empty where the tokenizer has no such stage
    output: tuple[StagePiece, ...]
    changed: str


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Whether decoding gives the text back. `first_difference` is a place in the text, None where they are equal."""

    equal: bool
    decoded: str
    first_difference: int | None
    explanation: str


@dataclass(frozen=True, slots=True)
class MergeStep:
    """One merge: `pair` at places `index`, `index` + 1 becomes `result`; `symbols` is the word afterwards."""

    symbols: tuple[str, ...]
    pair: tuple[str, str]
    rank: int  # 0 was learned first
    result: str
    index: int


@dataclass(frozen=True, slots=True)
class MergeTrace:
    """How BPE joined a word. `initial` is what it began with; the last step's symbols are the tokens."""

    word: str
    initial: tuple[str, ...]
    steps: tuple[MergeStep, ...]
    symbols: tuple[str, ...]  # the tokens
    ids: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class MatchStep:
    """One search of WordPiece: the longest piece of the vocabulary that `rest` begins with, None for none."""

    rest: str
    tried: tuple[str, ...]  # longest first, the last one is the match; only the last ones of very long words
    piece: str | None


@dataclass(frozen=True, slots=True)
class LongestMatchTrace:
    """How WordPiece took a word apart, greedily from the left."""

    word: str
    steps: tuple[MatchStep, ...]
    symbols: tuple[str, ...]
    ids: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """One way to spell a word. `total` is the sum of `scores`, log-probabilities in nats."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    total: float


@dataclass(frozen=True, slots=True)
class UnigramTrace:
    """The best ways to spell a word, best first: the first one is the tokenizer's own."""

    word: str
    segmentations: tuple[Segmentation, ...]
    symbols: tuple[str, ...]
    ids: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class WholeTrace:
    """A word that was looked up as a whole (WordLevel, an added token), or by a slow tokenizer, which tells no more."""

    word: str
    symbols: tuple[str, ...]
    ids: tuple[int, ...]
    note: str


Trace: TypeAlias = MergeTrace | LongestMatchTrace | UnigramTrace | WholeTrace


@dataclass(frozen=True, slots=True)
class TextStats:
    """How densely a tokenizer packs a text. Special tokens that the tokenizer adds are not counted in the ratios.

    Words are runs of characters between white space; a ratio of an empty text is 0.
    """

    tokens: int  # all, special ones included
    characters_per_token: float
    tokens_per_word: float  # fertility
    bytes_per_token: float
    unknown: int
    context_share: float | None  # of the context window, 1 = full


@dataclass(frozen=True, slots=True)
class ComparedTokenizer:
    """One column of a comparison. `differing` int32: where those tokens start that not all of the others begin too."""

    info: TokenizerInfo
    tokens: Tokens
    stats: TextStats
    differing: Int32


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same text in several tokenizers. `differing` int32: the sorted places of all columns' `differing`.

    A space belongs to the word before it, the word after it, or nobody, as tokenizers please: that alone is no
    difference. Tokenizers that cannot tell places have no part in it.
    """

    text: str
    columns: tuple[ComparedTokenizer, ...]
    differing: Int32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text of at most so many tokens: `text[start:end]`, and its ids int32 (n,) without special tokens."""

    start: int
    end: int
    ids: Int32


@dataclass(frozen=True, slots=True)
class TokenDetails:
    """Everything about one token. What does not apply to the tokenizer is None."""

    id: int
    piece: str
    text: str
    data: bytes
    kind: TokenKind
    rank: int | None  # of the merge that makes it
    merge: tuple[str, str] | None  # the two pieces that it is made of
    score: float | None  # Unigram's log-probability, natural logarithm
    script: str  # Latin, Han … as of its letters; Mixed; empty without letters
    frequency: str  # how common it was in training, as far as rank or score tell
    characters: tuple[str, ...]  # "U+00E9 LATIN SMALL LETTER E WITH ACUTE", at most 16


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """Messages as the model reads them: the rendered template, and its tokens (the template's own special ones)."""

    text: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The tokens nearest by cosine, nearest first. `ids` int32 (n,), `cosines` float32 (n,)."""

    ids: Int32
    cosines: Float32


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """The vocabulary in its two main directions (PCA). `explained`: the share of the variance each one carries."""

    points: Float32  # (vocabulary, 2)
    explained: Float32  # (2,)
    spread: float = 1.0  # root mean square of all values of all embeddings


@dataclass(frozen=True, slots=True)
class HiddenPath:
    """A text's hidden states from layer to layer, seen in a plane, and those of one token in full.

    Layer 0 is before the first one, and after the last one the final norm has been applied. `points` are the states'
    directions, each with length 1, in the first two principal components of all layers and tokens together: in such
    models lengths grow from layer to layer, and would hide everything else. `explained` float32 (2,): the share of
    the directions' variance that each component carries.
    """

    ids: Int64  # (tokens,), special ones included
    points: Float32  # (layers + 1, tokens, 2)
    explained: Float32  # (2,)
    spread: Float32  # (layers + 1,): root mean square of all values of a layer
    token: int  # whose states `vectors` are
    vectors: Float32  # (layers + 1, hidden)
