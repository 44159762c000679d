"""One byte-level BPE vocabulary for all bundled models, and how each of them uses it.

Any Unicode string survives ``decode(encode(text))``: the alphabet is the 256 bytes, so nothing is unknown.
Digits are split one by one, so that a number is read the same way wherever it stands.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from llmlab.training.corpus import Corpus, TokenStore, batches, is_held_out, pack, source

Kind = Literal["decoder", "encoder", "seq2seq"]

END_OF_TEXT = "<|endoftext|>"
PAD, MASK, CLS, SEP = "<|pad|>", "<|mask|>", "<|cls|>", "<|sep|>"
SYSTEM, USER, ASSISTANT, END = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SENTINELS = tuple(f"<extra_id_{index}>" for index in range(32))
SPECIALS = (END_OF_TEXT, PAD, MASK, CLS, SEP, SYSTEM, USER, ASSISTANT, END, *SENTINELS)
ID = {token: index for index, token in enumerate(SPECIALS)}  # specials come first in the vocabulary

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] | trim + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def train(texts: Iterable[str], vocabulary_size: int = 4096) -> Tokenizer:
    """Learn the merges from the texts. Deterministic for a given sequence of texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def training_texts(corpus: Corpus, characters_per_file: int = 6_000_000) -> Iterator[str]:
    """The documents the merges are learned from: nothing written by Llama, nothing held out."""
    for name in corpus.names():
        if source(name).llama or name.startswith("10_"):
            continue
        taken = 0
        for document in corpus.documents(name):
            if taken > characters_per_file:
                break
            if not is_held_out(document):
                taken += len(document)
                yield document


def _post_processor(kind: Kind) -> processors.PostProcessor:
    if kind == "encoder":
        return processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}",
            pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
            special_tokens=[(CLS, ID[CLS]), (SEP, ID[SEP])],
        )
    template = {
        "decoder": (f"{END_OF_TEXT} $A", f"{END_OF_TEXT} $A $B"),
        "seq2seq": (f"$A {END_OF_TEXT}", f"$A {END_OF_TEXT} $B:1 {END_OF_TEXT}:1"),
    }[kind]
    return processors.TemplateProcessing(
        single=template[0], pair=template[1], special_tokens=[(END_OF_TEXT, ID[END_OF_TEXT])]
    )


def _left_stripping(kind: Kind) -> tuple[str, ...]:
    """Specials that stand for a word and therefore swallow the space before them, as RoBERTa's mask does."""
    return {"decoder": (), "encoder": (MASK,), "seq2seq": SENTINELS}[kind]


def _with_flags(tokenizer: Tokenizer, kind: Kind) -> Tokenizer:
    """A copy of the tokenizer with one model's post-processor and its specials' flags."""
    state = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:
        token["lstrip"] = token["content"] in _left_stripping(kind)
    copy = Tokenizer.from_str(json.dumps(state))
    copy.post_processor = _post_processor(kind)
    return copy


def _special_arguments(kind: Kind) -> dict[str, object]:
    if kind == "decoder":
        return {
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": PAD,
            "extra_special_tokens": [SYSTEM, USER, ASSISTANT, END],
            "padding_side": "left",
            "model_input_names": ["input_ids", "attention_mask"],
        }
    if kind == "encoder":
        mask = AddedToken(MASK, lstrip=True, rstrip=False, normalized=False, special=True)
        return {
            "cls_token": CLS,
            "sep_token": SEP,
            "mask_token": mask,
            "pad_token": PAD,
            "model_input_names": ["input_ids", "attention_mask"],
        }
    sentinels = [AddedToken(s, lstrip=True, rstrip=False, normalized=False, special=True) for s in SENTINELS]
    return {
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "extra_special_tokens": sentinels,
        "model_input_names": ["input_ids", "attention_mask"],
    }


def for_model(tokenizer: Tokenizer, kind: Kind, context: int) -> PreTrainedTokenizerFast:
    """The vocabulary as one model uses it.

    decoder: ``<|endoftext|> text`` and a chat template; encoder: ``<|cls|> text <|sep|>`` and pairs;
    seq2seq: ``text <|endoftext|>``.
    """
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=_with_flags(tokenizer, kind),
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        **_special_arguments(kind),
    )
    if kind == "decoder":
        fast.chat_template = CHAT_TEMPLATE
    return fast


def save(fast: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer files. The template stays inside tokenizer_config.json, which every version reads."""
    fast.save_pretrained(folder, save_jinja_files=False)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config.pop("backend", None)
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def word_tokens(tokenizer: Tokenizer, prefix: str = "Ġ", shortest: int = 3) -> list[str]:
    """Words that are one token when they follow a space, in order of the vocabulary (frequent first)."""
    ranked = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = (token[len(prefix) :] for token, _ in ranked if token.startswith(prefix))
    return [word for word in words if len(word) >= shortest and word.isascii() and word.isalpha()]


def token_store(corpus: Corpus, name: str, tokenizer: Tokenizer, cache: Path) -> TokenStore:
    """The training documents of one file as tokens, cached next to the checkpoints."""
    path = cache / f"{name}.npz"
    if path.exists():
        return TokenStore.load(path)
    documents = [document for document in corpus.documents(name) if not is_held_out(document)]
    store = pack(_encode_all(tokenizer, documents), ID[END_OF_TEXT])
    store.save(path)
    return store


def _encode_all(tokenizer: Tokenizer, documents: list[str]) -> Iterator[list[int]]:
    for part in batches(documents):
        for encoding in tokenizer.encode_batch_fast(part, add_special_tokens=False):
            yield encoding.ids


def roundtrip_files(fast: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Save to a temporary folder and load again, to see the tokenizer as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        save(fast, Path(folder))
        loaded: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
        return loaded
