"""The shared prompt: one text for all panels, with the model's token boundaries and its place in the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmlab.engine.distinct import distinct
from llmlab.engine.types import Int64
from llmlab.jobs.job import ErrorInfo
from llmlab.jobs.worker import Jobs
from llmlab.ui.tokenizers import Opener, open_on_shelf
from llmlab.workbench import ModelState, Selection, Workbench

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer


class PromptView(Protocol):
    """What the presenter asks of the editor."""

    def set_text(self, text: str) -> None:
        """Show `text` if it is not what is shown already."""

    def set_tokens(self, boundaries: Int64, count: int, context: int | None) -> None:
        """Mark token starts, in UTF-16 units (what Qt counts in), and the count against the context window."""

    def set_selection(self, start: int, end: int) -> None:
        """Select from `start` to `end`, in UTF-16 units, and bring it into sight."""

    def clear_tokens(self, words: str) -> None:
        """No count is known; say `words` in its place."""


def utf16_positions(text: str, positions: Int64) -> Int64:
    """Positions in code points as positions in UTF-16 units, which differ after the first astral character."""
    if text.isascii():
        return positions
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    before = np.concatenate(([0], np.cumsum(points > 0xFFFF)))  # astral characters before each position
    return positions + before[positions]


def code_point_position(text: str, position: int) -> int:
    """A position in UTF-16 units as a position in code points."""
    if text.isascii():
        return position
    units = text.encode("utf-16-le", "surrogatepass")[: 2 * position]
    return len(units.decode("utf-16-le", "replace"))


class PromptPresenter:
    """Keeps the editor and the workbench's prompt the same, and tokenizes what is typed."""

    def __init__(self, workbench: Workbench, jobs: Jobs, view: PromptView, opener: Opener = open_on_shelf) -> None:
        self._opener = opener
        self._workbench = workbench
        self._jobs = jobs
        self._view = view
        self._generation = -1
        self._disconnect = (
            workbench.prompt_changed.connect(self._prompt_changed),
            workbench.model_changed.connect(self._model_changed),
            workbench.selection_changed.connect(self._selection_changed),
        )
        view.set_text(workbench.prompt)

    def edited(self, text: str) -> None:
        """The user has typed."""
        self._workbench.prompt = text

    def selected(self, start: int, end: int) -> None:
        """The user has selected from `start` to `end` in the editor, in UTF-16 units."""
        text = self._workbench.prompt
        self._workbench.select(code_point_position(text, start), code_point_position(text, end), self)

    def close(self) -> None:
        """Stop listening."""
        self._jobs.forget(self)
        for disconnect in self._disconnect:
            disconnect()

    def _selection_changed(self, selection: Selection) -> None:
        if selection.source is not self:
            places = np.array((selection.start, selection.end), np.int64)
            start, end = utf16_positions(self._workbench.prompt, places).tolist()
            self._view.set_selection(start, end)

    def _prompt_changed(self, text: str) -> None:
        self._view.set_text(text)
        self._tokenize()

    def _model_changed(self, state: ModelState) -> None:
        if state.generation != self._generation:
            self._generation = state.generation
            self._tokenize()

    def _tokenize(self) -> None:
        state = self._workbench.model
        if not state.info:
            self._view.clear_tokens("")
            return
        text, spec, generation = self._workbench.prompt, state.info.request.spec, state.generation
        context = state.info.context

        def is_current() -> bool:  # several threads read texts: a long old one may be ready after a short new one
            return (text, generation) == (self._workbench.prompt, self._workbench.model.generation)

        def show(result: tuple[Int64, int]) -> None:
            if is_current():
                self._view.set_tokens(*result, context)

        def failed(error: ErrorInfo) -> None:
            if is_current():
                self._view.clear_tokens(error.message)

        def work(_resource: object, _control: object) -> tuple[Int64, int]:
            return token_starts(self._opener(spec), text)

        # Not the model's own thread: the count follows the typing while the model is busy, and shares the work of
        # the panels, which ask the same tokenizer.
        self._jobs.submit(self, "tokenize", work, done=show, failed=failed, needs_model=False)


def token_starts(opened: OpenTokenizer, text: str) -> tuple[Int64, int]:
    """Where tokens start, int64 (starts,) in UTF-16 units, and how many tokens there are, special ones included.

    Raises InputError for lone surrogates, which the model refuses. Called in a worker thread.
    """
    from llmlab.engine.tokenization import check_text

    check_text(text)
    tokens = opened.encode(text)
    starts = distinct(tokens.starts[tokens.ends > tokens.starts])
    return utf16_positions(text, starts), len(tokens.ids)
