"""What a measurement of memory is asked for, and what it answers. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.types import Int64

BEFORE = "there before"  # in place of the operation that made a tensor
MOST_TOKENS = 2**17
MOST_STEPS = 1024
MOST_SEQUENCES = 1024


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """`batch` sequences of `tokens` tokens are read at once, then `steps` tokens are written, one by one.

    `train`: a copy of the model is trained on them for two steps, the second of which is looked at.
    """

    tokens: int = 256
    steps: int = 8
    batch: int = 1
    train: bool = False


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the memory, predicted with its formula, and measured. Bytes."""

    name: str
    predicted: int
    formula: str
    values: str
    measured: int
    note: str = ""

    @property
    def error(self) -> float | None:
        """(predicted − measured) / measured; None where nothing was measured."""
        return (self.predicted - self.measured) / self.measured if self.measured else None


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Bytes of one kind of tensors after each operation, int64 (operations,)."""

    name: str
    bytes: Int64


@dataclass(frozen=True, slots=True)
class Alive:
    """A tensor that is there at the worst moment: made by `operation`, or `BEFORE`; kept for `kind`."""

    operation: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """One piece of work. `curves` add up to all tensors, the weights included.

    `predicted` is the peak as the calculator's terms make it, and `moment` says which of them meet in it. `peak` is
    the worst moment of all tensors, after operation number `at`; on a GPU `allocator` is the peak of torch's
    allocator over the same time, in which a kernel's own working memory counts too. `process` is the most that the
    process held in main memory (resident set size), sampled.
    """

    name: str
    components: tuple[Component, ...]
    predicted: int
    moment: str
    curves: tuple[Curve, ...]
    alive: tuple[Alive, ...]  # the largest ones beside the weights
    operations: tuple[str, ...]
    peak: int
    at: int
    process: int
    allocator: int | None = None

    @property
    def operation(self) -> str:
        """The operation of the worst moment."""
        return self.operations[self.at]

    @property
    def measured(self) -> int:
        """The peak: the allocator's where there is one, else that of all tensors."""
        return self.peak if self.allocator is None else self.allocator

    @property
    def error(self) -> float | None:
        """(predicted − measured) / measured of the peak."""
        return (self.predicted - self.measured) / self.measured if self.measured else None


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """All phases. `warnings` are what the framework does that one would not expect, with its bytes.

    `process_before` is what the process held in main memory beforehand. `unused` is what the GPU's allocator keeps
    beyond the tensors, and `outside` what the GPU lacks beyond that: the CUDA context, and other programs.
    """

    settings: MeasureSettings
    model: str
    device: str
    dtype: str
    quantization: str | None
    phases: tuple[Phase, ...]
    warnings: tuple[str, ...]
    process_before: int
    unused: int | None = None
    outside: int | None = None


def check(settings: MeasureSettings) -> None:
    """Raise InputError for settings that make no sense."""
    for what, value, least, most in (
        ("The number of tokens", settings.tokens, 1, MOST_TOKENS),
        ("The number of tokens to write", settings.steps, 0, MOST_STEPS),
        ("The batch", settings.batch, 1, MOST_SEQUENCES),
    ):
        if not least <= value <= most:
            raise InputError(f"{what} is {value:,}.", f"Give a number from {least:,} to {most:,}.")
