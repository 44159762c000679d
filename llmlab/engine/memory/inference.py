"""What running a model takes: weights, cache, working memory, logits, context, margin. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from llmlab.engine.errors import InputError
from llmlab.engine.memory.checks import at_least, share
from llmlab.engine.memory.formats import GGUF_BITS, bits, cache_format, matrix_bytes
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.terms import Estimate, Term, plain, with_margin
from llmlab.engine.memory.weights import packed_of, scales_of, weight_bytes
from llmlab.engine.memory.working import Working, masks, of_mlp, of_score, tensors_in_mlp

CUDA_CONTEXT = 500 * 2**20
PAGE = 16  # tokens in one block of a paged cache
CONVENTIONS = ("transformers", "paged")


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """How a model is run.

    `dtype` is the precision of weights and activations; `quantization` None, int8, nf4, fp4 (bitsandbytes, `double`:
    scales quantized too) or a GGUF type such as Q4_K_M. `tokens` are prompt and completion of each of `batch`
    sequences, `source_tokens` the encoder's. `prefill` is how many tokens are read at once, None for all of them;
    `all_logits`: logits of every position are made, not only of the last. `convention`: "transformers" lets sliding
    layers drop what left their window; "paged" keeps whole pages of 16 tokens in every layer. `flash`: attention never
    materialises its scores. `cuda`: the kernels of a GPU, not those of a CPU. `cuda_context` in bytes; `margin` a share
    of everything else.
    """

    dtype: str = "bfloat16"
    quantization: str | None = None
    double: bool = False
    tokens: int = 4096
    source_tokens: int = 0
    batch: int = 1
    cache_dtype: str = "bfloat16"
    convention: str = "transformers"
    prefill: int | None = None
    all_logits: bool = False
    flash: bool = True
    cuda: bool = True
    cuda_context: int = CUDA_CONTEXT
    margin: float = 0.05


def inference(shape: ModelShape, settings: InferenceSettings) -> Estimate:
    """Bytes of each component while `shape` runs; they add up. Raises InputError for settings that make no sense."""
    check_inference(settings)
    terms = [*weight_terms(shape, settings.dtype, settings.quantization, double=settings.double)]
    terms += cache_terms(shape, settings)
    terms += [working_term(shape, settings), logits_term(shape, settings)]
    return Estimate(
        with_margin(terms, settings.cuda_context, settings.margin),
        quantization_warnings(shape, settings.dtype, settings.quantization, double=settings.double),
    )


@lru_cache(maxsize=256)  # does not depend on what a slider moves
def weight_terms(
    shape: ModelShape, dtype: str, quantization: str | None = None, *, double: bool = False
) -> tuple[Term, ...]:
    """The weights: one term, or what is quantized, its scales and codebooks, and what stays in `dtype`."""
    if quantization in GGUF_BITS:
        width = GGUF_BITS[quantization]
        size = math.ceil(shape.parameters * width / 8)
        note = "Bits per weight of Llama 3.1 8B; the mixture of another model differs by a few per cent."
        values = f"{shape.parameters:,} · {plain(width)} / 8"
        return (Term("Weights", size, "parameters · bits per weight / 8", values, note),)
    whole = weight_bytes(shape.layout, dtype, quantization, double=double)
    if quantization is None:
        return (_plain_weights(shape, dtype, whole),)
    matrices = shape.layout.matrices
    packed = packed_of(matrices, dtype, quantization)
    scales = scales_of(matrices, quantization, double=double)
    elements = shape.layout.quantizable
    per = "1" if quantization == "int8" else "1/2"
    return (
        Term("Quantized weights", packed, f"elements · {per}", f"{elements:,} · {per}"),
        Term("Scales and codebooks", scales, *_state_formula(shape, quantization, double=double)),
        Term(
            "Weights left as they are",
            whole - packed - scales,
            f"other elements · {bits(dtype) // 8}",
            f"{shape.parameters - elements:,} · {bits(dtype) // 8}{_exceptions(shape, dtype)}",
            "Embeddings, output layer, norms and biases are not quantized.",
        ),
    )


def cache_terms(shape: ModelShape, settings: InferenceSettings) -> tuple[Term, ...]:
    """Keys and values: of the sequence, and of the encoder's text where there is one."""
    if not shape.cache:
        return ()
    terms = [_own_cache(shape, settings)]
    if shape.encodes_first and settings.source_tokens:
        elements = sum(shape.windows.values())
        kind = cache_format(settings.cache_dtype)
        size = _stored(elements, settings.source_tokens, settings.batch, settings.cache_dtype)
        terms.append(
            Term(
                "Cross-attention cache",
                size,
                "elements per token · source tokens · batch · bits / 8",
                f"{elements:,} · {settings.source_tokens:,} · {settings.batch:,} · {plain(kind.bits)} / 8",
                "Fixed once the encoder has read its text.",
            )
        )
    return tuple(terms)


