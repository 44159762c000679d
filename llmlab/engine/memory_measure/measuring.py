"""The calculator held against the model that is open: every component predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import torch

from llmlab.engine.devices import free_memory, memory_use, release_memory
from llmlab.engine.errors import InputError, OutOfMemoryError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.formats import bits
from llmlab.engine.memory.inference import InferenceSettings, inference
from llmlab.engine.memory.optimizers import Implementation
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.step import Phase as StepPhase
from llmlab.engine.memory.step import most_of
from llmlab.engine.memory.terms import Estimate, Term
from llmlab.engine.memory.training import Precision, TrainingSettings, training, training_phases
from llmlab.engine.memory_measure import hidden, stepping
from llmlab.engine.memory_measure.live import LiveTensors, stacked
from llmlab.engine.memory_measure.reading import CACHE, ENCODED, LOGITS, ReadingRun, Run
from llmlab.engine.memory_measure.types import (
    BEFORE,
    Alive,
    Component,
    Curve,
    Measurement,
    MeasureSettings,
    Phase,
    check,
)
from llmlab.engine.memory_measure.weights import WEIGHT_TERMS, cuda_devices_of, weight_components
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import decoder_start, guarded
from llmlab.engine.types import Architecture, Feature
from llmlab.engine.wording import size_text

_WORKING = "Working memory"
_BARE: dict[str, Any] = {"cuda_context": 0, "margin": 0.0}
_MOST_ALIVE = 12
_TOGETHER = "All components together."
_EITHER = "Weights, cache, and the larger of activations and logits: all logits are made when the layers are done."
_IN_TURN = (
    "Weights, and the larger of two: what the encoder works with; or its answer, the caches and the logits, which come "
    "when it is done."
)


def measure(loaded: LoadedModel, settings: MeasureSettings, control: Control = UNCONTROLLED) -> Measurement:
    """Run prefill, decoding and, if asked, a training step on a copy, and compare with the calculator.

    The model itself is left as it is. Raises InputError for settings that make no sense, UnsupportedFeatureError or
    UnsupportedModelError where the model cannot do it or is not known to the calculator, and OutOfMemoryError.
    """
    check(settings)
    shape = describe(loaded.model.config, loaded.info.name)
    _check(loaded, shape, settings)
    return guarded(lambda: _Measuring(loaded, shape, settings, control).run())


def estimate(loaded: LoadedModel, shape: ModelShape, settings: MeasureSettings) -> int:
    """Bytes that the measurement is expected to take beyond the model that is open."""
    work = inference(shape, inference_settings(loaded, settings, settings.tokens + settings.steps, settings.tokens))
    wanted = sum(term.bytes for term in work.terms if term.name not in WEIGHT_TERMS)
    if settings.train:
        wanted = max(wanted, training(shape, training_settings(loaded, settings)).total)
    return wanted


def inference_settings(
    loaded: LoadedModel, settings: MeasureSettings, tokens: int, at_once: int, *, all_logits: bool = False
) -> InferenceSettings:
    """The calculator's settings for `tokens` tokens in the cache of which `at_once` are read together.

    An encoder-decoder model's encoder reads the text; `tokens` are its decoder's.
    """
    info = loaded.info
    return InferenceSettings(
        dtype=info.dtype,
        quantization=info.quantization,
        double=hidden.double_quantization(loaded),
        tokens=tokens,
        source_tokens=settings.tokens if info.architecture is Architecture.ENCODER_DECODER else 0,
        batch=settings.batch,
        cache_dtype=info.dtype,
        prefill=at_once,
        all_logits=all_logits,
        flash=_fused(loaded),
        cuda=loaded.device.type != "cpu",
        **_BARE,
    )


def training_settings(loaded: LoadedModel, settings: MeasureSettings) -> TrainingSettings:
    """The calculator's settings for a step of AdamW in the model's own precision."""
    precision = Precision.FLOAT32 if loaded.info.dtype == "float32" else Precision.BFLOAT16
    return TrainingSettings(
        precision,
        tokens=settings.tokens,
        batch=settings.batch,
        flash=_fused(loaded),
        cuda=loaded.device.type != "cpu",
        # what the run does on this device
        implementation=Implementation.FUSED if loaded.device.type == "cuda" else Implementation.LOOP,
        **_BARE,
    )


class _Measuring:
    """One measurement under way."""

    def __init__(self, loaded: LoadedModel, shape: ModelShape, settings: MeasureSettings, control: Control) -> None:
        self._loaded, self._shape, self._settings, self._control = loaded, shape, settings, control
        self._weights = memory_use(loaded).weights
        self._warnings: list[str] = list(hidden.of_model(loaded, shape, self._weights))

    def run(self) -> Measurement:
        release_memory()
        if cuda_devices_of(self._loaded):  # cuBLAS takes its workspace at its first product, and keeps it
            warm = ReadingRun(self._loaded, replace(self._settings, tokens=1, batch=1), self._control)
            warm.prefill()
            warm.drop()
        before = int(psutil.Process().memory_info().rss)
        phases = list(self._reading())
        if self._settings.train:
            phases.append(self._training())
        unused, outside = hidden.of_allocator(self._loaded)
        info = self._loaded.info
        return Measurement(
            self._settings,
            info.name,
            str(self._loaded.device),
            info.dtype,
            info.quantization,
            tuple(phases),
            tuple(dict.fromkeys(self._warnings)),
            before,
            unused,
            outside,
        )

    def _reading(self) -> Iterator[Phase]:
        settings, info = self._settings, self._loaded.info
        two_parts = info.architecture is Architecture.ENCODER_DECODER
        start = len(decoder_start(self._loaded)) if two_parts else settings.tokens
        reading = ReadingRun(self._loaded, settings, self._control)
        try:
            self._control.report("Reading the tokens", 0.1)
            said = self._said(start, settings.tokens, all_logits=reading.all_logits)
            with self._allocator(self._weights) as peak:
                run = reading.prefill()
            self._warnings += hidden.of_prefill(self._loaded, run)
            yield self._read("Prefill", run, said, peak(), all_logits=reading.all_logits)
            if Feature.GENERATE in info.features and settings.steps:
                self._control.report("Writing tokens", 0.4)
                said = self._said(start + settings.steps, 1)
                with self._allocator(self._weights + reading.held) as peak:
                    run = reading.decode()
                yield self._read("Decoding", run, said, peak())
        finally:
            reading.drop()

    def _said(self, tokens: int, at_once: int, *, all_logits: bool = False) -> Estimate:
        wanted = inference_settings(self._loaded, self._settings, tokens, at_once, all_logits=all_logits)
        return inference(self._shape, wanted)

    def _read(self, name: str, run: Run, said: Estimate, allocator: int | None, *, all_logits: bool = False) -> Phase:
        """Prefill or decoding."""
        found = weight_components(self._loaded, said, self._weights)
        sizes = {"KV cache": run.cache, "Cross-attention cache": run.cross, "Logits": run.logits}
        for term in said.terms:
            if sizes.get(term.name):
                found.append(_component(term, sizes[term.name]))
            elif term.name == "Activations":
                working = run.live.curve(lambda life: life.label not in (CACHE, LOGITS, ENCODED))
                found.append(_component(term, int(working.max())))
        if answer := int(run.live.curve(lambda life: life.label == ENCODED).max()):
            found.append(self._encoded(answer))
        predicted, moment = sum(each.predicted for each in found), _TOGETHER
        if all_logits and run.logits:
            predicted -= min(said.bytes_of("Activations"), said.bytes_of("Logits"))
            moment = _EITHER
        if self._shape.encodes_first and name == "Prefill":
            busy = said.bytes_of("Activations")
            others = predicted - busy - sum(said.bytes_of(weights) for weights in WEIGHT_TERMS)
            predicted -= min(busy, others)
            moment = _IN_TURN
        return self._phase(name, run, found, (predicted, moment), allocator)

    def _encoded(self, measured: int) -> Component:
        """What the encoder has made of its text."""
        numbers = (self._settings.batch, self._settings.tokens, self._shape.hidden, bits(self._loaded.info.dtype) // 8)
        return Component(
            ENCODED,
            math.prod(numbers),
            "batch · source tokens · hidden · bytes",
            " · ".join(f"{number:,}" for number in numbers),
            measured,
            "generate() keeps it while it writes; the calculator leaves it out.",
        )

    def _training(self) -> Phase:
        try:
            self._control.report("Copying the model", 0.6)
            training_run = stepping.TrainingRun(self._loaded, self._settings, self._control)
            training_run.first_step()
            with self._allocator(training_run.held) as peak:
                run = training_run.second_step()
            del training_run
        finally:
            release_memory()
        moments = training_phases(self._shape, training_settings(self._loaded, self._settings))
        most, worst = most_of(moments), max(moments, key=lambda each: each.total)
        found = [_component(most["Weights"], self._weights)]
        found += [_component(most[name], held) for name, held in run.facts.items() if name in most]
        self._warnings += hidden.of_training(self._loaded, run)
        return self._phase("Training step", run, found, (worst.total, _worst_moment(worst)), peak())

    def _phase(
        self, name: str, run: Run, components: Sequence[Component], predicted: tuple[int, str], allocator: int | None
    ) -> Phase:
        live = run.live
        labels = (stepping.OPTIMIZER, stepping.GRADIENTS, CACHE, ENCODED, stepping.ACTIVATIONS, stepping.LOGITS, LOGITS)
        parts = [(label or _WORKING, values) for label, values in stacked(live, labels) if values.any()]
        total = live.curve() + self._weights
        worst = int(total.argmax())
        weights = np.full(len(total), self._weights, np.int64)
        return Phase(
            name,
            tuple(components),
            *predicted,
            tuple(Curve(part, values) for part, values in [("Weights", weights), *parts]),
            _alive(live, worst),
            tuple(live.operations),
            int(total[worst]),
            worst,
            live.process,
            allocator,
        )

    @contextmanager
    def _allocator(self, own: int) -> Iterator[Callable[[], int | None]]:
        """Measures the peak of the GPU's allocator meanwhile: `own` bytes that are there, and what comes on top."""
        devices = cuda_devices_of(self._loaded)
        before = sum(map(torch.cuda.memory_allocated, devices))
        for device in devices:
            torch.cuda.reset_peak_memory_stats(device)
        yield lambda: sum(map(torch.cuda.max_memory_allocated, devices)) - before + own if devices else None


