"""The logits of a position: read from the model, sorted once on its device, and handed out as arrays."""

from __future__ import annotations

import numpy as np
import torch

from llmlab.engine.context import NOTHING, Context
from llmlab.engine.errors import InputError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, end_tokens, prompt_ids
from llmlab.engine.sampling import SamplingSettings, shape
from llmlab.engine.sorted_logits import Captured, CapturedPosition, SortedLogits, descending, order_preserving
from llmlab.engine.tokenization import Speller, decode
from llmlab.engine.types import Feature, Float32, Int32, NextToken

NAMED = 512  # most probable tokens that a captured position names
RADIX = 2**16  # numbers from which on torch's sort is a radix sort, and worth its overhead
LABEL_TOKENS = 3  # on either side of a mask


def sort(logits: torch.Tensor, context: Context = NOTHING) -> SortedLogits:
    """Sort `logits` (vocabulary,), on their device where that is a CUDA device; they follow the tokens `context`.

    Raises InputError where they hold no usable number.
    """
    if logits.device.type == "cuda":
        return _sort_there(logits, context)
    scores = logits.float().cpu().numpy()
    ids = _descending(scores)
    return SortedLogits.checked(ids, scores[ids], context)


def sorted_later(logits: torch.Tensor, context: Context) -> SortedLogits:
    """`logits` (vocabulary,), which nobody changes any more, sorted when they are first looked at. Raises as `sort`."""
    scores = logits if logits.dtype == torch.float32 and logits.device.type == "cpu" else logits.float().cpu()
    if scores.untyped_storage().nbytes() > scores.nbytes:  # a row of more logits, which would be kept with it
        scores = scores.clone()
    return SortedLogits.later(scores.numpy(), context, _descending)


def _descending(scores: Float32) -> Int32:
    return descending(scores) if len(scores) < RADIX else _radix_descending(scores)


def _radix_descending(scores: Float32) -> Int32:
    """Torch sorts many int32 in ascending order with a radix sort, several times faster than any other way here."""
    order = order_preserving(scores)[::-1]
    places = torch.from_numpy(np.invert(order)).sort(stable=True).indices.numpy()
    ids: Int32 = np.subtract(len(scores) - 1, places, dtype=np.int32, casting="unsafe")
    return ids


@torch.inference_mode()
def _sort_there(logits: torch.Tensor, context: Context) -> SortedLogits:
    scores = logits.float() + 0.0  # −0.0 becomes 0.0, its equal
    bits = scores.view(torch.int32)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (order.long() << 32) | torch.arange(len(scores), device=scores.device)
    ids = keys.sort(descending=True).values.bitwise_and_(0xFFFFFFFF)
    return SortedLogits.checked(ids.int().cpu().numpy(), scores[ids].cpu().numpy(), context)


def next_token(loaded: LoadedModel, text: str, settings: SamplingSettings) -> NextToken:
    """The distribution of the token after `text`, before and after `settings`, in vocabulary order."""
    require(loaded, Feature.NEXT_TOKEN)
    settings.validated()
    shaped = shape(_next(loaded, text, UNCONTROLLED), settings)
    size = len(shaped.ids)
    logits, raw, probabilities = (np.empty(size, np.float32) for _ in range(3))
    logits[shaped.ids] = shaped.logits
    raw[shaped.ids] = shaped.raw_probabilities
    probabilities[shaped.ids] = shaped.probabilities
    return NextToken(logits, raw, probabilities)


def distribution(loaded: LoadedModel, speller: Speller, text: str, control: Control = UNCONTROLLED) -> Captured:
    """What the model expects next or, of an encoder-only model, at each masked position of `text`."""
    if Feature.FILL_MASK in loaded.info.features:
        return _masks(loaded, speller, text, control)
    require(loaded, Feature.NEXT_TOKEN)
    return Captured((_position("next", _next(loaded, text, control), speller),))


def require(loaded: LoadedModel, feature: Feature) -> None:
    """Raise UnsupportedFeatureError where the loaded model does not offer `feature`."""
    if feature not in loaded.info.features:
        raise UnsupportedFeatureError(
            f"“{loaded.info.name}”, of the {loaded.info.architecture} kind, does not offer this: {feature}.",
            "Open another one: bundled:decoder, bundled:encoder and bundled:seq2seq cover all architectures.",
        )


def _next(loaded: LoadedModel, text: str, control: Control) -> SortedLogits:
    read = prompt_ids(loaded, text)
    reader = Reader(loaded, read, control)
    return sort(reader.next_logits(reader.start), Context.of(reader.start, source=read, ends=end_tokens(loaded)))


@torch.inference_mode()
def _masks(loaded: LoadedModel, speller: Speller, text: str, control: Control) -> Captured:
    mask = loaded.info.mask_token
    ids = prompt_ids(loaded, text)
    places = [place for place, index in enumerate(ids) if index == loaded.tokenizer.mask_token_id]
    if not places:
        raise InputError(
            "The text has no masked position for the model to fill in.",
            f"Type {mask} where a word is missing, for example “The cat sat on the {mask}.”",
        )
    control.check()
    logits = loaded.model(input_ids=torch.tensor([ids], device=loaded.device)).logits[0, places]
    positions = []
    for place, row in zip(places, logits, strict=True):
        control.check()
        positions.append(_position(mask_label(loaded, ids, place), sort(row), speller))
    return Captured(tuple(positions))


def mask_label(loaded: LoadedModel, ids: list[int], place: int) -> str:
    """The words around a mask."""
    before, after = ids[max(0, place - LABEL_TOKENS) : place], ids[place + 1 : place + 1 + LABEL_TOKENS]
    return f"{decode(loaded.tokenizer, before)}{loaded.info.mask_token}{decode(loaded.tokenizer, after)}".strip()


def _position(label: str, captured: SortedLogits, speller: Speller) -> CapturedPosition:
    return CapturedPosition(label, captured, speller.texts(captured.ids[:NAMED].tolist()))
