"""Presets to and from files, and the loaded model's own settings. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab import textfile
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs
from llmlab.ui.panel import Desk, Notifier
from llmlab.ui.panels.decoding import presets
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.presets import Imported

if TYPE_CHECKING:
    from llmlab.engine.session import Session


class PresetDesk(Desk, Protocol):
    """Where files are chosen."""

    def ask_preset(self, then: Callable[[Path], None]) -> None:
        """Let the user choose a file of settings to read, and go on with it."""


class Presetting:
    """`apply` is called with what a preset changes, `changed` when the model's own settings are known."""

    def __init__(
        self,
        jobs: Jobs,
        notifier: Notifier,
        desk: PresetDesk,
        apply: Callable[[Mapping[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        self._jobs = jobs
        self._notifier = notifier
        self._desk = desk
        self._apply = apply
        self._changed = changed
        self._model = 0
        self._asked = False
        self._own: Imported | None = None

    @property
    def own(self) -> str:
        """The model's own settings on one line; empty while they are not known."""
        return presets.summary(self._own.changes) if self._own is not None else ""

    def forget_model(self) -> None:
        """Another model brings other settings."""
        self._model += 1
        self._asked, self._own = False, None

    def want_own(self) -> None:
        """Find out the model's own settings, once."""
        if self._asked:
            return
        self._asked, model = True, self._model

        def work(session: Session, _control: JobControl) -> Imported:
            return presets.from_generation_config(session.engine.generation_config(), own=True)

        def done(own: Imported) -> None:
            if model == self._model:
                self._own = own
                self._changed()

        self._jobs.submit(self, "own", work, title="Reading the model's settings", done=done, failed=self._failed)

    def use_own(self) -> None:
        """The model's own settings take the place of these."""
        if self._own is not None:
            self._take("the model's generation_config.json", self._own)

    def open(self) -> None:
        """Choose a preset or a generation_config.json."""
        self._desk.ask_preset(self.read)

    def read(self, path: Path) -> None:
        """Take the settings of a file."""
        self._submit(lambda: presets.read(path), lambda imported: self._take(path.name, imported))

    def save(self, params: Params) -> None:
        """Write a preset."""

        def write(path: Path) -> None:
            saved = partial(self._notifier.say, f"Saved as {path.name}.", str(path))
            self._submit(lambda: textfile.write(path, presets.to_yaml(params)), lambda _: saved())

        self._desk.ask_path("preset.yaml", ("yaml",), write)

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)

    def _take(self, name: str, imported: Imported) -> None:
        self._apply(imported.changes)
        left_out = ", ".join(imported.left_out)
        self._notifier.say(f"Settings from {name}.", f"Left out, having no place here: {left_out}." if left_out else "")

    def _submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._jobs.submit(self, "preset", lambda *_: work(), done=done, failed=self._failed, needs_model=False)

    def _failed(self, error: ErrorInfo) -> None:
        self._notifier.error(error)
