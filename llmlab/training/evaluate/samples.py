"""Samples with their seeds, so that everyone can draw the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation, drawn after ``torch.manual_seed(seed)``."""

    prompt: str
    text: str
    seed: int


@torch.inference_mode()
def sample(model: Any, tokenizer: Any, prompt: str, seed: int, most_tokens: int = 120, **settings: Any) -> Sample:
    """Continue the prompt with the model's own generation settings; ``tokenizer`` is the model's own."""
    inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ids = model.generate(**inputs, max_new_tokens=most_tokens, **settings)[0]
    return Sample(prompt, tokenizer.decode(ids[inputs.input_ids.shape[1] :], skip_special_tokens=True), seed)


def chat_sample(model: Any, tokenizer: Any, message: str, seed: int) -> Sample:
    """The answer to one user message in the tokenizer's chat template."""
    messages = [{"role": "user", "content": message}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    drawn = sample(model, tokenizer, prompt.removeprefix(tokenizer.bos_token), seed, 60)
    return Sample(message, drawn.text, seed)
