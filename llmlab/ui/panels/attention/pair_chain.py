"""The numbers from q·k to a weight, each with its name and what it is. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass

from llmlab.engine.attention.types import NeuronView


@dataclass(frozen=True, slots=True)
class Link:
    """One number of the chain. `operation` is what was done to the number before, "" for the first."""

    name: str
    operation: str
    value: float
    explanation: str

    @property
    def shown(self) -> str:
        """The number as it is written."""
        return number(self.value)


def number(value: float) -> str:
    """Four digits after the point, an exponent for what is tiny; a real minus sign."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
    return text.replace("-", "−")


def chain(view: NeuronView) -> tuple[Link, ...]:
    """From the dot product to the weight: softmax of (q · k × scaling, soft-capped, + bias), masked or not."""
    dimensions = len(view.products)
    links = [Link("q · k", "", view.dot, f"The sum of the products of all {dimensions} dimensions.")]
    value = view.dot * view.scaling
    root = math.isclose(view.scaling, dimensions**-0.5, rel_tol=1e-5)
    why = f" = 1/√{dimensions}, so that the spread does not grow with the dimensions" if root else ", the model's own"
    links.append(Link("scaled", f"× {view.scaling:.5g}", value, f"Times {view.scaling:.6g}{why}."))
    if view.softcap is not None:
        value = math.tanh(value / view.softcap) * view.softcap
        cap = f"{view.softcap:g}"
        links.append(
            Link("soft cap", f"{cap}·tanh(x/{cap})", value, f"Bent so that it stays between −{cap} and {cap}.")
        )
    if view.bias is not None:
        value += view.bias
        sign = "+" if view.bias >= 0 else "−"
        links.append(
            Link("biased", f"{sign} {number(abs(view.bias))}", value, "Plus what the model adds for this distance.")
        )
    if view.masked:
        links.append(Link("masked", "mask", view.score, "The model may not look there, whatever q · k is."))
    spread = f"The logarithm of the sum of e^score over all keys of the row is {number(view.log_sum)}."
    less = f"− {number(view.log_sum)}".replace("− −", "+ ")
    links.append(Link("score − ln Σ", less, view.score - view.log_sum, spread))
    links.append(Link("weight", "e^x", view.weight, "The softmax: the share of this key in the row, which sums to 1."))
    return tuple(links)