def _check(loaded: LoadedModel, shape: ModelShape, settings: MeasureSettings) -> None:
    info = loaded.info
    two_parts = info.architecture is Architecture.ENCODER_DECODER
    _check_length(loaded, settings.tokens, 0 if two_parts else settings.steps)
    if two_parts and Feature.GENERATE not in info.features:
        raise UnsupportedFeatureError(
            f"“{info.name}” has no output layer, so that it cannot be run as a whole.", "Open a complete checkpoint."
        )
    if settings.train and info.quantization is not None:
        raise UnsupportedFeatureError(
            f"“{info.name}” is quantized, and quantized weights cannot be trained.",
            "Measure without the training step, or open the model without a quantization.",
        )
    if settings.train and not (info.features & {Feature.GENERATE, Feature.FILL_MASK}):
        raise UnsupportedFeatureError(
            f"“{info.name}” has no output layer to train it with.", "Measure without the training step."
        )
    if settings.train and settings.tokens < 2:
        raise InputError("One token alone has no next token to learn.", "Give 2 tokens or more.")
    wanted, free = estimate(loaded, shape, settings), free_memory(loaded.device)
    if wanted > free:
        raise OutOfMemoryError(
            f"This would take about {size_text(wanted)} beside the model, and {size_text(free)} are free.",
            "Choose fewer tokens or sequences" + (", or leave the training step out." if settings.train else "."),
        )


