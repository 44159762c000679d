"""What the notes of the sample sets say of the bundled decoder is so."""

from __future__ import annotations

import pytest

from llmlab.engine import Engine, datasets
from llmlab.engine.shots.budget import Prompts
from llmlab.paths import resources


@pytest.mark.slow
def test_code_words_are_looked_up_among_the_shots() -> None:
    made = datasets.read(resources() / "shots" / "lookup.shots.yaml").project
    assert made is not None
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    right = []
    for shots in (0, 4, 12):
        prompts = Prompts(engine.loaded, made.spec).all(made.examples[:shots], made.test)
        texts = [
            "".join(step.text for step in engine.generate(one.rendered.text, max_new_tokens=3, do_sample=False))
            for one in prompts
        ]
        pairs = zip(texts, made.test, strict=True)
        right.append(sum(text.split("\n")[0].strip() == one.output for text, one in pairs))
    assert right[0] == 0
    assert right[1] >= 3
    assert right[2] >= 9
