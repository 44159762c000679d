"""The attention panel: what every head of every layer looks at, in the text that the model reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from llmlab.engine.attention.types import HeadAt
from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec, Scene
from llmlab.ui.panels.attention.params import Params

REPEATED = "Lily has a red ball. Tom has a blue car. Lily has a red ball. Tom has a blue"
STORY = (
    "Once upon a time, there was a little dog named Max. Max had a red ball. One day, Max lost the red ball in the "
    "park. He looked under the big tree and behind the bench, but it was not there. A kind girl named Lily saw that "
    "Max was sad. She helped him, and they found the red"
)
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


def _without_heads(panel: Any) -> None:
    """The effect tab, with the previous-token head off and the induction head that needs it."""
    _prepare("effect")(panel)
    panel.presenter.parts["effect"].switch(frozenset((HeadAt("self", 1, 1), HeadAt("self", 4, 3))))


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


def _two_heads(panel: Any) -> bool:
    """The induction head's lines, and those of the previous-token head that it reads from."""
    from llmlab.ui.panels.attention.lines_values import Shown

    lines, other = panel.presenter.parts["lines"], Shown(1, 1)
    if _settled(panel) and other not in lines.heads:
        lines.toggle(other)
    return _settled(panel)


def _by_contribution(panel: Any) -> None:
    from llmlab.ui.panels.attention.pair_part import Order

    panel.presenter.parts["pair"].sort(Order.CONTRIBUTION)
    _prepare("pair")(panel)


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
        Scene("effect", "bundled:decoder", REPEATED, _without_heads, _settled),
        Scene("lens", "bundled:decoder", REPEATED, _prepare("lens"), _settled),
        Scene("text", "bundled:decoder", STORY, _prepare("text", scale="row"), _settled),
        Scene("lines", "bundled:decoder", REPEATED, _prepare("lines"), _two_heads),
        Scene("neuron", "bundled:decoder", REPEATED, _by_contribution, _settled),
        Scene("rollout", "bundled:decoder", REPEATED, _prepare("flow", hide_first=True, scale="row"), _settled),
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
