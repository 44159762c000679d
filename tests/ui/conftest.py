"""Fixtures of the widget tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.engine.sampling import SortedLogits
from llmlab.ui import theme
from llmlab.ui.panels.decoding.controls import Controls
from llmlab.ui.panels.decoding.params import Params


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, qapp: QApplication) -> Iterator[str]:
    """The test runs in both schemes."""
    theme.apply(qapp)
    theme.set_scheme(request.param)
    yield request.param
    theme.set_scheme("system")


@pytest.fixture(scope="session")
def big() -> SortedLogits:
    """A position of a 152,000-token vocabulary, with a few tokens far ahead."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=152_000).astype(np.float32) * 2
    logits[[17, 5, 99_000, 151_999]] = (16.0, 15.0, 14.5, 13.0)
    return SortedLogits.from_logits(logits, (5, 17))


@pytest.fixture
def controls(qtbot: QtBot) -> Controls:
    """The decoding panel's column, with every setting at its default."""
    made = Controls()
    qtbot.addWidget(made)
    made.resize(300, 900)
    made.show_params(Params())
    made.show()
    return made
