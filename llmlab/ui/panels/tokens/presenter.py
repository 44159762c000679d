"""What the tokens panel does. No Qt: the view is a protocol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.tokens import snippet, stages
from llmlab.ui.panels.tokens.chatting import Chatting, ChatView
from llmlab.ui.panels.tokens.comparing import CompareView, Comparing
from llmlab.ui.panels.tokens.embedding import Embedding, EmbeddingView
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.merging import MergeView, Merging
from llmlab.ui.panels.tokens.params import Params
from llmlab.ui.panels.tokens.piping import PipelineView, Piping
from llmlab.ui.panels.tokens.screen import ContextUse, Screen
from llmlab.ui.panels.tokens.searching import Searching, VocabularyView
from llmlab.ui.panels.tokens.tabling import TableView, Tabling
from llmlab.ui.panels.tokens.tooling import Tooling, ToolsView
from llmlab.ui.panels.tokens.workshop import Workshop
from llmlab.ui.presenter import Closing, PanelPresenter
from llmlab.ui.screen import Kind
from llmlab.ui.tokenizers import Opener, open_on_shelf
from llmlab.workbench import ModelState, Selection, Status

if TYPE_CHECKING:
    from llmlab.engine.tokens.opened import OpenTokenizer


class View(
    TableView, PipelineView, MergeView, CompareView, VocabularyView, EmbeddingView, ChatView, ToolsView, Desk, Protocol
):
    """What the presenter asks of the widgets."""

    def show(self, screen: Screen) -> None:
        """Show everything but the tokens."""

    def show_params(self, params: Params) -> None:
        """Set the controls, without a signal."""

    def show_encoded(self, encoded: Encoded | None) -> None:
        """Show tokens in the strip, or none."""

    def select_tokens(self, first: int, last: int) -> None:
        """Mark tokens in the strip, (-1, -1) for none."""


class Part(Protocol):
    """What is below the strip on one of the tabs."""

    def bring(self, encoded: Encoded | None) -> None:
        """The tab is in front and the strip shows `encoded`: show what belongs to it."""

    def close(self) -> None:
        """Deliver nothing more."""

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""


class TokensPresenter(PanelPresenter):
    """Keeps strip, table and tabs in step with the prompt, the tokenizer and the selection."""

    def __init__(self, context: PanelContext, view: View, opener: Opener = open_on_shelf) -> None:
        self.workshop = Workshop(context.jobs, context.notifier, opener)
        super().__init__(context, self.workshop)
        self._view = view
        self._asked: tuple[str, str, bool] | None = None  # (spec, text, special tokens) of the newest request
        self._encoded: Encoded | None = None
        self._error: ErrorInfo | None = None
        self._opened: tuple[str, ...] = ()
        self.selection = (-1, -1)
        self.params: Params = Params.from_dict(context.saved)
        self.table = Tabling(self.workshop, view)
        self.pipeline = Piping(self.workshop, view)
        self.merges = Merging(self.workshop, view)
        self.compare = Comparing(self.workshop, view, self._compared)
        self.vocabulary = Searching(self.workshop, view, self._loaded)
        self.embedding = Embedding(
            self.workshop, view, lambda: self._workbench.model, lambda: self.selection, self._point_at
        )
        self.chat = Chatting(self.workshop, view, lambda: self.params.generation_prompt)
        self.tools = Tooling(self.workshop, view, lambda: self.params)
        self._parts: dict[str, Part] = {
            "table": self.table,
            "pipeline": self.pipeline,
            "merges": self.merges,
            "compare": self.compare,
            "vocabulary": self.vocabulary,
            "embedding": self.embedding,
            "chat": self.chat,
            "tools": self.tools,
        }
        self._disconnect = (
            context.workbench.prompt_changed.connect(lambda _: self._read()),
            context.workbench.model_changed.connect(self._model_changed),
            context.workbench.selection_changed.connect(self._selection_changed),
        )
        view.show_params(self.params)
        self._refresh()

    # --- the panel's life -----------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        self._read()

    def _own_parts(self) -> Iterable[Closing]:
        return self._parts.values()

    @property
    def encoded(self) -> Encoded | None:
        """What the strip shows."""
        return self._encoded

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is on screen."""
        current = self._encoded is not None and self._is_current(self._encoded)
        return current and not self._part.busy

    @property
    def _part(self) -> Part:
        return self._parts[self.params.tab]

    # --- settings -------------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """The user has changed settings."""
        before, self.params = self.params, replace(self.params, **changes)
        if (self.params.tokenizer, self.params.special) != (before.tokenizer, before.special):
            self._error = None
            self._read()
        elif self.params != before:
            self._part.bring(self._encoded)
        self._refresh()

    def open_tokenizer(self, spec: str) -> None:
        """Look at the tokenizer of a folder or a hub id as well."""
        spec = spec.strip()
        if spec:
            self._opened = tuple(dict.fromkeys((*self._opened, spec)))
            self.change(tokenizer=spec)
            self._view.show_params(self.params)

    def use_own_tokenizer(self) -> None:
        """Look at the loaded model's tokens again."""
        self.change(tokenizer="")
        self._view.show_params(self.params)

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def spec(self) -> str | None:
        """The tokenizer that is wanted; None while there is none.

        While the first model is being opened there is none: two threads that import transformers at once would only
        hold each other up.
        """
        model = self._workbench.model
        if model.info is None and model.status is Status.LOADING:
            return None
        if self.params.tokenizer:
            return self.params.tokenizer
        return model.info.request.spec if model.info is not None else None

    def _is_current(self, encoded: Encoded) -> bool:
        wanted = (self.spec, self._workbench.prompt, self.params.special)
        return (encoded.spec, encoded.given, encoded.special) == wanted

    def _model_changed(self, _state: ModelState) -> None:
        self._read()
        if self.params.tab == "embedding":  # the only tab that shows the model itself
            self.embedding.bring(self._encoded)
        self._refresh()

    def _read(self) -> None:
        """Ask for the prompt's tokens if they are wanted and not asked for yet."""
        spec, text, special = self.spec, self._workbench.prompt, self.params.special
        if spec is None or not text:
            self._asked = None
            self._show(None)
        elif self._active and self._asked != (spec, text, special):
            self._asked = (spec, text, special)

            def read(opened: OpenTokenizer) -> Encoded:
                return Encoded.of(spec, opened, text, special=special)

            def failed(error: ErrorInfo) -> None:
                if self._asked == (spec, text, special):
                    self._error = error
                    self._show(None)

            self.workshop.ask(self, "encode", spec, read, self._came, failed)
        self._refresh()

    def _came(self, encoded: Encoded) -> None:
        if self._asked is not None:  # a result for an older text is shown while the newer one is on its way
            self._error = None
            self._show(encoded)

    def _show(self, encoded: Encoded | None) -> None:
        if encoded is self._encoded is None:
            self._refresh()
            return
        self._encoded = encoded
        self.selection = (-1, -1)
        self._view.show_encoded(encoded)
        self._part.bring(encoded)
        self._refresh()

    # --- selection ------------------------------------------------------------------------------------------

    def select_tokens(self, first: int, last: int, *, in_table: bool = False) -> None:
        """The user has selected tokens in the strip, or in the table: mark them everywhere else."""
        self.selection = (first, last)
        if in_table:
            self._view.select_tokens(first, last)
        else:
            self._view.select_rows(first, last)
        encoded = self._encoded
        if encoded is None:
            return
        self._select_in_tab(encoded, first)
        if first >= 0 and self._is_current(encoded):
            starts, ends = encoded.tokens.starts[first : last + 1], encoded.tokens.ends[first : last + 1]
            self._workbench.select(int(starts.min()), int(ends.max()), self)

    def _selection_changed(self, selection: Selection) -> None:
        if selection.source is self or self._encoded is None or not self._is_current(self._encoded):
            return
        first, last = self._encoded.source.token_range(selection.start, selection.end)
        self.selection = (first, last)
        self._view.select_tokens(first, last)
        self._view.select_rows(first, last)
        self._select_in_tab(self._encoded, first)

    def _select_in_tab(self, encoded: Encoded, token: int) -> None:
        self.merges.select(encoded, token)
        if self.params.tab == "embedding":
            self.embedding.select(encoded, token)

    def _point_at(self, token: int) -> None:
        """Select one token, as a click in the strip would."""
        self._view.select_tokens(token, token)
        self.select_tokens(token, token)

    # --- copies ---------------------------------------------------------------------------------------------

    def copy_selected(self, what: str) -> None:
        """The selected tokens, or all of them, as "text" or as "ids"."""
        encoded = self._encoded
        if encoded is None or not len(encoded):
            return
        first, last = self.selection if self.selection[0] >= 0 else (0, len(encoded) - 1)
        if what == "text":
            self._view.copy(encoded.selected_text(first, last))
        else:
            self._view.copy(str(encoded.tokens.ids[first : last + 1].tolist()))

    def copy_python(self) -> None:
        """A script that gives the same tokens."""
        if self._encoded is not None:
            encoded = self._encoded
            text, fast = encoded.tokens.text, encoded.info.fast
            self._view.copy(snippet.tokens(encoded.spec, text, fast=fast, special=encoded.special))

    # --- what is shown --------------------------------------------------------------------------------------

    def _loaded(self) -> str | None:
        """The spec of the model that can be asked."""
        model = self._workbench.model
        return model.info.request.spec if model.ready and model.info is not None else None

    def _compared(self) -> tuple[str, ...]:
        """The tokenizers to compare, that of the strip first."""
        spec = self.spec
        return tuple(dict.fromkeys((spec, *self.params.compared)))[:4] if spec else ()

    def _refresh(self) -> None:
        encoded, model = self._encoded, self._workbench.model
        stage = stages.stage(self.spec, model, self._workbench.prompt, self._error, encoded)
        ready = stage.kind is Kind.READY and encoded is not None
        context = encoded.info.context if encoded else None
        self._view.show(
            Screen(
                stage=stage,
                choices=stages.choices(model, self.params.tokenizer, self._opened),
                facts=stages.facts(encoded) if ready and encoded else (),
                about=stages.about(encoded) if encoded else (),
                notes=stages.notes(encoded, self._is_current(encoded)) if ready and encoded else (),
                context=ContextUse(encoded.whole, context) if encoded and context else None,
            )
        )
