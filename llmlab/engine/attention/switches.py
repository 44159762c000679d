"""Switching heads off: what a head would write is replaced by zeros, in the attention function that transformers calls.

No weight is changed, and every element of a batch can have other heads switched off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from llmlab.engine.attention.capture import CROSS
from llmlab.engine.attention.layers import AttentionLayer, attend
from llmlab.engine.attention.masks import Causal, Dense, Rows
from llmlab.engine.attention.stack import attending
from llmlab.engine.attention.subject import PROBE, Subject
from llmlab.engine.attention.types import HeadAt
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.progress import UNCONTROLLED, Control

NAME = "llmlab_switches"  # under which transformers finds our function


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A place where the model attends: layer `layer` of `kind`, computed by `module`."""

    kind: str
    layer: int
    heads: int
    module: torch.nn.Module


@dataclass(slots=True)
class _Seen:
    """Takes down where the model attends, in the order in which it does."""

    calls: list[tuple[torch.nn.Module, int]] = field(default_factory=list)

    def output(self, module: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
        self.calls.append((module, output.shape[2]))
        return output


class Switches:
    """Which heads are off in each element of a batch.

    `sites` are all places where the model attends. A module that attends several times (ALBERT) is at its sites in
    turn, so that such a model has to run as a whole.
    """

    def __init__(
        self, sites: Sequence[Site], off: Sequence[Collection[HeadAt]], control: Control = UNCONTROLLED
    ) -> None:
        self._control = control
        self._off: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for element, heads in enumerate(off):
            for head in heads:
                self._off[head.kind, head.layer].append((element, head.head))
        self._sites: dict[int, list[Site]] = defaultdict(list)
        for site in sites:
            self._sites[id(site.module)].append(site)
        self._calls: dict[int, int] = defaultdict(int)

    def output(self, module: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
        """`output` (batch, queries, heads, head_dim) of `module`, zero where a head is off."""
        self._control.check()
        turns = self._sites[id(module)]
        site = turns[self._calls[id(module)] % len(turns)]
        self._calls[id(module)] += 1
        pairs = [(b, h) for b, h in self._off.get((site.kind, site.layer), ()) if b < output.shape[0]]
        if not pairs:
            return output
        is_off = torch.zeros(output.shape[0], output.shape[2], dtype=torch.bool, device=output.device)
        elements, heads = torch.tensor(pairs, device=output.device).T
        is_off[elements, heads] = True
        return output.masked_fill(is_off[:, None, :, None], 0)


_ACTIVE: ContextVar[_Seen | Switches] = ContextVar("llmlab_attention_switches")


@contextmanager
def switched(subject: Subject, switches: Switches | _Seen) -> Iterator[None]:
    """While this lasts, the model runs with those heads switched off."""
    token = _ACTIVE.set(switches)
    try:
        with attending(subject.loaded.model, NAME):
            yield
    finally:
        _ACTIVE.reset(token)


def find_sites(subject: Subject) -> list[Site]:
    """Where the model attends, in order. Raises UnsupportedFeatureError where its heads cannot be switched off."""
    model = subject.loaded.model
    probe = subject.part(PROBE)
    sites: list[Site] = []
    if model._can_set_attn_implementation():
        if probe.encoder is not None:
            seen = _Seen()
            with switched(probe, seen):
                encoded = probe.encode()
            sites += [Site("encoder", n, heads, module) for n, (module, heads) in enumerate(seen.calls)]
        else:
            encoded = None
        seen = _Seen()
        with switched(probe, seen):
            probe.run(encoded=encoded)
        sites += _of_decoder(subject, seen.calls) if probe.is_pair else _alike("self", seen.calls)
    if not sites:
        raise UnsupportedFeatureError(
            f"Models of the type {subject.loaded.info.model_type} compute attention in a way of their own, in which "
            "single heads cannot be switched off.",
            "Open a model of another architecture, such as bundled:decoder.",
        )
    return sites


def _of_decoder(subject: Subject, calls: list[tuple[torch.nn.Module, int]]) -> list[Site]:
    names = {id(module): name for name, module in subject.root.named_modules()}
    is_cross = [bool(CROSS.search(names.get(id(module), ""))) for module, _ in calls]
    own = [call for call, cross in zip(calls, is_cross, strict=True) if not cross]
    crossing = [call for call, cross in zip(calls, is_cross, strict=True) if cross]
    return _alike("decoder", own) + _alike("cross", crossing)


def _alike(kind: str, calls: list[tuple[torch.nn.Module, int]]) -> list[Site]:
    return [Site(kind, layer, heads, module) for layer, (module, heads) in enumerate(calls)]


def check_heads(sites: Sequence[Site], heads: Collection[HeadAt]) -> None:
    """Raise InputError for a head that the model does not have."""
    sizes = {(site.kind, site.layer): site.heads for site in sites}
    for each in heads:
        if not 0 <= each.head < sizes.get((each.kind, each.layer), 0):
            raise InputError(
                f"There is no head {each.head} in layer {each.layer} of the {each.kind} attention.",
                "Choose a head of the model that is open.",
            )


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (batch, heads, queries, head_dim)
    key: torch.Tensor,  # (batch, key-value heads, keys, head_dim)
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in place of its SDPA function."""
    if arguments.get("softcap") is None and arguments.get("s_aux") is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, position_bias, **arguments
        )
    else:
        causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        output = torch.stack(
            [
                attend(_element(index, query, key, attention_mask, scale, causal=causal, **arguments), value[index])
                for index in range(len(query))
            ]
        )
    return _ACTIVE.get().output(module, output), None


def _element(
    index: int,
    query: torch.Tensor,
    key: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    *,
    causal: bool,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_others: Any,
) -> AttentionLayer:
    """One element of the batch, for what `scaled_dot_product_attention` does not know: soft caps and sinks."""
    queries, keys = query.shape[2], key.shape[2]
    mask: Rows | None = Causal(keys, key.device) if causal and queries > 1 else None
    if attention_mask is not None:
        mask = Dense(attention_mask[min(index, len(attention_mask) - 1)].expand(-1, queries, keys))
    return AttentionLayer(query[index], key[index], scaling, mask, softcap=softcap, sinks=s_aux)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
