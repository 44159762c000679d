"""The model that is open now: what the model thread owns. No Qt."""

from __future__ import annotations

import traceback

from llmlab.engine.devices import memory_use
from llmlab.engine.engine import Engine
from llmlab.engine.errors import EngineError, ModelLostError, ModelNotFoundError
from llmlab.engine.loading import load
from llmlab.engine.placement import Spare
from llmlab.engine.progress import Control
from llmlab.engine.types import ModelInfo, ModelRequest


class Session:
    """Holds one open model, and replaces it without losing it."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._freed: ModelRequest | None = None  # the model that made room for one that is being opened

    @property
    def is_open(self) -> bool:
        """Whether there is a model."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The open model. Raises ModelNotFoundError where there is none."""
        if self._engine is None:
            raise ModelNotFoundError("No model is open.", "Open a model first.")
        return self._engine

    def open(self, request: ModelRequest, control: Control) -> ModelInfo:
        """Open another model in place of the one that is open now.

        The former one stays until the new one is there, where there is memory for both; otherwise it is freed just
        before the weights are read. If opening fails or is cancelled, the former one is open again afterwards.
        Raises what `load` raises, or ModelLostError where the former model could not be brought back either.
        """
        problem: Exception
        try:
            engine = Engine(load(request, control, self._spare()))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the former model comes back
            problem = error
            traceback.clear_frames(error.__traceback__)  # they hold the tensors of what failed
        else:
            self.close()
            self._engine = engine
            return engine.info
        raise self._reopened(problem, control)

    def close(self) -> None:
        """Free the model."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._freed = None

    def _spare(self) -> Spare | None:
        if self._engine is None:
            return None
        loaded = self._engine.loaded
        return Spare(loaded.device, memory_use(loaded).weights, self._give_up)

    def _give_up(self) -> None:
        if self._engine is not None:
            self._freed = self._engine.info.request
            self._engine.close()
            self._engine = None

    def _reopened(self, problem: Exception, control: Control) -> Exception:
        """Open the former model again if it had made room; the error to raise afterwards."""
        former, self._freed = self._freed, None
        if former is None:
            return problem
        control.report("Opening the former model again")
        try:
            self._engine = Engine(load(former, _Uncancellable(control)))
        except EngineError as error:
            message, hint = (
                (problem.message, problem.hint)
                if isinstance(problem, EngineError)
                else ("Opening the model was given up.", "")
            )
            return ModelLostError(message, f"{hint} The former model is lost as well: {error.message}".strip())
        return problem


class _Uncancellable:
    """Passes reports on; used to bring back what a cancelled job had put aside."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def check(self) -> None:
        """Never raises."""

    def report(self, text: str, fraction: float | None = None) -> None:
        """Say where the work stands."""
        self._control.report(text, fraction)
