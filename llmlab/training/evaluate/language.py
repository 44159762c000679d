"""How well the decoder predicts held-out text, beside a 5-gram model and a compressor."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from llmlab.training.corpus import Corpus, TokenStore, is_held_out, pack
from llmlab.training.evaluate.ngram import KneserNey
from llmlab.training.evaluate.text import HeldOut, held_out
from llmlab.training.tokenizer import END_OF_TEXT, ID, PAD

XZ_DICTIONARY = 3_000_000  # bytes of training text given to the compressor
NGRAM_TOKENS = 1_200_000  # tokens of training text given to the 5-gram model


@dataclass(frozen=True, slots=True)
class TextScore:
    """Held-out loss of one file: nats a token and bits a byte, and the bits a byte of the two baselines."""

    name: str
    documents: int
    tokens: int
    nats_per_token: float
    bits_per_byte: float
    ngram_bits_per_byte: float
    xz_bits_per_byte: float


@torch.inference_mode()
def total_nats(model: Any, text: HeldOut, batch: int = 8) -> float:
    """Summed cross-entropy of the documents' tokens, each document read after ``<|endoftext|>``."""
    total = 0.0
    documents = sorted(text.documents, key=len)
    for begin in range(0, len(documents), batch):
        part = documents[begin : begin + batch]
        ids = torch.full((len(part), len(part[-1]) + 1), ID[PAD])
        targets = torch.full_like(ids, -100)
        for row, document in enumerate(part):
            ids[row, : len(document) + 1] = torch.tensor([ID[END_OF_TEXT], *document])
            targets[row, : len(document)] = torch.tensor(document)
        logits = model(input_ids=ids.to(model.device), use_cache=False).logits
        flat = logits.flatten(0, 1).float()
        total += float(functional.cross_entropy(flat, targets.flatten().to(model.device), reduction="sum"))
    return total


def ngram_nats(training: TokenStore, text: HeldOut, vocabulary: int) -> float:
    """The same sum for an interpolated Kneser-Ney 5-gram model trained on this file's training documents."""
    model = KneserNey(training.tokens[:NGRAM_TOKENS], vocabulary)
    stream = np.concatenate([np.zeros(4, np.int64), pack(map(list, text.documents), ID[END_OF_TEXT]).tokens])
    scored = stream[4:] != ID[END_OF_TEXT]
    return float(-np.log(model.probabilities(stream))[scored].sum())


def xz_bytes(training: str, text: str) -> int:
    """Bytes that xz adds for the text when it has already compressed the training text."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 24}]

    def size(data: str) -> int:
        return len(lzma.compress(data.encode(), lzma.FORMAT_XZ, filters=filters))

    return size(training + text) - size(training)


def score(model: Any, tokenizer: Any, corpus: Corpus, name: str, most_tokens: int = 20_000) -> TextScore:
    """Score one file of the corpus."""
    text = held_out(corpus, name, tokenizer, most_tokens)
    documents = [document for document in corpus.documents(name) if not is_held_out(document)]
    prefix = "\n".join(documents)[:XZ_DICTIONARY]
    wanted = documents[: 1 + NGRAM_TOKENS // 100]
    training = pack((e.ids for e in tokenizer.encode_batch_fast(wanted, add_special_tokens=False)), ID[END_OF_TEXT])
    nats = total_nats(model, text)
    to_bits = 1 / (log(2) * text.bytes)
    return TextScore(
        name,
        len(text.documents),
        text.tokens,
        nats / text.tokens,
        nats * to_bits,
        ngram_nats(training, text, tokenizer.get_vocab_size()) * to_bits,
        8 * xz_bytes(prefix, text.text) / text.bytes,
    )
