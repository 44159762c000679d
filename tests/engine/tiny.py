"""Engines over tiny models with random weights, and tokenizers of every kind, all made in memory."""

from __future__ import annotations

import copy
import functools

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from llmlab.engine import Engine
from llmlab.engine.architecture import FEATURES
from llmlab.engine.loading import LoadedModel
from llmlab.engine.types import Architecture, ModelInfo, ModelRequest
from tests.engine import checkpoints

ARCHITECTURES = {
    "gpt2": Architecture.DECODER,
    "llama": Architecture.DECODER,
    "bert": Architecture.ENCODER,
    "roberta": Architecture.ENCODER,
    "t5": Architecture.ENCODER_DECODER,
    "bart": Architecture.ENCODER_DECODER,
}
CONTEXTS = {"gpt2": 64, "llama": 128, "bert": 48, "roberta": 48, "t5": None, "bart": 64}
SENTENCES = [
    checkpoints.TEXT,
    "Größe, naïve café — 日本語のテキスト and 🌍🎉 with “quotes”.",
    "def f(x):\n\treturn x + 1\n",
]


def engine(kind: str, device: str = "cpu") -> Engine:
    """An engine over `checkpoints.make(kind)` with its byte-level tokenizer."""
    model = copy.deepcopy(checkpoints.make(kind))
    if kind == "bart":
        model.generation_config.forced_eos_token_id = None  # else `generate` replaces the last token
    return wrap(model, copy.deepcopy(checkpoints.tokenizer()), ARCHITECTURES[kind], device, CONTEXTS[kind])


def wrap(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    architecture: Architecture = Architecture.DECODER,
    device: str = "cpu",
    context: int | None = 64,
) -> Engine:
    """An engine over any model."""
    model.to(device).eval()
    info = ModelInfo(
        request=ModelRequest("tiny"),
        name="Tiny",
        architecture=architecture,
        model_type=model.config.model_type,
        parameters=1,
        layers=1,
        heads=1,
        key_value_heads=1,
        hidden_size=1,
        vocabulary=model.get_output_embeddings().weight.shape[0],
        context=context,
        device=device,
        dtype="float32",
        quantization=None,
        features=FEATURES[architecture],
        mask_token=tokenizer.mask_token if architecture is Architecture.ENCODER else None,
    )
    return Engine(LoadedModel(info, model, tokenizer, torch.device(device)))


@functools.cache
def byte_level() -> PreTrainedTokenizerFast:
    """GPT-2's kind: every text has tokens, many of them parts of a character."""
    return checkpoints.tokenizer()


@functools.cache
def sentencepiece() -> PreTrainedTokenizerFast:
    """Llama 2's kind: ▁ for the space before a word, bytes for unknown characters, a beginning-of-text token."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    bpe.train_from_iterator(
        [checkpoints.TEXT] * 3, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    # As in Llama's own file: the byte tokens belong to the model, not to the added tokens.
    state = bpe.to_str()
    plain = _without_added(state)
    plain.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _without_added(state: str) -> Tokenizer:
    import json

    content = json.loads(state)
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(content))


@functools.cache
def wordpiece() -> PreTrainedTokenizerFast:
    """BERT's kind: ## before what continues a word."""
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.decoder = decoders.WordPiece()
    pieces.train_from_iterator(
        [checkpoints.TEXT] * 3,
        trainers.WordPieceTrainer(
            vocab_size=90, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
        ),
    )
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


TOKENIZERS = {"byte-level": byte_level, "sentencepiece": sentencepiece, "wordpiece": wordpiece}
