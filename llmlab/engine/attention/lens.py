"""Logit lens: what the model would predict from the hidden states between its layers (nostalgebraist 2020).

Each state goes through the model's own final norm and head, which were trained for the last layer only: what an early
layer seems to predict is a reading of its state, not something that the model ever does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from llmlab.engine.attention.ablation import divergence, entropy
from llmlab.engine.attention.stack import AfterAttention, Stack, after_attention, hidden_of
from llmlab.engine.attention.subject import LOGIT_BYTES, PROBE, Given, Subject, stack_of
from llmlab.engine.attention.types import Lens, LensPosition, LensRow
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Int32

EMBEDDING, ATTENTION, LAYER = "embedding", "attention", "layer"
SIDE_BY_SIDE = (
    "There are no rows after attention: in this architecture attention and MLP read the same hidden state side by "
    "side, or the layer is built in another way."
)


@torch.inference_mode()
def logit_lens(
    loaded: LoadedModel,
    speller: Speller,
    given: Given,
    positions: tuple[int, int] | None = None,
    best: int = 5,
    control: Control = UNCONTROLLED,
) -> Lens:
    """The best tokens at every place of the model and every position from `positions[0]` up to `positions[1]`.

    Of an encoder-decoder model the positions are the decoder's. Raises InputError for positions that are not there,
    UnsupportedFeatureError where the head cannot be run alone, and Cancelled between layers and blocks.
    """
    subject = Subject(loaded, given)
    start, stop = _checked(positions or (0, len(subject.ids)), len(subject.ids))
    control.report("Reading the text")
    states = _States.of(subject, slice(start, stop), control)
    best = max(1, min(best, loaded.info.vocabulary))
    step = max(1, LOGIT_BYTES // (4 * loaded.info.vocabulary))
    blocks = []
    for begin in range(0, stop - start, step):
        control.report("Reading the hidden states", begin / (stop - start))
        blocks.append(_Block.of(subject, states, slice(begin, min(begin + step, stop - start)), best, control))
    joined = _Block.joined(blocks)
    tokens = subject.ids[start:stop].tolist()
    named = np.unique(np.concatenate([joined.ids.ravel(), joined.final_ids])).tolist()
    return Lens(
        rows=states.rows,
        positions=np.arange(start, stop, dtype=np.int32),
        tokens=speller.texts(tokens),
        ids=joined.ids,
        probabilities=joined.probabilities,
        final_ids=joined.final_ids,
        final_probability=joined.final_probability,
        final_rank=joined.final_rank,
        entropy=joined.entropy,
        kl=joined.kl,
        texts=dict(zip(named, speller.texts(named), strict=True)),
        without_attention="" if any(row.place == ATTENTION for row in states.rows) else SIDE_BY_SIDE,
    )


@torch.inference_mode()
def lens_position(
    loaded: LoadedModel, speller: Speller, given: Given, position: int, control: Control = UNCONTROLLED
) -> LensPosition:
    """The course through the model of every token that is first in some row at `position`. Raises as `logit_lens`."""
    subject = Subject(loaded, given)
    start, stop = _checked((position, position + 1), len(subject.ids))
    states = _States.of(subject, slice(start, stop), control)
    rows = []
    for row in range(len(states.rows)):
        control.check()
        rows.append(states.log_probabilities(subject, row, slice(0, 1))[0])
    ids = list(dict.fromkeys(int(row.argmax()) for row in reversed(rows)))  # the final one first
    courses = torch.stack([row[ids] for row in rows])
    ranks = torch.stack([torch.stack([(row > row[index]).sum() for index in ids]) for row in rows])
    return LensPosition(
        position=position,
        rows=states.rows,
        ids=np.array(ids, np.int32),
        texts=speller.texts(ids),
        probabilities=courses.exp().float().cpu().numpy(),
        ranks=_whole(ranks),
    )


def _checked(positions: tuple[int, int], tokens: int) -> tuple[int, int]:
    if not 0 <= positions[0] < positions[1] <= tokens:
        raise InputError(
            f"There are no positions {positions[0]} to {positions[1]} in a text of {tokens} tokens.",
            "Choose positions of the text.",
        )
    return positions


@dataclass(frozen=True, slots=True, eq=False)
class _States:
    """The hidden states at every place of the model, each (positions, hidden)."""

    stack: Stack
    rows: tuple[LensRow, ...]
    states: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, subject: Subject, positions: slice, control: Control) -> _States:
        """Run the layers once and keep the states at `positions`."""
        stack = stack_of(subject)
        if stack is None:
            raise UnsupportedFeatureError(
                f"Models of the type {subject.loaded.info.model_type} do not predict from what their last layer returns"
                " alone, or run the same layer several times, so their layers cannot be read one by one.",
                "Open a model of another architecture, such as bundled:decoder.",
            )
        probe = subject.part(PROBE)
        place = after_attention(stack, probe.run)
        found = list(_read(subject, stack, place, control))
        kept = tuple(state.reshape(-1, state.shape[-1])[positions].clone() for _, state in found)
        return cls(stack, tuple(row for row, _ in found), kept)

    def log_probabilities(self, subject: Subject, row: int, positions: slice) -> torch.Tensor:
        """What is read from the states of `row` at `positions`: log-probabilities (positions, vocabulary)."""
        return subject.logits(self.stack, self.states[row][None, positions])[0].log_softmax(-1)


def _read(
    subject: Subject, stack: Stack, place: AfterAttention | None, control: Control
) -> Iterator[tuple[LensRow, torch.Tensor]]:
    """Every place with its hidden states, in the order in which the model comes by."""
    with ExitStack() as hooks:
        outputs = hooks.enter_context(stack.recorded(control))
        inputs = hooks.enter_context(stack.first_input())
        attended = hooks.enter_context(place.recorded(stack)) if place else {}
        subject.run()
    yield LensRow(0, EMBEDDING), inputs[0]
    for layer, output in enumerate(outputs):
        if layer in attended:
            yield LensRow(layer, ATTENTION), attended[layer]
        yield LensRow(layer, LAYER), hidden_of(output)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A block of positions: what `Lens` holds of them."""

    ids: Int32  # (rows, positions, best)
    probabilities: np.ndarray
    final_ids: Int32  # (positions,)
    final_probability: np.ndarray  # (rows, positions)
    final_rank: Int32
    entropy: np.ndarray
    kl: np.ndarray

    @classmethod
    def of(cls, subject: Subject, states: _States, positions: slice, best: int, control: Control) -> _Block:
        """Read every row at `positions`."""
        final = states.log_probabilities(subject, len(states.rows) - 1, positions)
        first = final.argmax(-1)[:, None]
        rows = []
        for row in range(len(states.rows)):
            control.check()
            read = states.log_probabilities(subject, row, positions)
            of_final = read.gather(-1, first)
            top = read.topk(best)
            rank = (read > of_final).sum(-1)
            rows.append(
                (top.indices, top.values.exp(), of_final[:, 0].exp(), rank, entropy(read), divergence(final, read))
            )
        ids, probabilities, of_first, ranks, entropies, kl = (torch.stack(column) for column in zip(*rows, strict=True))
        return cls(
            _whole(ids),
            probabilities.cpu().numpy(),
            _whole(first[:, 0]),
            of_first.cpu().numpy(),
            _whole(ranks),
            entropies.cpu().numpy(),
            kl.cpu().numpy(),
        )

    @classmethod
    def joined(cls, blocks: list[_Block]) -> _Block:
        """One block of all positions."""

        def join(of: Callable[[_Block], np.ndarray]) -> np.ndarray:
            return np.concatenate([of(block) for block in blocks], axis=1)

        return cls(
            join(lambda block: block.ids),
            join(lambda block: block.probabilities),
            np.concatenate([block.final_ids for block in blocks]),
            join(lambda block: block.final_probability),
            join(lambda block: block.final_rank),
            join(lambda block: block.entropy),
            join(lambda block: block.kl),
        )


def _whole(values: torch.Tensor) -> Int32:
    return values.int().cpu().numpy()
