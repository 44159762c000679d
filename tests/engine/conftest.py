"""What the engine's tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    """The same test on the CPU and, where there is one, on a GPU."""
    return str(request.param)
