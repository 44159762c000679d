"""A megabyte of pasted text: how long until its tokens are there, and how long nobody else may run meanwhile."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial

from llmlab.engine.tokens import encoding
from llmlab.engine.tokens.shelf import shelf
from tests.benchmarks.measure import Row, interleaved, quantile, seconds

SIZE = 1_000_000  # characters
REPEATS = 5
_STORY = "once upon a time there was a little girl called Lucy who lived near the big forest with her mother"


def run() -> list[Row]:
    """The bundled decoder's tokenizer; seconds and milliseconds, medians."""
    parts = shelf().get("bundled:decoder")._parts  # the opened tokenizer itself would remember the last text
    encode = partial(encoding.encode, parts)
    text = _text()
    backend = parts.backend
    assert backend is not None
    encode(text)
    whole = statistics.median(seconds(lambda: encode(text)) for _ in range(REPEATS))
    turns = interleaved(lambda: encode(text), lambda: backend.encode(text).offsets, repeats=REPEATS)
    part = text[:100_000]
    keystroke = statistics.median(seconds(lambda: encode(part)) for _ in range(2 * REPEATS))
    gap = 1e3 * _longest_gap(lambda: encode(text))
    return [
        Row("tokenize 1 MB, all arrays", whole, "s", "at most 0.5 s", whole <= 0.5),
        Row("the same ÷ the library's encode with offsets", turns.ratio, "×", "at most 1 ×", turns.ratio <= 1),
        Row("tokenize 100,000 characters", 1e3 * keystroke, "ms", "at most 150 ms", keystroke <= 0.15),
        Row("longest pause of another thread meanwhile", gap, "ms", "at most 50 ms", gap <= 50),
    ]


def _text() -> str:
    """Sentences with a few commas and paragraphs, in an order that never repeats."""
    rng, story = random.Random(0), _STORY.split()
    ends = [" "] * 10 + [", ", ". ", "\n"]
    words = itertools.islice(iter(lambda: rng.choice(story) + rng.choice(ends), None), SIZE // 4)
    return "".join(words)[:SIZE]


def _longest_gap(work: Callable[[], object]) -> float:
    """The 99th percentile of the pauses that a thread sees which wakes every millisecond."""
    pauses: list[float] = []
    working = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not working.wait(0.001):
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    for _ in range(REPEATS):
        work()
    working.set()
    thread.join()
    return quantile(pauses, 0.99)
