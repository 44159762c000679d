"""One measurement: what it was asked for, and what came in so far. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmlab.engine.datasets.project import Project
from llmlab.engine.shots.plans import Condition
from llmlab.engine.shots.results import ContentFree, Outcome
from llmlab.engine.shots.summary import Results
from llmlab.engine.shots.types import Example, PromptSpec
from llmlab.ui.panels.shots.built import shots_of
from llmlab.ui.panels.shots.measure.params import Comparison, Params

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.jobs.job import JobControl


@dataclass(frozen=True, slots=True)
class Variant:
    """A prompt that was put aside to be compared with another."""

    name: str
    spec: PromptSpec
    shots: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """All that decides on the outcomes; two that are equal have the same."""

    test: Comparison
    spec: PromptSpec
    pool: tuple[Example, ...]
    items: tuple[Example, ...]
    plan: tuple[Any, ...]  # of a sweep: counts, seeds, choice; of variants: the other one

    @classmethod
    def of(cls, project: Project, params: Params, variant: Variant | None) -> Request:
        """What is to be measured now."""
        items = project.test[: params.items] if params.items else project.test
        sweep, used = params.test is Comparison.SWEEP, shots_of(project)
        plan: tuple[Any, ...] = (params.counts, params.seeds, params.choice) if sweep else ()
        if params.test is Comparison.VARIANTS:
            plan = (variant,)
        return cls(params.test, project.spec, project.examples if sweep else used, items, plan)

    @property
    def other_specs(self) -> tuple[PromptSpec, ...]:
        """The prompt of variant A, where there is one."""
        variants = self.plan if self.test is Comparison.VARIANTS else ()
        return tuple(each.spec for each in variants if each is not None)

    def asks_the_same(self, other: Request) -> bool:
        """Whether both are about the same items and labels, however they are asked."""
        return (self.items, self.spec.labels) == (other.items, other.spec.labels)

    @property
    def can_calibrate(self) -> bool:
        """Whether the answers are labels that all items share: what is preferred without a query can be asked then."""
        return bool(self.spec.labels) and not any(item.choices for item in self.items)

    @property
    def has_labels(self) -> bool:
        """Whether the answers are labels, not free text."""
        return bool(self.spec.labels) or any(item.choices for item in self.items)


@dataclass(slots=True, eq=False)
class Run:
    """A measurement and its outcomes. `conditions` are known once it has begun."""

    request: Request
    conditions: tuple[Condition, ...] = ()
    results: Results = field(default_factory=Results)
    lines: dict[tuple[str, Any], dict[int, Any]] = field(default_factory=dict)  # of the table, by condition and judge

    @property
    def total(self) -> int:
        """How many outcomes there will be; 0 before that is known."""
        return len(self.conditions) * len(self.request.items)

    def complete(self, calibrated: bool) -> bool:
        """Whether all are there; `calibrated`: and what it takes to calibrate each."""
        return bool(self.conditions) and self.results.count == self.total and not (calibrated and self.uncalibrated)

    @property
    def uncalibrated(self) -> int:
        """How many outcomes have shots of their own whose content-free prompts were not asked."""
        if not self.request.can_calibrate:
            return 0
        own = sum(self.results.count_of(each.key) for each in self.conditions if len(each.shots) > 1)
        return max(0, own - self.results.own_free_count)

    def add(self, told: tuple[Condition, ...] | Outcome | ContentFree) -> None:
        """What the work told."""
        if isinstance(told, tuple):
            self.conditions = told
            return
        self.results.add(told)
        if isinstance(told, ContentFree):
            for (key, _), made in self.lines.items():
                if key == told.condition and told.item is not None:
                    made.pop(told.item, None)  # it was judged without


def work(request: Request, known: frozenset[tuple[str, int]], calibrate: bool) -> Callable[[Engine, JobControl], None]:
    """Emits the conditions, and then every outcome but those that are `known`.

    `calibrate`: with the content-free prompts of items that have shots of their own, up to three more for each.
    """

    def call(engine: Engine, control: JobControl) -> None:
        from llmlab.engine.shots.measure import check_items, measure

        for spec in (request.spec, *request.other_specs):
            check_items(spec, request.items)
        conditions = _conditions(engine, request, control)
        control.emit(conditions)
        also = True if calibrate else None
        for told in measure(engine.loaded, conditions, request.items, known=known, calibrate=also, control=control):
            control.emit(told)

    return call


def _conditions(engine: Engine, request: Request, control: JobControl) -> tuple[Condition, ...]:
    from llmlab.engine.errors import InputError
    from llmlab.engine.shots import plans
    from llmlab.engine.shots.choice import Choice
    from llmlab.engine.shots.measure import ranking

    spec, shots = request.spec, request.pool
    if request.test is Comparison.SWEEP:
        counts, seeds, choice = request.plan
        near = choice is Choice.NEAREST
        order = ranking(engine.loaded, spec, shots, request.items, control) if near else None
        return plans.k_sweep(spec, shots, request.items, counts, range(seeds), choice, order)
    if request.test is Comparison.VARIANTS:
        (variant,) = request.plan
        if variant is None:
            raise InputError("There is no variant A yet.", "Keep the prompt of the moment as A, then change it.")
        return plans.variants((variant.spec, variant.shots), (spec, shots))
    make = {
        Comparison.ORDER: plans.orders,
        Comparison.LEAVE_ONE_OUT: plans.leave_one_out,
        Comparison.SWAP: plans.label_swap,
    }
    return make[request.test](spec, shots)
