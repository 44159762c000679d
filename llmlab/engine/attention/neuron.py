"""How one weight came about: the products of query and key in every dimension, their sum, the softmax."""

from __future__ import annotations

import numpy as np
import torch

from llmlab.engine.attention.layers import AttentionLayer, Layer, of_heads
from llmlab.engine.attention.types import HeadAt, NeuronView
from llmlab.engine.errors import UnsupportedFeatureError
from llmlab.engine.types import Float32


@torch.inference_mode()
def neuron(layer: Layer, at: HeadAt, query: int, key: int) -> NeuronView:
    """The way to the weight of row `query` on `key`, in the head `at` of `layer`.

    Raises UnsupportedFeatureError where the architecture does not hand out queries and keys.
    """
    if not isinstance(layer, AttentionLayer):
        raise UnsupportedFeatureError(
            "The architecture hands out its attention weights only, not the queries and keys that they come from.",
            "Open a model of another architecture to see how a weight comes about.",
        )
    head = slice(at.head, at.head + 1)
    q, k = layer.query[at.head, query].float(), layer.key[at.head // layer.groups, key].float()
    products = q * k
    scores = layer.scores(head, query, query + 1, 0, layer.size[1])[0, 0]
    sight = layer.sight(head, query, query + 1)
    seen = torch.zeros(layer.size[1], dtype=torch.bool, device=scores.device)
    seen[sight.first : sight.first + sight.visible.shape[-1]] = sight.visible[0, 0]
    bias = None if layer.bias is None else float(of_heads(layer.bias.rows(query, query + 1), head)[0, 0, key])
    return NeuronView(
        head=at,
        query_index=query,
        key_index=key,
        query=_numpy(q),
        key=_numpy(k),
        products=_numpy(products),
        dot=float(products.double().sum()),
        scaling=float(layer.scaling),
        softcap=layer.softcap,
        bias=bias,
        masked=not bool(seen[key]),
        score=float(scores[key]),
        log_sum=_log_sum(layer, at.head, scores[seen]),
        weight=float(layer.rows(head, query, query + 1)[0, 0, key]),
    )


def _log_sum(layer: AttentionLayer, head: int, scores: torch.Tensor) -> float:
    """Ln of the sum of exp(score) over the keys that may be seen, and of the head's sink."""
    if layer.sinks is not None:
        scores = torch.cat([scores, layer.sinks[head : head + 1].float()])
    return float(scores.double().logsumexp(0)) if len(scores) else -np.inf


def _numpy(values: torch.Tensor) -> Float32:
    array: Float32 = values.cpu().numpy()
    return array
