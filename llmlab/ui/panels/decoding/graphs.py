"""CUDA graphs: whether steps may run as such, and what to say about it. No Qt."""

from __future__ import annotations

from llmlab.engine.types import Feature, ModelInfo
from llmlab.ui.panels.decoding.run import Run

OFF = "The model reads every token by itself."
UNKNOWN = "Steps run as CUDA graphs where that pays."
RUNNING = "Steps run as CUDA graphs."


def notice(info: ModelInfo | None, run: Run | None, *, wanted: bool) -> str | None:
    """What stands beside the switch, from how the last step of `run` was computed.

    None where there is nothing to switch: the model is not on a CUDA device, or does not write.
    """
    if info is None or not info.device.startswith("cuda") or Feature.GENERATE not in info.features:
        return None
    if not wanted:
        return OFF
    if run is None or run.former or not run.steps:
        return UNKNOWN
    last = run.steps[-1].computed
    if last.replayed:
        return RUNNING
    return f"Steps are plain. {last.note}" if last.note else UNKNOWN
