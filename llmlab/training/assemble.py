"""From a recipe and a corpus to a trainer that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from llmlab.training import tokenizer as vocabulary
from llmlab.training.corpus import Corpus, TokenStore
from llmlab.training.distillation import DistillationObjective, open_teacher, own_texts
from llmlab.training.episodes import EpisodeMaker, arbitrary_words
from llmlab.training.families import trained_families
from llmlab.training.loop import Objective, Trainer
from llmlab.training.mixture import DecoderRows, TextMix
from llmlab.training.models import build
from llmlab.training.objectives import CausalObjective, MaskedObjective, SpanObjective
from llmlab.training.recipes import Curriculum, Recipe
from llmlab.training.tasks import TaskMaker

TOKENIZER_FILE = "tokenizer.json"


def prepare_tokenizer(corpus: Corpus, work: Path, size: int = 4096) -> Tokenizer:
    """The tokenizer of this work folder, trained when it is not there yet."""
    path = work / TOKENIZER_FILE
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        vocabulary.train(vocabulary.training_texts(corpus), size).save(str(path))
    return Tokenizer.from_file(str(path))


def token_stores(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, work: Path) -> dict[str, TokenStore]:
    """The tokens of every file of the mix that the corpus has."""
    present = [name for name in recipe.mix if name in corpus.names()]
    return {name: vocabulary.token_store(corpus, name, tokenizer, work / "tokens") for name in present}


def decoder_rows(
    recipe: Recipe, text: TextMix, corpus: Corpus, tokenizer: Tokenizer, curriculum: Curriculum
) -> DecoderRows:
    """Rows of text and of pieces for a causal language model."""
    words = arbitrary_words(vocabulary.word_tokens(tokenizer), held_out=False)
    episodes = EpisodeMaker(trained_families(corpus), words)
    return DecoderRows(text, tokenizer, episodes, curriculum, recipe.seed)


def objective(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, work: Path, device: torch.device) -> Objective:
    """The objective of the recipe's kind over the corpus."""
    text = TextMix(token_stores(recipe, corpus, tokenizer, work), recipe.mix)
    if recipe.kind == "encoder":
        return MaskedObjective(text, recipe, tokenizer.get_vocab_size(), device)
    if recipe.kind == "seq2seq":
        return SpanObjective(text, TaskMaker(corpus), recipe, tokenizer, device)
    return CausalObjective(decoder_rows(recipe, text, corpus, tokenizer, Curriculum()), recipe, device)


def trainer(
    recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, work: Path, device: torch.device, compiled: bool = False
) -> Trainer:
    """A trainer at step 0."""
    model: PreTrainedModel = build(recipe, tokenizer.get_vocab_size())
    ready = Trainer(model, objective(recipe, corpus, tokenizer, work, device), recipe, device)
    if compiled:
        model.compile()  # in place: the names in checkpoints stay the same
    return ready


def draft_trainer(
    recipe: Recipe,
    corpus: Corpus,
    teacher: Path,
    work: Path,
    device: torch.device,
    compiled: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Trainer:
    """A trainer at step 0 for a draft model of the model in the folder `teacher`, which first writes its texts.

    The tokens are the teacher's, so what is cached stays apart from the caches of the other models.
    """
    assert recipe.distillation is not None
    work = work / recipe.kind
    tokenizer = Tokenizer.from_file(str(teacher / TOKENIZER_FILE))
    text = TextMix(token_stores(recipe, corpus, tokenizer, work), recipe.mix)
    rows = decoder_rows(recipe, text, corpus, tokenizer, recipe.distillation.curriculum)
    model = open_teacher(teacher, device)
    texts = own_texts(model, teacher, rows, recipe.distillation, work, say)
    learner = build(recipe, tokenizer.get_vocab_size())
    if compiled:
        learner.compile()
    return Trainer(learner, DistillationObjective(model, rows, texts, recipe, device), recipe, device)
