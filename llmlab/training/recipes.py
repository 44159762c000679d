"""The recipes: sizes, mixes and schedules of the bundled models. One place for every number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmlab.training.episodes import Mix
from llmlab.training.optim import Rates
from llmlab.training.tokenizer import CLS, END, END_OF_TEXT, ID, MASK, PAD, SEP, Kind


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one model is and how it learns.

    ``mix`` gives the share of each text file; ``rows`` × ``length`` tokens make one step; the run ends at
    ``tokens`` or after ``minutes``, whichever comes first (0: no limit). ``distillation`` is there for a model that
    learns from another one.
    """

    kind: Kind | Literal["draft"]
    name: str
    config: Mapping[str, Any]
    mix: Mapping[str, float]
    rates: Rates = field(default_factory=Rates)
    rows: int = 4
    length: int = 512
    seed: int = 20
    tokens: int = 0
    minutes: float = 0.0
    clip: float = 1.0
    distillation: Distillation | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """The decoder's mix from ``begin`` (progress in 0..1) on.

    ``share`` of the rows hold pieces instead of running text; of the pieces, ``repeated`` are random tokens said
    over again, ``skills`` generated stories, chats, lists …, and the rest in-context episodes.
    """

    begin: float
    share: float
    skills: float
    repeated: float


@dataclass(frozen=True, slots=True)
class Curriculum:
    """How the decoder's mix changes: first to speak, then to look back (copying, shots), then both."""

    stages: tuple[Stage, ...] = (
        Stage(0.0, share=0.35, skills=0.30, repeated=0.08),
        Stage(0.3, share=0.65, skills=0.22, repeated=0.28),
        Stage(0.45, share=0.65, skills=0.22, repeated=0.08),
        Stage(0.75, share=0.50, skills=0.25, repeated=0.06),
    )
    label_weight: float = 3.0

    def stage(self, progress: float) -> Stage:
        """The stage that this progress falls into."""
        return [stage for stage in self.stages if stage.begin <= progress][-1]

    def mix(self, progress: float) -> Mix:
        """Repeats first, fewer later."""
        return Mix(repeats=0.5 - 0.3 * min(1.0, max(0.0, progress - 0.6) / 0.3), arbitrary=0.55)


@dataclass(frozen=True, slots=True)
class Distillation:
    """How the draft model learns what its teacher would say.

    The teacher writes ``batches`` of ``texts`` once, each of ``written_length`` tokens; in turn the batches begin
    with ``prompts`` tokens of a training row. The share ``greedy`` of the texts takes the most probable token, the
    others are sampled, each at a temperature of its own. In training, the share ``own`` of the rows are such texts,
    the others running text and, the share ``skills`` of those, generated stories, chats and lists.
    """

    batches: int = 24
    texts: int = 64
    written_length: int = 256
    prompts: tuple[int, ...] = (6, 12, 24, 48, 96)
    greedy: float = 0.35
    temperatures: tuple[float, float] = (0.7, 1.0)
    own: float = 0.7
    skills: float = 0.2

    @property
    def curriculum(self) -> Curriculum:
        """Running text and skills, no episodes: a model of one layer cannot look back for what follows."""
        return Curriculum(stages=(Stage(0.0, share=self.skills, skills=1.0, repeated=0.0),))


DECODER_MIX = {
    "01_tinystories_slice": 0.42,
    "00_simple_selection": 0.28,
    "02_kids_cc_by_pratham_asb": 0.05,
    "03_llm_child": 0.07,
    "03_llm_slice_of_life": 0.02,
    "04_llm_stories_with_summaries": 0.05,
    "05_llm_qa_explain": 0.02,
    "06_fairytales_qa": 0.04,
    "09_dialogue_sgd": 0.05,
}
FREE_MIX = {
    "01_tinystories_slice": 0.45,
    "02_kids_cc_by_pratham_asb": 0.10,
    "06_fairytales": 0.15,
    "07_children_classics_md": 0.11,
    "08_children_classics_chilit": 0.11,
    "09_dialogue_sgd": 0.08,
}
RESTORER_MIX = {  # simpler than FREE_MIX: the restorer has to find its place in the text before it can learn words
    "01_tinystories_slice": 0.62,
    "02_kids_cc_by_pratham_asb": 0.10,
    "06_fairytales": 0.08,
    "07_children_classics_md": 0.05,
    "08_children_classics_chilit": 0.05,
    "09_dialogue_sgd": 0.10,
}

DECODER = Recipe(
    kind="decoder",
    name="Llama Lab Storyteller",
    config={
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 512,
        "max_position_embeddings": 512,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "bos_token_id": ID[END_OF_TEXT],
        "eos_token_id": [ID[END_OF_TEXT], ID[END]],
        "pad_token_id": ID[PAD],
    },
    mix=DECODER_MIX,
    rates=Rates(decay_share=0.45),
)
ENCODER = Recipe(
    kind="encoder",
    name="Lab Cloze",
    config={
        "hidden_size": 192,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "intermediate_size": 384,
        "max_position_embeddings": 512,
        "global_attn_every_n_layers": 2,
        "local_attention": 128,
        "tie_word_embeddings": True,
        "cls_token_id": ID[CLS],
        "bos_token_id": ID[CLS],
        "sep_token_id": ID[SEP],
        "eos_token_id": ID[SEP],
        "pad_token_id": ID[PAD],
        "mask_token_id": ID[MASK],
    },
    mix=FREE_MIX,
    rows=12,
    length=128,
)
SEQ2SEQ = Recipe(
    kind="seq2seq",
    name="Lab Restorer",
    config={
        "d_model": 160,
        "d_kv": 32,
        "d_ff": 384,
        "num_layers": 4,
        "num_decoder_layers": 3,
        "num_heads": 5,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "tie_word_embeddings": True,
        "decoder_start_token_id": ID[PAD],
        "eos_token_id": ID[END_OF_TEXT],
        "pad_token_id": ID[PAD],
    },
    mix=RESTORER_MIX,
    rates=Rates(muon=0.015, query=0.18, cross=0.1, adamw=1e-2, warmup_steps=120, decay_share=0.5),  # query: 1/√d_kv
    rows=24,
    length=64,
)
DRAFT = Recipe(
    kind="draft",
    name="Llama Lab Draft",
    config={
        **DECODER.config,
        "hidden_size": 160,
        "num_hidden_layers": 1,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
        "intermediate_size": 448,
    },
    mix=DECODER_MIX,
    rows=8,
    length=256,
    distillation=Distillation(),
)
RECIPES: dict[str, Recipe] = {"decoder": DECODER, "encoder": ENCODER, "seq2seq": SEQ2SEQ, "draft": DRAFT}
