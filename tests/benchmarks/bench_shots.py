"""Items a second of label scoring at eight shots, against one forward pass for every label of every item."""

from __future__ import annotations

import torch

from llmlab.engine import Engine
from llmlab.engine.shots.budget import Prompts
from llmlab.engine.shots.compose import pair
from llmlab.engine.shots.labels import score_labels
from llmlab.engine.shots.types import Example, PromptSpec, Rendered
from tests.benchmarks.measure import Row, interleaved

SHOTS = 8
ITEMS = 24
TIMES_FASTER = 3.0
THINGS = ("soup", "film", "book", "park", "train", "song", "game", "cake")
WORDS = (("good", "stone"), ("awful", "cloud"), ("lovely", "stone"), ("boring", "cloud"))
SPEC = PromptSpec(
    "Input: {text}\nLabel:", "Classify each review as stone or cloud.\n\n", labels=("stone", "cloud", "neither of them")
)


def run() -> list[Row]:
    """The bundled decoder on a test set in the form of the sample "Invented labels"."""
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    shots = [_example(number) for number in range(SHOTS)]
    items = [_example(number + 3) for number in range(ITEMS)]
    prompts = Prompts(engine.loaded, SPEC)

    def ours() -> None:
        rendered = [prompt.rendered for prompt in prompts.all(shots, items)]
        assert len(list(score_labels(engine.loaded, rendered))) == ITEMS

    def theirs() -> None:
        for prompt in prompts.all(shots, items):
            _naive(engine, prompt.rendered)

    compared = interleaved(theirs, ours, repeats=3)
    return [
        Row("label scoring ÷ naive loop, 8 shots", compared.ratio, "×", "at least 3 ×", compared.ratio >= TIMES_FASTER),
        Row("label scoring, 8 shots, 3 labels", ITEMS / compared.second, "items/s", "", None),
        Row("naive loop, 8 shots, 3 labels", ITEMS / compared.first, "items/s", "", None),
    ]


def _example(number: int) -> Example:
    word, label = WORDS[number % len(WORDS)]
    thing = THINGS[number % len(THINGS)]
    return Example((("text", f"The {thing} was {word}, and we went there on day {number}."),), label)


@torch.inference_mode()
def _naive(engine: Engine, rendered: Rendered) -> list[float]:
    tokenizer, model = engine.loaded.tokenizer, engine.loaded.model
    sums = []
    for choice in rendered.choices:
        context, continuation = pair(rendered, choice)
        begin = len(tokenizer(context)["input_ids"])
        ids = tokenizer(context + continuation, return_tensors="pt")["input_ids"]
        found = model(input_ids=ids).logits[0].log_softmax(-1)
        sums.append(sum(float(found[place - 1, ids[0, place]]) for place in range(begin, ids.shape[1])))
    return sums
