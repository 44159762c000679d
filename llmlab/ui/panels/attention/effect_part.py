"""What heads cause: the prediction without some of them, and the effect of removing each one alone. No Qt."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.attention.types import AttentionRequest, Effect, HeadAt, LayerEffects
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention import snippet
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.effect_values import Effects, Measure, Order, Place, effect_lines
from llmlab.ui.panels.attention.reading import Focus, Looker, Reading

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Progress
    from llmlab.jobs.job import JobControl

TURN = 1.0  # seconds of measuring before others have their turn
AT_ONCE = 5e11  # parameters × tokens × elements run: what takes more is measured only when asked for


@dataclass(frozen=True, slots=True)
class Choices:
    """How the effects are shown: by which measure, in which order, and at which of the predicted positions.

    `logarithmic`: the colours of divergences, and the bars, by order of magnitude.
    """

    measure: Measure = Measure.KL
    order: Order = Order.LAYER
    position: int = 0
    logarithmic: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EffectScreen:
    """All that the tab shows.

    `outcome`: one comparison for each predicted position, None until the first is there. `fraction`: of the sweep
    that is running, None where none is. `offered`: how many heads the user could have measured, 0 where that has
    been done or is being done. `stale`: the comparison is of heads that were off before.
    """

    effects: Effects
    off: frozenset[HeadAt]
    choices: Choices
    focus: Focus
    outcome: tuple[Effect, ...] | None
    fraction: float | None
    offered: int
    stale: bool

    @property
    def effect(self) -> Effect | None:
        """The comparison at the position that is looked at."""
        if self.outcome is None:
            return None
        return self.outcome[min(self.choices.position, len(self.outcome) - 1)]

    @property
    def focused(self) -> Place | None:
        """The head, or the layer, that the whole panel looks at."""
        focus = self.focus
        return None if focus.layer is None else Place(focus.kind, focus.layer, focus.head)


class EffectView(Protocol):
    """What is asked of the tab."""

    def show_effects(self, screen: EffectScreen | None) -> None:
        """Show this, or that nothing has been read."""

    def show_error(self, error: ErrorInfo) -> None:
        """Heads cannot be switched off here, or that failed."""


class Ablating:
    """Keeps which heads are off, the comparison with them on, and what has been measured of the others.

    What was measured belongs to a text, not to a reading: with single layers kept, another layer is another reading
    of the same text.
    """

    def __init__(self, asking: Asking, looker: Looker, view: EffectView) -> None:
        self._asking = asking
        self._looker = looker
        self._view = view
        self._reading: Reading | None = None
        self._request: AttentionRequest | None = None
        self._effects = Effects({}, {})
        self._off: frozenset[HeadAt] = frozenset()
        self._choices = Choices()
        self._outcome: tuple[Effect, ...] | None = None
        self._compared: frozenset[HeadAt] | None = None  # what the outcome is of
        self._comparing = False
        self._fraction: float | None = None
        self._sweeping = False
        self._goes_on = False  # measuring, as soon as the prediction that the user waits for is there
        self._error: ErrorInfo | None = None

    # --- as a part ------------------------------------------------------------------------------------------

    def bring(self, reading: Reading | None) -> None:
        """See `Part`."""
        former, self._reading = self._reading, reading
        if reading is None:
            self._forget()
            self._view.show_effects(None)
            return
        request = replace(reading.request, layers=None)
        if former is None or request != self._request or former.info != reading.info:
            self._forget()
            self._reading, self._request = reading, request
            self._effects = Effects.none(reading.shapes)
            self._off = frozenset(filter(self._effects.has, self._off))
            self._compare()
            if self._is_cheap:
                self.measure()
        self._show()

    def close(self) -> None:
        """See `Part`."""
        self._asking.forget(self)

    @property
    def busy(self) -> bool:
        """See `Part`."""
        return self._sweeping or self._comparing or self._goes_on

    # --- what the user does ---------------------------------------------------------------------------------

    def choose(self, **changes: Any) -> None:
        """Other `Choices`."""
        self._choices = replace(self._choices, **changes)
        self._show()

    def toggle(self, place: Place) -> None:
        """Switch a head or a whole layer off, or on again."""
        heads = self._effects.heads_of(place)
        self.switch(self._off - heads if heads <= self._off else self._off | heads)

    def look_at(self, place: Place) -> None:
        """Let the whole panel look at a head, or at all heads of a layer."""
        self._looker.look(kind=place.kind, layer=place.layer, head=place.head)

    def switch(self, off: frozenset[HeadAt]) -> None:
        """Exactly these heads are off, as far as the model has them. A sweep that runs gives way, and goes on later."""
        self._off = off
        if self._sweeping:
            self._goes_on = True
            self.cancel()
        self._compare()
        self._show()

    def reset(self) -> None:
        """Switch everything on again."""
        self.switch(frozenset())

    def measure(self) -> None:
        """Measure the effect of removing each head and each layer alone, where that has not been done."""
        request = self._request
        if request is None or self._sweeping:
            return
        self._sweeping, self._goes_on, self._fraction = True, False, 0.0
        self._take_turn(request)
        self._show()

    def _take_turn(self, request: AttentionRequest) -> None:
        """Measure layers for a while; what else waits for the model comes in between."""
        known = frozenset(self._effects.known)

        def work(engine: Engine, control: JobControl) -> bool:
            end = time.monotonic() + TURN
            for effects in engine.ablation_effects(request, control, known=known):
                control.emit(effects)
                if time.monotonic() > end:
                    return False
            return True

        def came(is_all: bool) -> None:
            if is_all:
                self._ended(None)
            else:
                self._take_turn(request)

        self._asking.engine(
            self,
            "sweep",
            work,
            self._if_still(request, came),
            title="Removing every head",
            failed=self._if_still(request, self._failed),
            stopped=lambda: self._if_still(request, self._ended)(None),
            progress=self._if_still(request, self._progressed),
            partial=self._if_still(request, self._measured),
            replace_running=True,
        )

    def cancel(self) -> None:
        """Stop measuring; what has been measured stays."""
        self._asking.cancel(self, "sweep")

    def csv(self, *, of_all: bool) -> str:
        """The effects of all heads, or the comparison, as CSV."""
        if of_all:
            return self._effects.csv()
        effect = self._screen().effect
        return effect_lines(effect, ",") if effect is not None else ""

    def script(self) -> str:
        """Python that does the same."""
        assert self._reading is not None
        return snippet.ablation(self._reading, self._off)

    def save(self, path: Path, *, of_all: bool) -> None:
        """Write `csv` to a file."""
        text = self.csv(of_all=of_all)
        self._asking.write(path, lambda: text)

    # --- asking ---------------------------------------------------------------------------------------------

    @property
    def _is_cheap(self) -> bool:
        """Whether measuring takes seconds: then it begins by itself."""
        reading = self._reading
        assert reading is not None
        tokens = max(len(shape.key_tokens) for shape in reading.shapes.values())
        runs = sum(1 for _ in self._effects.places) / 2  # half of the layers are run again on average
        return reading.info.parameters * tokens * runs <= AT_ONCE

    def _forget(self) -> None:
        if self._sweeping:
            self._asking.cancel(self, "sweep")
        self._request, self._outcome, self._compared, self._error = None, None, None, None
        self._effects, self._fraction = Effects({}, {}), None
        self._sweeping = self._comparing = self._goes_on = False

    def _compare(self) -> None:
        request, off = self._request, self._off
        if request is None:
            return
        self._comparing = True

        def came(outcome: tuple[Effect, ...]) -> None:
            self._outcome, self._compared = outcome, off
            self._comparing = off != self._off
            if self._goes_on and not self._comparing:
                self.measure()
            self._show()

        self._asking.engine(
            self,
            "compare",
            lambda engine, control: engine.ablation(request, off, control),
            self._if_still(request, came),
            title="Predicting without some heads",
            failed=self._if_still(request, self._failed),
            stopped=lambda: self._if_still(request, self._comparison_stopped)(None),
        )

    def _if_still(self, request: AttentionRequest, then: Callable[[Any], None]) -> Callable[[Any], None]:
        """Call `then` unless another text has been read meanwhile."""
        return lambda value: then(value) if request == self._request else None

    def _measured(self, found: tuple[LayerEffects, ...]) -> None:
        self._effects = self._effects.having(found)
        self._show()

    def _progressed(self, progress: Progress) -> None:
        self._fraction = progress.fraction
        self._show()

    def _ended(self, _: object) -> None:
        self._sweeping, self._fraction = False, None
        self._show()

    def _comparison_stopped(self, _: object) -> None:
        self._comparing = self._goes_on = False
        self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self._sweeping = self._comparing = self._goes_on = False
        self._fraction, self._error = None, error
        self._show()

    # --- showing --------------------------------------------------------------------------------------------

    def _screen(self) -> EffectScreen:
        assert self._reading is not None
        places = sum(layers * heads for layers, heads in self._effects.sizes.values())
        return EffectScreen(
            effects=self._effects,
            off=self._off,
            choices=self._choices,
            focus=self._reading.focus,
            outcome=self._outcome,
            fraction=(self._fraction or 0.0) if self._sweeping else None,
            offered=0 if self._sweeping or self._effects.complete else places,
            stale=self._compared != self._off,
        )

    def _show(self) -> None:
        if self._reading is None:
            return
        if self._error is not None:
            self._view.show_error(self._error)
        else:
            self._view.show_effects(self._screen())
