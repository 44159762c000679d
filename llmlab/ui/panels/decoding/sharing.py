"""What the user takes along: texts, scripts, tables, records. No Qt."""

from __future__ import annotations

from llmlab.ui.panels.decoding import snippet
from llmlab.ui.panels.decoding.places import Places
from llmlab.ui.panels.decoding.recording import Recording
from llmlab.ui.panels.decoding.tabs import Playground


class Sharing:
    """Copies and exports the completion and the distribution on screen."""

    def __init__(self, playground: Playground, places: Places, recording: Recording) -> None:
        self._playground = playground
        self._places = places
        self._recording = recording

    def copy_text(self) -> None:
        """The completion, or the text with its masks filled, to the clipboard."""
        playground = self._playground
        if self._places.fills_masks:
            filled = self._places.filled(playground.params.sampling)
            playground.desk.copy("".join(part.text for part in filled or ()))
        elif playground.run is not None:
            playground.desk.copy(playground.run.text)

    def copy_python(self) -> None:
        """A script that does the same, to the clipboard."""
        playground, info, run = self._playground, self._playground.info, self._playground.run
        if info is None:
            return
        if self._places.fills_masks:
            script = snippet.fill_mask(info, playground.prompt)
        elif run is not None:
            script = snippet.generation(run.info, run.prompt, run.settings, run.given)
        else:
            script = snippet.generation(info, playground.prompt, playground.params.generation)
        playground.desk.copy(script)

    def export_run(self, kind: str) -> None:
        """The completion to a file: "csv", or "json", from which it can be made again."""
        run = self._playground.run
        if run is None:
            return
        if kind == "json" and not run.former:
            self._recording.save(run)
        else:
            self._playground.copies.run(run, kind)

    def export_distribution(self, kind: str) -> None:
        """All tokens of the shown distribution: to a file ("csv", "json") or the clipboard ("copy")."""
        playground = self._playground
        if playground.picture is not None:
            playground.copies.distribution(playground.picture, playground.place_title, kind)
