"""Key-value caches of completions that ended, so that a branch of one goes on without reading its text again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmlab.engine.loading import LoadedModel
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, decoder_start
from llmlab.engine.types import Architecture

if TYPE_CHECKING:
    from llmlab.engine.static_steps import StaticSteps

MOST_READERS = 16
MOST_BYTES = 512_000_000


class Shelf:
    """The last few readers, those that were used last in front. Bounded in number and in bytes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._readers: list[Reader] = []

    def reader(
        self,
        loaded: LoadedModel,
        text_ids: list[int],
        completion: list[int],
        control: Control = UNCONTROLLED,
        steps: StaticSteps | None = None,
    ) -> tuple[Reader, list[int]]:
        """A reader for a text with the beginning of its completion, and the tokens that it has yet to read.

        At least one is left to read, since its logits are what is wanted. What was kept here is copied, and serves
        the next branch as well. The text itself is read in one piece always: a branch is computed as its completion
        would be from the start, pass by pass, so that both are the same to the last bit. Only what is not here any
        more, or has left a sliding window, is read again in one pass, which may round otherwise.
        """
        start = text_ids if loaded.info.architecture is Architecture.DECODER else decoder_start(loaded)
        ids = [*start, *completion]
        count, kept = max(
            ((min(each.shared(text_ids, ids), len(ids) - 1), each) for each in self._readers),
            key=lambda pair: pair[0],
            default=(0, None),
        )
        if kept is None or count < len(start) or not kept.can_resume(count):
            return Reader(loaded, text_ids, control, steps), ids
        self._readers.remove(kept)
        self._readers.insert(0, kept)
        return kept.resumed(count, control, steps), ids[count:]

    def keep(self, reader: Reader) -> None:
        """Put a reader on the shelf; the ones that were not used for longest make room."""
        self._readers.insert(0, reader)
        total = 0
        for place, each in enumerate(self._readers):
            total += each.cache_bytes
            if place >= MOST_READERS or total > self._most_bytes:
                for old in self._readers[place:]:
                    old.drop()
                del self._readers[place:]
                return

    def clear(self) -> None:
        """Let go of every tensor."""
        for reader in self._readers:
            reader.drop()
        self._readers.clear()
