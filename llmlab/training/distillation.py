"""The draft model's objective: to say what its teacher would say, at every position and for every token.

The loss is the divergence of Kullback and Leibler from the teacher's distribution at temperature 1 (Hinton et al.,
2015), so that every token of the vocabulary teaches at every position, not only the one that follows in the text. The
teacher reads the same rows as the draft model in the same step; nothing of what it says is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoModelForCausalLM

from llmlab.training.loop import StepLoss
from llmlab.training.mixture import DecoderRows
from llmlab.training.recipes import Distillation, Recipe
from llmlab.training.writing import written_texts

TEACHER = "decoder"  # the folder of the bundled model that the draft model guesses for


def open_teacher(folder: Path, device: torch.device) -> Any:
    """The model in `folder` in float32, with weights that do not learn."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    return model.eval().requires_grad_(False).to(device)


def weights_digest(folder: Path) -> str:
    """What tells one set of weights from another: the first 16 digits of the SHA-256 of the file."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]


def own_texts(
    teacher: Any, folder: Path, rows: DecoderRows, plan: Distillation, work: Path, say: Callable[[str], None]
) -> NDArray[np.uint16]:
    """What the teacher in `folder` writes by this plan, uint16 (texts, tokens), kept below `work`."""
    wanted = f"{weights_digest(folder)} {plan.texts} {plan.written_length} {plan.prompts} {plan.greedy}"
    name = hashlib.sha256(f"{wanted} {plan.temperatures} {plan.skills}".encode()).hexdigest()[:12]
    return written_texts(teacher, rows, plan, work / f"written-{name}", say)


def divergence(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """KL(teacher ‖ draft) in nats, the mean over all positions.

    logits: of the draft model, (rows, tokens, vocabulary); wanted: the teacher's, of the same shape.
    """
    taught = wanted.float().log_softmax(-1)
    return (taught.exp() * (taught - logits.float().log_softmax(-1))).sum(-1).mean()


class DistillationObjective:
    """Rows that the teacher wrote and rows of the corpus, and what the teacher says after every token of them.

    Most steps read rows of the recipe's length, some read rows twice as long: the whole context, with two texts.
    """

    lengths = ((1, 0.75), (2, 0.25))  # (multiple of the recipe's length, share of the steps)

    def __init__(
        self, teacher: Any, rows: DecoderRows, texts: NDArray[np.uint16], recipe: Recipe, device: torch.device
    ) -> None:
        assert recipe.distillation is not None
        self._teacher, self._rows, self._texts = teacher, rows, texts
        self._recipe, self._own, self._device = recipe, recipe.distillation.own, device

    def __call__(self, model: nn.Module, step: int, progress: float) -> StepLoss:
        """Draw the rows of the step, ask the teacher, and compute the divergence."""
        ids = torch.from_numpy(self.batch(step)).to(self._device)
        with torch.no_grad():
            wanted = self._teacher(input_ids=ids, use_cache=False).logits
        logits = model(input_ids=ids, use_cache=False).logits  # (rows, length, vocabulary)
        return StepLoss(divergence(logits, wanted), ids.numel())

    def batch(self, step: int) -> NDArray[np.int64]:
        """The rows of one step, int64 (rows, tokens): first the teacher's own, then those of the corpus."""
        rng = np.random.default_rng((self._recipe.seed, step))
        multiple = int(rng.choice([m for m, _ in self.lengths], p=[share for _, share in self.lengths]))
        rows, length = max(1, self._recipe.rows // multiple), self._recipe.length * multiple
        own = int(self._own * rows + rng.random())  # on average exactly the share
        drawn = self._texts[rng.integers(len(self._texts), size=(own, -(-length // self._texts.shape[1])))]
        written = drawn.reshape(own, -1)[:, :length].astype(np.int64)
        return np.concatenate([written, self._rows.batch(step, 0.0, rows - own, length).ids])
