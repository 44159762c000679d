"""What the laboratory has done in the model's thread. No Qt; torch is imported there, where it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmlab.engine.errors import EngineError, UnsupportedFeatureError
from llmlab.engine.quantization.mixed import Ranked
from llmlab.engine.quantization.parts import Part
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import CopyCost, MatrixDetail, Measured, Question, WeightDamage
from llmlab.jobs.job import ErrorInfo

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.jobs.job import JobControl


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a scheme does to the weights, and what a copy would cost; or why that is not known."""

    scheme: Scheme
    damage: WeightDamage | None = None
    cost: CopyCost | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a scheme does to the model; or why that is not known."""

    scheme: Scheme
    measured: Measured | None = None
    error: ErrorInfo | None = None


def weigh(engine: Engine, control: JobControl, schemes: tuple[Scheme, ...]) -> None:
    """Emits a `Weighed` for each scheme. A scheme that cannot be had here does not keep the others waiting."""
    from llmlab.engine.quantization.copies import copy_cost
    from llmlab.engine.quantization.damage import weight_damage

    for scheme in schemes:
        try:
            damage = weight_damage(engine.loaded, scheme, control)
            control.emit(Weighed(scheme, damage, copy_cost(engine.loaded, scheme)))
        except UnsupportedFeatureError:  # of the model, whatever the scheme
            raise
        except EngineError as error:
            control.emit(Weighed(scheme, error=ErrorInfo.of(error)))


def look(engine: Engine, scheme: Scheme, matrix: str) -> MatrixDetail:
    """The histograms of one matrix."""
    from llmlab.engine.quantization.damage import matrix_detail

    return matrix_detail(engine.loaded, scheme, matrix)


def ask(engine: Engine, control: JobControl, schemes: tuple[Scheme, ...], question: Question) -> None:
    """Emits an `Asked` for each scheme, one copy of the model after the other."""
    from llmlab.engine.quantization.measuring import measure

    for number, scheme in enumerate(schemes):
        part = _Part(control, scheme.name, number, len(schemes))
        try:
            control.emit(Asked(scheme, measure(engine.loaded, scheme, question, part)))
        except EngineError as error:
            control.emit(Asked(scheme, error=ErrorInfo.of(error)))
        control.flush()


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known before the first part: `bytes` of the model with every matrix quantized, `skips` the modules that
    transformers leaves out by itself, and has to be told of once a list of others is given.
    """

    bytes: int
    skips: tuple[str, ...]


def price(engine: Engine, question: Question) -> CopyCost:
    """What measuring the parts takes. Of an encoder-decoder model's answer the longest is reckoned with."""
    from llmlab.engine.quantization.sensitivity import probe_cost

    return probe_cost(engine.loaded, question.text, (0,) * question.max_new_tokens)


def measure_parts(
    engine: Engine, control: JobControl, scheme: Scheme, question: Question, parts: tuple[Part, ...]
) -> None:
    """Emits an `Opened`, and a `PartDamage` for each part."""
    from llmlab.engine.quantization.measuring import answer_to
    from llmlab.engine.quantization.sensitivity import sensitivity

    loaded = engine.loaded
    control.emit(_opened(engine, scheme))
    answer = answer_to(loaded, question, control)
    for found in sensitivity(loaded, scheme, question.text, answer, parts, control):
        control.emit(found)


def measure_mixed(
    engine: Engine,
    control: JobControl,
    scheme: Scheme,
    question: Question,
    order: tuple[Ranked, ...],
    counts: tuple[int, ...],
) -> None:
    """Emits a `Mixed` for each number of matrices that are kept."""
    from llmlab.engine.quantization.measuring import answer_to
    from llmlab.engine.quantization.sensitivity import Probe

    probe = Probe(engine.loaded, question.text, answer_to(engine.loaded, question, control), control)
    for number, kept in enumerate(counts):
        control.report(f"{scheme.name}: {kept} of {len(order)} matrices kept in 16 bits", number / len(counts))
        control.emit(probe.mixed(scheme, order, kept))


def _opened(engine: Engine, scheme: Scheme) -> Opened:
    from llmlab.engine.quantization.matrices import model_bytes, skip_modules

    return Opened(model_bytes(engine.loaded, scheme), skip_modules(engine.loaded))


class _Part:
    """Tells how far one of several schemes has come as a part of the whole."""

    def __init__(self, control: JobControl, name: str, number: int, count: int) -> None:
        self._control = control
        self._name, self._number, self._count = name, number, count

    def check(self) -> None:
        """As the job says."""
        self._control.check()

    def report(self, text: str, fraction: float | None = None) -> None:
        """With the scheme's name, as a share of all schemes."""
        words = text if text.startswith(self._name) else f"{self._name}: {text[:1].lower()}{text[1:]}"
        self._control.report(words, (self._number + (fraction or 0.0)) / self._count)
