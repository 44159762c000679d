"""The embedding tab's part of the presenter: one token's vector, what lies near it, sums, and the map. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from llmlab.engine.tokens.types import EmbeddingMap
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk
from llmlab.ui.panels.tokens import pictures, snippet, vectors
from llmlab.ui.panels.tokens.asking import Answer, Wanted, ask, same_path
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.plane import MapPicture
from llmlab.ui.panels.tokens.summing import Summing, SumView
from llmlab.ui.panels.tokens.vectors import Looked, Near, Target, near_of
from llmlab.ui.panels.tokens.workshop import Workshop
from llmlab.ui.screen import Kind, Stage, without_model
from llmlab.workbench import ModelState, Status


class EmbeddingView(SumView, Desk, Protocol):
    """What is asked of the tab."""

    def show_embedding_stage(self, stage: Stage) -> None:
        """The tab, or the words in its place."""

    def show_looked(self, looked: Looked | None) -> None:
        """Show one token's vector, or none."""

    def show_layer(self, layer: int, layers: int) -> None:
        """Where the slider stands."""

    def show_near(self, near: Near | None) -> None:
        """Show what lies near it, or none."""

    def show_map(self, picture: MapPicture | None) -> None:
        """Show a map, or none."""


class Embedding:
    """Looks at one token: that of the strip, or one that was clicked among the neighbours or on the map."""

    def __init__(
        self,
        workshop: Workshop,
        view: EmbeddingView,
        model: Callable[[], ModelState],
        selection: Callable[[], tuple[int, int]],
        point_at: Callable[[int], None],
    ) -> None:
        """`selection` gives the strip's, `point_at` selects a token there."""
        self._workshop = workshop
        self._view = view
        self._model = model
        self._selection = selection
        self._point_at = point_at
        self._encoded: Encoded | None = None
        self._generation = -1
        self._stage = Stage(Kind.EMPTY)
        self._map: EmbeddingMap | None = None
        self._target: Target | None = None
        self._wanted: Wanted | None = None
        self._answer: Answer | None = None
        self._walked: Answer | None = None  # the newest one with a path, so that the slider need not wait
        self._looked: Looked | None = None
        self._near: Near | None = None
        self._picture: MapPicture | None = None
        self.sums = Summing(workshop, view)
        self.layer = 0

    # --- what is shown --------------------------------------------------------------------------------------

    def bring(self, encoded: Encoded | None) -> None:
        """Show the selected token of `encoded`, if the loaded model can be asked for its vector."""
        self._encoded = encoded
        model = self._model()
        if model.generation != self._generation:
            self._forget(model.generation)
        self._show_stage(model, encoded)
        if encoded is None or self._stage.kind is not Kind.READY:
            return
        self.sums.bring(encoded)
        self._ask_map()
        if self._target is None or self._target.position >= 0:
            self._target = vectors.chosen(encoded, self._selection()[0])
        self._look()

    def select(self, encoded: Encoded, token: int) -> None:
        """The user points at a token of the strip."""
        if encoded is self._encoded and self._stage.kind is Kind.READY:
            self._target = vectors.chosen(encoded, token)
            self._look()

    def look_at(self, token_id: int) -> None:
        """The user points at any token of the vocabulary."""
        encoded = self._encoded
        if encoded is None or self._stage.kind is not Kind.READY:
            return
        places = np.flatnonzero(encoded.tokens.ids == token_id)
        if len(places):
            self._point_at(int(places[0]))
        else:
            self._target = Target(token_id)
            self._look()

    def pick(self, index: int) -> None:
        """The user points at a point of the map."""
        answer = self._answer
        if self._picture is None or answer is None:
            return
        if answer.path is None:
            self.look_at(index)
            return
        layer, place = divmod(index, len(answer.path.ids))
        token = place - answer.offset
        if self._encoded is not None and 0 <= token < len(self._encoded):
            self.layer = layer or self.layer  # layer 0 of the text is not the map of the vocabulary
            self._point_at(token)
            self._look()

    def set_layer(self, layer: int) -> None:
        """The user wants to see the vectors after so many layers."""
        self.layer = max(0, min(layer, self._layers))
        if self._stage.kind is Kind.READY:
            self._look()

    def close(self) -> None:
        """Deliver nothing more."""
        self._workshop.forget(self)
        self.sums.close()

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        if self._stage.kind is not Kind.READY or self._wanted is None:
            return self._stage.kind is Kind.LOADING
        answered = self._answer is not None and self._wanted.same_as(self._answer.wanted)
        return not answered or self._map is None

    @property
    def _layers(self) -> int:
        """Those that the slider goes through: of an encoder-decoder model, the encoder's."""
        info, walked = self._model().info, self._walked
        if walked is not None and walked.path is not None:
            return len(walked.path.points) - 1
        return info.layers if info is not None else 0

    def _forget(self, generation: int) -> None:
        """Another model: nothing is known of it."""
        self._generation, self._map, self._target, self._wanted, self._answer = generation, None, None, None, None
        self._looked = self._near = self._picture = self._walked = None
        self.layer = min(self.layer, self._layers)
        self.sums.forget()
        self._view.show_looked(None)
        self._view.show_near(None)
        self._view.show_map(None)

    def _show_stage(self, model: ModelState, encoded: Encoded | None) -> None:
        stage = stage_of(model, encoded)
        if stage != self._stage:
            self._stage = stage
            self._view.show_embedding_stage(stage)

    def _ask_map(self) -> None:
        if self._map is None:
            self._workshop.engine(
                self,
                "map",
                lambda engine, _: engine.embedding_map(),
                self._mapped,
                title="Mapping the embeddings",
                failed=self._failed,
            )

    def _mapped(self, found: EmbeddingMap) -> None:
        self._map = found
        self._show_answer()

    def _failed(self, error: ErrorInfo) -> None:
        self._wanted = None
        self._stage = Stage(Kind.ERROR, error.message, error.hint)
        self._view.show_embedding_stage(self._stage)

    def _look(self) -> None:
        """Ask for what is not known; what is known is shown at once."""
        encoded, target = self._encoded, self._target
        if encoded is None or target is None:
            return
        wanted = Wanted(self._generation, encoded, target, self.layer)
        if wanted.same_as(self._wanted):
            return
        self._wanted = wanted
        self._view.show_layer(self.layer, self._layers)
        former = self._walked
        path = former.path if former is not None and same_path(wanted, former) else None
        if path is not None and former is not None and wanted.layer and target.position >= 0:
            self._answer = former.moved(wanted, path)
            self._show_answer()
        offset = former.offset if former is not None else 0
        work = partial(ask, wanted=wanted, known=path, offset=offset)
        self._workshop.engine(
            self, "look", lambda engine, _: work(engine), self._came, title="Looking at a vector", failed=self._failed
        )

    def _came(self, answer: Answer) -> None:
        if answer.wanted.generation == self._generation and self._wanted is not None:
            self._answer = answer
            self._walked = answer if answer.path is not None else self._walked
            self._show_answer()

    def _show_answer(self) -> None:
        answer = self._answer
        if answer is None or self._map is None:
            return
        target, encoded, layers = answer.wanted.target, answer.wanted.encoded, self._layers
        self.layer = min(self.layer, layers)
        self._view.show_layer(self.layer, layers)
        self._looked = vectors.looked(encoded, target, layers, answer.vector, self._map, answer.path, answer.layer)
        self._view.show_looked(self._looked)
        if answer.near is not None or answer.problem:
            self._near = near_of(encoded.table.texts, self._looked.compared, answer.near, answer.problem)
            self._view.show_near(self._near)
        if answer.path is None:
            self._picture = pictures.of_vocabulary(self._map, encoded, target)
        else:
            layer = min(answer.wanted.layer, layers)
            self._picture = pictures.of_path(answer.path, encoded, target, layer, answer.offset)
        self._view.show_map(self._picture)

    # --- copies ---------------------------------------------------------------------------------------------

    def copy(self, what: str) -> None:
        """The vector's "values", the "near" tokens, or the "python" that finds them."""
        looked, near, info = self._looked, self._near, self._model().info
        if looked is None:
            return
        if what == "values":
            self._view.copy(str([float(f"{value:.9g}") for value in looked.vector.tolist()]))
        elif what == "near" and near is not None:
            self._view.copy(vectors.near_text(near, "\t"))
        elif what == "python" and info is not None:
            place = -1 if self._answer is None or self._answer.path is None else self._answer.path.token
            self._view.copy(snippet.neighbours(info, looked, place))

    def save(self, what: str) -> None:
        """The "vector", the "near" tokens or the "map", as a CSV file."""
        looked, near, answer, found = self._looked, self._near, self._answer, self._map
        if looked is None or answer is None or found is None:
            return
        if what == "vector":
            text: Callable[[], str] = partial(vectors.vector_text, looked)
        elif what == "near" and near is not None:
            text = partial(vectors.near_text, near)
        elif answer.path is None:
            text = partial(pictures.vocabulary_text, found, answer.wanted.encoded)
        else:
            text = partial(pictures.path_text, answer.path, answer.wanted.encoded)
        name = {"vector": "vector.csv", "near": "neighbours.csv", "map": "map.csv"}[what]
        self._view.ask_path(name, ("csv",), lambda path: self._workshop.write(path, text))


def stage_of(model: ModelState, encoded: Encoded | None) -> Stage:
    """What stands in the tab's place; its only button leads back to the loaded model's tokenizer."""
    info = model.info
    if info is None or model.status is Status.LOADING:
        hint = "A tokenizer has ids but no vectors: these belong to a model. Open one above."
        return without_model(model, "Its vectors come with it.", hint)
    if encoded is not None and encoded.spec != info.request.spec:
        text = (
            f"The vectors are those of {info.name}, and its ids mean other tokens than the ids of {encoded.info.name}, "
            "whose tokens are shown above."
        )
        own = (f"Show the tokens of {info.name}", "own")
        return Stage(Kind.EMPTY, "These tokens are not the loaded model's", text, actions=(own,))
    return Stage(Kind.READY)
