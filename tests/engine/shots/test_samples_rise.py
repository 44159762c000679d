"""The shipped sample with invented labels shows what few-shot learning is: the bundled decoder learns it from shots."""

from __future__ import annotations

import pytest

from llmlab import paths
from llmlab.engine import Engine
from llmlab.engine.datasets import project
from llmlab.engine.datasets.notes import Notes
from llmlab.engine.shots import plans
from llmlab.engine.shots.choice import Choice
from llmlab.engine.shots.measure import check_items, measure
from llmlab.engine.shots.summary import Judge, Results, curve


@pytest.mark.slow
def test_accuracy_rises_from_zero_to_eight_shots() -> None:
    path = paths.resources() / "shots" / "invented-labels.shots.yaml"
    sample = project.loads(path.name, path.read_text("utf-8"), Notes())
    check_items(sample.spec, sample.test)
    assert not plans.overlap(sample.examples, sample.test)
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    conditions = plans.k_sweep(sample.spec, sample.examples, sample.test, (0, 8), (0, 1), Choice.BALANCED)
    results = Results()
    for told in measure(engine.loaded, conditions, sample.test):
        results.add(told)
    none, eight = curve(conditions, results, Judge())
    assert (none.count, eight.count) == (0, 8)
    assert none.all.high < eight.all.low
    assert eight.all.low > 1 / len(sample.spec.labels)

    swap = plans.label_swap(sample.spec, sample.examples[:8])
    exchanged = Results()
    for told in measure(engine.loaded, swap, sample.test, calibrate=False):
        exchanged.add(told)
    given, swapped = (exchanged.interval(key, Judge()).value for key in (plans.AS_GIVEN, plans.SWAPPED))
    assert given > swapped  # the labels of the shots are read, not only their form
