"""A view that writes down, jobs that run when the test says so, and an engine without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from llmlab.engine.errors import Cancelled
from llmlab.engine.later import Later
from llmlab.engine.sampling import SamplingSettings, shape
from llmlab.engine.sorted_logits import Captured, CapturedPosition, SortedLogits
from llmlab.engine.types import (
    PLAIN,
    Alternatives,
    Architecture,
    Feature,
    GenerationStep,
    ModelInfo,
    ModelRequest,
    StepFigures,
)
from llmlab.jobs.job import ErrorInfo, Job, JobControl
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.picture import Filled, Picture, Screen
from llmlab.ui.panels.decoding.presenter import DecodingPresenter
from llmlab.workbench import ModelState, Status, Workbench

WORDS = tuple(f" word{i}" for i in range(50))
MASK = "[MASK]"
FEATURES = {
    Architecture.DECODER: frozenset((Feature.NEXT_TOKEN, Feature.GENERATE)),
    Architecture.ENCODER: frozenset((Feature.FILL_MASK,)),
    Architecture.ENCODER_DECODER: frozenset((Feature.NEXT_TOKEN, Feature.GENERATE)),
}


def model_info(architecture: Architecture = Architecture.DECODER, name: str = "Fake") -> ModelInfo:
    mask = MASK if architecture is Architecture.ENCODER else None
    return ModelInfo(
        request=ModelRequest("bundled:decoder"),
        name=name,
        architecture=architecture,
        model_type="fake",
        parameters=1,
        layers=1,
        heads=1,
        key_value_heads=1,
        hidden_size=8,
        vocabulary=len(WORDS),
        context=64,
        device="cpu",
        dtype="float32",
        quantization=None,
        features=FEATURES[architecture],
        mask_token=mask,
    )


def logits_of(text: str) -> SortedLogits:
    """Logits that depend on the text, with the text's length as the best token."""
    rng = np.random.default_rng(len(text))
    logits = rng.normal(size=len(WORDS)).astype(np.float32)
    logits[len(text) % len(WORDS)] = 9.0
    return SortedLogits.from_logits(logits)


def position(text: str, label: str = "next") -> CapturedPosition:
    captured = logits_of(text)
    return CapturedPosition(label, captured, tuple(WORDS[i] for i in captured.ids[:4]))


def step(index: int, text: str, settings: SamplingSettings, finish: str | None = None) -> GenerationStep:
    """The step that takes the most probable token after `text`."""
    captured = logits_of(text)
    shaped = shape(captured, settings)
    best = slice(0, 20)
    ids = shaped.ids[best]
    alternatives = Alternatives(
        ids,
        shaped.logits[best],
        shaped.raw_probabilities[best],
        shaped.probabilities[best],
        tuple(WORDS[i] for i in ids),
    )
    return GenerationStep(
        index=index,
        token_id=int(shaped.ids[0]),
        token=WORDS[shaped.ids[0]],
        text="" if finish == "eos" else WORDS[shaped.ids[0]],
        probability=float(shaped.probabilities[0]),
        raw_probability=float(shaped.raw_probabilities[0]),
        figures=Later.known(StepFigures(0, shaped.entropy, alternatives)),
        seconds=0.5 + 0.1 * index,
        finish_reason=finish,
        sorted=captured,
    )


