"""What one layer holds while it reads, for any number of tokens and sequences. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Working:
    """Bytes that one layer holds: `mlp` and `attention` of a token that is read, `per_score` of each pair of such a
    token and one that it sees, `per_seen` of a token that is seen; `per_pair` of a pair once for all sequences.
    """

    mlp: int
    attention: int
    per_score: int
    per_seen: int
    per_pair: int

    def in_mlp(self, batch: Any, read: Any) -> Any:
        """Bytes in the MLP: integers, or arrays."""
        return batch * read * self.mlp

    def in_attention(self, batch: Any, read: Any, seen: Any) -> Any:
        """Bytes in attention: integers, or arrays."""
        return batch * (read * (self.attention + self.per_score * seen) + self.per_seen * seen)

    def always(self, read: Any, seen: Any) -> Any:
        """Bytes beside both: integers, or arrays."""
        return self.per_pair * read * seen
