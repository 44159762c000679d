"""The tokens panel on screen: thin, everything that decides is in the presenter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from llmlab.engine.tokens.types import TokenDetails
from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.tokens.chat_pane import ChatPane
from llmlab.ui.panels.tokens.compare_pane import ComparePane
from llmlab.ui.panels.tokens.comparing import Compared
from llmlab.ui.panels.tokens.controls import Controls
from llmlab.ui.panels.tokens.embedding_pane import EmbeddingPane
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.merge_pane import MergePane
from llmlab.ui.panels.tokens.merging import Traced
from llmlab.ui.panels.tokens.params import TABS, Params
from llmlab.ui.panels.tokens.pipeline_pane import PipelinePane
from llmlab.ui.panels.tokens.piping import Pipeline
from llmlab.ui.panels.tokens.plane import MapPicture
from llmlab.ui.panels.tokens.presenter import TokensPresenter
from llmlab.ui.panels.tokens.rows import Rows
from llmlab.ui.panels.tokens.screen import Screen
from llmlab.ui.panels.tokens.searching import Found
from llmlab.ui.panels.tokens.strip_pane import StripPane
from llmlab.ui.panels.tokens.table_pane import TablePane
from llmlab.ui.panels.tokens.tooling import Chunks
from llmlab.ui.panels.tokens.tools_pane import ToolsPane
from llmlab.ui.panels.tokens.vectors import Looked, Near
from llmlab.ui.panels.tokens.vocabulary_pane import VocabularyPane
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.parts import Choice

TAB_LABELS = {
    "table": ("Table", "Every token with its id, bytes and place; sort, filter, export"),
    "pipeline": ("Pipeline", "Each stage from text to tokens and back, and what it changed"),
    "merges": ("Word by word", "How one word became tokens, step by step"),
    "compare": ("Compare", "The same text in several tokenizers"),
    "vocabulary": ("Vocabulary", "Search all tokens of the tokenizer"),
    "embedding": ("Embedding", "The tokens' vectors in the loaded model: what lies near what, layer by layer"),
    "chat": ("Chat", "Messages as a chat model reads them"),
    "tools": ("Tools", "Split the text into chunks of N tokens; what it costs"),
}


class TokensPanel(PanelView):
    """The strip of tokens, and below it everything that one can ask about them."""

    controls: Controls
    presenter: TokensPresenter

    def __init__(self, context: PanelContext) -> None:
        self.strip = StripPane()
        self.table, self.pipeline, self.merges = TablePane(), PipelinePane(), MergePane()
        self.compare, self.vocabulary, self.chat, self.tools = ComparePane(), VocabularyPane(), ChatPane(), ToolsPane()
        self.embedding = EmbeddingPane(self._complete)
        self.controls = Controls()
        self.tabs = Choice([TAB_LABELS[name] for name in TABS], "What is below the strip")
        self._pages = QStackedWidget()
        pages = (self.table, self.pipeline, self.merges, self.compare, self.vocabulary, self.embedding)
        for page in (*pages, self.chat, self.tools):
            self._pages.addWidget(page)
        lower = QWidget()
        layout = QVBoxLayout(lower)
        layout.setContentsMargins(0, theme.SPACE // 2, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.tabs, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._pages, stretch=1)
        self._lower = lower
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("tokens")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.strip)
        splitter.addWidget(lower)
        splitter.setStretchFactor(0, 2)
        splitter.setStretchFactor(1, 3)
        splitter.setSizes([170, 380])
        self.picture: QWidget = splitter
        self._screen: Screen | None = None
        self._params = Params()
        self.presenter = TokensPresenter(context, self)
        self._connect(self.presenter)

    def _connect(self, presenter: TokensPresenter) -> None:
        strip, table = self.strip, self.table
        strip.strip.selected.connect(presenter.select_tokens)
        strip.example_chosen.connect(presenter.use_example)
        strip.copy_asked.connect(self._copy)
        strip.export_asked.connect(presenter.table.save)
        table.ordered.connect(lambda changes: presenter.table.change(**changes))
        table.selected.connect(lambda first, last: presenter.select_tokens(first, last, in_table=True))
        table.export_asked.connect(presenter.table.save)
        table.copy_asked.connect(lambda: presenter.copy_selected("text"))
        self.tabs.chosen.connect(self._choose_tab)
        self.merges.word_typed.connect(presenter.merges.type_word)
        self.merges.went.connect(presenter.merges.go)
        self.vocabulary.searched.connect(lambda changes: presenter.vocabulary.change(**changes))
        self.vocabulary.looked_at.connect(presenter.vocabulary.look_at)
        self._connect_embedding(presenter)
        self.chat.typed.connect(presenter.chat.change)
        self.chat.generation_prompt.connect(lambda wanted: self._change({"generation_prompt": wanted}))
        self.chat.copy_asked.connect(self.copy)
        self.tools.changed.connect(self._change)
        self.tools.export_asked.connect(presenter.tools.save)
        self.controls.changed.connect(self._change)
        self.controls.opened.connect(presenter.open_tokenizer)
        self.controls.sample_chosen.connect(presenter.use_example)

    def _complete(self, beginning: str) -> tuple[str, ...]:
        return self.presenter.embedding.sums.complete(beginning)

    def _connect_embedding(self, presenter: TokensPresenter) -> None:
        pane, part = self.embedding, presenter.embedding
        pane.looked_at.connect(part.look_at)
        pane.picked.connect(part.pick)
        pane.layer_chosen.connect(part.set_layer)
        pane.sums.summed.connect(part.sums.reckon)
        pane.copy_asked.connect(part.copy)
        pane.export_asked.connect(self._export_embedding)
        pane.state.acted.connect(lambda _: presenter.use_own_tokenizer())  # the only button there is

    @Slot(str)
    def _export_embedding(self, what: str) -> None:
        if what == "png":
            self.ask_path("map.png", ("png",), self._save_map)
        else:
            self.presenter.embedding.save(what)

    def _save_map(self, path: Path) -> None:
        if self.embedding.save_png(path):
            self.presenter.workshop.notifier.say(f"Saved as {path.name}.", str(path))
        else:
            self.presenter.workshop.notifier.say(f"{path.name} could not be written.", "Choose another folder.")

    @Slot(object)
    def _change(self, changes: dict[str, Any]) -> None:
        self.presenter.change(**changes)
        if "colouring" in changes:
            self.strip.set_colouring(changes["colouring"])
        self._params = self.presenter.params

    @Slot(int)
    def _choose_tab(self, index: int) -> None:
        self._pages.setCurrentIndex(index)
        self.presenter.change(tab=TABS[index])
        self._params = self.presenter.params

    @Slot(str)
    def _copy(self, what: str) -> None:
        if what == "python":
            self.presenter.copy_python()
        else:
            self.presenter.copy_selected(what)

    # --- to the presenter -----------------------------------------------------------------------------------

    def show(self, screen: Screen) -> None:
        if screen != self._screen:
            self._screen = screen
            self.strip.show_screen(screen)
            self.controls.show_screen(screen)
            self._lower.setVisible(screen.stage.kind is Kind.READY)

    def show_params(self, params: Params) -> None:
        self._params = params
        self.controls.show_params(params)
        self.tools.show_params(params)
        self.chat.show_generation_prompt(params.generation_prompt)
        self.tabs.set_chosen(TABS.index(params.tab))
        self._pages.setCurrentIndex(TABS.index(params.tab))

    def show_encoded(self, encoded: Encoded | None) -> None:
        self.strip.show_encoded(encoded, self._params.colouring)

    def select_tokens(self, first: int, last: int) -> None:
        self.strip.strip.select(first, last)

    def show_rows(self, rows: Rows | None) -> None:
        self.table.show_rows(rows)

    def select_rows(self, first: int, last: int) -> None:
        self.table.select_tokens(first, last)

    def show_pipeline(self, pipeline: Pipeline | None) -> None:
        self.pipeline.show_pipeline(pipeline)

    def show_word(self, word: str) -> None:
        self.merges.show_word(word)

    def show_trace(self, traced: Traced | None, step: int) -> None:
        self.merges.show_trace(traced, step)

    def show_compared(self, compared: Compared | None) -> None:
        self.compare.show_compared(compared)

    def show_compare_error(self, error: ErrorInfo) -> None:
        self.compare.show_error(error)

    def show_found(self, found: Found | None) -> None:
        self.vocabulary.show_found(found)

    def show_search_error(self, error: ErrorInfo) -> None:
        self.vocabulary.show_error(error)

    def show_details(self, details: TokenDetails | None) -> None:
        self.vocabulary.details.show_details(details)

    def show_neighbours(self, neighbours: tuple[tuple[str, float], ...]) -> None:
        self.vocabulary.details.show_neighbours(neighbours)

    def show_embedding_stage(self, stage: Stage) -> None:
        self.embedding.show_stage(stage)

    def show_looked(self, looked: Looked | None) -> None:
        self.embedding.show_looked(looked)

    def show_layer(self, layer: int, layers: int) -> None:
        self.embedding.show_layer(layer, layers)

    def show_near(self, near: Near | None) -> None:
        self.embedding.show_near(near)

    def show_sum(self, text: str, near: Near | None) -> None:
        self.embedding.sums.show_sum(text, near)

    def show_map(self, picture: MapPicture | None) -> None:
        self.embedding.show_map(picture)

    def show_chat(self, encoded: Encoded | None, message: str) -> None:
        self.chat.show_chat(encoded, message)

    def show_chunks(self, chunks: Chunks | None) -> None:
        self.tools.show_chunks(chunks)

    def show_chunk_error(self, error: ErrorInfo) -> None:
        self.tools.show_error(error)

    def show_price(self, tokens: int, price: float) -> None:
        self.tools.show_price(tokens, price)
