"""Tiny models with random weights, saved as folders: one of each kind, made once and copied for each test."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

VOCABULARY = 320
TEXT = "Once upon a time there was a little model that read the same sentence again and again."

_SMALL = {"vocab_size": VOCABULARY, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}


def _gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **_SMALL))


def _llama() -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            **_SMALL,
        )
    )


def _bert() -> PreTrainedModel:
    config = BertConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=48,
        **_SMALL,
    )
    return BertForMaskedLM(config)


def _roberta() -> PreTrainedModel:
    config = RobertaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=50,
        **_SMALL,
    )
    return RobertaForMaskedLM(config)


def _t5() -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_decoder_layers=3,
            num_heads=4,
            decoder_start_token_id=1,
            **_SMALL,
        )
    )


def _bart() -> PreTrainedModel:
    config = BartConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        **_SMALL,
    )
    return BartForConditionalGeneration(config)


MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "bert": _bert,
    "roberta": _roberta,
    "t5": _t5,
    "bart": _bart,
}


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on one sentence."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([TEXT] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>", mask_token="<mask>"
    )


def make(kind: str) -> PreTrainedModel:
    """A model of this kind of one's own; always the same weights."""
    return copy.deepcopy(_made(kind))


@functools.cache
def _made(kind: str) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MAKERS[kind]().eval()


def save(kind: str, folder: Path, *, dtype: torch.dtype = torch.float32, shards: str = "5GB") -> Path:
    """Write the model of this kind with its tokenizer to `folder`; returns the folder."""
    original = _saved(kind, dtype, shards)
    shutil.copytree(original, folder, dirs_exist_ok=True)
    return folder


@functools.cache
def _saved(kind: str, dtype: torch.dtype, shards: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=Path.home()))  # the tests' own home folder
    make(kind).to(dtype).save_pretrained(folder, max_shard_size=shards)
    tokenizer().save_pretrained(folder)
    return folder


class Recorder:
    """A control that remembers what was reported, and cancels when told to."""

    def __init__(self, cancel_at: Callable[[str], bool] = lambda _: False) -> None:
        self.texts: list[str] = []
        self.fractions: list[float] = []
        self._cancel_at = cancel_at
        self.cancelled = False

    def check(self) -> None:
        """Raise once the text to cancel at has been reported."""
        from llmlab.engine.errors import Cancelled

        if self.cancelled:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        """Remember."""
        self.texts.append(text)
        if fraction is not None:
            self.fractions.append(fraction)
        self.cancelled = self.cancelled or self._cancel_at(text)
