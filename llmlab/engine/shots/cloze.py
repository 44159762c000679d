"""Labels at a mask of an encoder-only model (PET: Schick & Schütze 2021, section 3.1).

A label's word is put in the mask's place and the whole text encoded, so that it has the tokens that it has there;
then its tokens are masked. Words of one token share their row. Several tokens are masked together, and their
log-probabilities added: the model sees the others as masks, as in one pass of Schick & Schütze 2021b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import Control
from llmlab.engine.reading import prompt_ids
from llmlab.engine.shots.batching import in_batches, padded
from llmlab.engine.shots.types import Rendered
from llmlab.engine.tokenization import Speller, tokenize


@dataclass(frozen=True, slots=True)
class _Filled:
    """A prompt with a label's tokens masked: the row, their places in it, and the tokens."""

    row: tuple[int, ...]
    places: tuple[int, ...]
    ids: tuple[int, ...]


def scored(
    loaded: LoadedModel, prompts: Sequence[Rendered], control: Control
) -> Iterator[tuple[int, list[float], list[int]]]:
    """(place, sums, tokens) of each prompt's choices. Raises InputError where no places of tokens are known."""
    if not loaded.tokenizer.is_fast:
        raise InputError(
            "This tokenizer cannot say where in a text its tokens stand, so no word can be masked.",
            "Open a model with a fast tokenizer (tokenizer.json).",
        )
    speller = Speller(loaded.tokenizer, loaded.info.vocabulary)
    filled = [[_fill(loaded, speller, prompt, choice) for choice in prompt.choices] for prompt in prompts]

    def work(places: list[int]) -> list[list[float]]:
        return _sums(loaded, [filled[place] for place in places])

    sizes = [sum(len(each.row) for each in some) for some in filled]
    for places, sums in in_batches(work, sizes, control):
        for place, row in zip(places, sums, strict=True):
            yield place, row, [len(each.ids) for each in filled[place]]


def _fill(loaded: LoadedModel, speller: Speller, prompt: Rendered, choice: str) -> _Filled:
    assert prompt.mask is not None
    start, end = prompt.mask
    text = prompt.text[:start] + choice + prompt.text[end:]
    prompt_ids(loaded, text)  # refuses what the model cannot read
    tokens = tokenize(loaded.tokenizer, speller, text)
    first, last = tokens.offsets[:, 0], tokens.offsets[:, 1]
    inside = (first < start + len(choice)) & (last > start) & ~tokens.special
    places = tuple(inside.nonzero()[0].tolist())
    ids = tokens.ids.tolist()
    if not places:
        raise InputError("A label is empty.", "Give every label a word that can stand at the mask.")
    row = [loaded.tokenizer.mask_token_id if place in places else token for place, token in enumerate(ids)]
    return _Filled(tuple(row), places, tuple(ids[place] for place in places))


@torch.inference_mode()
def _sums(loaded: LoadedModel, filled: Sequence[Sequence[_Filled]]) -> list[list[float]]:
    rows = list(dict.fromkeys(each.row for some in filled for each in some))
    ids, mask = padded(rows, loaded.tokenizer.pad_token_id or 0)
    model: Any = loaded.model
    logits = model(input_ids=ids.to(loaded.device), attention_mask=mask.to(loaded.device)).logits
    return [[_sum(each, logits[rows.index(each.row)]) for each in some] for some in filled]


def _sum(filled: _Filled, logits: torch.Tensor) -> float:
    """logits: (tokens, vocabulary) of the row."""
    rows = logits[list(filled.places)].float().double()
    chosen = rows.gather(1, torch.tensor(filled.ids, device=rows.device)[:, None])[:, 0]
    return float((chosen - rows.logsumexp(-1)).sum())
