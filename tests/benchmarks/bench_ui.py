"""How the window keeps up: a slider at a large vocabulary, and the event loop while text is generated."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from llmlab.engine.sorted_logits import Captured, CapturedPosition, SortedLogits
from llmlab.ui.panels.decoding.view import DecodingPanel
from llmlab.ui.widgets.bars import ProbabilityBars
from tests.benchmarks.measure import Row, quantile
from tests.benchmarks.window import decoding_panel, wait

VOCABULARY = 152_000
MOVES = 300
TOKENS = 400
FRAME = 16.7  # ms
LONGEST_GAP = 50.0  # ms


def run() -> list[Row]:
    """Both, in one window with the bundled decoder."""
    with decoding_panel() as panel:
        return [*_generation(panel), *_sliders(panel)]


def _sliders(panel: DecodingPanel) -> list[Row]:
    """Every slider in turn, each move until the bars have been painted."""
    _show_large_vocabulary(panel)
    painted = _count_paints()
    sliders = [panel.controls.sliders[name] for name in ("temperature", "top_k", "top_p", "min_p")]
    panel.controls.sliders["repetition_penalty"]._slider.setValue(500)  # the penalty moves tokens: the slow way
    took, computed = [], []
    rng = np.random.default_rng(0)
    for move in range(MOVES):
        slider = sliders[move % len(sliders)]
        places = (int(place) for place in rng.integers(1, 1000, 100))
        place = next(place for place in places if slider._knob.scale.value(place) != slider.value)
        before, start, used = painted.count, time.perf_counter(), time.thread_time()
        slider._slider.setValue(place)
        while painted.count == before:
            QApplication.processEvents()
        took.append(1000 * (time.perf_counter() - start))
        computed.append(1000 * (time.thread_time() - used))
    assert panel.distribution.bars.rows is not None
    assert len(panel.distribution.bars.rows) == VOCABULARY
    p99 = quantile(took, 0.99)
    return [
        Row("slider move to bars painted, 152k, median", quantile(took, 0.5), "ms", "", None),
        Row("of that CPU time, median", quantile(computed, 0.5), "ms", "", None),
        Row("slider move to bars painted, 152k, 99th percentile", p99, "ms", f"at most {FRAME} ms", p99 <= FRAME),
    ]


def _generation(panel: DecodingPanel) -> list[Row]:
    """The gaps between two beats of a fast timer while tokens stream in."""
    panel.presenter.change(max_new_tokens=TOKENS, temperature=1.3, top_k=0, top_p=1.0)
    panel.controls.sliders["max_new_tokens"].set_value(TOKENS)
    beats: list[float] = []
    timer = QTimer()
    timer.setInterval(1)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start()
    panel.presenter.runs.generate()
    run = panel.presenter.run
    assert run is not None
    wait(lambda: run.outcome != "running")
    timer.stop()
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(beats)]
    longest, p99 = max(gaps), quantile(gaps, 0.99)
    return [
        Row("longest gap in the UI loop while generating", longest, "ms", f"at most {LONGEST_GAP:g} ms", longest <= 50),
        Row("gap in the UI loop while generating, 99th percentile", p99, "ms", "at most 16 ms when idle", p99 <= 16),
        Row("tokens a second in the window", run.tokens_per_second or 0.0, "tokens/s", "", None),
    ]


def _show_large_vocabulary(panel: DecodingPanel) -> None:
    """Put a position of a large vocabulary in the model's place; everything after it is the program's own."""
    rng = np.random.default_rng(0)
    logits = rng.gumbel(size=VOCABULARY).astype(np.float32) * 2
    position = CapturedPosition("next", SortedLogits.from_logits(logits, tuple(range(200))), ("x",) * 512)
    texts: Sequence[str] = tuple(f" token{i}" for i in range(VOCABULARY))
    presenter = panel.presenter
    presenter.completions.clear()
    readings = presenter._readings
    assert readings.prompt is not None
    readings.prompt = type(readings.prompt)(readings.prompt.text, Captured((position,)).positions)
    readings.texts = texts
    presenter.frame()
    wait(lambda: panel.distribution.bars.rows is not None and len(panel.distribution.bars.rows) == VOCABULARY)


def _count_paints() -> SimpleNamespace:
    """Counts paintings of the bars. (Qt remembers a class's paintEvent, so that one cannot be wrapped late.)"""
    counted = SimpleNamespace(count=0)
    paint = ProbabilityBars._paint_rows

    def paint_and_count(self: ProbabilityBars, *arguments: Any) -> None:
        paint(self, *arguments)
        counted.count += 1

    ProbabilityBars._paint_rows = paint_and_count  # type: ignore[method-assign]
    return counted
