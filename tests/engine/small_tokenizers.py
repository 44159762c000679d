"""Small tokenizers of every algorithm, trained on a few sentences: each made once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from llmlab.engine.tokens.opened import OpenTokenizer

CORPUS = [
    "Once upon a time there was a little model that read the same sentence again and again.",
    "Es war einmal ein kleines Modell; es las täglich große Bücher über Füchse.",
    "The quick brown foxes were walking, talking and jumping over 12 lazy dogs (again)!",
    "def walk(dogs): return [dog.name for dog in dogs if dog.walks]",
    "今天天气很好。我们去公园散步。 مرحبا بالعالم 😀😀 café naïve",
] * 4
SPECIAL = ["<unk>", "<s>", "</s>", "<mask>"]
_BERT = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"]
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def _wrapped(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def _template(tokenizer: Tokenizer, single: str) -> Any:
    names = [word for word in single.split() if word != "$A"]
    return processors.TemplateProcessing(
        single=single, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
    )


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2, with a token added that is no special one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens(["fox-trot"])
    tokenizer.post_processor = _template(tokenizer, "<s> $A")
    return _wrapped(tokenizer, bos_token="<s>", eos_token="</s>", mask_token="<mask>", unk_token="<unk>")


def trimming() -> PreTrainedTokenizerFast:
    """As RoBERTa: byte-level, with a space in front, and spaces no part of a token's place."""
    tokenizer = Tokenizer(byte_level().backend_tokenizer.model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")), trim_offsets=True
    )
    return _wrapped(tokenizer, bos_token="<s>", eos_token="</s>", mask_token="<mask>", unk_token="<unk>")


def modern() -> PreTrainedTokenizerFast:
    """As Llama 3: byte-level after a pattern of its own, whole words without merges."""
    trained = Tokenizer(byte_level().backend_tokenizer.model)
    trained.model.ignore_merges = True
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    trained.add_special_tokens(SPECIAL)
    return _wrapped(trained, bos_token="<s>")


def fallback() -> PreTrainedTokenizerFast:
    """As Llama 2 and Gemma: no pre-tokenizer, the whole text is one word; unknown characters become bytes."""
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[*SPECIAL, *_BYTES], show_progress=False)
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator([line for line in CORPUS if line.isascii()], trainer)
    import json

    state = json.loads(learner.to_str())["model"]
    model = models.BPE(
        vocab=state["vocab"],
        merges=[tuple(merge) for merge in state["merges"]],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = _template(tokenizer, "<s> $A")
    return _wrapped(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_piece() -> PreTrainedTokenizerFast:
    """As BERT, uncased."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=_BERT, show_progress=False)
    )
    tokenizer.post_processor = _template(tokenizer, "[CLS] $A [SEP]")
    return _wrapped(tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def unigram() -> PreTrainedTokenizerFast:
    """As T5."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=260, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = _template(tokenizer, "$A </s>")
    return _wrapped(tokenizer, eos_token="</s>", unk_token="<unk>", mask_token="<mask>")


def word_level() -> PreTrainedTokenizerFast:
    """Whole words or nothing."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=80, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrapped(tokenizer, unk_token="<unk>")


FAST: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    make.__name__: functools.cache(make)
    for make in (byte_level, trimming, modern, fallback, word_piece, unigram, word_level)
}


@functools.cache
def opened(kind: str) -> OpenTokenizer:
    """The tokenizer of this kind, opened; `slow` is ByT5's, in Python."""
    return OpenTokenizer(ByT5Tokenizer(extra_ids=4) if kind == "slow" else FAST[kind](), spec=kind, name=kind)


def backend(kind: str) -> Any:
    """The library's own tokenizer."""
    return FAST[kind]().backend_tokenizer
