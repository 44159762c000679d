"""For my GPUs and days: which size, how many tokens, at what cost. Every figure with its formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.memory.checks import at_least, share
from llmlab.engine.scaling.laws import PER_TOKEN, PF_DAY, REPLICATION, Law, ParametricLaw, PowerLaw, optimal_tokens

SECONDS_A_DAY = 86_400
MOST_DAYS = 36_500
MOST_PEAK = 1e18  # operations a second of one GPU


@dataclass(frozen=True, slots=True)
class Budget:
    """What there is to train with. Raises InputError for what makes no sense.

    `peak` operations a second of one GPU in the format it trains in, as its data sheet has it without sparsity;
    `utilization` the share of it that goes into the model (MFU, Chowdhery et al. 2022, appendix B); `price` of one GPU
    for an hour, in any currency, 0 where it is not asked for.
    """

    gpus: int
    peak: float
    days: float
    utilization: float
    price: float = 0.0

    def __post_init__(self) -> None:
        """Check the border once."""
        at_least("The number of GPUs", self.gpus, 1)
        _positive("The peak of one GPU in operations a second", self.peak, MOST_PEAK)
        _positive("The number of days", self.days, MOST_DAYS)
        share("The utilization", self.utilization)
        if not (math.isfinite(self.price) and 0 <= self.price <= 1e6):
            raise InputError(f"The price of {self.price} an hour is not possible.", "Give a number from 0 up.")

    @property
    def operations(self) -> float:
        """C = GPUs · peak · utilization · seconds."""
        return self.gpus * self.peak * self.utilization * self.days * SECONDS_A_DAY

    @property
    def gpu_hours(self) -> float:
        """GPUs · days · 24."""
        return self.gpus * self.days * 24


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a plan: `formula` names the quantities, `values` has the numbers put in, `note` what to know."""

    name: str
    value: float
    unit: str
    formula: str
    values: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A training run within a budget. `figures` say the same with formulas."""

    budget: Budget
    law: Law
    operations: float
    parameters: float
    tokens: float
    loss: float | None  # None where the law predicts none
    figures: tuple[Figure, ...]

    @property
    def tokens_per_parameter(self) -> float:
        """D / N."""
        return self.tokens / self.parameters


def plan(budget: Budget, law: Law = REPLICATION, parameters: float | None = None) -> Plan:
    """The run that spends `budget`: the law's optimal size, or a size of one's own with as many tokens as are left.

    Raises InputError for a size that makes no sense.
    """
    operations = budget.operations
    optimum = float(law.optimal_parameters(operations))
    if parameters is not None:
        _positive("The number of parameters", parameters, 1e18)
    size = optimum if parameters is None else float(parameters)
    tokens = operations / (PER_TOKEN * size)
    loss = None if isinstance(law, PowerLaw) else float(law.loss(size, tokens))
    figures = _figures(budget, law, size, tokens, loss, own=parameters is not None)
    return Plan(budget, law, operations, size, tokens, loss, figures)


def days_for(budget: Budget, parameters: float, tokens: float) -> float:
    """How many days the GPUs of `budget` take for a run: 6·N·D / (GPUs · peak · utilization). Raises InputError."""
    _positive("The number of parameters", parameters, 1e18)
    _positive("The number of tokens", tokens, 1e18)
    return PER_TOKEN * parameters * tokens / (budget.gpus * budget.peak * budget.utilization * SECONDS_A_DAY)


def _figures(
    budget: Budget, law: Law, size: float, tokens: float, loss: float | None, *, own: bool
) -> tuple[Figure, ...]:
    c = budget.operations
    found = [
        Figure(
            "Compute",
            c,
            "FLOP",
            "GPUs · peak · utilization · seconds",
            f"{budget.gpus:,} · {budget.peak:.4g} · {budget.utilization:g} · {budget.days * SECONDS_A_DAY:,.0f}",
        ),
        Figure("Compute", c / PF_DAY, "petaFLOP/s-days", "C / 8.64·10¹⁹", f"{c:.4g} / 8.64e19"),
        Figure(
            "Parameters",
            size,
            "",
            "your own choice" if own else law.optimum(),
            f"{size:,.0f}" if own else f"at C = {c:.4g}",
            law.note,
        ),
        Figure("Tokens", tokens, "", "C / (6 · N)", f"{c:.4g} / (6 · {size:.4g})"),
        Figure("Tokens a parameter", tokens / size, "", "D / N", f"{tokens:.4g} / {size:.4g}"),
    ]
    if loss is not None:
        found.append(_loss(law, size, tokens, loss))
    if own:
        found.append(_beside_the_optimum(law, c, size, loss))
    speed = c / (PER_TOKEN * size) / (budget.days * SECONDS_A_DAY)
    found += [
        Figure(
            "Speed",
            speed,
            "tokens/s",
            "D / seconds",
            f"{tokens:.4g} / {budget.days * SECONDS_A_DAY:,.0f}",
            "all GPUs together",
        ),
        Figure("GPU hours", budget.gpu_hours, "h", "GPUs · days · 24", f"{budget.gpus:,} · {budget.days:g} · 24"),
    ]
    if budget.price:
        cost = budget.gpu_hours * budget.price
        found.append(
            Figure("Cost", cost, "", "GPU hours · price", f"{budget.gpu_hours:,.0f} · {budget.price:g}", "of this run")
        )
    return tuple(found)


def _loss(law: Law, size: float, tokens: float, loss: float) -> Figure:
    return Figure(
        "Predicted loss",
        loss,
        "nats/token",
        "L(N, D)",
        f"L({size:.4g}, {tokens:.4g})",
        f"Of the data and the tokenizer that {law.name} was fitted to; losses of different laws do not compare.",
    )


def _beside_the_optimum(law: Law, c: float, size: float, loss: float | None) -> Figure:
    """How far a size of one's own is from the optimum: in loss where law and optimum are of one fit, else in size."""
    best = float(law.optimal_parameters(c))
    if loss is None or not isinstance(law, ParametricLaw):
        return Figure("Beside the optimum", size / best, "× its size", "N / N_opt", f"{size:.4g} / {best:.4g}")
    lowest = float(law.loss(best, optimal_tokens(law, c)))
    return Figure(
        "Beside the optimum",
        loss - lowest,
        "nats/token",
        "L(N, D) − L(N_opt, D_opt)",
        f"{loss:.4f} − {lowest:.4f}",
        f"The optimum has {best:.4g} parameters.",
    )


def _positive(what: str, value: float, most: float) -> None:
    if not (math.isfinite(value) and 0 < value <= most):
        raise InputError(f"{what} is {value:g}, which is not possible.", f"Give a number above 0 and up to {most:g}.")
