"""The numbers beside the calculator's pictures. No Qt."""

from __future__ import annotations

from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.step import ABOUT, Moment
from llmlab.ui.panels.memory.calculator import words
from llmlab.ui.panels.memory.calculator.params import Params
from llmlab.ui.screen import Fact
from llmlab.ui.words import both_sizes


def facts(shape: ModelShape, total: int, host: int, params: Params, peak: Moment | None = None) -> tuple[Fact, ...]:
    """The headline: parameters, memory, context; of a training step also when its `peak` is."""
    found = [
        Fact("parameters", words.count(shape.parameters), f"{shape.parameters:,}, tied ones once"),
        Fact("each GPU" if params.training and params.gpus > 1 else "needs", both_sizes(total), f"{total:,} bytes"),
    ]
    if peak is not None:
        found.append(Fact("peak", peak.value, f"The worst moment of the step. {ABOUT[peak]}"))
    if host:
        found.append(Fact("main memory", both_sizes(host), f"{host:,} bytes wait in the computer's main memory"))
    if shape.context:
        found.append(Fact("reads", f"{shape.context:,}", "The longest context that the architecture is made for"))
    return tuple(found)


def beyond(shape: ModelShape, params: Params) -> tuple[str, ...]:
    """What is said of a context that the model was not made for."""
    if shape.context is None or params.tokens <= shape.context:
        return ()
    return (f"{params.tokens:,} tokens are more than the {shape.context:,} that the architecture was made for.",)


def groups(shape: ModelShape) -> tuple[Fact, ...]:
    """The parameters by what they are for."""
    whole = shape.parameters
    groups = [Fact(g.value, f"{size:,}", f"{size / whole:.1%} of all parameters") for g, size in shape.groups.items()]
    if shape.experts:
        tip = "How many of the experts of a layer each token goes through"
        groups.append(Fact("experts used", f"{shape.active_experts} of {shape.experts}", tip))
    return (*groups, Fact("all", f"{whole:,}", "Tied parameters once"))