class FakeEngine:
    """Answers at once. `fails` makes the next call raise; `between` is called before each generated step."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.read: list[str] = []
        self.generated: list[dict[str, Any]] = []
        self.words = WORDS  # of its vocabulary
        self.weights = "of the fake"
        self.fails: Exception | None = None
        self.own_settings: dict[str, object] = {}
        self.computed = PLAIN  # how it computes all steps but the first
        self.between: Callable[[int], None] = lambda _index: None

    def distribution(self, text: str, control: Any) -> Captured:
        self.read.append(text)
        self._fail()
        if self.info.mask_token:
            count = text.count(self.info.mask_token)
            return Captured(tuple(position(text + str(i), f"around {i}") for i in range(count)))
        return Captured((position(text),))

    def vocabulary_texts(self) -> tuple[str, ...]:
        return WORDS

    def generation_config(self) -> dict[str, object]:
        return self.own_settings

    def word_ids(self, words: Sequence[str]) -> tuple[tuple[tuple[int, ...], ...], ...]:
        return tuple(((WORDS.index(f" {word}"),),) if f" {word}" in WORDS else () for word in words)

    def token_texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.words[i] for i in ids)

    def generate(self, text: str, *, control: Any, **settings: Any) -> Iterator[GenerationStep]:
        self.generated.append({"text": text, **settings})
        sampling = {name: settings[name] for name in SamplingSettings.__dataclass_fields__}
        total, given = settings["max_new_tokens"], settings.get("given", ())
        for index in range(total):
            made = step(index, text, SamplingSettings(**sampling), "length" if index == total - 1 else None)
            if index < len(given):
                word = WORDS[given[index]]
                made = replace(made, token_id=given[index], token=word, text=word, given=True)
            if index:
                made = replace(made, computed=self.computed)
            text += made.text
            if index >= settings.get("known", 0):
                self.between(index)
                control.check()
                self._fail()
                yield made

    def weights_sha256(self, _control: Any) -> str:
        return self.weights

    def completion_ids(self, _text: str, completion: str) -> tuple[int, ...]:
        return tuple(WORDS.index(f" {word}") for word in completion.split())

    def _fail(self) -> None:
        if self.fails:
            error, self.fails = self.fails, None
            raise error


class _Control(JobControl):
    """Delivers every part at once."""

    def emit(self, part: Any) -> None:
        super().emit(part)
        self.flush()


class ManualJobs:
    """The lane's rules (a newer job takes the place of a waiting one; cancel; forget) without its thread."""

    def __init__(self, engine: FakeEngine) -> None:
        self.session = SimpleNamespace(engine=engine)
        self.pending: list[Job] = []
        self.running: Job | None = None
        self.reports: list[str] = []

    def submit(
        self,
        owner: object,
        key: str,
        work: Any,
        *,
        replace_running: bool = False,
        needs_model: bool = True,
        **calls: Any,
    ) -> Job:
        job = Job(owner, key, work, **calls)
        if replace_running and self.running is not None and self.running.matches(owner, key):
            self.running.cancelled = self.running.abandoned = True
        for place, waiting in enumerate(self.pending):
            if waiting.matches(owner, key):
                self.pending[place] = job
                return job
        self.pending.append(job)
        return job

    def cancel(self, owner: object, key: str | None = None) -> None:
        for job in [job for job in self.pending if job.matches(owner, key)]:
            self.pending.remove(job)
            self._call(job, job.stopped, None)
        if self.running is not None and self.running.matches(owner, key):
            self.running.cancelled = True

    def forget(self, owner: object) -> None:
        self.pending = [job for job in self.pending if job.owner is not owner]
        if self.running is not None and self.running.owner is owner:
            self.running.cancelled = self.running.abandoned = True

    def titles(self) -> list[str]:
        return [job.key for job in self.pending]

    def run_next(self) -> None:
        self.running = job = self.pending.pop(0)
        control = _Control(job, lambda delivery: delivery(), lambda progress: self.reports.append(progress.text))
        try:
            callback, value = job.done, job.work(self.session, control)
        except Cancelled:
            callback, value = job.stopped, None
        except Exception as error:  # noqa: BLE001 - as the lane does
            callback, value = job.failed, ErrorInfo.of(error)
        if job.cancelled:
            callback, value = job.stopped, None
        self.running = None
        self._call(job, callback, value)

    def run_all(self) -> None:
        while self.pending:
            self.run_next()

    @staticmethod
    def _call(job: Job, callback: Any, value: Any) -> None:
        if callback and not job.abandoned:
            callback(value)


class FakeView:
    """Remembers the last of everything. `frames` counts how often a frame was asked for."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.params: Params | None = None
        self.picture: Picture | None = None
        self.pictures = 0
        self.steps: list[GenerationStep] = []
        self.selected = -1
        self.filled: tuple[Filled, ...] = ()
        self.current_mask = -1
        self.frame_wanted = False
        self.copied: list[str] = []
        self.path: Path | None = None
        self.asked: list[str] = []

    def show(self, screen: Screen) -> None:
        self.screen = screen

    def show_params(self, params: Params) -> None:
        self.params = params

    def show_picture(self, picture: Picture | None) -> None:
        self.picture = picture
        self.pictures += 1

    def add_steps(self, steps: Sequence[GenerationStep]) -> None:
        self.steps.extend(steps)

    def clear_steps(self) -> None:
        self.steps.clear()

    def select_step(self, index: int) -> None:
        self.selected = index

    def show_filled(self, parts: Sequence[Filled], current: int) -> None:
        self.filled, self.current_mask = tuple(parts), current

    def request_frame(self) -> None:
        self.frame_wanted = True

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_preset(self, then: Callable[[Path], None]) -> None:
        if self.path is not None:
            then(self.path)

    def ask_record(self, then: Callable[[Path], None]) -> None:
        if self.path is not None:
            then(self.path)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        self.asked.append(name)
        if self.path is not None:
            then(self.path)


class FakeNotifier:
    def __init__(self) -> None:
        self.errors: list[ErrorInfo] = []
        self.said: list[str] = []
        self.hints: list[str] = []
        self.offers: list[tuple[str, Callable[[], None]]] = []

    def error(self, error: ErrorInfo) -> None:
        self.errors.append(error)

    def say(self, message: str, hint: str = "") -> None:
        self.said.append(message)
        self.hints.append(hint)

    def offer(self, message: str, hint: str, label: str, accepted: Callable[[], None]) -> None:
        self.say(message, hint)
        self.offers.append((label, accepted))


def set_model(bench: Workbench, state: ModelState) -> None:
    bench._model = state
    bench.model_changed.emit(state)


def ready(bench: Workbench, info: ModelInfo, generation: int = 1) -> None:
    set_model(bench, ModelState(Status.READY, info, generation=generation))


class TabStand:
    """The presenter with one tab in front, its page a fake, and an engine that answers at once."""

    def __init__(self, name: str, page: Any, engine: FakeEngine, **saved: Any) -> None:
        self.engine, self.page = engine, page
        self.jobs, self.view, self.notifier = ManualJobs(engine), FakeView(), FakeNotifier()
        self.bench = Workbench(self.jobs)  # type: ignore[arg-type]
        self.bench.prompt = "Once"
        ready(self.bench, engine.info)
        context = PanelContext(self.bench, self.jobs, self.notifier, {"tab": name, **saved})  # type: ignore[arg-type]
        self.presenter = DecodingPresenter(context, self.view, {name: page})
        self.part: Any = self.presenter.parts[name]
        self.presenter.activate()
        self.jobs.run_all()
