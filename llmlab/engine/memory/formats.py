"""How many bytes a number takes in each format, scales and codebooks included. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from llmlab.engine.errors import InputError

BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "int8": 8, "fp8": 8, "int4": 4, "nf4": 4, "fp4": 4}
QUANTIZATIONS = ("int8", "nf4", "fp4")

# Bits per weight over the whole file, embeddings and output included, as llama.cpp prints them for Llama 3.1 8B
# (ggml-org/llama.cpp, tools/quantize/README.md). Its mixtures give some layers more bits, so that the figure of
# another model differs by a few per cent; F16, Q8_0 and Q6_K hardly do.
GGUF_BITS = {
    "IQ1_S": 2.0042,
    "IQ1_M": 2.1460,
    "IQ2_XXS": 2.3824,
    "IQ2_XS": 2.5882,
    "IQ2_S": 2.7403,
    "IQ2_M": 2.9294,
    "Q2_K_S": 2.9697,
    "Q2_K": 3.1593,
    "IQ3_XXS": 3.2548,
    "IQ3_XS": 3.4977,
    "Q3_K_S": 3.6429,
    "IQ3_S": 3.6606,
    "IQ3_M": 3.7628,
    "Q3_K_L": 4.2979,
    "IQ4_XS": 4.4597,
    "Q4_K_S": 4.6672,
    "IQ4_NL": 4.6818,
    "Q4_K_M": 4.8944,
    "Q5_K_S": 5.5704,
    "Q5_K_M": 5.7036,
    "Q6_K": 6.5633,
    "Q8_0": 8.5008,
    "F16": 16.0005,
}


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """How keys and values are stored: `bits` per element with scales; `recent` tokens stay in 16 bits."""

    bits: float
    note: str = ""
    recent: int = 0


_BLOCKS = "llama.cpp: 32 elements share a 16-bit scale. Quantized caches need scratch memory to be read as well."
_GROUPS = (
    "transformers' QuantizedCache: 64 elements share a 16-bit scale and zero point; the last 128 tokens stay in 16 bits"
    " until they are quantized together."
)
CACHE_FORMATS = {
    "float32": CacheFormat(32),
    "bfloat16": CacheFormat(16),
    "float16": CacheFormat(16),
    "fp8": CacheFormat(8, "One scale for a whole tensor: its bytes do not count."),
    "float8": CacheFormat(8, "One scale for a whole tensor: its bytes do not count."),
    "q8_0": CacheFormat(8.5, _BLOCKS),
    "q4_0": CacheFormat(4.5, _BLOCKS),
    "int8": CacheFormat(8.5, _GROUPS, recent=128),
    "int4": CacheFormat(4.5, _GROUPS, recent=128),
    "int2": CacheFormat(2.5, _GROUPS, recent=128),
}

_BLOCK = 64  # elements that share one scale in NF4 and FP4
_NESTED_BLOCK = 256  # scales that share one scale in double quantization
_CODEBOOK = 16 * 4  # the 16 values of a 4-bit type, in float32
_NESTED_STATE = 256 * 4 + 4 + 64  # 8-bit codebook and offset of the scales, and the 4-bit codebook


def bits(dtype: str) -> int:
    """Bits per element. Raises InputError for a format that is not known."""
    if dtype not in BITS:
        raise InputError(f"There is no number format “{dtype}”.", f"Choose one of {', '.join(BITS)}.")
    return BITS[dtype]


def cache_format(name: str) -> CacheFormat:
    """How a cache format stores its elements. Raises InputError."""
    if name not in CACHE_FORMATS:
        raise InputError(f"There is no cache format “{name}”.", f"Choose one of {', '.join(CACHE_FORMATS)}.")
    return CACHE_FORMATS[name]


def matrix_bytes(outputs: int, inputs: int, dtype: str, quantization: str | None, *, double: bool = False) -> int:
    """Bytes of one weight matrix (outputs, inputs) at a precision, scales and codebooks included."""
    return packed_bytes(outputs, inputs, dtype, quantization) + state_bytes(
        outputs, inputs, quantization, double=double
    )


def packed_bytes(outputs: int, inputs: int, dtype: str, quantization: str | None) -> int:
    """Bytes of the matrix's own numbers: what transformers' get_memory_footprint() counts."""
    elements = outputs * inputs
    if quantization is None:
        return elements * bits(dtype) // 8
    if quantization not in QUANTIZATIONS:
        raise InputError(f"There is no quantization “{quantization}”.", f"Choose one of {', '.join(QUANTIZATIONS)}.")
    return elements if quantization == "int8" else math.ceil(elements / 2)


def state_bytes(outputs: int, inputs: int, quantization: str | None, *, double: bool = False) -> int:
    """Bytes of scales and codebooks, which bitsandbytes keeps beside the matrix."""
    if quantization is None:
        return 0
    if quantization == "int8":
        return 4 * outputs
    blocks = math.ceil(outputs * inputs / _BLOCK)
    if double:
        return blocks + 4 * math.ceil(blocks / _NESTED_BLOCK) + _NESTED_STATE
    return 4 * blocks + _CODEBOOK
