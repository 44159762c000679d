"""What all layers keep for the backward pass, with its formula: one stack of layers, or encoder and decoder.

Numbers of tokens and sequences may be arrays, so that plots over many of them are the same sums. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmlab.engine.memory.activations import Checkpointing, Saved, ends, saved_by_layer
from llmlab.engine.memory.shape import ModelShape


@dataclass(frozen=True, slots=True)
class _Stack:
    """`count` layers alike. `whole` is what one keeps, `stored` what of that is not recomputed."""

    name: str
    count: int
    whole: Saved
    stored: Saved
    encodes: bool = False


class Kept:
    """The bytes that wait for the backward pass, for any number of tokens and sequences.

    `fused`: attention runs in a kernel that never writes its scores out; `cross_fused`: so does cross-attention, where
    that differs. `inputs`: bytes of a number in the inputs of
    layers, all that full checkpointing keeps. `source`: tokens that an encoder reads, None for as many as its decoder.
    `cuda`: on a GPU, where the mask of a dropout takes a byte.
    """

    def __init__(
        self,
        shape: ModelShape,
        width: int,
        *,
        fused: bool,
        cross_fused: bool | None = None,
        checkpointing: Checkpointing = Checkpointing.NONE,
        inputs: int = 4,
        source: int | None = None,
        cuda: bool = True,
    ) -> None:
        self._shape, self._source = shape, source
        self._ends = ends(shape, width, cuda=cuda)
        own = saved_by_layer(shape, width, flash=fused, cuda=cuda)
        if shape.encodes_first:
            heard = fused if cross_fused is None else cross_fused
            cross = saved_by_layer(shape, width, flash=fused, cross=True, cross_flash=heard, cuda=cuda)
            written = shape.layers - shape.encoder_layers
            found = [("encoder", shape.encoder_layers, own), ("decoder", written, cross)]
        else:
            found = [("", shape.layers, own)]
        self._stacks = [
            _Stack(name, count, whole, _stored(whole, checkpointing, inputs * shape.hidden), name == "encoder")
            for name, count, whole in found
        ]
        # T5: the bucket of each pair's distance, an int64, in each stack; zeros for the bias of all cross-attentions
        self._buckets = 8 * shape.position_bias
        listens = shape.encodes_first and (fused if cross_fused is None else cross_fused)
        self._zeros = width * shape.heads * (listens and shape.position_bias)

    def bytes(self, batch: Any, tokens: Any) -> Any:
        """Bytes of all layers and of what is kept around them: an integer, or float64 of the arguments' shape."""
        found = 0
        for stack in self._stacks:
            length, source = self._lengths(stack, tokens)
            found = found + stack.count * stack.stored.layer(batch, length, self._shape.heads, source)
            found = found + batch * length * self._ends + self._buckets * length * length
        return found + self._zeros * tokens * self._source_of(tokens)

    def largest_layer(self, batch: Any, tokens: Any) -> Any:
        """Bytes of the largest layer while it is whole."""
        found = [self._layer(stack, batch, tokens) for stack in self._stacks]
        return max(found) if isinstance(tokens, int) and isinstance(batch, int) else np.maximum.reduce(found)

    def formula(self, batch: int, tokens: int) -> tuple[str, str]:
        """`bytes` in words, and with the numbers put in."""
        words, values = [], []
        for stack in self._stacks:
            length, source = self._lengths(stack, tokens)
            said, put = _formula(stack.stored, self._shape.heads, batch, length, source, encodes=stack.encodes)
            words.append(f"{stack.name} layers · {said}".strip())
            values.append(f"{stack.count} · {put}")
            own = "source" if stack.encodes else "tokens"
            words.append(f"batch · {own} · bytes around the layers")
            values.append(f"{batch:,} · {length:,} · {self._ends:,}")
            if self._buckets:
                words.append(f"{own}² · {self._buckets}")
                values.append(f"{length:,} · {length:,} · {self._buckets}")
        if self._zeros:
            words.append("tokens · source · bytes per pair")
            values.append(f"{tokens:,} · {self._source_of(tokens):,} · {self._zeros}")
        return " + ".join(words), " + ".join(values)

    def layer_formula(self, batch: int, tokens: int) -> tuple[str, str]:
        """`largest_layer` in words, and with the numbers put in."""
        stack = max(self._stacks, key=lambda each: self._layer(each, batch, tokens))
        length, source = self._lengths(stack, tokens)
        return _formula(stack.whole, self._shape.heads, batch, length, source, encodes=stack.encodes)

    def _layer(self, stack: _Stack, batch: Any, tokens: Any) -> Any:
        length, source = self._lengths(stack, tokens)
        return stack.whole.layer(batch, length, self._shape.heads, source)

    def _lengths(self, stack: _Stack, tokens: Any) -> tuple[Any, Any]:
        """Tokens that a stack reads, and those that it listens to."""
        source = self._source_of(tokens)
        return (source, 0) if stack.encodes else (tokens, source if self._shape.encodes_first else 0)

    def _source_of(self, tokens: Any) -> Any:
        return tokens if self._source is None else self._source


def _stored(whole: Saved, checkpointing: Checkpointing, inputs: int) -> Saved:
    if checkpointing is Checkpointing.FULL:
        return Saved(inputs, 0)
    if checkpointing is Checkpointing.SELECTIVE:
        return Saved(whole.per_token, 0, whole.per_pair, whole.per_source)
    return whole


def _formula(saved: Saved, heads: int, batch: int, length: int, source: int, *, encodes: bool) -> tuple[str, str]:
    """Bytes of one layer in words, and with the numbers put in; what is zero is left out."""
    own = "source" if encodes else "tokens"
    words, values = ["bytes per token"], [f"{saved.per_token:,}"]
    if saved.per_score:
        words.append(f"bytes per score · heads · {own}")
        values.append(f"{saved.per_score} · {heads} · {length:,}")
    if saved.per_cross and source:
        words.append("bytes per score · heads · source")
        values.append(f"{saved.per_cross} · {heads} · {source:,}")
    inner, put = f"{own} · ({' + '.join(words)})", f"{length:,} · ({' + '.join(values)})"
    if saved.per_source and source:
        inner, put = f"({inner} + source · bytes per source token)", f"({put} + {source:,} · {saved.per_source:,})"
    inner, put = f"batch · {inner}", f"{batch:,} · {put}"
    if saved.per_pair:
        inner, put = f"({inner} + {own}² · bytes per pair)", f"({put} + {length:,} · {length:,} · {saved.per_pair})"
    return inner, put
