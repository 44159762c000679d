"""What the decoder itself writes, for its draft model to learn from.

A draft model is asked what its teacher would say next in the teacher's own texts, so it learns from those: knowledge
distillation (Hinton et al., 2015) on sequences of the teacher (Kim & Rush, 2016; Zhou et al., 2024, for drafting).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmlab.training.mixture import DecoderRows
from llmlab.training.recipes import Distillation

WRITTEN_SEED = 1_000_000  # steps of DecoderRows that no training reaches: prompts are not the rows of the training


def written_texts(
    teacher: Any, rows: DecoderRows, plan: Distillation, cache: Path, say: Callable[[str], None]
) -> NDArray[np.uint16]:
    """The teacher's texts, uint16 (texts, tokens); what the folder `cache` holds already is not written again."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for batch in range(plan.batches):
        path = cache / f"{batch:04}.npy"
        if not path.exists():
            ids = write_batch(teacher, rows, plan, batch)
            with path.with_suffix(".new").open("wb") as file:
                np.save(file, ids.astype(np.uint16), allow_pickle=False)
            path.with_suffix(".new").replace(path)
            say(f"{(batch + 1) * plan.texts} of {plan.batches * plan.texts} texts written by the teacher")
        parts.append(np.load(path, allow_pickle=False))
    return np.concatenate(parts)


@torch.inference_mode()
def write_batch(teacher: Any, rows: DecoderRows, plan: Distillation, batch: int) -> NDArray[np.int64]:
    """One batch of texts, int64 (texts, tokens), a pure function of (teacher, plan, batch).

    All begin with a piece of text that the teacher may have learned from, equally long in one batch. After an end
    token the teacher goes on with another document, as in the rows that it was trained on.
    """
    length = plan.prompts[batch % len(plan.prompts)]
    device = teacher.device
    ids = torch.from_numpy(rows.batch(WRITTEN_SEED + batch, 0.0, plan.texts, length).ids).to(device)
    random = torch.Generator(device).manual_seed(batch)
    warmth = torch.rand(plan.texts, generator=random, device=device)
    low, high = plan.temperatures
    temperatures = low + (high - low) * warmth
    greedy = torch.arange(plan.texts, device=device) < round(plan.greedy * plan.texts)
    written, unread, past = [ids], ids, None
    for _ in range(plan.written_length - length):
        output = teacher(input_ids=unread, past_key_values=past, use_cache=True, logits_to_keep=1)
        past, logits = output.past_key_values, output.logits[:, -1].float()
        drawn = torch.multinomial((logits / temperatures[:, None]).softmax(-1), 1, generator=random)[:, 0]
        unread = torch.where(greedy, logits.argmax(-1), drawn)[:, None]
        written.append(unread)
    texts: NDArray[np.int64] = torch.cat(written, 1).cpu().numpy()
    return texts
