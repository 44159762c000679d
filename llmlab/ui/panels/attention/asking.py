"""Asks for the attention of a text in the background. No Qt.

Jobs never keep a capture: they ask the engine for it again, which remembers the last ones, so that the tensors live
as long as the engine wants and no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from llmlab.engine.attention.types import AttentionRequest
from llmlab.ui import asking

if TYPE_CHECKING:
    from llmlab.engine.attention.captured import AttentionCapture
    from llmlab.engine.engine import Engine
    from llmlab.jobs.job import JobControl

T = TypeVar("T")


class Asking(asking.Asking):
    """Where the parts of the panel have their work done."""

    def capture(
        self,
        owner: object,
        key: str,
        request: AttentionRequest,
        work: Callable[[AttentionCapture, JobControl], T],
        done: Callable[[T], None],
        **more: Any,
    ) -> None:
        """Do `work` with the attention of what `request` has the model read. `more`: see `engine`."""

        def with_engine(engine: Engine, control: JobControl) -> T:
            return work(engine.captured(request, control), control)

        self.engine(owner, key, with_engine, done, **more)
