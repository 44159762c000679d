"""The training text: which files there are, who may learn from them, and which documents are held out.

A corpus is a folder of ``<name>.txt.xz`` (or plain ``<name>.txt``) files; documents end with a line
``<|endoftext|>``. Labelled sets are ``<name>.jsonl.xz`` (or ``.jsonl``) files with one JSON object a line.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEPARATOR = "<|endoftext|>"
HELD_OUT_PER_MILLE = 30  # of the documents, by hash: never trained on, only measured
HELD_OUT_SENTENCES_PER_MILLE = 100  # of the labelled sentences


@dataclass(frozen=True, slots=True)
class Source:
    """A text file of the corpus: where it comes from and under which licence."""

    name: str
    origin: str
    licence: str
    llama: bool = False  # written by Llama 3.1: trains the decoder only


SOURCES: tuple[Source, ...] = (
    Source(
        "00_simple_selection",
        "the simplest documents of 02, 03, 04, 06, 07 and 08",
        "as those files",
        llama=True,
    ),
    Source(
        "01_tinystories_slice",
        "slices of TinyStories (Eldan & Li, 2023) found in public repositories: gusjengis/toy-RNN, "
        "Arnoochka/Transformer-Parallelism (re-cased), yuninxia/moe-routing-bench, s-ajaykumar/smallGPT",
        "CDLA-Sharing-1.0",
    ),
    Source(
        "02_kids_cc_by_pratham_asb",
        "Pratham StoryWeaver and African Storybook (global-asp/pb-source, global-asp/asp-source), "
        "CC BY books only; by the authors named in each book",
        "CC BY",
    ),
    Source("03_llm_bedtime", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
    Source("03_llm_child", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
    Source("03_llm_slice_of_life", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
    Source("03_llm_stories", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
    Source("04_llm_stories_with_summaries", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
    Source("05_llm_qa_explain", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
    Source(
        "06_fairytales",
        "FairytaleQA (uci-soe/FairytaleQAData), sections of 278 tales from Project Gutenberg",
        "Apache-2.0; the tales are in the public domain",
    ),
    Source("06_fairytales_qa", "FairytaleQA (uci-soe/FairytaleQAData), sections with questions", "Apache-2.0"),
    Source(
        "07_children_classics_md",
        "about 55 children's classics (mlschmitt/classic-books-markdown)",
        "public domain in the US",
    ),
    Source(
        "08_children_classics_chilit",
        "71 children's novels of the 19th century (mahlberg-lab/corpora, ChiLit), from Project Gutenberg",
        "public domain",
    ),
    Source(
        "09_dialogue_sgd",
        "Schema-Guided Dialogue (google-research-datasets/dstc8-schema-guided-dialogue)",
        "CC BY-SA 4.0",
    ),
)

LABELLED_SOURCES: tuple[Source, ...] = (
    Source("clinc150", "CLINC150 (clinc/oos-eval; Larson et al., 2019)", "CC BY 3.0"),
    Source(
        "sms_spam",
        "SMS Spam Collection (Almeida & Hidalgo, 2011; UCI), through justmarkham/pycon-2016-tutorial",
        "CC BY 4.0 as published by UCI",
    ),
    Source("fairytaleqa", "FairytaleQA (uci-soe/FairytaleQAData; Xu et al., 2022)", "Apache-2.0"),
    Source("llm_review_feelings", "erikhyrkas/snakes, generated with Llama 3.1", "MIT", llama=True),
)


def source(name: str) -> Source:
    """The registered source of that name, or an unregistered one (a corpus of your own) with no notes."""
    known = {one.name: one for one in SOURCES + LABELLED_SOURCES}
    return known.get(name, Source(name, "a file given by the user", "not recorded"))


def fingerprint(text: str) -> int:
    """A number in 0..999 that depends on the first 160 characters of the text, white space folded.

    Only the beginning counts, so that a section and the same section followed by a question fall together.
    """
    folded = " ".join(text[:600].split())[:160]
    return int.from_bytes(hashlib.sha256(folded.encode("utf-8", "replace")).digest()[:4]) % 1000


def is_held_out(document: str) -> bool:
    """True for the documents that no model is trained on."""
    return fingerprint(document) < HELD_OUT_PER_MILLE


def is_held_out_sentence(sentence: str) -> bool:
    """True for the labelled sentences that no model is trained on."""
    return fingerprint(sentence.lower()) < HELD_OUT_SENTENCES_PER_MILLE


def _open_text(folder: Path, stem: str, suffix: str) -> str:
    packed = folder / f"{stem}{suffix}.xz"
    if packed.exists():
        return lzma.decompress(packed.read_bytes()).decode("utf-8")
    return (folder / f"{stem}{suffix}").read_text("utf-8")


@dataclass(frozen=True)
class Corpus:
    """Two folders: running text and labelled sets."""

    text_folder: Path
    labelled_folder: Path

    def documents(self, name: str) -> list[str]:
        """All documents of one file, stripped of surrounding white space."""
        text = _open_text(self.text_folder, name, ".txt")
        return [part for part in (raw.strip() for raw in text.split(SEPARATOR)) if part]

    def names(self) -> tuple[str, ...]:
        """The text files present, in order of name."""
        stems = {path.name.split(".")[0] for path in self.text_folder.glob("*.txt*")}
        return tuple(sorted(stems))

    def labelled(self, name: str) -> list[dict[str, Any]]:
        """All records of one labelled set; an absent set is empty."""
        try:
            text = _open_text(self.labelled_folder, name, ".jsonl")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines() if line.strip()]


@dataclass(frozen=True)
class TokenStore:
    """The tokens of one file, documents one after another, each preceded by its separator token.

    tokens: uint16 (tokens,); starts: int64 (documents,), the position of each document's separator.
    """

    tokens: NDArray[np.uint16]
    starts: NDArray[np.int64]

    @cached_property
    def size(self) -> int:
        """Number of tokens."""
        return int(self.tokens.size)

    def window(self, rng: np.random.Generator, length: int, at_start: float = 0.8) -> NDArray[np.uint16]:
        """A run of tokens (at most ``length``), mostly beginning at the beginning of a document."""
        if rng.random() < at_start or self.size <= length:
            begin = int(self.starts[rng.integers(self.starts.size)])
        else:
            begin = int(rng.integers(self.size - length))
        return self.tokens[begin : begin + length]

    def save(self, path: Path) -> None:
        """Write as .npz."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, tokens=self.tokens, starts=self.starts)

    @staticmethod
    def load(path: Path) -> TokenStore:
        """Read what ``save`` wrote."""
        with np.load(path) as data:
            return TokenStore(data["tokens"], data["starts"])


def pack(encoded: Iterable[list[int]], separator: int) -> TokenStore:
    """Concatenate encoded documents, each after a separator token."""
    pieces: list[NDArray[np.uint16]] = []
    starts: list[int] = []
    position = 0
    for ids in encoded:
        starts.append(position)
        pieces.append(np.array([separator, *ids], dtype=np.uint16))
        position += len(ids) + 1
    tokens = np.concatenate(pieces) if pieces else np.zeros(0, np.uint16)
    return TokenStore(tokens, np.array(starts, dtype=np.int64))


def batches(items: list[str], size: int = 512) -> Iterator[list[str]]:
    """The list in slices of ``size``."""
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
