"""The ways to store a weight matrix that can be compared. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.memory.formats import BITS, QUANTIZATIONS, matrix_bytes
from llmlab.engine.wording import one_of

FLOATS = ("float32", "bfloat16", "float16")
ABSMAX = "absmax"
FORMATS = (*FLOATS, *QUANTIZATIONS, ABSMAX)
GRANULARITIES = ("tensor", "channel", "group")
GROUPS = (32, 64, 128, 256)  # the sizes in use; any from 1 up is possible
LEAST_BITS, MOST_BITS = 2, 8
SCALE_BYTES = 4  # absmax keeps its scales in float32, as bitsandbytes does

_NAMES = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "int8": "LLM.int8",
    "nf4": "NF4",
    "fp4": "FP4",
}


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to store weight matrices. Raises InputError for settings that make no sense.

    `format` is float32, bfloat16 or float16, bitsandbytes' int8, nf4 or fp4 (`double` quantizes the scales of the
    latter two), or absmax: round(w / s) with s = max |w| / (2^(bits − 1) − 1), one s for the whole `tensor`, for each
    output `channel` (row), or for each `group` of `group_size` weights within a row.
    """

    format: str
    double: bool = False
    bits: int = 8
    granularity: str = "channel"
    group_size: int = 64

    def __post_init__(self) -> None:
        """Settings that the format does not have take their defaults, so that equal schemes are equal."""
        if self.format not in FORMATS:
            raise InputError(f"There is no way to store weights called “{self.format}”.", f"Choose {one_of(FORMATS)}.")
        if self.format != ABSMAX:
            for name, value in (("bits", 8), ("granularity", "channel"), ("group_size", 64)):
                object.__setattr__(self, name, value)
        if self.format not in ("nf4", "fp4"):
            object.__setattr__(self, "double", False)
        if self.granularity not in GRANULARITIES:
            raise InputError(
                f"Weights cannot share a scale per “{self.granularity}”.", f"Choose {one_of(GRANULARITIES)}."
            )
        if self.granularity != "group":
            object.__setattr__(self, "group_size", 64)
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise InputError(
                f"{self.bits} bits are not possible here.", f"Choose from {LEAST_BITS} to {MOST_BITS} bits."
            )
        if self.group_size < 1:
            raise InputError(f"A group of {self.group_size:,} weights is not possible.", "Give a number from 1 up.")

    @property
    def is_float(self) -> bool:
        """Whether it is an ordinary number format, without scales."""
        return self.format in FLOATS

    @property
    def is_simulated(self) -> bool:
        """Whether no kernel computes with it here: weights are rounded, and the arithmetic is the model's own."""
        return self.format == ABSMAX

    @property
    def highest(self) -> int:
        """The largest whole number of absmax: 127 with 8 bits, 1 with 2."""
        return int(2 ** (self.bits - 1) - 1)

    @property
    def name(self) -> str:
        """As a table shows it: NF4, LLM.int8, absmax int4 per group of 64."""
        if self.format != ABSMAX:
            return _NAMES[self.format] + (" double" if self.double else "")
        group = f" of {self.group_size}" if self.granularity == "group" else ""
        return f"absmax int{self.bits} per {self.granularity}{group}"

    def scales(self, outputs: int, inputs: int) -> int:
        """How many scales absmax keeps for a matrix (outputs, inputs)."""
        if self.granularity == "tensor":
            return 1
        return outputs * (-(-inputs // self.group_size) if self.granularity == "group" else 1)

    def bytes_of(self, outputs: int, inputs: int) -> int:
        """Bytes of a weight matrix (outputs, inputs), scales and codebooks included.

        bitsandbytes': int8 n + 4·outputs; nf4 and fp4 n/2 + 4·⌈n/64⌉ + 64, with double quantization
        n/2 + ⌈n/64⌉ + 4·⌈n/64/256⌉ + 1092. absmax: ⌈n·bits/8⌉ + 4 a scale.
        """
        if self.format == ABSMAX:
            return -(-outputs * inputs * self.bits // 8) + SCALE_BYTES * self.scales(outputs, inputs)
        if self.is_float:
            return outputs * inputs * BITS[self.format] // 8
        return matrix_bytes(outputs, inputs, "float32", self.format, double=self.double)


STANDARD = (
    Scheme("float32"),
    Scheme("bfloat16"),
    Scheme("float16"),
    Scheme("int8"),
    Scheme("nf4"),
    Scheme("nf4", double=True),
    Scheme("fp4"),
)
