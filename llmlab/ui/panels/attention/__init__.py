"""The attention panel: what every head of every layer looks at, in the text that the model reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec, Scene
from llmlab.ui.panels.attention.params import Params

REPEATED = "Lily has a red ball. Tom has a blue car. Lily has a red ball. Tom has a blue"
DAMAGED = "the dog run too the park and he play wiht a ball"
RESTORED = "The dog runs to the park and he plays with a ball."


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.attention.view import AttentionPanel

    return AttentionPanel(context)


def _prepare(tab: str = "map", focus: dict[str, Any] | None = None, **params: Any) -> Callable[[Any], None]:
    """Open a tab of the panel with these settings, all others at their defaults, and look at a head."""
    settings = {item.name: getattr(Params(), item.name) for item in fields(Params)} | {"tab": tab} | params
    place = {"kind": "self", "layer": 4, "head": 3, "queries": (), "key": None} | (focus or {})

    def prepare(panel: Any) -> None:
        panel.presenter.parts["compare"].hold(layer=1, head=1)
        panel.presenter.change(**settings)
        panel.show_params(panel.presenter.params)
        panel.presenter.look(**place)

    return prepare


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


PREVIOUS = {"layer": 1, "head": 1}
CROSS = {"kind": "cross", "layer": 2, "head": 1}

PANEL = PanelSpec(
    name="attention",
    title="Attention",
    tooltip="What each token looks at, in every head",
    icon="attention",
    needs=frozenset((Feature.ATTENTION,)),
    create=_create,
    scenes=(
        Scene("induction", "bundled:decoder", REPEATED, _prepare(focus={"queries": (21, 22)}), _settled),
        Scene(
            "previous",
            "bundled:decoder",
            REPEATED,
            _prepare(focus=PREVIOUS, sort="previous", score="previous", threshold=0.3),
            _settled,
        ),
        Scene("compare", "bundled:decoder", REPEATED, _prepare("compare"), _settled),
        Scene(
            "sentences",
            "bundled:encoder",
            "The dog was sad.",
            _prepare(focus={"layer": 1, "head": 4}, pair="It had lost its ball in the park.", scale="row"),
            _settled,
        ),
        Scene("cross", "bundled:seq2seq", DAMAGED, _prepare(focus=CROSS, target=RESTORED, scale="row"), _settled),
    ),
)
