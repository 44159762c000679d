"""What a large paste costs: one megabyte, tokenized with its pieces and places."""

from __future__ import annotations

import statistics

from llmlab.engine import Engine
from tests.benchmarks.measure import Row, seconds

SENTENCE = "Once upon a time there was a little girl who loved to play outside. She said, “Hello!” to 12 naïve frogs.\n"


def run() -> list[Row]:
    """Median of five; the Rust tokenizer alone beside it, since nothing can be faster than that."""
    engine = Engine.open("bundled:decoder", device="cpu")
    text = (SENTENCE * 10_000)[:1_000_000]
    backend = engine.loaded.tokenizer.backend_tokenizer
    whole = statistics.median(seconds(lambda: engine.tokenize(text)) for _ in range(5))
    alone = statistics.median(seconds(lambda: backend.encode(text)) for _ in range(5))
    return [
        Row("1 MB of text tokenized", whole, "s", "at most 0.5 s", whole <= 0.5),
        Row("of which in the tokenizer itself", alone, "s", "", None),
    ]
