"""What happens with a dropped or opened file: text becomes the prompt, a model folder is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llmlab import textfile
from llmlab.engine.types import ModelRequest
from llmlab.jobs.worker import Jobs
from llmlab.textfile import Text, Undecided
from llmlab.ui import words
from llmlab.ui.panel import Notifier
from llmlab.ui.shell import drops
from llmlab.workbench import Workbench


class FileQuestions(Protocol):
    """What has to be asked before some files can be used."""

    def ask_encoding(self, file: Undecided, chosen: Callable[[str], None]) -> None:
        """Not Unicode: show how it would read, call `chosen` with the encoding."""

    def ask_excerpt(self, file: Text, accepted: Callable[[], None]) -> None:
        """Too long: show the beginning, call `accepted` to use just that."""


class FileOpener:
    """Reads files beside the model and makes prompts of them. Registers the two kinds every window knows."""

    def __init__(
        self,
        workbench: Workbench,
        jobs: Jobs,
        notifier: Notifier,
        questions: FileQuestions,
        open_model: Callable[[ModelRequest], None],
    ) -> None:
        self._workbench = workbench
        self._jobs = jobs
        self._notifier = notifier
        self._questions = questions
        self._open_model = open_model

    def register(self, registry: drops.DropRegistry) -> None:
        """Add the two kinds."""
        registry.add(
            drops.Kind("model", drops.is_model, lambda path: f"Open the model {_folder(path).name}", self.open_folder)
        )
        registry.add(drops.Kind("text", drops.is_text, self._promise, self.open_text))

    def open_folder(self, path: Path) -> None:
        """Open the model that `path` is, or belongs to."""
        self._open_model(ModelRequest(str(_folder(path))))

    def open_text(self, path: Path, encoding: str | None = None) -> None:
        """Make the text in `path` the prompt, asking first where that needs a decision."""

        def work(_resource: object, _control: object) -> Text | Undecided:
            large = path.stat().st_size > textfile.EDITOR_LIMIT
            return textfile.read(path, encoding, textfile.PREVIEW_BYTES if large else None)

        def done(file: Text | Undecided) -> None:
            if isinstance(file, Undecided):
                self._questions.ask_encoding(file, lambda chosen: self.open_text(path, chosen))
            elif not file.whole:
                self._questions.ask_excerpt(file, lambda: self._use(file))
            else:
                self._use(file)

        title = f"Reading {path.name}"
        self._jobs.submit(self, "text", work, title=title, done=done, failed=self._notifier.error, needs_model=False)

    def close(self) -> None:
        """The window closes."""
        self._jobs.forget(self)

    def _use(self, file: Text) -> None:
        self._workbench.prompt = file.text
        part = "" if file.whole else f"the first {len(file.text):,} characters of "
        self._notifier.say(f"The prompt is now {part}{file.path.name} ({file.encoding}).")

    @staticmethod
    def _promise(path: Path) -> str:
        size = path.stat().st_size
        if size > textfile.EDITOR_LIMIT:
            return f"{path.name} is {words.size(size)}: look at its beginning first"
        return f"Use {path.name} as the prompt"


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
