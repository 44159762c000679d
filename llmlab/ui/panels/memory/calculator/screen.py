"""What the calculator shows, and what it asks of its widgets. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llmlab.engine.memory.architectures import architectures
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.types import ModelInfo
from llmlab.ui.panel import Desk
from llmlab.ui.panels.memory.calculator.gpurows import Gpus
from llmlab.ui.panels.memory.calculator.params import LISTED, OPENED, Params
from llmlab.ui.panels.memory.calculator.phases import Phases
from llmlab.ui.panels.memory.calculator.pictures import Parts, Rules, Sharing
from llmlab.ui.screen import Fact, Stage
from llmlab.ui.widgets.chart.plot import Plot


@dataclass(frozen=True, slots=True)
class Source:
    """One model of the list: what it is kept as, its name, and where its figures were read, if it is built in."""

    key: str
    name: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """What the page of the decode limit says beside its plot."""

    plot: Plot
    words: str
    can_measure: bool
    measuring: bool


def sources(loaded: ModelInfo | None, opened: tuple[str, ...]) -> tuple[Source, ...]:
    """The loaded model, what was `opened`, and the built-in list."""
    first = [Source("", f"Loaded: {loaded.name}")] if loaded else []
    own = [Source(OPENED + spec, _short(spec)) for spec in opened]
    listed = [Source(LISTED + known.name, known.name, known.source) for known in architectures()]
    return (*first, *own, *listed)


def _short(spec: str) -> str:
    """A path's last two parts; a hub id as it is."""
    path = Path(spec)
    return "/".join(path.parts[-2:]) if path.is_absolute() else spec


Picture = Parts | Phases | Gpus | Sharing | Rules | Plot | Speed


class Page(Desk, Protocol):
    """What the calculator asks of its widgets."""

    def show_stage(self, stage: Stage) -> None:
        """The picture, or what stands in its place."""

    def show_params(self, params: Params, shape: ModelShape | None) -> None:
        """Set the controls, without a signal; what a model cannot use is switched off."""

    def show_sources(self, sources: tuple[Source, ...], chosen: str) -> None:
        """The models that can be chosen."""

    def show_facts(self, facts: tuple[Fact, ...], groups: tuple[Fact, ...], notes: tuple[str, ...]) -> None:
        """The figures above the picture, the parameters by kind of module, and what should be known beside them."""

    def show_picture(self, picture: Picture) -> None:
        """The picture of the page in front."""
