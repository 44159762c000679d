"""Items a second at eight shots: labels against a forward pass for each, free text against one prompt at a time."""

from __future__ import annotations

import torch

from llmlab.engine import Engine
from llmlab.engine.shots.budget import Prompts
from llmlab.engine.shots.completion import complete
from llmlab.engine.shots.compose import pair
from llmlab.engine.shots.labels import score_labels
from llmlab.engine.shots.types import Example, PromptSpec, Rendered
from tests.benchmarks.measure import Row, interleaved

SHOTS = 8
ITEMS = 24
TIMES_FASTER = 3.0
ANSWER = 24  # tokens of an answer in free text
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

    texts = [prompt.rendered.text for prompt in prompts.all(shots, items)]

    def together() -> None:
        assert len(list(complete(engine.loaded, texts, ANSWER))) == ITEMS

    def one_by_one() -> None:
        for text in texts:
            list(complete(engine.loaded, [text], ANSWER))

    def generated() -> None:
        for text in texts:
            _generate(engine, text)

    compared = interleaved(theirs, ours, repeats=3)
    written = interleaved(generated, together, repeats=2)
    alone = interleaved(one_by_one, together, repeats=2)
    return [
        Row("label scoring ÷ naive loop, 8 shots", compared.ratio, "×", "at least 3 ×", compared.ratio >= TIMES_FASTER),
        Row("label scoring, 8 shots, 3 labels", ITEMS / compared.second, "items/s", "", None),
        Row("naive loop, 8 shots, 3 labels", ITEMS / compared.first, "items/s", "", None),
        Row("free text side by side ÷ `generate`, 8 shots", written.ratio, "×", "", None),
        Row("free text side by side ÷ one by one, 8 shots", alone.ratio, "×", "", None),
        Row(f"free text side by side, {ANSWER} tokens", ITEMS / written.second, "items/s", "", None),
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


def _generate(engine: Engine, text: str) -> None:
    inputs = engine.loaded.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    engine.loaded.model.generate(**inputs, do_sample=False, max_new_tokens=ANSWER)
