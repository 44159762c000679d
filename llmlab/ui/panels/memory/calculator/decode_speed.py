"""The decode limit, and how fast the loaded model really decodes. No Qt."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.types import Feature
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.memory.calculator import pictures, words, work
from llmlab.ui.panels.memory.calculator.gpu_choice import GpuChoice
from llmlab.ui.panels.memory.calculator.params import Params
from llmlab.ui.panels.memory.calculator.screen import Speed
from llmlab.workbench import Workbench

if TYPE_CHECKING:
    from llmlab.engine.memory.speed import MeasuredSpeed
    from llmlab.ui.asking import Asking

NO_TEXT = "Once upon a time"  # is decoded after, where there is no prompt


class DecodeSpeed:
    """Measures in the name of `owner`; `changed` is called whenever there is something else to show."""

    def __init__(
        self, bench: Workbench, asking: Asking, gpus: GpuChoice, owner: object, changed: Callable[[], None]
    ) -> None:
        self._bench, self._asking, self._gpus = bench, asking, gpus
        self._owner, self._changed = owner, changed
        self._measured: tuple[int, MeasuredSpeed] | None = None  # and the generation of its model
        self.measuring = False

    def measure(self) -> None:
        """Decode a few tokens with the loaded model and time it."""
        generation, text = self._bench.model.generation, self._bench.prompt or NO_TEXT
        self.measuring = True

        def done(measured: MeasuredSpeed) -> None:
            self.measuring, self._measured = False, (generation, measured)
            self._changed()

        def ended(error: ErrorInfo | None = None) -> None:
            self.measuring = False
            if error is not None:
                self._asking.notifier.error(error)
            self._changed()

        asked = functools.partial(work.measure, text)
        title = "Measuring the decode speed"
        self._asking.engine(self._owner, "speed", asked, done, title=title, failed=ended, stopped=ended)
        self._changed()

    def measured(self, source: str) -> MeasuredSpeed | None:
        """Of the model that is open now, where it is the `source` that is calculated."""
        if self._measured is None or source or self._measured[0] != self._bench.model.generation:
            return None
        return self._measured[1]

    def picture(self, shape: ModelShape, params: Params, source: str) -> Speed:
        """The limit on each GPU, and what was measured. Raises InputError."""
        info, measured = self._bench.model.info, self.measured(source)
        can = not source and self._bench.model.ready and info is not None and Feature.GENERATE in info.features
        plot = pictures.speed_plot(shape, params, self._gpus.named(params.marked), measured)
        return Speed(plot, self._words(shape, source, measured), can, self.measuring)

    def _words(self, shape: ModelShape, source: str, measured: MeasuredSpeed | None) -> str:
        """The measured speed, and its share of the limit of the device that it was measured on."""
        if source:
            return "Only the loaded model can be measured: choose it in the list of models."
        info = self._bench.model.info
        if measured is None or info is None:
            return "Not measured yet."
        device = self._gpus.device(info.device)
        how = f"{info.quantization or info.dtype}, one sequence"
        said = f"Measured {words.speed(measured.tokens_per_second)} tokens/s ({how})"
        if device is None:
            return said
        limit = pictures.limit_of(shape, info, measured, device)
        share = measured.tokens_per_second / limit
        return f"{said}: {share:.1%} of what {device.name} could reach, {words.speed(limit)}"
