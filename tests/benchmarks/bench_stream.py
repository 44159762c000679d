"""How the window keeps up with a model that writes 500 tokens a second.

The steps are those of a real completion, handed to the model thread again and again at their times: what is measured
is the program's own way from a step to the painted text.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QTimer

from llmlab.engine import Engine
from llmlab.engine.types import GenerationStep
from llmlab.ui.panels.decoding.view import DecodingPanel
from tests.benchmarks.measure import Row, quantile
from tests.benchmarks.window import decoding_panel, wait

RATE = 500  # tokens a second
SECONDS = 8
SAMPLE = 100  # tokens of the real completion
LONGEST_GAP = 50.0  # ms


def run() -> list[Row]:
    """The gaps in the event loop while tokens come at that rate, and whether they are shown as fast."""
    with decoding_panel() as panel:
        return _streamed(panel, Stream())


class Stream:
    """Stands in for `Engine.generate`: the first call's own steps, told at RATE for SECONDS."""

    def __init__(self) -> None:
        self._generate = Engine.generate
        self.ended = 0.0

    def __call__(self, engine: Engine, text: str, *, control: Any, **options: Any) -> Iterator[GenerationStep]:
        """In the model thread: waits for each step's time, as a forward pass on a GPU would."""
        options["max_new_tokens"] = SAMPLE
        steps = list(self._generate(engine, text, control=control, **options))
        start = time.perf_counter()
        for index in range(RATE * SECONDS):
            control.check()
            due = start + index / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            last = index == RATE * SECONDS - 1
            step = steps[index % len(steps)]
            yield replace(step, index=index, seconds=due - start, finish_reason="length" if last else None)
        self.ended = time.perf_counter()


def _streamed(panel: DecodingPanel, stream: Stream) -> list[Row]:
    def generate(engine: Engine, text: str, **options: Any) -> Iterator[GenerationStep]:
        return stream(engine, text, **options)

    Engine.generate = generate  # type: ignore[assignment, method-assign]
    panel.presenter.change(max_new_tokens=RATE * SECONDS, temperature=1.3, top_k=0, top_p=1.0)
    beats: list[float] = []
    timer = QTimer()
    timer.setInterval(1)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    panel.presenter.runs.generate()
    run = panel.presenter.run
    assert run is not None
    wait(lambda: len(run.steps) > 0)
    timer.start()
    wait(lambda: run.outcome != "running")
    timer.stop()
    shown = time.perf_counter()
    assert len(panel.completion.tokens) == RATE * SECONDS
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(beats)]
    longest, p99, behind = max(gaps), quantile(gaps, 0.99), 1000 * (shown - stream.ended)
    name = f"at {RATE} tokens/s"
    return [
        Row(f"longest gap in the UI loop {name}", longest, "ms", f"at most {LONGEST_GAP:g} ms", longest <= LONGEST_GAP),
        Row(f"gap in the UI loop {name}, 99th percentile", p99, "ms", "at most 16 ms when idle", p99 <= 16),
        Row(f"last of {RATE * SECONDS} tokens on screen after", behind, "ms", "at most 100 ms", behind <= 100),
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
