"""Which part of a model pays for quantization: one part at a time is rounded, and the whole model is asked.

Sensitivity is the mean KL divergence in nats a token of the next-token distributions from those of the model in use,
when a part and nothing else is quantized. Weights alone are rounded, in the model's own arithmetic: of LLM.int8 that
is the error of its weights, without that of its 8-bit activations. The model in use is read, never written to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from llmlab.engine.devices import check_quantization, free_memory
from llmlab.engine.errors import OutOfMemoryError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.quantization.comparing import ROWS, compared
from llmlab.engine.quantization.damage import matrix_damage
from llmlab.engine.quantization.matrices import check_unquantized, matrices, matrix, model_bytes
from llmlab.engine.quantization.mixed import Mixed, Ranked, sixteen_bits
from llmlab.engine.quantization.parts import Part, PartDamage, Shift, parts_of
from llmlab.engine.quantization.passes import Batch, Passes, batches
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import CopyCost, MatrixDamage
from llmlab.engine.reading import guarded
from llmlab.engine.types import Architecture, Feature
from llmlab.engine.wording import size_text

_FLOAT32, _FLOAT64 = 4, 8
_COPIES = 6  # of a matrix in float32, at most, while it is rounded


def probe_cost(loaded: LoadedModel, text: str, answer: Sequence[int] | None = None) -> CopyCost:
    """What a `Probe` takes beside the model in use; no copy of the weights is among it. Raises as `Probe`.

    What every layer gives for every token, the logits of the text twice, and one matrix while it is rounded.
    """
    check_unquantized(loaded)
    return _cost(loaded, batches(loaded, text, answer))


def _cost(loaded: LoadedModel, read: Sequence[Batch]) -> CopyCost:
    itemsize = loaded.model.dtype.itemsize
    found = parts_of([each.name for each in matrices(loaded)])
    hidden = sum(batch.tokens for batch in read) * len(found.layers) * loaded.info.hidden_size * itemsize
    positions, most = sum(len(batch.ids) for batch in read), max(batch.tokens for batch in read)
    logits = (positions + 2 * most) * loaded.info.vocabulary * itemsize
    compared_rows = 4 * min(ROWS, positions) * loaded.info.vocabulary * _FLOAT64
    largest = max(each.weight.numel() for each in matrices(loaded)) * _FLOAT32 * _COPIES
    return CopyCost(hidden + logits + compared_rows + largest, free_memory(loaded.device), str(loaded.device))


class Probe:
    """Asks the model what it says of a text when some of its matrices are quantized.

    Of an encoder-decoder model what it says of `answer`. Raises UnsupportedFeatureError for a model that is already
    quantized or has no head, InputError for the text, OutOfMemoryError where it does not fit, or Cancelled.
    """

    def __init__(
        self, loaded: LoadedModel, text: str, answer: Sequence[int] | None = None, control: Control = UNCONTROLLED
    ) -> None:
        check_unquantized(loaded)
        require(loaded, Feature.FILL_MASK if loaded.info.architecture is Architecture.ENCODER else Feature.SCORE)
        self._loaded, self._control = loaded, control
        self._damages: dict[tuple[str, Scheme], MatrixDamage] = {}
        names = [each.name for each in matrices(loaded)]
        self.parts = parts_of(names)
        read = batches(loaded, text, answer)
        self._check_room(_cost(loaded, read))
        self.passes: Passes = guarded(lambda: Passes(loaded, names, read, control))
        self.perplexity = self.shift({}).perplexity  # of the model in use

    def _check_room(self, cost: CopyCost) -> None:
        if not cost.fits:
            raise OutOfMemoryError(
                f"To measure its parts over this text “{self._loaded.info.name}” needs {size_text(cost.bytes)} beside "
                f"the model in use, and {size_text(cost.available)} are free on {cost.device}.",
                "Use a shorter text: most of it is what the layers say of every token. Or open the model elsewhere.",
            )

    def shift(self, changes: Mapping[str, Scheme]) -> Shift:
        """What the text's predictions become when these matrices are quantized. Raises InputError, or Cancelled."""
        for scheme in set(changes.values()):
            if not (scheme.is_float or scheme.is_simulated):
                check_quantization(scheme.format, self._loaded.device)
        return guarded(lambda: self._shift(changes))

    def _shift(self, changes: Mapping[str, Scheme]) -> Shift:
        rows = [row for number in range(len(self.passes.batches)) for row in self._compared(number, changes)]
        divergence, _, after, best, best_after = (np.concatenate(column) for column in zip(*rows, strict=True))
        return Shift(
            divergence=float(divergence.mean()),
            agreement=float((best == best_after).mean()),
            perplexity=math.exp(min(700.0, -float(after.mean()))),
        )

    def _compared(self, number: int, changes: Mapping[str, Scheme]) -> Iterator[tuple[np.ndarray, ...]]:
        self._control.check()
        reference, ids = self.passes.reference[number], self.passes.batches[number].ids
        logits = self.passes.logits(number, changes)
        for start in range(0, len(ids), ROWS):
            self._control.check()
            rows = slice(start, start + ROWS)
            yield compared(reference[rows], logits[rows], ids[rows])

    def damage(self, part: Part, scheme: Scheme) -> PartDamage:
        """What it costs to quantize `part` and nothing else. Raises DeviceError without bitsandbytes, or as `shift`."""
        shift = self.shift(dict.fromkeys(part.matrices, scheme))
        found = [self._matrix(name, scheme) for name in part.matrices]
        return PartDamage(
            part=part,
            scheme=scheme,
            shift=shift,
            perplexity_before=self.perplexity,
            elements=sum(each.elements for each in found),
            bytes_before=sum(each.bytes_before for each in found),
            bytes=sum(each.bytes for each in found),
            signal=sum(each.signal for each in found),
            noise=sum(each.noise for each in found),
            layers_skipped=len(self.passes.skipped(part.matrices)),
        )

    def _matrix(self, name: str, scheme: Scheme) -> MatrixDamage:
        found = self._damages.get((name, scheme))
        if found is None:
            found = self._damages[name, scheme] = matrix_damage(matrix(self._loaded, name), scheme)
        return found

    def mixed(self, scheme: Scheme, ranked: Sequence[Ranked], kept: int) -> Mixed:
        """Everything under `scheme` but the first `kept` of `ranked`, which stay in 16 bits. Raises as `damage`."""
        whole = Scheme(sixteen_bits(self._loaded.info.dtype))
        changes = dict.fromkeys(self.parts.whole.matrices, scheme)
        for each in ranked[:kept]:
            changes |= dict.fromkeys(each.part.matrices, whole)
        bytes_ = model_bytes(self._loaded, scheme) + sum(each.extra_bytes for each in ranked[:kept])
        return Mixed(kept, bytes_, self.shift(changes))


def sensitivity(
    loaded: LoadedModel,
    scheme: Scheme,
    text: str,
    answer: Sequence[int] | None = None,
    parts: Sequence[Part] | None = None,
    control: Control = UNCONTROLLED,
) -> Iterator[PartDamage]:
    """What each of `parts` costs when it alone is quantized by `scheme`, one after the other; by default all of them.

    Raises as `Probe` and `Probe.damage`.
    """
    probe = Probe(loaded, text, answer, control)
    asked = probe.parts.all if parts is None else parts
    for number, part in enumerate(asked):
        control.report(f"{scheme.name}: {part.name}, {number} of {len(asked)} parts", number / len(asked))
        yield probe.damage(part, scheme)
