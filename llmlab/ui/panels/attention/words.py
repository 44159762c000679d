"""How tokens, heads and kinds of attention are called. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

from llmlab.engine.attention.types import AttentionShape, Reduction
from llmlab.engine.types import Int32
from llmlab.ui.panels.attention.reading import Focus, Reading
from llmlab.ui.widgets.tokentext import visible

KINDS = {
    "self": ("Self", "Each token looks at the tokens of the text"),
    "encoder": ("Encoder", "The tokens of the prompt look at each other"),
    "decoder": ("Decoder", "The tokens that the decoder reads look back at each other"),
    "cross": ("Cross", "The tokens that the decoder reads look at those of the prompt"),
}


def labels_of(tokens: Sequence[str], edges: Int32) -> tuple[str, ...]:
    """The text of every unit: unit i has the tokens from edges[i] up to edges[i + 1]."""
    if len(edges) == len(tokens) + 1:
        return tuple(map(visible, tokens))
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return tuple(visible("".join(tokens[first:last])) for first, last in pairs)


def title_of(reading: Reading) -> str:
    """What is in focus: "Layer 4 · head 3"."""
    return focus_title(reading.focus, several=len(reading.shapes) > 1)


def focus_title(focus: Focus, *, several: bool = False) -> str:
    """The head, or over which heads and layers the map goes; its kind where there are `several`."""
    over = "mean" if focus.reduction is Reduction.MEAN else "maximum"
    if focus.layer is None and focus.head is None:
        words = f"All layers · {over} over all heads"
    elif focus.layer is None:
        words = f"Head {focus.head} · {over} over all layers"
    elif focus.head is None:
        words = f"Layer {focus.layer} · {over} over its heads"
    else:
        words = f"Layer {focus.layer} · head {focus.head}"
    return f"{KINDS[focus.kind][0]} · {words}" if several else words


def group_of(shape: AttentionShape, head: int) -> int | None:
    """The key-value group of a head, None where each head has keys of its own."""
    if shape.key_value_heads in (0, shape.heads):
        return None
    return head * shape.key_value_heads // shape.heads
