"""What the tab of number formats does. No Qt: the page is a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.numberformats import Exact, Reading, decimal, flip, formats, of_code, parse, read
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.memory.formats import export, screen
from llmlab.ui.panels.memory.formats.params import Params
from llmlab.ui.panels.memory.formats.screen import FormatsScreen

if TYPE_CHECKING:
    from llmlab.ui.tabbed import TabbedPresenter

FALLBACK = "3.141592"  # where what was typed is no number
WIDEST, NARROWEST = 2.0**100, 2.0**-60  # of the line, as a share of the number
HALF = 0.5  # of the number: how much of the line is seen to either side at first


class Page(Desk, Protocol):
    """What the tab asks of its widgets."""

    def show_params(self, params: Params) -> None:
        """Set the controls, without a signal."""

    def show_screen(self, shown: FormatsScreen) -> None:
        """Show rows, details and the line."""


class Formats:
    """Keeps the bits of every format in step with the number; bits that are turned over change their format alone."""

    def __init__(self, context: PanelContext, panel: TabbedPresenter, page: Page, saved: Mapping[str, Any]) -> None:
        self._asking, self._page = panel.asking, page
        self.params = Params.from_dict(saved)
        self._codes: dict[str, int] = {}  # of the formats whose bits were turned over
        self._zoom = HALF
        self._number, self._problem = parse(FALLBACK), ""
        self._absmax, self._block_problem = Exact(), ""
        self.readings: tuple[Reading, ...] = ()
        self.shown: FormatsScreen | None = None
        page.show_params(self.params)
        self._read()

    # --- the tab's life -------------------------------------------------------------------------------------

    def bring(self) -> None:
        """The tab is in front; nothing of it depends on the model."""

    def save(self) -> dict[str, Any]:
        """What was typed and chosen."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    @property
    def busy(self) -> bool:
        """Everything is there at once."""
        return False

    # --- what the user does ---------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """The user has typed or chosen something."""
        before, self.params = self.params, replace(self.params, **changes)
        if self.params.number != before.number:
            self._codes = {}
            self._zoom = HALF
        self._read()

    def flip(self, name: str, bit: int) -> None:
        """Turn a bit of a format over, 0 the least significant."""
        reading = self._of(name)
        self._codes[name] = flip(reading, bit).code
        self.params = replace(self.params, chosen=name)
        self._page.show_params(self.params)
        self._read()

    def step(self, by: int) -> None:
        """The chosen format's next value, up or down."""
        reading = self._of(self.params.chosen)
        order = reading.format.order(reading.code)
        code = None if order is None else reading.format.at(order + by)
        if code is not None:
            self._codes[reading.format.name] = code
            self._read()

    def undo(self) -> None:
        """Every format rounds the number again."""
        self._codes = {}
        self._read()

    def take(self, text: str = "") -> None:
        """`text`, or the chosen format's value, becomes the number."""
        value = self._of(self.params.chosen).value
        text = text or decimal(value).replace("−", "-").replace("∞", "inf")
        self.change(number=text)
        self._page.show_params(self.params)

    def zoom(self, factor: float) -> None:
        """See more of the line (above 1) or less."""
        self._zoom = min(max(self._zoom * factor, NARROWEST), WIDEST)
        self._show()

    # --- taking along ---------------------------------------------------------------------------------------

    def export(self, what: str) -> None:
        """`what`: copy, value, csv, json or python."""
        number, absmax = self.params.number if not self._problem else FALLBACK, decimal(self._absmax)
        if what == "copy":
            self._page.copy(export.table(self.readings, "\t"))
        elif what == "value":
            self._page.copy(decimal(self._of(self.params.chosen).value).replace("−", "-"))
        elif what == "python":
            self._page.copy(export.script(number, absmax, self.params.saturate))
        else:
            readings = self.readings
            text = export.table(readings) if what == "csv" else export.as_json(number, absmax, readings)
            self._page.ask_path(f"formats.{what}", (what,), lambda path: self._asking.write(path, lambda: text))

    # --- what is shown --------------------------------------------------------------------------------------

    def _of(self, name: str) -> Reading:
        return next(reading for reading in self.readings if reading.format.name == name)

    def _read(self) -> None:
        """Read what was typed; what makes no sense leaves the former number, and says so."""
        try:
            self._number, self._problem = parse(self.params.number), ""
        except InputError as error:
            self._problem = f"{error.message} {error.hint}"
        try:
            self._absmax, self._block_problem = _largest(self._number, self.params.block), ""
            kinds = formats(self._absmax)
        except InputError as error:
            self._block_problem = f"{error.message} {error.hint}"
            self._absmax = Exact(self._number.magnitude) if self._usable else parse("1")
            kinds = formats(self._absmax)
        self.readings = tuple(
            of_code(self._codes[kind.name], kind, self._number)
            if kind.name in self._codes
            else read(self._number, kind, saturate=self.params.saturate)
            for kind in kinds
        )
        self._show()

    @property
    def _usable(self) -> bool:
        """Whether the number alone can be a block."""
        number = self._number
        return number.finite and 0 < number.magnitude <= parse("3.4e38").magnitude

    def _show(self) -> None:
        chosen = self._of(self.params.chosen)
        half = abs(float(self._number)) * self._zoom or self._zoom * 2
        self.shown = FormatsScreen(
            rows=tuple(screen.row(each, turned=each.format.name in self._codes) for each in self.readings),
            chosen=self.params.chosen,
            facts=screen.facts(chosen, self.params.saturate),
            line=screen.line(self.readings, self._number, half),
            problem=self._problem,
            block_problem=self._block_problem,
            absmax=decimal(self._absmax, places=9),
            any_turned=bool(self._codes),
        )
        self._page.show_screen(self.shown)


def _largest(number: Exact, block: str) -> Exact:
    """The largest magnitude of the number and the others of its block. Raises InputError."""
    others = [parse(text) for text in block.replace(";", " ").split()]
    unfit = next((text for text, other in zip(block.split(), others, strict=False) if not other.finite), None)
    if unfit is not None:
        raise InputError(f"“{unfit}” cannot be in a block.", "A block has finite numbers, with spaces between them.")
    magnitudes = [each.magnitude for each in (number, *others) if each.finite]
    largest = max(magnitudes, default=parse("1").magnitude)
    if not largest:
        raise InputError("All numbers of the block are 0.", "Give one that is not, which sets the scale.")
    return Exact(largest)
