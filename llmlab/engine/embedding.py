"""The space that a model's tokens live in: their input embeddings, what lies near what, and a map of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import prompt_ids
from llmlab.engine.tokens.types import EmbeddingMap, HiddenPath, Neighbours
from llmlab.engine.types import Architecture, Float32

ROWS = 16_384  # embeddings worked on at a time: a large model's matrix in float32 would not fit twice
_TINY = 1e-12


@torch.inference_mode()
def embedding(loaded: LoadedModel, ids: Sequence[int]) -> Float32:
    """The input embeddings of `ids`, float32 (ids, hidden). Raises InputError for a token that has none."""
    weight = _weight(loaded)
    _check(ids, weight)
    return _numpy(weight[torch.tensor(list(ids), device=weight.device, dtype=torch.long)])


@torch.inference_mode()
def neighbours(loaded: LoadedModel, to: int | NDArray[np.floating[Any]], count: int = 20) -> Neighbours:
    """The tokens whose input embeddings point most nearly the same way, by cosine; `to` an id, left out, or a vector.

    Raises InputError for an id without an embedding, or a vector (hidden,) that has another size or no direction.
    """
    if isinstance(to, (int, np.integer)):
        return _nearest(loaded, _rows(loaded, [int(to)])[0], count, without=[int(to)])
    vector = torch.as_tensor(np.asarray(to, np.float32), device=_weight(loaded).device)
    if vector.shape != _weight(loaded).shape[1:]:
        raise InputError(
            f"The vector has {vector.numel():,} values, but the embeddings have {_weight(loaded).shape[1]:,}.",
            "Take a vector of this model.",
        )
    return _nearest(loaded, vector, count)


@torch.inference_mode()
def vector_arithmetic(loaded: LoadedModel, plus: Sequence[int], minus: Sequence[int], count: int = 20) -> Neighbours:
    """What lies nearest to the sum of `plus` without `minus`: king − man + woman. These tokens themselves are left out.

    Each embedding counts with length 1 (3CosAdd: Mikolov et al. 2013; Levy and Goldberg 2014). Raises InputError.
    """
    if not plus and not minus:
        raise InputError("There is no token to reckon with.", "Choose at least one token to add.")
    vector = _unit(_rows(loaded, plus)).sum(0) - _unit(_rows(loaded, minus)).sum(0)
    return _nearest(loaded, vector, count, without=[*plus, *minus])


@torch.inference_mode()
def embedding_map(loaded: LoadedModel, control: Control = UNCONTROLLED) -> EmbeddingMap:
    """All embeddings in their first two principal components, exactly; signs are such that the map never flips.

    Raises Cancelled between blocks.
    """
    weight = _weight(loaded)
    size, hidden = weight.shape
    mean = torch.zeros(hidden, dtype=torch.float64, device=_exact_device(weight))
    square = 0.0
    for block in _blocks(weight):
        exact = block.to(mean.device, torch.float64)
        mean += exact.sum(0) / size
        square += float(exact.square().sum())
    covariance = torch.zeros(hidden, hidden, dtype=torch.float64, device=mean.device)
    for number, block in enumerate(_blocks(weight)):
        control.check()
        control.report("Mapping the embeddings", number * ROWS / size)
        centred = block.to(mean.device, torch.float64) - mean
        covariance += centred.T @ centred
    control.check()
    axes, share = _two_main(covariance)
    points = [(block.to(mean.device, torch.float64) - mean) @ axes for block in _blocks(weight)]
    return EmbeddingMap(_numpy(torch.cat(points)), _numpy(share), (square / weight.numel()) ** 0.5)


@torch.inference_mode()
def hidden_states(loaded: LoadedModel, text: str, layer: int, control: Control = UNCONTROLLED) -> Float32:
    """Every token's vector after `layer` layers, float32 (tokens, hidden), special tokens included.

    As transformers counts: 0 is before the first layer, and after the last one the final norm has been applied. Of an
    encoder-decoder model these are the encoder's. Raises InputError for a layer that does not exist.
    """
    states = _states(loaded, prompt_ids(loaded, text), control)
    if not 0 <= layer < len(states):
        raise InputError(
            f"There is no layer {layer:,}.", f"This model has states 0 (the embeddings) to {len(states) - 1:,}."
        )
    return _numpy(states[layer][0])


@torch.inference_mode()
def hidden_path(loaded: LoadedModel, text: str, token: int, control: Control = UNCONTROLLED) -> HiddenPath:
    """The states of all tokens after every layer in a plane, and those of the token at place `token` in full.

    One forward pass. Raises InputError for a place that the text does not have, and Cancelled before and after it.
    """
    ids = prompt_ids(loaded, text)
    if not 0 <= token < len(ids):
        raise InputError(f"The text has no token {token + 1:,}.", f"It has {len(ids):,} tokens, special ones included.")
    states = _states(loaded, ids, control)
    control.check()
    device = _exact_device(states[0])
    spread = torch.stack([state[0].float().square().mean().sqrt() for state in states])
    vectors = torch.stack([state[0, token].float() for state in states])
    units = torch.cat([_unit(state[0].to(device, torch.float64)) for state in states])  # (layers + 1 × tokens, hidden)
    points, explained = _plane(units)
    shaped = _numpy(points).reshape(len(states), len(ids), 2)
    return HiddenPath(np.array(ids, np.int64), shaped, explained, _numpy(spread), token, _numpy(vectors))


def _states(loaded: LoadedModel, ids: list[int], control: Control) -> tuple[torch.Tensor, ...]:
    """What comes before the first layer and out of every one, each (1, tokens, hidden)."""
    control.check()
    given = torch.tensor([ids], device=loaded.device)
    model: Any = loaded.model
    reader = model.get_encoder() if loaded.info.architecture is Architecture.ENCODER_DECODER else model.base_model
    output = reader(input_ids=given, attention_mask=torch.ones_like(given), output_hidden_states=True, return_dict=True)
    states: tuple[torch.Tensor, ...] = output.hidden_states
    return states


def _plane(rows: torch.Tensor) -> tuple[torch.Tensor, Float32]:
    """Rows (n, hidden) in their first two principal components (n, 2), and the share of the variance of each."""
    centred = rows - rows.mean(0)
    if len(rows) >= rows.shape[1]:
        axes, share = _two_main(centred.T @ centred)
    else:  # fewer rows than dimensions: the rows' own products are the smaller matrix
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        axes = centred.T @ vectors[:, [-1, -2] if len(rows) > 1 else [-1, -1]]
        axes = _fixed_signs(axes / axes.norm(dim=0).clamp(min=_TINY))
        share = _share(values)
    return centred @ axes, _numpy(share)


def _two_main(covariance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first two eigenvectors (hidden, 2) and the share of the variance of each (2,)."""
    values, vectors = torch.linalg.eigh(covariance)
    axes = vectors[:, [-1, -2]] if len(values) > 1 else vectors[:, [-1, -1]]
    return _fixed_signs(axes), _share(values)


