"""A file on its way into the project: read, shown, corrected, used. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from llmlab.engine import datasets
from llmlab.engine.datasets.types import FieldMapping, Imported, Options
from llmlab.engine.shots.types import PromptSpec
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.asking import Asking
from llmlab.ui.panels.shots.build import applying, words
from llmlab.ui.panels.shots.build.applying import Choices, Use
from llmlab.ui.panels.shots.build.screen import Preview

Read = Callable[[Options, JobControl], Imported]


class ImportPage(Protocol):
    """What the user sees of it."""

    def show_reading(self, name: str) -> None:
        """Say that a file is being read; an empty name: no more."""

    def show_preview(self, preview: Preview | None) -> None:
        """Show a file, or none: back to the project."""


class Importing:
    """`spec` tells the present prompt, `use` is called with what the user has agreed to."""

    def __init__(
        self,
        asking: Asking,
        page: ImportPage,
        spec: Callable[[], PromptSpec],
        use: Callable[[Imported, Choices], None],
    ) -> None:
        self._asking = asking
        self._page = page
        self._spec = spec
        self._use = use
        self._read: Read | None = None
        self._imported: Imported | None = None
        self._choices: Choices | None = None
        self._name = ""
        self.reading = False

    @property
    def is_open(self) -> bool:
        """Whether a file is being looked at."""
        return self._imported is not None

    def open(self, path: Path, then: Callable[[Imported], bool] = lambda _: False) -> None:
        """Read a file; what `then` does not take is shown first."""
        self.look(lambda options, control: datasets.read(path, options, control), then, path.name)

    def paste(self, text: str) -> None:
        """Read a text as if it were a file."""
        self.look(lambda options, _control: datasets.from_text(text, options))

    def correct(self, **changes: Any) -> None:
        """Read the file again with other options, such as the encoding, the delimiter or the header."""
        if self._imported is None or self._read is None:
            return
        options = replace(self._imported.options, **changes)
        if self._imported.dialect is not None and {"delimiter", "header", "quote"} & set(changes):
            dialect = self._imported.dialect  # what was detected stays, for what is not corrected
            known = {"header": dialect.header} | (
                {"delimiter": dialect.delimiter, "quote": dialect.quote} if dialect.delimiter else {}
            )
            options = replace(options, **{**known, **changes})
        self._start(options, lambda _: False)

    def choose(self, **changes: Any) -> None:
        """Decide otherwise: use, mapping, draft, labels."""
        if self._choices is not None:
            self._choices = replace(self._choices, **changes)
            self._show()

    def map_field(self, name: str, role: str) -> None:
        """Make a field an "input", the "output" or "unused"."""
        if self._imported is None or self._choices is None:
            return
        mapping = self._choices.mapping
        inputs = {one for one in mapping.inputs if one != name} | ({name} if role == "input" else set())
        output = name if role == "output" else "" if mapping.output == name else mapping.output
        inputs.discard(output)
        ordered = tuple(one for one in self._imported.fields if one in inputs)
        self.choose(mapping=FieldMapping(ordered, output))

    def accept(self) -> None:
        """Use it so."""
        if self._imported is not None and self._choices is not None:
            imported, choices = self._imported, self._choices
            self.cancel()
            self._use(imported, choices)

    def cancel(self) -> None:
        """Leave the file alone; nothing has changed."""
        self._asking.cancel(self)
        self._imported = self._choices = self._read = None
        self._set_reading(False)
        self._page.show_preview(None)

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def look(self, read: Read, then: Callable[[Imported], bool] = lambda _: False, name: str = "the text") -> None:
        """Show what `read` gives, now and again with other options; not what `then` takes."""
        self._read, self._choices, self._name = read, None, name
        self._start(Options(), then)

    def _start(self, options: Options, then: Callable[[Imported], bool]) -> None:
        read = self._read
        assert read is not None
        self._set_reading(True)

        def done(imported: Imported) -> None:
            self._set_reading(False)
            if then(imported):
                self._imported = self._choices = None
                self._page.show_preview(None)
                return
            former = self._choices
            self._imported = imported
            self._choices = self._kept(former, imported)
            self._show()

        def failed(error: ErrorInfo) -> None:
            self._set_reading(False)
            self._asking.notifier.error(error)
            if self._imported is not None:
                self._show()  # as it was before the correction

        self._asking.beside(
            self, "read", lambda control: read(options, control), done, failed, stopped=lambda: self._set_reading(False)
        )

    def _set_reading(self, reading: bool) -> None:
        self.reading = reading
        self._page.show_reading(self._name if reading else "")

    @staticmethod
    def _kept(former: Choices | None, imported: Imported) -> Choices:
        """What was decided holds on where the corrected file still allows it."""
        proposed = applying.first_choices(imported)
        if former is None or former.use not in applying.uses_of(imported):
            return proposed
        named = {*former.mapping.inputs, former.mapping.output} - {""}
        mapping = former.mapping if named <= set(imported.fields) else proposed.mapping
        draft = former.draft if former.draft is not None and former.draft < len(imported.drafts) else proposed.draft
        return replace(former, mapping=mapping, draft=draft)

    def _show(self) -> None:
        imported, choices = self._imported, self._choices
        if imported is None or choices is None:
            return
        spec = applying.spec_after(self._spec(), imported, choices)
        self._page.show_preview(
            Preview(
                imported,
                choices,
                applying.uses_of(imported),
                applying.labels_of(imported, choices.mapping),
                spec.instruction + spec.template if choices.use is not Use.INSTRUCTION else imported.rows[0][0],
                words.facts(imported),
            )
        )
