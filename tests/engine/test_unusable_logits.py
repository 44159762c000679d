"""Logits that are no numbers end a run with a message that names the token, whatever way of decoding it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.errors import InputError
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from tests.engine import tiny

PROMPT = "Once upon a time there was"
GREEDY = SamplingSettings(do_sample=False)
WAYS: dict[str, Callable[[Engine], Iterator[Any]]] = {
    "greedy": lambda engine: engine.generate(PROMPT, do_sample=False),
    "sampled": lambda engine: engine.generate(PROMPT, seed=1, temperature=1.1, top_k=20),
    "every setting": lambda engine: engine.generate(PROMPT, seed=1, typical_p=0.9, no_repeat_ngram_size=3),
    "beams": lambda engine: engine.beam_search(PROMPT, num_beams=3, max_new_tokens=9),
    "sampled beams": lambda engine: engine.beam_search(PROMPT, num_beams=3, max_new_tokens=9, do_sample=True, top_k=9),
    "prompt lookup": lambda engine: engine.prompt_lookup(PROMPT, max_new_tokens=9),
    "assisted": lambda engine: engine.assisted(PROMPT, max_new_tokens=9, do_sample=False),
    "sweep": lambda engine: engine.sweep(PROMPT, [GenerationSettings(GREEDY, 9), GenerationSettings(GREEDY, 9)]),
}


def spoil(engine: Engine, value: float) -> None:
    with torch.no_grad():
        engine.loaded.model.get_output_embeddings().weight.fill_(value)


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("way", WAYS)
def test_the_token_that_cannot_be_chosen_is_named(way: str, kind: str) -> None:
    if kind == "t5" and way in ("prompt lookup", "assisted"):
        pytest.skip("covered by the decoder: the same loop")
    engine = tiny.engine(kind)
    steps = WAYS[way](engine)
    first = next(steps)
    made = len(first.tokens) if hasattr(first, "tokens") else 1
    if way == "sweep":
        next(steps)  # the second text's first token comes with the first one's
    spoil(engine, float("nan"))
    with pytest.raises(InputError, match=r"^Token \d+ cannot be chosen\. The model's logits hold no usable") as error:
        list(steps)
    number = int(error.value.message.split()[1])
    assert made < number <= made + 2, "beams have read one token ahead"
    assert error.value.hint.endswith(".")


def test_the_first_token_is_named_too() -> None:
    engine = tiny.engine("gpt2")
    spoil(engine, float("inf"))
    with pytest.raises(InputError, match=r"^Token 1 cannot be chosen"):
        next(engine.generate(PROMPT))
    branch = {"given": [5, 6], "known": 1}
    with pytest.raises(InputError, match=r"^Token 2 cannot be chosen"):
        next(engine.generate(PROMPT, **branch))  # type: ignore[arg-type]
