"""The decoder's batches: rows of running text and rows of episodes, each a pure function of (seed, step).

No data position has to be kept: a resumed run draws the very rows the uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from llmlab.training.corpus import TokenStore
from llmlab.training.draw import Rng
from llmlab.training.episodes import EpisodeMaker
from llmlab.training.recipes import Curriculum
from llmlab.training.synthetic import Piece, skill
from llmlab.training.tokenizer import END_OF_TEXT, ID, SPECIALS


@dataclass(frozen=True, slots=True)
class Rows:
    """ids: int64 (rows, length); weights: float32 (rows, length), the loss weight of *predicting* each token."""

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]


class TextMix:
    """Draws runs of tokens from several files by their shares."""

    def __init__(self, stores: Mapping[str, TokenStore], shares: Mapping[str, float]) -> None:
        self._stores = [stores[name] for name in shares if name in stores]
        kept = np.array([shares[name] for name in shares if name in stores])
        self._shares = kept / kept.sum()

    def window(self, rng: Rng, length: int, at_start: float = 0.8) -> NDArray[np.int64]:
        """Exactly ``length`` tokens: documents of one file, each after its separator."""
        store = self._stores[int(rng.choice(len(self._stores), p=self._shares))]
        ids = store.window(rng, length, at_start).astype(np.int64)
        while ids.size < length:
            ids = np.concatenate([ids, store.window(rng, length - ids.size, 1.0).astype(np.int64)])
        return ids


def encode_piece(encoding: Encoding, piece: Piece, label_weight: float) -> tuple[list[int], list[float]]:
    """(ids, weights) of a piece; a token counts as answer when it overlaps one of the spans."""
    weights = [piece.background] * len(encoding.ids)
    spans = iter(piece.spans)
    span = next(spans, None)
    for index, (begin, end) in enumerate(encoding.offsets):
        while span is not None and span[1] <= begin:
            span = next(spans, None)
        if span is not None and begin < span[1] and end > span[0]:
            weights[index] = label_weight
    return list(encoding.ids), weights


def repeated_tokens(rng: Rng, pool: NDArray[np.int64], most: int = 160) -> tuple[list[int], list[float]]:
    """Tokens of the pool in random order, said over and over; only the repetitions count.

    The period is log-uniform in 2..64; short periods are repeated more often.
    """
    period = int(np.exp(rng.uniform(np.log(2), np.log(64))))
    times = int(np.clip(most // period, 2, int(rng.integers(2, 9))))
    ids = rng.choice(pool, size=period, replace=period > pool.size).tolist()
    return ids * times, [0.0] * period + [0.1] + [1.0] * (period * (times - 1) - 1)


class DecoderRows:
    """Batches for causal language modeling."""

    def __init__(
        self, text: TextMix, tokenizer: Tokenizer, episodes: EpisodeMaker, curriculum: Curriculum, seed: int
    ) -> None:
        self._text, self._tokenizer, self._episodes = text, tokenizer, episodes
        self._curriculum, self._seed = curriculum, seed
        self._vocabulary = tokenizer.get_vocab_size()

    def batch(self, step: int, progress: float, rows: int, length: int) -> Rows:
        """The rows of one step. The share of episodes and their kind depend on ``progress``."""
        rng = np.random.default_rng((self._seed, step))
        ids = np.zeros((rows, length), np.int64)
        weights = np.ones((rows, length), np.float32)
        share = self._curriculum.stage(progress).share
        for row in range(rows):
            if (row + rng.random()) / rows < share:  # close to the share in every batch
                ids[row], weights[row] = self._episode_row(rng, progress, length)
            else:
                ids[row] = self._text.window(rng, length)
        weights[:, 0] = 0.0
        return Rows(ids, weights)

    def _episode_row(self, rng: Rng, progress: float, length: int) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) < length:
            piece_ids, piece_weights = self._piece(rng, progress)
            ids += [ID[END_OF_TEXT], *piece_ids]
            weights += [0.1, *piece_weights]
        return ids[:length], weights[:length]

    def _piece(self, rng: Rng, progress: float) -> tuple[list[int], list[float]]:
        stage = self._curriculum.stage(progress)
        kind = rng.random()
        if kind < stage.repeated:
            return repeated_tokens(rng, self._pool(rng))
        if kind < stage.repeated + stage.skills:
            piece = skill(rng)
        else:
            piece = self._episodes.draw(rng, self._curriculum.mix(progress))
        encoding = self._tokenizer.encode(piece.text, add_special_tokens=False)
        return encode_piece(encoding, piece, self._curriculum.label_weight)

    def _pool(self, rng: Rng) -> NDArray[np.int64]:
        """The whole vocabulary, or the tokens of a passage (their order is lost)."""
        if rng.random() < 0.4:
            return np.arange(len(SPECIALS), self._vocabulary)
        passage = np.unique(self._text.window(rng, 200))
        return passage[passage >= len(SPECIALS)]
