"""Beam search and beam sampling, with everything considered: what was kept, what was pruned, what ended.

The meaning is that of transformers' `generate(num_beams=…)`, step by step: scores are sums of log-probabilities in
float32, (end tokens + 1) × beams candidates are looked at in each step, a hypothesis that ends counts only among
the best `num_beams` of them, and its score is divided by its length to the power of the length penalty.
With `do_sample` the candidates are not the best ones, but drawn without replacement from the softmax of all scores,
which the settings have changed beforehand and which are not normalised again; the first drawn stand for the best.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from llmlab.engine.batch import BatchReader
from llmlab.engine.context import Context
from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.processors import Candidates, run
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, end_tokens, forbidden, prompt_ids
from llmlab.engine.sampling import GenerationSettings, SamplingSettings, SortedLogits
from llmlab.engine.sorted_logits import check_usable
from llmlab.engine.stepping import Choosing, stepwise
from llmlab.engine.tokenization import Speller, decode
from llmlab.engine.types import BeamNode, BeamState, BeamStep, Feature, Hypothesis

NEVER = -1e9  # transformers' score of what does not count
MOST_BEAMS = 64
GREEDY = SamplingSettings(do_sample=False)

Early = bool | Literal["never"]


@dataclass(frozen=True, slots=True)
class BeamSettings:
    """transformers' knobs of beam search. `early_stopping` as there: False, True or "never".

    `sampling` acts on the log-probabilities of every beam; where it samples, `seed` decides what is drawn.
    """

    num_beams: int = 4
    max_new_tokens: int = 50
    length_penalty: float = 1.0
    early_stopping: Early = False
    sampling: SamplingSettings = GREEDY
    seed: int = 0

    def validated(self) -> BeamSettings:
        """Itself. Raises InputError, in words, if a setting is outside what it can mean."""
        if not 2 <= self.num_beams <= MOST_BEAMS:
            raise InputError(
                f"The number of beams cannot be {self.num_beams}.",
                f"Use a whole number from 2 to {MOST_BEAMS}; one beam is greedy decoding.",
            )
        if self.max_new_tokens < 1:
            raise InputError(
                f"The number of new tokens cannot be {self.max_new_tokens}.", "Ask for at least one token."
            )
        if not -10 <= self.length_penalty <= 10:
            raise InputError(
                f"The length penalty cannot be {self.length_penalty:g}.",
                "Use a value from -10 to 10: above 0 longer texts score higher, below 0 shorter ones do.",
            )
        GenerationSettings(self.sampling, self.max_new_tokens, self.seed).validated()
        if self.sampling.do_sample and self.sampling.temperature == 0:
            raise InputError(
                "Beams cannot be sampled at temperature 0.", "Raise the temperature, or search for the best beams."
            )
        return self


def beam_search(
    loaded: LoadedModel, speller: Speller, text: str, settings: BeamSettings, control: Control = UNCONTROLLED
) -> Iterator[BeamStep]:
    """The steps of the search; the last one has the `num_beams` best texts. Raises InputError at once."""
    require(loaded, Feature.GENERATE)
    settings.validated()
    return stepwise(_Search(loaded, speller, prompt_ids(loaded, text), settings), lambda step: step.hypotheses, control)


@dataclass(slots=True)
class _Beam:
    """A sequence on its way: its node in the tree, its ids, and its score as float32."""

    node: int
    ids: list[int] = field(default_factory=list)
    score: float = 0.0


@dataclass(slots=True)
class _Finished:
    """A sequence that has ended, with its score after the length penalty."""

    beam: _Beam
    score: float = NEVER
    ended: bool = False


class _Search:
    """Beam search as far as it has come."""

    def __init__(self, loaded: LoadedModel, speller: Speller, ids: list[int], settings: BeamSettings) -> None:
        self._loaded = loaded
        self._speller = speller
        self._prompt = ids
        self._settings = settings
        self._ends = end_tokens(loaded)
        self._forbidden = forbidden(loaded.model)
        self._random = torch.Generator().manual_seed(settings.seed)
        self._reader: BatchReader | None = None
        self._running = [_Beam(-1, score=0.0 if i == 0 else NEVER) for i in range(settings.num_beams)]
        self._finished = [_Finished(_Beam(-1)) for _ in range(settings.num_beams)]
        self._raw: list[float] | None = None  # the candidates' own log-probabilities, where settings change them
        self._improvable = True
        self._index = 0
        self._nodes = 0

    def begin(self, control: Control) -> None:
        """Read the text; the first logits are every beam's."""
        self._started = time.perf_counter()
        reader = Reader(self._loaded, self._prompt, control)
        self._start = Context.of(reader.start, source=self._prompt, ends=self._ends)
        self._room = _room(self._loaded, len(reader.start), self._settings.max_new_tokens)
        logits = reader.plain_logits(reader.start)
        self._reader = BatchReader(self._loaded, reader, self._settings.num_beams)
        self._logits = logits.float().expand(self._settings.num_beams, -1)

    def end(self) -> None:
        """Nothing is kept."""
        self.drop()

    def drop(self) -> None:
        """Let go of every tensor."""
        if self._reader is not None:
            self._reader.drop()
        self._reader = None

    def step(self) -> BeamStep:
        """Look at the best candidates, and keep the best beams."""
        assert self._reader is not None
        with Choosing(self._index):
            scores, origins, tokens = self._candidates()
        ends = [token in self._ends or self._index + 1 >= self._room for token in tokens]
        beams = [
            _Beam(self._nodes + place, [*self._running[origin].ids, token], score)
            for place, (score, origin, token) in enumerate(zip(scores, origins, tokens, strict=True))
        ]
        kept = self._kept(scores, ends)
        self._finish(beams, scores, ends)
        nodes = self._told(beams, origins, ends, kept)
        self._nodes += len(beams)
        self._running = [_Beam(beams[i].node, beams[i].ids, _masked(scores[i], ends[i])) for i in kept]
        self._index += 1
        self._improvable = self._improvable and self._may_improve()
        done = not self._improvable or all(ends) or (self._settings.early_stopping is True and self._all_ended)
        if not done:
            self._reader.select([origins[i] for i in kept])
            self._logits = self._reader.next_logits([tokens[i] for i in kept])
        hypotheses = self._hypotheses() if done else ()
        return BeamStep(self._index - 1, nodes, time.perf_counter() - self._started, hypotheses)

    @torch.inference_mode()
    def _candidates(self) -> tuple[list[float], list[int], list[int]]:
        """The best continuations of all beams, or those drawn: scores, the beams they come from, tokens."""
        log_probabilities = self._logits.log_softmax(-1)  # (beams, vocabulary)
        check_usable(not bool(log_probabilities[:, 0].isnan().any()))  # one NaN makes the whole row NaN
        if self._forbidden:
            log_probabilities[:, self._forbidden] = -torch.inf
        raw = log_probabilities
        if self._settings.sampling.stages:
            log_probabilities = self._processed(log_probabilities.cpu())
        before = torch.tensor([beam.score for beam in self._running], device=log_probabilities.device)
        total = (log_probabilities + before[:, None]).reshape(-1)
        width = log_probabilities.shape[-1]
        count = min(max(2, 1 + len(self._ends)) * self._settings.num_beams, len(total))
        if self._settings.sampling.do_sample:
            total = total.cpu()  # where the generator is, and draws the same whatever the device
            places = torch.multinomial(total.softmax(-1), count, generator=self._random)
            best = total[places]
        else:
            best, places = total.topk(count)
        self._raw = raw.reshape(-1)[places.to(raw.device)].tolist() if self._settings.sampling.stages else None
        return best.tolist(), (places // width).tolist(), (places % width).tolist()

    def _processed(self, log_probabilities: torch.Tensor) -> torch.Tensor:
        """What the settings make of each beam's log-probabilities (beams, vocabulary): −inf where they cut."""
        rows = torch.full_like(log_probabilities, -torch.inf)
        for row, before, beam in zip(rows.numpy(), log_probabilities.numpy(), self._running, strict=True):
            ids = np.array(beam.ids, np.int32)
            context = replace(self._start, ids=np.concatenate((self._start.ids, ids)))
            candidates = Candidates(SortedLogits.from_logits(before, context), least=max(2, 1 + len(self._ends)))
            for _ in run(candidates, self._settings.sampling):
                pass
            row[candidates.ids[: candidates.count]] = candidates.scores[: candidates.count]
        return rows

    def _kept(self, scores: list[float], ends: list[bool]) -> list[int]:
        """The places of the candidates that go on."""
        masked = torch.tensor([_masked(score, end) for score, end in zip(scores, ends, strict=True)])
        kept: list[int] = masked.topk(self._settings.num_beams).indices.tolist()
        return kept

    def _finish(self, beams: list[_Beam], scores: list[float], ends: list[bool]) -> None:
        """Put candidates that have ended among the finished ones, where they are good enough."""
        length = float(self._index + 1) ** self._settings.length_penalty
        full = self._settings.early_stopping is True and self._all_ended
        new = []
        for place, beam in enumerate(beams):
            ended = ends[place] and place < self._settings.num_beams
            closed = NEVER * (full + (not self._improvable) + (not ended))
            new.append(_Finished(beam, _float32(_float32(scores[place] / length) + closed), ended))
        merged = [*self._finished, *new]
        best = torch.tensor([each.score for each in merged]).topk(self._settings.num_beams).indices.tolist()
        self._finished = [merged[i] for i in best]

    @property
    def _all_ended(self) -> bool:
        return all(each.ended for each in self._finished)

    def _may_improve(self) -> bool:
        """Whether the best beam may still become better than the worst finished text."""
        settings = self._settings
        longest = settings.early_stopping == "never" and settings.length_penalty > 0
        length = float(self._room if longest else self._index) ** settings.length_penalty
        best = _float32(self._running[0].score / length)
        worst = min(each.score for each in self._finished)
        return any(best > (worst if each.ended else NEVER) for each in self._finished)

    def _told(self, beams: list[_Beam], origins: list[int], ends: list[bool], kept: list[int]) -> tuple[BeamNode, ...]:
        """The candidates as nodes; only what has a finite score was ever in the running."""
        texts = self._speller.texts([beam.ids[-1] for beam in beams])
        nodes = []
        for place, (beam, origin, text) in enumerate(zip(beams, origins, texts, strict=True)):
            ended = ends[place] and any(each.beam is beam for each in self._finished)
            state = (
                BeamState.FINISHED
                if ended
                else BeamState.KEPT
                if place in kept and not ends[place]
                else BeamState.PRUNED
            )
            parent = self._running[origin]
            if beam.score > NEVER / 2:
                own = beam.score - parent.score
                raw = None if self._raw is None else self._raw[place]
                token = beam.ids[-1]
                nodes.append(BeamNode(beam.node, parent.node, self._index, token, text, own, beam.score, state, raw))
        return tuple(nodes)

    def _hypotheses(self) -> tuple[Hypothesis, ...]:
        """The finished texts, best first."""
        return tuple(
            Hypothesis(
                node=each.beam.node,
                ids=tuple(each.beam.ids),
                text=decode(self._loaded.tokenizer, each.beam.ids),
                log_probability=each.beam.score,
                score=each.score,
            )
            for each in self._finished
            if each.ended and each.beam.score > NEVER / 2
        )


def _room(loaded: LoadedModel, start: int, wanted: int) -> int:
    """How many new tokens there is room for in the context window; the last one need not be read."""
    context = loaded.info.context
    return wanted if context is None else max(1, min(wanted, context - start + 1))


def _masked(score: float, ended: bool) -> float:
    return _float32(score + NEVER * ended)


def _float32(value: float) -> float:
    return torch.tensor(value, dtype=torch.float32).item()
