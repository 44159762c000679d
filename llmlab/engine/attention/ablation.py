"""What heads cause: the prediction with some of them switched off, beside the prediction of the whole model.

Zero ablation (Michel et al. 2019, “Are Sixteen Heads Really Better than One?”): what a head would write becomes zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from llmlab.engine.attention.stack import Output, Stack, hidden_of, with_hidden
from llmlab.engine.attention.subject import LOGIT_BYTES, Given, Subject, can_start_late, encoder_stack_of, stack_of
from llmlab.engine.attention.switches import Site, Switches, check_heads, find_sites, switched
from llmlab.engine.attention.types import Effect, HeadAt, LayerEffects
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import guarded
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Float32, Int32

NAMED = 20  # tokens that an effect names
BATCH_BYTES = 2**28  # of what the layers compute for a batch at a time
WIDTH = 16  # numbers that a layer holds for each number of the hidden state: queries, keys, values, the MLP's


@torch.inference_mode()
def ablation(
    loaded: LoadedModel, speller: Speller, given: Given, off: Collection[HeadAt], control: Control = UNCONTROLLED
) -> tuple[Effect, ...]:
    """The prediction at each predicted position with and without the heads `off`.

    Raises InputError for a head that is not there, UnsupportedFeatureError where heads cannot be switched off.
    """
    subject = Subject(loaded, given)
    positions, labels = subject.predicted()
    sites = find_sites(subject)
    check_heads(sites, off)
    control.check()
    stack = stack_of(subject)
    offs = [(), off] if off else [()]  # both at once: the same arithmetic for both
    with switched(subject, Switches(sites, offs, control)):
        encoded = subject.encode(len(offs)) if subject.is_pair else None
        predictions = _predictions(subject, stack, positions, len(offs), encoded)
    before, after = predictions[0], predictions[-1]
    return tuple(
        _effect(speller, tuple(sorted(off)), label, before[place], after[place]) for place, label in enumerate(labels)
    )


def ablation_effects(
    loaded: LoadedModel,
    given: Given,
    control: Control = UNCONTROLLED,
    *,
    known: Collection[tuple[str, int]] = (),
    reuse: bool = True,
) -> Iterator[LayerEffects]:
    """The effect of removing every head and every layer's attention alone, layer by layer, without the `known` ones.

    The heads of a layer are one batch, in which each element has one head switched off, and the layers before it are
    not computed again, unless `reuse` is False. Where several positions are predicted their mean counts.
    Raises as `ablation` does, and Cancelled between layers and batches.
    """
    sweep = guarded(lambda: _Sweep.begun(loaded, given, control, reuse=reuse))
    for done, site in enumerate(sweep.sites):
        control.check()
        if (site.kind, site.layer) in known:
            continue
        control.report(f"Removing the heads of layer {site.layer} ({site.kind})", done / len(sweep.sites))
        yield guarded(partial(sweep.effects, site))


@dataclass(frozen=True, slots=True, eq=False)
class _Recorded:
    """What each of the layers returned when the whole model ran."""

    stack: Stack
    outputs: list[Output]

    @contextmanager
    def reused(self, layers: int, batch: int) -> Iterator[None]:
        """The first `layers` do not run: what they returned is what a batch of `batch` begins with."""
        output = self.outputs[layers - 1]
        repeated = with_hidden(output, hidden_of(output).expand(batch, -1, -1))
        with self.stack.skipped(layers, repeated):
            yield


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    """All that is known before the first head is removed."""

    subject: Subject
    sites: list[Site]
    positions: list[int]
    control: Control
    stack: Stack | None  # the layers before the head, where the head can be run alone
    before: torch.Tensor  # log-probabilities (positions, vocabulary) of the whole model
    encoder: _Recorded | None
    root: _Recorded | None  # the layers before the head, where they can be started late

    @classmethod
    @torch.inference_mode()
    def begun(cls, loaded: LoadedModel, given: Given, control: Control, *, reuse: bool) -> _Sweep:
        """Run the whole model once, and keep what its layers return."""
        subject = Subject(loaded, given)
        positions, _ = subject.predicted()
        sites = find_sites(subject)
        control.check()
        stack = stack_of(subject)
        late = stack if reuse and stack is not None and can_start_late(stack, subject) else None
        encoders = encoder_stack_of(subject) if reuse and subject.is_pair else None
        with _recording(encoders, control) as encoder:
            encoded = subject.encode() if subject.is_pair else None
        with _recording(late, control) as root:
            before = _predictions(subject, stack, positions, 1, encoded)[0]
        return cls(subject, sites, positions, control, stack, before, encoder, root)

    @torch.inference_mode()
    def effects(self, site: Site) -> LayerEffects:
        """What removing each head of `site` does, and removing all of them."""
        heads = [HeadAt(site.kind, site.layer, head) for head in range(site.heads)]
        offs: list[tuple[HeadAt, ...]] = [*((head,) for head in heads), tuple(heads)]
        size = self._batch()
        parts = [self._compared(self._after(site, offs[n : n + size])) for n in range(0, len(offs), size)]
        kl, delta = (np.concatenate(each) for each in zip(*parts, strict=True))
        return LayerEffects(
            site.kind, site.layer, kl[:-1], delta[:-1], layer_kl=float(kl[-1]), layer_delta=float(delta[-1])
        )

    def _after(self, site: Site, offs: Sequence[Collection[HeadAt]]) -> torch.Tensor:
        """Log-probabilities (batch, positions, vocabulary) with each of `offs` switched off."""
        batch = len(offs)
        with switched(self.subject, Switches(self.sites, offs, self.control)):
            if site.kind == "encoder":
                with _from(self.encoder, site, batch):
                    encoded = self.subject.encode(batch)
                return _predictions(self.subject, self.stack, self.positions, batch, encoded)
            with _from(self.root, site, batch):
                return _predictions(self.subject, self.stack, self.positions, batch, None)

    def _compared(self, after: torch.Tensor) -> tuple[Float32, Float32]:
        """KL(before ‖ after) and the change of the best token's probability, each (batch,), mean over positions."""
        best = self.before.argmax(-1)[:, None]  # (positions, 1)
        change = after.exp().gather(-1, best.expand(len(after), -1, -1)) - self.before.exp().gather(-1, best)
        return _numpy(divergence(self.before, after).mean(-1)), _numpy(change[..., 0].mean(-1))

    def _batch(self) -> int:
        """How many elements run at a time."""
        states = self.subject.loaded.info.hidden_size * 4 * WIDTH
        tokens = max(value.shape[1] for value in self.subject.inputs.values())
        return max(1, BATCH_BYTES // (states * tokens))


@contextmanager
def _recording(stack: Stack | None, control: Control) -> Iterator[_Recorded | None]:
    """What `stack` returns while it runs for the first time."""
    if stack is None:
        yield None
        return
    recorded = _Recorded(stack, [])
    with stack.recorded(control) as outputs:
        yield recorded
    recorded.outputs.extend(outputs[: len(stack)])  # the head runs them again, as layers that do nothing


@contextmanager
def _from(recorded: _Recorded | None, site: Site, batch: int) -> Iterator[None]:
    """The layers before `site` do not run, where what they returned is known."""
    layers = recorded.stack.holding(site.module) if recorded else 0
    if recorded is None or layers == 0:
        yield
        return
    with recorded.reused(layers, batch):
        yield


def _predictions(
    subject: Subject, stack: Stack | None, positions: list[int], batch: int, encoded: torch.Tensor | None
) -> torch.Tensor:
    """Log-probabilities (batch, positions, vocabulary); the head reads only those positions where it can."""
    if stack is None:
        return subject.all_logits(batch, encoded)[:, positions].log_softmax(-1)
    states = subject.final_states(stack, batch, encoded)[:, positions]
    step = max(1, LOGIT_BYTES // (4 * len(positions) * subject.loaded.info.vocabulary))
    starts = range(0, len(states), step)
    parts = [subject.logits(stack, states[start : start + step]).log_softmax(-1) for start in starts]
    return torch.cat(parts)


def _effect(speller: Speller, off: tuple[HeadAt, ...], label: str, before: torch.Tensor, after: torch.Tensor) -> Effect:
    """From two rows of log-probabilities (vocabulary,)."""
    larger = torch.maximum(before, after)
    ids = larger.topk(min(NAMED, len(larger))).indices
    return Effect(
        off=off,
        label=label,
        ids=_ids(ids),
        texts=speller.texts(ids.tolist()),
        before=_numpy(before[ids].exp()),
        after=_numpy(after[ids].exp()),
        kl=float(divergence(before, after)),
        entropy_before=float(entropy(before)),
        entropy_after=float(entropy(after)),
    )


def divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """KL(before ‖ after) in nats of log-probabilities (…, vocabulary); a token that cannot come adds nothing."""
    terms = before.exp() * (before - after)
    return terms.masked_fill(before == -torch.inf, 0).sum(-1).clamp(min=0)


def entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """−Σ p ln p in nats of log-probabilities (…, vocabulary)."""
    terms = log_probabilities.exp() * log_probabilities
    return -terms.masked_fill(log_probabilities == -torch.inf, 0).sum(-1)


def _numpy(values: torch.Tensor) -> Float32:
    return values.float().cpu().numpy()


def _ids(values: torch.Tensor) -> Int32:
    return values.int().cpu().numpy()
