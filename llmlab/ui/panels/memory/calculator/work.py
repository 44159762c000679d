"""What is done in the background for the calculator. No Qt; what imports torch is imported there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmlab.engine.memory.hardware import Gpu
from llmlab.ui.panels.memory.calculator.params import LISTED, OPENED

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.memory.sources import Described
    from llmlab.engine.memory.speed import MeasuredSpeed
    from llmlab.jobs.job import JobControl


def machine(control: JobControl) -> tuple[Gpu, ...]:
    """This machine's GPUs and main memory."""
    from llmlab.engine.memory.machine import machine_gpus

    return machine_gpus(control)


def of_loaded(engine: Engine, _control: JobControl) -> Described:
    """The shape of the loaded model."""
    from llmlab.engine.memory.sources import from_loaded

    return from_loaded(engine.loaded)


def of_source(source: str, control: JobControl) -> Described:
    """The shape of a model of the list, of a folder, a file or the hub."""
    from llmlab.engine.memory import sources

    if source.startswith(LISTED):
        return sources.from_list(source.removeprefix(LISTED))
    return sources.from_spec(source.removeprefix(OPENED), control)


def measure(text: str, engine: Engine, control: JobControl) -> MeasuredSpeed:
    """How fast the loaded model writes after `text`."""
    from llmlab.engine.memory.speed import measure_decode

    return measure_decode(engine, text, control=control)
