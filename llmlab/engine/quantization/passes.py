"""Reading a text again and again with other weights in some places, without computing again what lies before them.

The modules are copied, and every tensor is shared with the model in use, which is only ever read: a matrix is rounded
when its layer computes and given up right after. What every layer gave in the first pass is kept; a pass with a change
in layer 7 takes the hidden states before it from there. An encoder reads a copy of the text for every token that is
masked, and its head, as wide as the vocabulary, is asked about the masked places alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.comparing import MASKED, answered_ids, masked_ids, text_ids, window_of
from llmlab.engine.quantization.copies import rounded, sharing
from llmlab.engine.quantization.matrices import matrix
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.reading import decoder_start, forward_parameters
from llmlab.engine.types import Architecture

TOGETHER = 1024  # tokens read in one pass, in windows of equal length
ROUNDING = 0.01  # of the largest logit: matrices of another shape are multiplied in another order, in 16 bits as well


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One forward pass: what the model is given, and which of its logits (copies, tokens, vocabulary) are compared.

    `copies` and `places` int64 (positions,) say where, `ids` which tokens stand there.
    """

    arguments: dict[str, Tensor]
    copies: Tensor
    places: Tensor
    ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """How many tokens are read."""
        return sum(given.numel() for name, given in self.arguments.items() if name.endswith("input_ids"))


def batches(loaded: LoadedModel, text: str, answer: Sequence[int] | None = None) -> list[Batch]:
    """A text as `comparing.text_damage` reads it, in as few passes as sensible. Raises InputError as that does."""
    if loaded.info.architecture is Architecture.ENCODER:
        return list(_masked(loaded, text))
    if loaded.info.architecture is Architecture.ENCODER_DECODER:
        return [_answered(loaded, text, answer)]
    return list(_windows(loaded, text))


def _windows(loaded: LoadedModel, text: str) -> Iterator[Batch]:
    ids = torch.tensor(text_ids(loaded, text))
    window = window_of(loaded)
    whole = (len(ids) - 1) // window  # windows of full length
    together = max(1, TOGETHER // window)
    edges = [*range(0, whole, together), whole]
    for first, last in pairwise(edges):
        yield _batch(ids[first * window : last * window + 1], last - first)
    if (len(ids) - 1) % window:
        yield _batch(ids[whole * window :], 1)


def _batch(ids: Tensor, windows: int) -> Batch:
    """`ids` but the last in rows; each predicts the one after it, the last one of a row the next row's first."""
    given = ids[:-1].view(windows, -1)  # (windows, tokens)
    copies, places = torch.ones_like(given).nonzero(as_tuple=True)
    return Batch({"input_ids": given}, copies, places, tuple(ids[1:].tolist()))


def _masked(loaded: LoadedModel, text: str) -> Iterator[Batch]:
    ids, places = masked_ids(loaded, text)
    for begin in range(0, len(places), MASKED):
        chosen = torch.tensor(places[begin : begin + MASKED])
        copies = torch.arange(len(chosen))
        inputs = torch.tensor([ids] * len(chosen))  # (copies, tokens)
        inputs[copies, chosen] = loaded.tokenizer.mask_token_id
        yield Batch({"input_ids": inputs}, copies, chosen, tuple(ids[place] for place in chosen.tolist()))


def _answered(loaded: LoadedModel, text: str, answer: Sequence[int] | None) -> Batch:
    source, ids = answered_ids(loaded, text, answer)
    start = decoder_start(loaded)
    given = torch.tensor([[*start, *ids[:-1]]])
    places = torch.arange(len(start) - 1, given.shape[1])
    inputs = torch.tensor([source])
    arguments = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs), "decoder_input_ids": given}
    return Batch(arguments, torch.zeros_like(places), places, tuple(ids))


