"""Whose 16-bit copies under autocast are counted, and whose are estimates that say so."""

from __future__ import annotations

import pytest

from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.recipe import Precision, TrainingSettings
from llmlab.engine.memory.states import COPIES, state_terms
from llmlab.engine.memory.step import Moment, Step
from tests.engine.memory_families import FAMILIES


def notes(name: str, precision: Precision) -> dict[str, str]:
    shape, settings = describe(FAMILIES[name](2)), TrainingSettings(precision)
    phases = {each.moment: each for each in Step(shape, settings, state_terms(shape, settings)).phases()}
    return {term.name: term.note for term in phases[Moment.FORWARD].terms}


@pytest.mark.parametrize(("name", "estimated"), [("llama", False), ("gemma 2", True), ("bloom", True)])
def test_copies_are_an_estimate_where_nobody_has_counted_them(name: str, *, estimated: bool) -> None:
    found = notes(name, Precision.AUTOCAST)
    for part in (COPIES, "Activations"):
        assert ("An estimate" in found[part]) == estimated


@pytest.mark.parametrize("name", ["llama", "gemma 2", "bloom"])
def test_without_autocast_there_is_nothing_to_estimate(name: str) -> None:
    found = notes(name, Precision.BFLOAT16)
    assert COPIES not in found
    assert "An estimate" not in found["Activations"]
