"""What all layers keep for the backward pass, with its formula: one stack of layers, or encoder and decoder.

Numbers of tokens and sequences may be arrays, so that plots over many of them are the same sums. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmlab.engine.memory.activations import Checkpointing, Saved, ends, saved_by_layer
from llmlab.engine.memory.shape import ModelShape


@dataclass(frozen=True, slots=True)
class _Stack:
    """`count` layers alike.

    `whole` is what one keeps, `stored` what of that is not recomputed; from `window` tokens on, where the layers look
    no further back, `masked` and `masked_stored`. `encodes`: an encoder's. `last`: what is kept around all layers is
    counted here.
    """

    name: str
    count: int
    whole: Saved
    stored: Saved
    masked: Saved
    masked_stored: Saved
    window: int | None = None
    encodes: bool = False
    last: bool = True

    def at(self, length: int, *, stored: bool) -> Saved:
        """What a layer keeps of `length` tokens."""
        beyond = self.window is not None and length >= self.window
        return (self.masked_stored if beyond else self.stored) if stored else self.masked if beyond else self.whole

    def layer(self, batch: Any, length: Any, heads: int, source: Any, *, stored: bool) -> Any:
        """Bytes of one layer: an integer, or float64 of the arguments' shape."""
        short, long = (self.stored, self.masked_stored) if stored else (self.whole, self.masked)
        within = short.layer(batch, length, heads, source)
        if self.window is None:
            return within
        beyond = long.layer(batch, length, heads, source)
        if isinstance(length, int):
            return beyond if length >= self.window else within
        return np.where(length >= self.window, beyond, within)


class Kept:
    """The bytes that wait for the backward pass, for any number of tokens and sequences.

    `fused`: attention runs in a kernel that never writes its scores out; `cross_fused`: so does cross-attention, where
    that differs, and `masked_fused`: attention with the mask of a window. `inputs`: bytes of a number in the inputs of
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
        masked_fused: bool | None = None,
        checkpointing: Checkpointing = Checkpointing.NONE,
        inputs: int = 4,
        source: int | None = None,
        cuda: bool = True,
    ) -> None:
        self._shape, self._source = shape, source
        self._ends = ends(shape, width, cuda=cuda)
        heard = fused if cross_fused is None else cross_fused
        inputs = inputs * shape.hidden

        windowed = shape.windowed_layers * (fused if masked_fused is None else masked_fused)

        def stack(name: str, count: int, **how: bool) -> _Stack:
            slides = name == "sliding"
            whole = saved_by_layer(shape, width, flash=fused, cross_flash=heard, cuda=cuda, **how)
            masked = saved_by_layer(shape, width, flash=True, cuda=cuda, masked=True) if slides else whole
            stored = [_stored(each, checkpointing, inputs) for each in (whole, masked)]
            window = shape.window if slides else None
            last = name not in ("dense", "sliding")
            return _Stack(name, count, whole, stored[0], masked, stored[1], window, name == "encoder", last)

        if shape.encodes_first:
            written = shape.layers - shape.encoder_layers
            self._stacks = [stack("encoder", shape.encoder_layers), stack("decoder", written, cross=True)]
        else:
            others = shape.layers - shape.dense_layers - windowed
            found = [stack("dense", shape.dense_layers, dense=True), stack("sliding", windowed)]
            self._stacks = [each for each in found if each.count] + [stack("", others)]
        # T5: the bucket of each pair's distance, an int64, in each stack; zeros for the bias of all cross-attentions
        self._buckets = 8 * shape.position_bias
        listens = shape.encodes_first and (fused if cross_fused is None else cross_fused)
        self._zeros = width * shape.heads * (listens and shape.position_bias)

    def bytes(self, batch: Any, tokens: Any) -> Any:
        """Bytes of all layers and of what is kept around them: an integer, or float64 of the arguments' shape."""
        found = 0
        for stack in self._stacks:
            length, source = self._lengths(stack, tokens)
            found = found + stack.count * stack.layer(batch, length, self._shape.heads, source, stored=True)
            if stack.last:
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
            if stack.count:
                kept = stack.at(length, stored=True)
                said, put = _formula(kept, self._shape.heads, batch, length, source, encodes=stack.encodes)
                words.append(f"{stack.name} layers · {said}".strip())
                values.append(f"{stack.count} · {put}")
            if not stack.last:
                continue
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
        kept = stack.at(length, stored=False)
        return _formula(kept, self._shape.heads, batch, length, source, encodes=stack.encodes)

    def _layer(self, stack: _Stack, batch: Any, tokens: Any) -> Any:
        length, source = self._lengths(stack, tokens)
        return stack.layer(batch, length, self._shape.heads, source, stored=False)

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
        return replace(whole, per_score=0, per_cross=0)
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
    if saved.per_mask:
        words.append(f"bytes per mask · {own}")
        values.append(f"{saved.per_mask} · {length:,}")
    inner, put = f"{own} · ({' + '.join(words)})", f"{length:,} · ({' + '.join(values)})"
    if saved.per_source and source:
        inner, put = f"({inner} + source · bytes per source token)", f"({put} + {source:,} · {saved.per_source:,})"
    inner, put = f"batch · {inner}", f"{batch:,} · {put}"
    words, values = [], []
    if saved.per_pair:
        words.append(f"{own}² · bytes per pair")
        values.append(f"{length:,} · {length:,} · {saved.per_pair}")
    if saved.per_position:
        words.append(f"{own} · bytes per position")
        values.append(f"{length:,} · {saved.per_position}")
    if saved.once:
        words.append("bytes once")
        values.append(f"{saved.once:,}")
    if words:
        inner, put = f"({inner} + {' + '.join(words)})", f"({put} + {' + '.join(values)})"
    return inner, put