class Passes:
    """The model's modules, its passes over a text, and what every layer gave in the first of each.

    `reuses`: whether passes begin at the first change. It is tried out before: where the logits are not the same to
    the last bit, every pass computes everything. `trims`: whether a head computes only at the places that are compared.
    That is tried out too.
    """

    def __init__(
        self, loaded: LoadedModel, names: Iterable[str], read: Sequence[Batch], control: Control = UNCONTROLLED
    ) -> None:
        """`names`: of all matrices that will be changed."""
        self._loaded = loaded
        self._model: Any = sharing(loaded.model)
        self._lean = {"use_cache": False} if "use_cache" in forward_parameters(loaded.model) else {}
        self._units = {name: _unit(name) for name in names}
        self._given: list[dict[str, Any]] = []  # of each batch, of each unit in the order of computation: its output
        self.batches = tuple(read)
        self.reference: list[Tensor] = []  # of each batch: logits (positions, vocabulary)
        self.reuses = self.trims = False
        self.trims = loaded.info.architecture is Architecture.ENCODER and self._is_trimmable()
        for number, batch in enumerate(self.batches):
            control.check()
            control.report(f"Reading the text: {number} of {len(self.batches)} passes", number / len(self.batches))
            self.reference.append(self._record(batch))
        self.reuses = self._is_reusable()

    @torch.inference_mode()
    def logits(self, number: int, changes: Mapping[str, Scheme]) -> Tensor:
        """The logits (positions, vocabulary) of a batch, with each matrix of `changes` as its scheme gives it back."""
        forwards = {self._module(unit): _constant(self._given[number][unit]) for unit in self.skipped(changes)}
        for name, scheme in changes.items():
            module = self._module(name.rpartition(".")[0])
            forwards[module] = _rounding(module, matrix(self._loaded, name).weight, scheme)
        with _computing(forwards):
            return self._read(self.batches[number])

    def skipped(self, changes: Iterable[str]) -> tuple[str, ...]:
        """The layers before the first that has a matrix of `changes`: they need not be computed again."""
        if not self.reuses:
            return ()
        changed = {self._units[name] for name in changes}
        order = list(self._given[0])
        first = min((place for place, unit in enumerate(order) if unit in changed), default=len(order))
        whole = changed <= set(order)
        return tuple(order[:first]) if whole else ()

    @property
    def units(self) -> int:
        """How many layers there are to be skipped."""
        return len(self._given[0])

    def _module(self, name: str) -> Any:
        return self._model.get_submodule(name)

    @torch.inference_mode()
    def _record(self, batch: Batch) -> Tensor:
        """The logits of the model as it is; what the layers gave is kept, but of those that compute several times."""
        given: dict[str, Any] = {}
        again: set[str] = set()
        handles = []
        for unit in dict.fromkeys(self._units.values()):

            def keep(_module: Any, _arguments: Any, output: Any, unit: str = unit) -> None:
                if unit in given:
                    again.add(unit)
                given[unit] = output

            handles.append(self._module(unit).register_forward_hook(keep))
        try:
            logits = self._read(batch)
        finally:
            for handle in handles:
                handle.remove()
        self._given.append({unit: output for unit, output in given.items() if unit not in again})
        return logits

    def _read(self, batch: Batch) -> Tensor:
        arguments = {name: given.to(self._loaded.device) for name, given in batch.arguments.items()}
        logits: Tensor
        if self.trims:
            with _trimmed(self._model.base_model, batch):
                logits = self._model(**arguments, **self._lean).logits
            return logits[0]
        logits = self._model(**arguments, **self._lean).logits
        return logits[batch.copies.to(logits.device), batch.places.to(logits.device)]

    @torch.inference_mode()
    def _is_trimmable(self) -> bool:
        """Whether the head says the same of each place by itself, up to rounding: it looks at no other place."""
        whole = self._read(self.batches[0])
        self.trims = True
        try:
            alone = self._read(self.batches[0])
        except (AttributeError, IndexError, RuntimeError):  # a head that needs all places
            return False
        finally:
            self.trims = False
        return alone.shape == whole.shape and bool((alone - whole).abs().max() <= ROUNDING * whole.abs().max())

    @torch.inference_mode()
    def _is_reusable(self) -> bool:
        """Whether passes that begin in the middle, and at the last layer, twice, give the same logits."""
        order = list(self._given[0])
        for start in (len(order) // 2, len(order) - 1, len(order) - 1):
            forwards = {self._module(unit): _constant(self._given[0][unit]) for unit in order[: max(0, start)]}
            with _computing(forwards):
                if not torch.equal(self._read(self.batches[0]), self.reference[0]):
                    return False
        return True


@contextmanager
def _trimmed(base: Any, batch: Batch) -> Iterator[None]:
    """Only the hidden states that are compared leave the body of a model: (1, positions, hidden size)."""

    def trim(_module: Any, _arguments: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden[batch.copies.to(hidden.device), batch.places.to(hidden.device)][None]
        return output

    handle = base.register_forward_hook(trim)
    try:
        yield
    finally:
        handle.remove()


def _unit(name: str) -> str:
    """What is skipped as a whole: the layer that a matrix is in, or the matrix's own module where it is in none."""
    words = name.split(".")
    number = next((place for place, word in enumerate(words) if word.isdigit()), len(words) - 2)
    return ".".join(words[: number + 1])


def _constant(output: Any) -> Callable[..., Any]:
    return lambda *_arguments, **_keywords: output


def _rounding(module: Any, weight: Tensor, scheme: Scheme) -> Callable[..., Any]:
    """How `module` computes with its weight as `scheme` gives it back, which lies in memory only meanwhile."""
    plain = module.forward

    def forward(*arguments: Any, **keywords: Any) -> Any:
        own = module.weight
        module.weight = rounded(module, weight, scheme)
        try:
            return plain(*arguments, **keywords)
        finally:
            module.weight = own

    return forward


@contextmanager
def _computing(forwards: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Modules compute by other functions meanwhile."""
    before = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            module.forward = forward
        yield
    finally:
        for module, own in before.items():
            if own is None:
                vars(module).pop("forward", None)
            else:
                module.forward = own
