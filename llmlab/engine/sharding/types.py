"""What a sharded training run is asked for, and what it answers. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.memory.sharding import Strategy

METHODS = (Strategy.DDP, Strategy.ZERO_1, Strategy.SHARD_GRAD_OP, Strategy.FULL_SHARD)
RANKS = (2, 3, 4)
DEVICES = ("auto", "cpu", "cuda")
MOST_STEPS = 50
MOST_SEQUENCES = 16


@dataclass(frozen=True, slots=True)
class ShardingRequest:
    """`ranks` processes train `steps` steps with each of `methods`, on `batch` sequences of `tokens` tokens each.

    `folder` is a decoder-only model's, "" the bundled decoder's. The tokens are drawn with `seed`, and are the same in
    every step and for every method. `device`: cuda needs a GPU for each rank; auto takes GPUs where there are enough.
    """

    methods: tuple[Strategy, ...] = METHODS
    ranks: int = 2
    steps: int = 4
    batch: int = 2
    tokens: int = 64
    device: str = "auto"
    seed: int = 0
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Collective:
    """One kind of call that the ranks make together in a step.

    `payload` is the bytes of the whole tensors; `sent` what a rank sends for them with a ring.
    """

    name: str
    calls: int
    payload: int
    sent: float


@dataclass(frozen=True, slots=True)
class RankResult:
    """What one rank held and sent in its last step, in bytes, and its loss in each step (nats a token).

    `gathered` are weights that were whole for the moment, at the worst moment, beside `parameters`.
    """

    rank: int
    parameters: int
    gathered: int
    gradients: int
    optimizer: int
    collectives: tuple[Collective, ...]
    losses: tuple[float, ...]

    @property
    def sent(self) -> float:
        """Bytes that it sent in a step."""
        return sum(each.sent for each in self.collectives)


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity as predicted, with its formula, and as measured on each rank. Bytes.

    `exact`: the calculator claims to know it; otherwise it is an estimate, or the framework does something else, and
    `note` says what.
    """

    name: str
    predicted: float
    formula: str
    measured: tuple[float, ...]  # by rank
    exact: bool = True
    note: str = ""

    @property
    def error(self) -> float | None:
        """(predicted − measured) / measured for the rank that is furthest off; None where nothing was measured."""
        found = [(self.predicted - value) / value for value in self.measured if value]
        return max(found, key=abs) if found else None


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method: its ranks, and each quantity as predicted and measured.

    `relative` is what a rank sends over what it sends under DDP; predicted and measured.
    """

    method: Strategy
    ranks: tuple[RankResult, ...]
    compared: tuple[Compared, ...]
    relative_predicted: float
    relative_measured: float

    @property
    def losses(self) -> tuple[float, ...]:
        """Of each step, the mean over the ranks: the loss of all sequences together."""
        return tuple(sum(step) / len(step) for step in zip(*(rank.losses for rank in self.ranks), strict=True))


@dataclass(frozen=True, slots=True)
class ShardingRun:
    """All methods. `alone` are the losses of one process that trains on all ranks' sequences at once."""

    request: ShardingRequest
    model: str
    parameters: int
    device: str  # cpu or cuda
    alone: tuple[float, ...]
    results: tuple[MethodResult, ...]

    @property
    def largest_difference(self) -> float:
        """The largest distance of any method's loss from that of one process, in nats."""
        pairs = [zip(result.losses, self.alone, strict=True) for result in self.results]
        return max((abs(one - other) for pair in pairs for one, other in pair), default=0.0)


def check(request: ShardingRequest) -> None:
    """Raise InputError for a request that cannot be."""
    if request.ranks not in RANKS:
        raise InputError(f"{request.ranks} processes are not offered here.", "Choose 2, 3 or 4.")
    if not request.methods or any(method not in METHODS for method in request.methods):
        raise InputError("There is nothing to run.", f"Choose one or more of {', '.join(METHODS)}.")
    for what, value, least, most in (
        ("The number of steps", request.steps, 1, MOST_STEPS),
        ("The number of sequences of a rank", request.batch, 1, MOST_SEQUENCES),
    ):
        if not least <= value <= most:
            raise InputError(f"{what} is {value:,}.", f"Give a number from {least} to {most}.")
    if request.tokens < 2:
        raise InputError(f"Sequences of {request.tokens} tokens have no next token to learn.", "Give 2 tokens or more.")
    if request.device not in DEVICES:
        raise InputError(f"Ranks cannot run on “{request.device}”.", f"Choose one of {', '.join(DEVICES)}.")
