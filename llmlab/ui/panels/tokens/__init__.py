"""The tokens panel: how text becomes ids, in the loaded model's tokenizer or in any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec, Scene
from llmlab.ui.panels.tokens.samples import sample

if TYPE_CHECKING:
    from llmlab.ui.panels.tokens.view import TokensPanel

STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play with her cat, and the king gave her a "
    "ball."
)


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.tokens.view import TokensPanel

    return TokensPanel(context)


def _prepare(tab: str, colouring: str = "token") -> Callable[[TokensPanel], None]:
    """Open a tab of the panel, as a user would."""

    def prepare(panel: TokensPanel) -> None:
        panel.presenter.change(tab=tab, tokenizer="", colouring=colouring)
        panel.show_params(panel.presenter.params)

    return prepare


def _settled(panel: TokensPanel) -> bool:
    return panel.presenter.settled


def _look_up(panel: TokensPanel) -> None:
    _prepare("vocabulary")(panel)
    panel.vocabulary.search.setText("cat")


def _looked_up(panel: TokensPanel) -> bool:
    """The first token that was found, with its neighbours."""
    pane = panel.vocabulary
    if not _settled(panel) or pane.model.value is None or pane.model.value.query.text != "cat":
        return False
    if pane.view.currentIndex().row() < 0:
        pane.view.selectRow(0)
    return bool(pane.details.neighbours.texts)


def _look(layer: int) -> Callable[[TokensPanel], None]:
    """The vectors after so many layers."""

    def prepare(panel: TokensPanel) -> None:
        _prepare("embedding")(panel)
        panel.embedding.show_list(0)
        panel.presenter.embedding.set_layer(layer)

    return prepare


def _looked(panel: TokensPanel) -> bool:
    """The word “girl”, selected in the strip."""
    encoded = panel.presenter.encoded
    if encoded is None or not _settled(panel):
        return False
    place = encoded.tokens.text.index("girl")
    first = encoded.source.token_range(place, place + 1)[0]
    if panel.presenter.selection != (first, first):
        panel.strip.strip.select(first, first)
        panel.presenter.select_tokens(first, first)
        return False
    return True


def _add(panel: TokensPanel) -> None:
    _look(0)(panel)
    panel.embedding.show_list(1)
    panel.embedding.sums.line.setText("")


def _added(panel: TokensPanel) -> bool:
    if not _looked(panel):
        return False
    if not panel.embedding.sums.line.text():
        panel.embedding.sums.examples[0].click()
    return panel.embedding.sums.table.rows.rowCount() > 0


PANEL = PanelSpec(
    name="tokens",
    title="Tokens",
    tooltip="How text becomes tokens",
    icon="tokens",
    needs=frozenset((Feature.TOKENIZE,)),
    create=_create,
    scenes=(
        Scene("english", "bundled:decoder", sample("English"), _prepare("table"), _settled),
        Scene("chinese", "bundled:decoder", sample("Chinese"), _prepare("table"), _settled),
        Scene("arabic", "bundled:decoder", sample("Arabic"), _prepare("pipeline"), _settled),
        Scene("emoji", "bundled:decoder", sample("Emoji"), _prepare("table", colouring="kind"), _settled),
        Scene("code", "bundled:decoder", sample("Source code"), _prepare("merges"), _settled),
        Scene("compare", "bundled:decoder", sample("German"), _prepare("compare"), _settled),
        Scene("vocabulary", "bundled:decoder", sample("Invisible"), _look_up, _looked_up),
        Scene("embedding", "bundled:decoder", STORY, _look(0), _looked),
        Scene("embedding-layers", "bundled:decoder", STORY, _look(4), _looked),
        Scene("embedding-sum", "bundled:decoder", STORY, _add, _added),
        Scene("chat", "bundled:decoder", sample("English"), _prepare("chat"), _settled),
        Scene("tools", "bundled:decoder", sample("English"), _prepare("tools", colouring="count"), _settled),
    ),
)
