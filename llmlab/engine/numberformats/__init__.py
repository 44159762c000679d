"""Number formats, bit by bit: what becomes of a number in FP16, BF16, FP8 and so on. Exact; imports no torch.

`float(read(parse("3.141592"), BFLOAT16).value)` is 3.140625.
"""

from llmlab.engine.numberformats.exact import Exact, Kind, decimal, parse
from llmlab.engine.numberformats.formats import (
    BFLOAT16,
    E4M3,
    E5M2,
    FLOAT16,
    FLOAT32,
    FLOATS,
    NF4_VALUES,
    TF32,
    BitField,
    FloatFormat,
    Int8,
    Nf4,
    NumberFormat,
    formats,
)
from llmlab.engine.numberformats.reading import (
    Reading,
    between,
    class_of,
    flip,
    of_code,
    overflow_rule,
    read,
    spelled,
)

__all__ = [
    "BFLOAT16",
    "E4M3",
    "E5M2",
    "FLOAT16",
    "FLOAT32",
    "FLOATS",
    "NF4_VALUES",
    "TF32",
    "BitField",
    "Exact",
    "FloatFormat",
    "Int8",
    "Kind",
    "Nf4",
    "NumberFormat",
    "Reading",
    "between",
    "class_of",
    "decimal",
    "flip",
    "formats",
    "of_code",
    "overflow_rule",
    "parse",
    "read",
    "spelled",
]
