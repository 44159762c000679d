"""Presets to and from files, and the loaded model's own settings. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.asking import Asking
from llmlab.ui.panel import Desk
from llmlab.ui.panels.decoding import presets
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.presets import Imported
from llmlab.workbench import Workbench

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine


class PresetDesk(Desk, Protocol):
    """Where files are chosen."""

    def ask_preset(self, then: Callable[[Path], None]) -> None:
        """Let the user choose a file of settings to read, and go on with it."""


class Presetting:
    """`apply` is called with what a preset changes, `changed` when the model's own settings are known."""

    def __init__(
        self,
        asking: Asking,
        workbench: Workbench,
        desk: PresetDesk,
        apply: Callable[[Mapping[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        self._asking = asking
        self._workbench = workbench
        self._desk = desk
        self._apply = apply
        self._changed = changed
        self._asked = False
        self._own: Imported | None = None
        self._waiting: tuple[str, Imported] | None = None  # until the model has named the words that are in it by ids

    @property
    def own(self) -> str:
        """The model's own settings on one line; empty while they are not known."""
        return presets.summary(self._own.changes) if self._own is not None else ""

    def forget_model(self) -> None:
        """Another model brings other settings, and is asked what the former one had not answered."""
        self._asked, self._own = False, None
        if self._waiting is not None:
            self._take(*self._waiting)

    def want_own(self) -> None:
        """Find out the model's own settings, once."""
        if not self._asked:
            self._asked = True
            self._asking.engine(self, "own", _own_settings, self._has_own, title="Reading the model's settings")

    def use_own(self) -> None:
        """The model's own settings take the place of these."""
        if self._own is not None:
            self._use("the model's generation_config.json", self._own)

    def open(self) -> None:
        """Choose a preset or a generation_config.json."""
        self._desk.ask_preset(self.read)

    def read(self, path: Path) -> None:
        """Take the settings of a file."""
        self._asking.beside(
            self, "preset", lambda _: presets.read(path), lambda imported: self._take(path.name, imported)
        )

    def save(self, params: Params) -> None:
        """Write a preset."""
        self._desk.ask_path(
            "preset.yaml", ("yaml",), lambda path: self._asking.write(path, lambda: presets.to_yaml(params))
        )

    def close(self) -> None:
        """Nothing more is delivered."""
        self._asking.forget(self)

    def _has_own(self, own: Imported) -> None:
        self._own = own
        self._changed()

    def _take(self, name: str, imported: Imported) -> None:
        """Words by ids mean what the model of the moment reads in them."""
        self._waiting = None
        if not imported.unnamed:
            self._use(name, imported)
        elif not self._workbench.model.ready:
            self._use(name, imported.nameless())
        else:
            self._waiting = name, imported
            self._asking.engine(
                self,
                "name",
                lambda engine, _: _named(engine, imported),
                lambda named: self._use(name, named),
                title="Reading the words",
                failed=self._failed,
                stopped=self._give_up,
            )

    def _failed(self, error: ErrorInfo) -> None:
        self._give_up()
        self._asking.notifier.error(error)

    def _give_up(self) -> None:
        self._waiting = None

    def _use(self, name: str, imported: Imported) -> None:
        self._give_up()
        self._apply(imported.changes)
        left_out = "; ".join(imported.left_out)
        self._asking.notifier.say(f"Settings from {name}.", f"Left out: {left_out}." if left_out else "")


def _own_settings(engine: Engine, _control: JobControl) -> Imported:
    return _named(engine, presets.from_generation_config(engine.generation_config(), own=True))


def _named(engine: Engine, imported: Imported) -> Imported:
    return imported.named(engine.info.vocabulary, engine.token_texts) if imported.unnamed else imported
