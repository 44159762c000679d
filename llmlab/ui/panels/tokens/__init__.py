"""The tokens panel: how text becomes ids, in the loaded model's tokenizer or in any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec, Scene
from llmlab.ui.panels.tokens.samples import sample


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.tokens.view import TokensPanel

    return TokensPanel(context)


def _prepare(tab: str, colouring: str = "token") -> Callable[[Any], None]:
    """Open a tab of the panel, as a user would."""

    def prepare(panel: Any) -> None:
        panel.presenter.change(tab=tab, tokenizer="", colouring=colouring)
        panel.show_params(panel.presenter.params)

    return prepare


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


def _look_up(panel: Any) -> None:
    _prepare("vocabulary")(panel)
    panel.vocabulary.search.setText("cat")


def _looked_up(panel: Any) -> bool:
    """The first token that was found, with its neighbours."""
    pane = panel.vocabulary
    if not _settled(panel) or pane.model.found is None or pane.model.found.query.text != "cat":
        return False
    if pane.view.currentIndex().row() < 0:
        pane.view.selectRow(0)
    return bool(pane.details.neighbours.texts)


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
        Scene("chat", "bundled:decoder", sample("English"), _prepare("chat"), _settled),
        Scene("tools", "bundled:decoder", sample("English"), _prepare("tools", colouring="count"), _settled),
    ),
)
