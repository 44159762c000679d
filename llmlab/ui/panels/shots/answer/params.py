"""How the answer is shown. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmlab.engine.shots.results import Score


@dataclass(frozen=True, slots=True)
class Params:
    """`score`: how a label's log-probability becomes its score; `calibrate`: show the calibrated ones as well."""

    score: Score = Score.SUM
    calibrate: bool = True

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        saved: dict[str, Any] = {}
        if self.score is not Score.SUM:
            saved["score"] = self.score.value
        if not self.calibrate:
            saved["calibrate"] = False
        return saved

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote; what makes no sense is left at its default."""
        score = saved.get("score")
        known = Score(score) if score in tuple(Score) else Score.SUM
        return cls(known, saved.get("calibrate") is not False)