def _share(values: torch.Tensor) -> torch.Tensor:
    """Of the two largest eigenvalues; `values` ascend. Rounding may leave one a hair below nothing."""
    two = torch.cat([values.flip(0), values.new_zeros(1)])[:2]
    return two.clamp(min=0) / values.sum().clamp(min=_TINY)


def _fixed_signs(axes: torch.Tensor) -> torch.Tensor:
    """The largest entry of each column is positive, so that a picture never flips."""
    largest = axes.abs().argmax(0)
    return axes * torch.sign(axes[largest, torch.arange(2, device=axes.device)])


def _weight(loaded: LoadedModel) -> torch.Tensor:
    """The embedding matrix (vocabulary, hidden), where the model has it."""
    module: Any = loaded.model.get_input_embeddings()
    weight: torch.Tensor = module.weight
    return weight.detach()


def _rows(loaded: LoadedModel, ids: Sequence[int]) -> torch.Tensor:
    weight = _weight(loaded)
    _check(ids, weight)
    rows: torch.Tensor = weight[torch.tensor(list(ids), device=weight.device, dtype=torch.long)].float()
    return rows


def _check(ids: Sequence[int], weight: torch.Tensor) -> None:
    wrong = [index for index in ids if not 0 <= index < len(weight)]
    if wrong:
        raise InputError(
            f"The model has no embedding for the token id {wrong[0]:,}.",
            f"It has {len(weight):,} of them; the tokenizer may have more tokens than the model.",
        )


def _blocks(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    for start in range(0, len(weight), ROWS):
        yield weight[start : start + ROWS].float()


def _unit(rows: torch.Tensor) -> torch.Tensor:
    unit: torch.Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp(min=_TINY)
    return unit


def _nearest(loaded: LoadedModel, vector: torch.Tensor, count: int, without: Sequence[int] = ()) -> Neighbours:
    weight = _weight(loaded)
    length = float(vector.norm())
    if not np.isfinite(length) or length < _TINY:
        raise InputError(
            "This vector has no direction, so nothing lies near it.", "Choose other tokens: these cancel each other."
        )
    cosines = torch.cat([_unit(block) @ (vector / length) for block in _blocks(weight)])
    cosines = cosines.nan_to_num(nan=-2.0)
    cosines[list(without)] = -torch.inf
    best = cosines.topk(max(0, min(count, len(cosines) - len(set(without)))))
    return Neighbours(best.indices.int().cpu().numpy(), _numpy(best.values.clamp(-1, 1)))


def _exact_device(weight: torch.Tensor) -> torch.device:
    """Where float64 is to be had: not on Apple's GPUs."""
    return torch.device("cpu") if weight.device.type == "mps" else weight.device


def _numpy(values: torch.Tensor) -> Float32:
    array: Float32 = values.detach().float().cpu().numpy()
    return array
