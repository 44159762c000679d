"""Python that gives the same plan outside this window. No Qt."""

from __future__ import annotations

from llmlab.ui.panels.memory.scaling.params import Params


def script(params: Params) -> str:
    """A script that prints every figure with its formula."""
    size = f", parameters={params.parameters!r}" if params.own else ""
    return f"""from llmlab.engine.scaling.laws import LAWS
from llmlab.engine.scaling.planning import Budget, plan

law = next(law for law in LAWS if law.name == {params.law!r})
budget = Budget(
    gpus={params.gpus}, peak={params.peak * 1e12!r}, days={params.days!r},
    utilization={params.utilization!r}, price={params.price!r},
)
for figure in plan(budget, law{size}).figures:
    print(f"{{figure.name:20}} {{figure.value:.6g}} {{figure.unit:20}} {{figure.formula}} = {{figure.values}}")
"""
