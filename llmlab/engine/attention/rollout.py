"""Attention through all layers at once: attention rollout and attention flow (Abnar and Zuidema 2020).

Both see the layers as a network in which half of every token's state comes through attention and half through the
residual connection: A = 0.5 W + 0.5 I, W the mean over the heads. MLPs, values and norms are left out: a summary,
no proof of what influences what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from llmlab.engine.attention.choosing import Layers, check_span
from llmlab.engine.attention.layers import ALL, Layer, blocks
from llmlab.engine.errors import InputError
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.types import Float32, Float64

if TYPE_CHECKING:
    import networkx

WHOLE_TOKENS = 1024  # the longest text of which all queries are rolled out at once
FLOW_TOKENS = 48  # the longest text for attention flow, which solves one problem of maximum flow for each token
_UNIT = 2**40  # capacities are whole multiples of 1 ÷ this: with floats, a flow can go on in ever smaller steps


@torch.inference_mode()
def rollout(kind: str, layers: Layers, queries: slice | None, control: Control) -> Float32:
    """Attention rollout, float32 (queries, keys): the rows `queries` of Ã = A_L · … · A_1 (eq. 1).

    Raises InputError for cross-attention, layers that were not kept, or a whole map of more than WHOLE_TOKENS tokens.
    """
    stack, tokens = _stack(kind, layers), layers.size[0]
    if queries is None and tokens > WHOLE_TOKENS:
        raise InputError(
            f"The rollout of all {tokens:,} tokens would take long; it is made whole for at most {WHOLE_TOKENS:,}.",
            "Choose one token, or a few.",
        )
    start, stop, step = (queries or slice(None)).indices(tokens)
    if step != 1:
        raise InputError("A rollout is made of queries that follow each other.", "Choose a range without steps.")
    paths = _one_hot(start, max(start, stop), tokens).to(stack[0].device)
    for number, layer in enumerate(reversed(stack)):
        control.report("Rolling out the attention", number / len(stack))
        paths = _through(layer, paths, control)
    result: Float32 = paths.cpu().numpy()
    return result


@torch.inference_mode()
def flow(kind: str, layers: Layers, query: int, control: Control) -> Float32:
    """Attention flow, float32 (keys,): the maximum flow from `query` after the last layer to each input token, with
    the entries of A as capacities (section 3).

    Raises InputError for cross-attention, a query that is not there, and more than FLOW_TOKENS tokens.
    """
    stack, tokens = _stack(kind, layers), layers.size[0]
    if tokens > FLOW_TOKENS:
        raise InputError(
            f"The text has {tokens:,} tokens, but attention flow is computed for at most {FLOW_TOKENS}: it solves one "
            "problem of maximum flow for each token.",
            "Shorten the text, or look at the rollout, which costs far less.",
        )
    check_span("rows", query, query + 1, tokens)
    control.check()
    from networkx.algorithms.flow import build_residual_network, preflow_push  # takes a while to import

    graph = _network([_half_residual(layer) for layer in stack], query)
    residual = build_residual_network(graph, "capacity")
    result = np.zeros(tokens, np.float32)
    source = (len(stack), query)
    for token in range(tokens):
        control.check()
        control.report("Computing the attention flow", token / tokens)
        if (0, token) in graph:
            found = preflow_push(graph, source, (0, token), residual=residual, value_only=True)
            result[token] = found.graph["flow_value"] / _UNIT
    return result


def _stack(kind: str, layers: Layers) -> list[Layer]:
    if kind == "cross":
        raise InputError(
            "Cross-attention looks from one text at another, so it cannot be followed from layer to layer.",
            "Choose the encoder's or the decoder's own attention.",
        )
    return layers.all()


def _through(layer: Layer, paths: torch.Tensor, control: Control) -> torch.Tensor:
    """`paths` · A, in blocks of A's rows."""
    tokens = paths.shape[1]
    result = torch.zeros_like(paths)
    for start, stop in blocks(tokens, layer.heads * tokens):
        control.check()
        band = layer.band(ALL, start, stop)
        mean = band.weights.mean(0).to(paths.device)  # (rows, keys)
        sums = mean.sum(-1, keepdim=True) + 1  # 2, or 1 of a token that sees nothing: it keeps its own state
        part = paths[:, start:stop] / sums.T
        result[:, band.first : band.first + mean.shape[1]] += part @ mean
        result[:, start:stop] += part
    return result


def _one_hot(start: int, stop: int, tokens: int) -> torch.Tensor:
    """Rows `start` to `stop` of the identity."""
    rows = torch.zeros(stop - start, tokens)
    rows[torch.arange(stop - start), torch.arange(start, stop)] = 1
    return rows


def _half_residual(layer: Layer) -> Float64:
    """A (tokens, tokens), each row summing to 1."""
    tokens = layer.size[0]
    mixture: Float64 = _through(layer, torch.eye(tokens), UNCONTROLLED).double().numpy()
    return mixture


def _network(mixtures: list[Float64], query: int) -> networkx.DiGraph:
    """Nodes (layer, token), 0 the input; only what can be reached from `query` after the last layer."""
    from networkx import DiGraph

    graph = DiGraph()
    reached = {query}
    for layer in range(len(mixtures), 0, -1):
        below: set[int] = set()
        for token in sorted(reached):
            capacities = np.rint(mixtures[layer - 1][token] * _UNIT).astype(np.int64)
            seen = np.flatnonzero(capacities > 0).tolist()
            graph.add_edges_from(((layer, token), (layer - 1, key), {"capacity": int(capacities[key])}) for key in seen)
            below.update(seen)
        reached = below
    return graph