def cache_bytes(shape: ModelShape, settings: InferenceSettings) -> int:
    """All bytes of the cache; what `kv_cache_bytes` says, for every format and convention."""
    return sum(term.bytes for term in cache_terms(shape, settings))


def working_term(shape: ModelShape, settings: InferenceSettings) -> Term:
    """The largest set of tensors that one layer holds at once while it reads a block of tokens: `working_of`."""
    width = max(2, bits(settings.dtype) // 8)
    batch, read = settings.batch, _read_at_once(shape, settings)
    seen = max(settings.source_tokens if shape.encodes_first and settings.source_tokens else settings.tokens, read)
    working = working_of(shape, settings)
    mlp, attention = working.in_mlp(batch, read, seen), working.in_attention(batch, read, seen)
    if mlp >= attention:
        formula, values = _mlp_formula(shape, settings, read, seen)
    else:
        formula, values = _attention_formula(shape, settings, read, seen)
    if working.per_pair:
        formula += " + tokens at once · tokens · heads · bytes"
        values += f" + {read:,} · {seen:,} · {shape.heads} · {width}"
    note = "The larger of attention and MLP in one layer; an estimate, since kernels differ."
    if settings.flash and not shape.fuses:
        note += " transformers' code of this family writes scores out."
    elif settings.flash and not _is_fused(shape, settings):
        note += " No fused kernel takes float32 where heads share keys: scores are written out."
    return Term("Activations", max(mlp, attention) + working.always(read, seen), formula, values, note)


def working_of(shape: ModelShape, settings: InferenceSettings) -> Working:
    """What one layer holds while it reads, counted in transformers' code, tensor by tensor.

    MLP: `of_mlp`. Attention: three hidden states, queries before and after the rotation with its two intermediate
    results, keys and values. Scores that are written out: `of_score` in each head, with shared keys and values
    repeated for every head (torch's own code scales the keys once more); transformers' code has masks as numbers
    then, and its layers hold their scores until the MLP is done. T5: the bias of all layers besides.
    """
    width = max(2, bits(settings.dtype) // 8)
    queries, repeated = _queries(shape, settings)
    attention = width * (3 * shape.hidden + queries * shape.query + 2 * shape.key_value)
    score, masked, left = _score_bytes(shape, settings)
    return Working(
        of_mlp(shape, width),
        attention,
        score * shape.heads + masked,
        width * repeated * shape.query,
        width * shape.heads if shape.position_bias else 0,
        left * shape.heads + masked * (left > 0),
    )


def _score_bytes(shape: ModelShape, settings: InferenceSettings) -> tuple[int, int, int]:
    """Bytes of a score in each head, of the masks' pairs, and of a score that is left while the MLP runs."""
    if _is_fused(shape, settings):
        return 0, 0, 0
    width = max(2, bits(settings.dtype) // 8)
    if settings.flash and shape.fuses:  # by torch, which leaves nothing
        return 4 + width, 0, 0
    return of_score(shape, settings.dtype, width), width * masks(shape), width * shape.block.scores


def _queries(shape: ModelShape, settings: InferenceSettings) -> tuple[int, int]:
    """Tensors as wide as the queries: of the tokens that are read, and of all that they see."""
    if _is_fused(shape, settings) or not shape.shares_keys:
        return 4, 0
    return (1, 3) if settings.flash and shape.fuses else (1, 2)


def _is_fused(shape: ModelShape, settings: InferenceSettings) -> bool:
    """Whether a kernel never writes the scores out: none on CUDA takes float32 where heads share keys."""
    return settings.flash and shape.fuses and not (settings.cuda and settings.dtype == "float32" and shape.shares_keys)


def _attention_formula(shape: ModelShape, settings: InferenceSettings, read: int, seen: int) -> tuple[str, str]:
    """The bytes of attention in words, and with the numbers put in."""
    width = max(2, bits(settings.dtype) // 8)
    queries, repeated = _queries(shape, settings)
    batch = settings.batch
    formula = f"batch · tokens at once · bytes · (3 · hidden + {queries} · query + 2 · key/value width)"
    values = (
        f"{batch:,} · {read:,} · {width} · "
        f"(3 · {shape.hidden:,} + {queries} · {shape.query:,} + 2 · {shape.key_value:,})"
    )
    if repeated:
        formula += f" + batch · tokens · bytes · {repeated} · query"
        values += f" + {batch:,} · {seen:,} · {width} · {repeated} · {shape.query:,}"
    score, masked, _ = _score_bytes(shape, settings)
    if score:
        formula += " + batch · tokens at once · tokens · (heads · bytes per score + bytes of masks)"
        values += f" + {batch:,} · {read:,} · {seen:,} · ({shape.heads} · {score} + {masked})"
    return formula, values


def _mlp_formula(shape: ModelShape, settings: InferenceSettings, read: int, seen: int) -> tuple[str, str]:
    """The bytes of the MLP in words, and with the numbers put in."""
    width = max(2, bits(settings.dtype) // 8)
    if shape.experts:
        formula = "batch · tokens at once · bytes per token of the experts"
        values = f"{settings.batch:,} · {read:,} · {of_mlp(shape, width):,}"
    else:
        wide = tensors_in_mlp(shape)
        formula = f"batch · tokens at once · bytes · (4 · hidden + {wide} · intermediate)"
        values = f"{settings.batch:,} · {read:,} · {width} · (4 · {shape.hidden:,} + {wide} · {shape.intermediate:,})"
    _, masked, left = _score_bytes(shape, settings)
    if left:
        formula += " + batch · tokens at once · tokens · (heads · bytes per score + bytes of masks)"
        values += f" + {settings.batch:,} · {read:,} · {seen:,} · ({shape.heads} · {left} + {masked})"
    return formula, values


def logits_term(shape: ModelShape, settings: InferenceSettings) -> Term:
    """The next-token scores, in the model's precision and once more in float32 for sampling."""
    width = max(2, bits(settings.dtype) // 8)
    rows = settings.batch * (_read_at_once(shape, settings) if settings.all_logits else 1)
    each = width + 4 if width < 4 else 4
    return Term(
        "Logits",
        rows * shape.vocabulary * each,
        "positions · vocabulary · (bytes + 4 for the float32 copy)" if width < 4 else "positions · vocabulary · 4",
        f"{rows:,} · {shape.vocabulary:,} · {each}",
        "" if settings.all_logits else "Only the last position of each sequence, as generate() asks for.",
    )


def footprint(shape: ModelShape, dtype: str, quantization: str | None = None) -> int:
    """What transformers' get_memory_footprint() shows: quantization scales and codebooks are missing from it."""
    scales = scales_of(shape.layout.matrices, quantization)
    return weight_bytes(shape.layout, dtype, quantization) - scales


def cache_pool(gpu_bytes: int, utilization: float, weights: int, activations: int, other: int) -> int:
    """Bytes that a paged engine such as vLLM sets aside for its cache: its share of the GPU less everything else."""
    at_least("The GPU's memory", gpu_bytes, 1)
    share("The share of the GPU that is used", utilization)
    return max(0, math.floor(gpu_bytes * utilization) - weights - activations - other)


@lru_cache(maxsize=256)
def quantization_warnings(
    shape: ModelShape, dtype: str, quantization: str | None, *, double: bool = False
) -> tuple[str, ...]:
    """What bitsandbytes silently does otherwise than one would think."""
    if quantization is None or quantization in GGUF_BITS:
        return ()
    found = []
    experts = shape.group(Group.EXPERTS)
    left = experts - sum(t.elements for t in shape.tensors if t.group is Group.EXPERTS and t.quantized)
    if left:
        found.append(
            f"The fused experts ({left:,} parameters, {left / shape.parameters:.0%} of the model) are no linear layers "
            f"to bitsandbytes: they stay in {dtype}."
        )
    kept = shape.layout.float32_in_float16
    if dtype == "float16" and kept:
        found.append(f"transformers keeps {kept:,} parameters in float32, which this architecture needs in float16.")
    scales = scales_of(shape.layout.matrices, quantization, double=double)
    if scales:
        found.append(f"get_memory_footprint() leaves out {scales:,} bytes of scales and codebooks.")
    return tuple(found)


def _plain_weights(shape: ModelShape, dtype: str, whole: int) -> Term:
    width = bits(dtype) / 8
    exceptions = _exceptions(shape, dtype)
    buffers = shape.layout.other_buffers
    values = f"{shape.parameters:,} · {plain(width)}{exceptions}"
    if buffers:
        values += f" + {buffers:,} of buffers"
    return Term("Weights", whole, f"parameters · {plain(width)}" + (" + buffers" if buffers else ""), values)


def _exceptions(shape: ModelShape, dtype: str) -> str:
    layout = shape.layout
    kept = {"float16": layout.float32_in_float16, "bfloat16": layout.float32_in_bfloat16}.get(dtype, 0)
    return f" + {kept:,} · 2 kept in float32" if kept else ""


def _state_formula(shape: ModelShape, quantization: str, *, double: bool) -> tuple[str, str]:
    count = len(shape.layout.matrices)
    if quantization == "int8":
        outputs = sum(o for o, _ in shape.layout.matrices)
        return "4 · output rows", f"4 · {outputs:,}"
    blocks = sum(math.ceil(o * i / 64) for o, i in shape.layout.matrices)
    if double:
        nested = sum(math.ceil(math.ceil(o * i / 64) / 256) for o, i in shape.layout.matrices)
        return (
            "blocks of 64 + 4 · ⌈blocks / 256⌉ + 1,092 per matrix",
            f"{blocks:,} + 4 · {nested:,} + 1,092 · {count}",
        )
    return "4 · blocks of 64 + 64 per matrix", f"4 · {blocks:,} + 64 · {count}"


def _own_cache(shape: ModelShape, settings: InferenceSettings) -> Term:
    kind = cache_format(settings.cache_dtype)
    kept: dict[int, int] = {}
    for window, elements in shape.windows.items():
        tokens = _kept(window, settings)
        kept[tokens] = kept.get(tokens, 0) + elements
    size = sum(_stored(each, tokens, settings.batch, settings.cache_dtype) for tokens, each in kept.items())
    sums = " + ".join(f"{each:,} · {tokens:,}" for tokens, each in sorted(kept.items(), reverse=True))
    notes = [kind.note] if kind.note else []
    if len(kept) > 1:
        notes.append("Sliding layers keep their window less one token.")
    if settings.convention == "paged" and any(shape.windows):
        notes.append("A paged engine without a manager for sliding layers keeps full pages in them too.")
    return Term(
        "KV cache",
        size,
        "batch · Σ (elements per token · tokens kept) · bits / 8",
        f"{settings.batch:,} · ({sums}) · {plain(kind.bits)} / 8",
        " ".join(notes),
    )


def _kept(window: int | None, settings: InferenceSettings) -> int:
    if settings.convention == "paged":
        return math.ceil(settings.tokens / PAGE) * PAGE
    return settings.tokens if window is None else min(settings.tokens, max(window - 1, 0))


def _stored(elements: int, tokens: int, batch: int, cache_dtype: str) -> int:
    kind = cache_format(cache_dtype)
    recent = min(tokens, kind.recent)
    return math.ceil(batch * elements * ((tokens - recent) * kind.bits + recent * 16) / 8)


def _read_at_once(shape: ModelShape, settings: InferenceSettings) -> int:
    longest = max(1, settings.tokens, settings.source_tokens if shape.encodes_first else 0)
    return longest if settings.prefill is None else min(longest, settings.prefill)


def check_inference(settings: InferenceSettings) -> None:
    """Raise InputError for settings that make no sense."""
    at_least("The number of tokens", settings.tokens, 0)
    at_least("The number of source tokens", settings.source_tokens, 0)
    at_least("The batch", settings.batch, 1)
    at_least("The CUDA context", settings.cuda_context, 0)
    if settings.prefill is not None:
        at_least("The number of tokens read at once", settings.prefill, 1)
    if settings.margin < 0 or not math.isfinite(settings.margin):
        raise InputError(f"The margin is {settings.margin}.", "Give a share from 0 up, such as 0.05.")
    if settings.convention not in CONVENTIONS:
        raise InputError(
            f"There is no cache convention “{settings.convention}”.", f"Choose one of {', '.join(CONVENTIONS)}."
        )
    cache_format(settings.cache_dtype)
    bits(settings.dtype)
    if settings.quantization is not None and settings.quantization not in GGUF_BITS:
        matrix_bytes(1, 1, settings.dtype, settings.quantization)
