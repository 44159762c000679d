"""Colours of weights behind text, their legend, and the strip that shows them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.reading import QUERIES
from llmlab.ui.panels.attention.text_rows import LOWEST, Shading
from llmlab.ui.widgets.card import Card, CardBar
from llmlab.ui.widgets.parts import ShadeLegend

BARS = 6  # alternatives on a card


def color_of(shading: Shading | None) -> Callable[[int], QColor]:
    """The background of each token; what may not be seen has none."""
    colors, shades = theme.current(), theme.probability_shades()
    base, broken = colors.base, colors.error_base
    if shading is None:
        return lambda _: base

    def color(token: int) -> QColor:
        level = shading.level(token)
        if level is None:
            return base
        if level != level:  # NaN
            return broken
        return shades[theme.probability_level(level)].background

    return color


def weight_card(shading: Shading, token: int, name: Callable[[int], str], chosen: str, what: str = "weight") -> Card:
    """The exact weight of a token, for the pinned ones; `what` it is called."""
    weight = float(shading.weights[token])
    title = f"{name(token)}  ·  token {token}"
    level = shading.level(token)
    if level is None:
        barred = f"{chosen} may not look here" if shading.axis == QUERIES else f"may not look at {chosen}"
        return Card(title, (("", barred),))
    if level != level:
        return Card(title, (("", "The weight is no number (NaN)."),))
    place, count = shading.rank(token)
    direction = f"{what} from {chosen}" if shading.axis == QUERIES else f"{what} on {chosen}"
    return Card(title, ((direction, f"{weight:.6f}"), ("rank", f"{place} of {count}")))


def row_card(shading: Shading, title: str, name: Callable[[int], str], verb: str = "looks at") -> Card:
    """The strongest weights of the token under the mouse."""
    best = [(token, float(shading.weights[token])) for token in shading.strongest(BARS)]
    highest = max((weight for _, weight in best), default=1.0)
    bars = tuple(CardBar(f"{name(token)} {token}", weight / highest, f"{weight:.4f}") for token, weight in best)
    verb = verb if shading.axis == QUERIES else "is looked at by"
    return Card(title, (("", verb),), bars, "Click to keep it chosen.")


class WeightLegend(ShadeLegend):
    """Which colour stands for which weight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        tip = "The background of a token tells its weight; a token without one may not be looked at"
        super().__init__("weight", tip, parent)

    def show_shading(self, shading: Shading | None, name: str = "weight") -> None:
        """The range of the colours, and what they stand for."""
        if shading is None:
            self.show_scale(name, *self.texts)
            return
        is_log = shading.scale == "log"
        low = f"{LOWEST * shading.top:.0e}" if is_log else "0"
        self.show_scale(f"{name} (log)" if is_log else name, low, f"{shading.top:.3g}")
