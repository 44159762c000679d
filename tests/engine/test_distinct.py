"""Which numbers occur: what `np.unique` says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.distinct import distinct


@given(st.lists(st.integers(0, 300)))
def test_it_is_what_unique_says(values: list[int]) -> None:
    array = np.array(values, np.int32)
    assert distinct(array).tolist() == np.unique(array).tolist()