def _check_length(loaded: LoadedModel, tokens: int, steps: int) -> None:
    """Raise InputError for more tokens than the model's context window holds."""
    context = loaded.info.context
    steps = steps if Feature.GENERATE in loaded.info.features else 0
    if context is not None and tokens + steps > context:
        raise InputError(
            f"{tokens:,} tokens" + (f" and {steps:,} that are written" if steps else "") + " do not fit into the "
            f"context window, which has {context:,}.",
            f"Choose at most {max(1, context - steps):,} tokens.",
        )


def _fused(loaded: LoadedModel) -> bool:
    """Whether attention never writes out its scores."""
    return getattr(loaded.model.config, "_attn_implementation", "") != "eager"


def _worst_moment(phase: StepPhase) -> str:
    """Which moment of a training step is the worst one, and what meets in it."""
    parts = ", ".join(f"{term.name} {term.bytes:,}" for term in phase.terms if term.bytes)
    return f"“{phase.moment}”. {phase.about} Then there are, in bytes: {parts}."


def _component(term: Term, measured: int) -> Component:
    return Component(term.name, term.bytes, term.formula, term.values, measured, term.note)


def _alive(live: LiveTensors, at: int) -> tuple[Alive, ...]:
    """The largest tensors after operation `at`."""
    found = [life for life in live.lives if life.born <= at and (life.died is None or life.died > at)]
    return tuple(
        Alive(
            BEFORE if life.before else live.operations[life.born],
            life.label or _WORKING,
            life.shape,
            str(life.dtype).removeprefix("torch."),
            life.bytes,
        )
        for life in sorted(found, key=lambda life: -life.bytes)[:_MOST_ALIVE]
    )
