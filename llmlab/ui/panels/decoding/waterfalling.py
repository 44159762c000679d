"""From the model's distribution to the one that is drawn from, stage by stage. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.knobs import SamplingSettings
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.waterfall import RAW, Waterfall, waterfall
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.knob_specs import STAGE_NAMES
from llmlab.ui.panels.decoding.tabs import Playground
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.tokentext import visible

SHOWN = 24  # best tokens before and after the settings that are told apart
COLUMNS = ("stage", "setting", "kept", "mass", "entropy_nats", "perplexity", "token_id", "token", "probability")
WORDY = ("sequence_bias", "bad_words_ids")  # settings without a number of their own


@dataclass(frozen=True, slots=True, eq=False)
class Falls:
    """A waterfall with its words. `followed` is a token id, or None."""

    fall: Waterfall
    settings: SamplingSettings
    text_of: Callable[[int], str]
    title: str
    followed: int | None = None

    def label(self, index: int) -> str:
        """What to call a stage."""
        stage = self.fall.stages[index]
        if stage.name == RAW:
            return "Raw"
        value = getattr(self.settings, stage.name)
        return STAGE_NAMES[stage.name] if stage.name in WORDY else f"{STAGE_NAMES[stage.name]} {value:g}"

    def probability(self, index: int, token_id: int) -> float:
        """Of a shown token after a stage."""
        place = self.fall.ids.tolist().index(token_id)
        return float(self.fall.stages[index].probabilities[place])

    def fate(self, token_id: int) -> str:
        """What became of a token, as a clause."""
        fate = self.fall.fate(token_id)
        if fate is None:
            return "kept to the end"
        name, rank = fate
        if name == RAW:
            return "ruled out by the model itself"
        index = next(i for i, stage in enumerate(self.fall.stages) if stage.name == name)
        return f"removed by {self.label(index)} at rank {rank:,} of {self.fall.stages[index - 1].kept:,}"

    def story(self, token_id: int) -> str:
        """What happened to a token, on one line."""
        first, last = self.probability(0, token_id), self.probability(len(self.fall.stages) - 1, token_id)
        then = f"p {numbers.probability(last)}, " if last > 0 else ""
        text = visible(self.text_of(token_id))
        return f"{text}: raw p {numbers.probability(first)}, {then}{self.fate(token_id)}"

    def facts(self, index: int) -> tuple[tuple[str, str], ...]:
        """Everything known of a stage, with all digits."""
        stage = self.fall.stages[index]
        return (
            ("kept", f"{stage.kept:,} of {len(self.fall.removed_in):,} tokens"),
            ("mass kept here", numbers.exact(stage.mass)),
            ("entropy", f"{stage.entropy:.6f} nats = {stage.entropy / math.log(2):.6f} bits"),
            ("perplexity", f"{stage.perplexity:.4f}"),
        )

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One row for each stage and shown token."""
        for index, stage in enumerate(self.fall.stages):
            about = (stage.name, self.label(index), stage.kept, stage.mass, stage.entropy, stage.perplexity)
            for token_id, probability in zip(self.fall.ids.tolist(), stage.probabilities.tolist(), strict=True):
                yield (*about, token_id, self.text_of(token_id), probability)


class FallsView(Protocol):
    """What is asked of the tab."""

    def show_falls(self, falls: Falls | None, message: str) -> None:
        """Show a waterfall, or none and why."""


class Waterfalling:
    """Keeps the waterfall in step with the position and the settings, while it is looked at."""

    busy = False

    def __init__(self, _context: PanelContext, playground: Playground, view: FallsView) -> None:
        self._playground = playground
        self._view = view
        self._followed: int | None = None
        self._shown: tuple[SortedLogits | None, SamplingSettings, int | None, object] | None = None
        self._falls: Falls | None = None

    def bring(self) -> None:
        """The tab is in front: show what the settings of the moment do to the position of the moment."""
        playground = self._playground
        captured, settings = playground.captured, playground.params.sampling
        wanted = (captured, settings, self._followed, playground.text_of)
        if self._shown is not None and wanted[0] is self._shown[0] and wanted[1:] == self._shown[1:]:
            return
        self._shown = wanted
        self._show(captured, settings)

    def _show(self, captured: SortedLogits | None, settings: SamplingSettings) -> None:
        self._falls, message = None, "There is no whole distribution at this position."
        if captured is not None:
            also = () if self._followed is None else (self._followed,)
            try:
                fall = waterfall(captured, settings, SHOWN, also)
            except InputError as error:
                message = f"{error.message} {error.hint}"
            else:
                followed = self._followed if self._followed in fall.ids else None
                playground = self._playground
                self._falls = Falls(fall, settings, playground.text_of, playground.place_title, followed)
        self._view.show_falls(self._falls, "" if self._falls else message)

    def follow(self, token_id: int | None) -> None:
        """Trace a token through the stages; None for none."""
        self._followed = token_id
        self.bring()

    def find(self, text: str) -> bool:
        """Follow the most probable token with this text, or else that contains it. False if there is none."""
        captured, wanted = self._playground.captured, text.strip().casefold()
        if captured is None or not wanted:
            return False
        partly = None
        for token_id in captured.ids.tolist():
            token = self._playground.text_of(token_id).strip().casefold()
            if token == wanted:
                self.follow(token_id)
                return True
            if partly is None and wanted in token:
                partly = token_id
        if partly is not None:
            self.follow(partly)
        return partly is not None

    def export(self, kind: str) -> None:
        """The stages to the clipboard ("copy") or a file ("csv", "json")."""
        if self._falls is not None:
            self._playground.copies.table(COLUMNS, list(self._falls.rows()), "waterfall", kind)

    def close(self) -> None:
        """Nothing is under way."""
