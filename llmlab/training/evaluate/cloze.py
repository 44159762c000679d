"""How often the encoder finds a masked token of held-out text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llmlab.training.corpus import Corpus
from llmlab.training.evaluate.stats import Proportion
from llmlab.training.evaluate.text import held_out
from llmlab.training.tokenizer import CLS, ID, MASK, SEP


@dataclass(frozen=True, slots=True)
class ClozeScore:
    """Masked tokens of one file: the true token is the first guess (top1), or among the first five (top5).

    frequent: how often the most frequent token of this text would be right. loss: nats a masked token.
    """

    name: str
    top1: Proportion
    top5: Proportion
    frequent: Proportion
    loss: float


@torch.inference_mode()
def cloze_score(
    model: Any, tokenizer: Any, corpus: Corpus, name: str, length: int = 128, share: float = 0.15, most: int = 160
) -> ClozeScore:
    """Mask ``share`` of the tokens of up to ``most`` held-out passages, all of them by the mask token."""
    rng = np.random.default_rng(5)
    passages = [d for d in held_out(corpus, name, tokenizer, most * length, length - 2).documents if len(d) > 20]
    ranks: list[torch.Tensor] = []
    losses: list[torch.Tensor] = []
    targets: list[int] = []
    for passage in passages[:most]:
        ids = torch.tensor([[ID[CLS], *passage, ID[SEP]]])
        asked = torch.from_numpy(rng.random(ids.shape) < share)
        asked[0, 0] = asked[0, -1] = False
        if not asked.any():
            continue
        logits = model(input_ids=ids.masked_fill(asked, ID[MASK]).to(model.device)).logits.float().cpu()[asked]
        right = ids[asked]
        ranks.append((logits > logits.gather(1, right[:, None])).sum(1))
        losses.append(torch.nn.functional.cross_entropy(logits, right, reduction="none"))
        targets += right.tolist()
    rank = torch.cat(ranks)
    most_frequent = max(targets.count(token) for token in set(targets))
    return ClozeScore(
        name,
        Proportion(int((rank < 1).sum()), len(targets)),
        Proportion(int((rank < 5).sum()), len(targets)),
        Proportion(most_frequent, len(targets)),
        float(torch.cat(losses).mean()),
    )


@torch.inference_mode()
def guesses(model: Any, tokenizer: Any, text: str, count: int = 5) -> list[tuple[str, float]]:
    """The most probable tokens at the first mask of the text; ``tokenizer`` is the model's own."""
    ids = tokenizer(text, return_tensors="pt").input_ids
    place = int((ids[0] == tokenizer.mask_token_id).nonzero()[0, 0])
    probabilities = model(input_ids=ids.to(model.device)).logits[0, place].float().softmax(-1).cpu()
    top = probabilities.topk(count)
    return [(tokenizer.decode([i]).strip(), p) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
