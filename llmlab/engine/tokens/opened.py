"""A tokenizer that is open: everything that can be asked of it without a model."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from llmlab.engine.errors import InputError
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.tokens import chatting, chunking, encoding, searching, stages, table, traces
from llmlab.engine.tokens.parts import Parts, component_names
from llmlab.engine.tokens.types import (
    Chunk,
    RenderedChat,
    RoundTrip,
    Stage,
    TokenDetails,
    TokenizerInfo,
    TokenKind,
    Tokens,
    Trace,
    VocabularyTable,
    WholeTrace,
)
from llmlab.engine.types import Int32

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SLOW_NOTE = (
    "This tokenizer is written in Python only: it tells ids and tokens, but neither its stages nor how it got to them."
)


class OpenTokenizer:
    """A tokenizer, taken apart. May be used by several threads at once: all that changes is what it remembers."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        spec: str = "",
        name: str = "",
        context: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._parts = table.read_parts(tokenizer)
        self._info = _describe(self._parts, spec, name, context, notes)
        self._last: dict[bool, Tokens] = {}  # what `encode` was last asked, with special tokens and without
        self._given: dict[bool, str] = {}  # its text as it was given
        self._lock = threading.Lock()

    @property
    def info(self) -> TokenizerInfo:
        """What the tokenizer is made of."""
        return self._info

    @property
    def table(self) -> VocabularyTable:
        """Every token, by its id."""
        return self._parts.table

    def encode(self, text: str, control: Control = UNCONTROLLED, *, special: bool = True) -> Tokens:
        """`text` as a model reads it, with the special tokens it adds unless `special` is False. Takes any string.

        The last text is remembered: the prompt's editor and the panels ask for the same one with every keystroke.
        Whoever comes second waits for the first and gets the same arrays. Raises Cancelled between blocks.
        """
        with self._lock:
            if self._given.get(special) != text:
                self._last[special] = encoding.encode(self._parts, text, special=special, control=control)
                self._given[special] = text
            return self._last[special]

    def stages(self, text: str, limit: int = stages.LIMIT) -> tuple[Stage, ...]:
        """What each part of the tokenizer makes of the first `limit` characters."""
        return stages.stages(self._parts, text, limit)

    def round_trip(self, text: str) -> RoundTrip:
        """Whether decoding what was encoded gives `text` back."""
        return stages.round_trip(self._parts, text)

    def words(self, text: str) -> tuple[str, ...]:
        """The parts of `text` that the model sees one by one, as the pre-tokenizer spells them: “Ġhello”, “▁hello”."""
        if self._parts.backend is None:
            return (text,) if text else ()
        return tuple(piece.text for piece in self.stages(text)[1].output)

    def trace(self, word: str) -> Trace:
        """How `word`, a piece of text, became tokens; only the first part of what the pre-tokenizer takes apart.

        Raises InputError for a very long word.
        """
        if self._parts.backend is None:
            return self._whole(word, "A slow tokenizer does not tell how it got there.")
        if len(word) > traces.LONGEST:
            raise traces.too_long(word)
        split = self.stages(word)[1].output
        if not split:
            return WholeTrace(word, (), (), "The normalizer leaves nothing of it.")
        if split[0].token_id is not None:
            return self._whole(word, "The token was added to the vocabulary and is cut out of a text as a whole.")
        return traces.trace(self._parts, split[0].text)

    def trace_part(self, part: str) -> Trace:
        """How `part`, spelled as the pre-tokenizer does (`words`), became tokens. Raises InputError."""
        return traces.trace(self._parts, part)

    def search(
        self,
        query: str,
        mode: str = "text",
        *,
        kinds: Collection[TokenKind] | None = None,
        script: str | None = None,
        min_length: int = 0,
        max_length: int | None = None,
    ) -> Int32:
        """Ids of the tokens that fit, ascending; see `searching.search`. Raises InputError."""
        return searching.search(
            self.table, query, mode, kinds=kinds, script=script, min_length=min_length, max_length=max_length
        )

    def scripts(self) -> tuple[str, ...]:
        """The scripts of the vocabulary, most frequent first."""
        return searching.scripts(self.table)

    def chunks(self, text: str, size: int, overlap: int = 0, control: Control = UNCONTROLLED) -> tuple[Chunk, ...]:
        """`text` in parts of at most `size` tokens. Raises InputError or UnsupportedFeatureError."""
        return chunking.chunks(encoding.encode(self._parts, text, special=False, control=control), size, overlap)

    def details(self, token_id: int) -> TokenDetails:
        """Everything about one token. Raises InputError for an id that no token has."""
        return searching.details(self.table, token_id, self._parts.merges, self._parts.algorithm)

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> RenderedChat:
        """Messages (role, content) in the template that the tokenizer brings along, and its tokens.

        The template is a foreign program: it runs in a process of its own, for at most two seconds. Raises InputError.
        """
        text = chatting.render(self._parts.tokenizer, messages, add_generation_prompt=add_generation_prompt)
        return RenderedChat(text, encoding.encode(self._parts, text, special=False))

    def _whole(self, word: str, note: str) -> WholeTrace:
        ids = encoding.encode(self._parts, word, special=False).ids.tolist()
        if not ids and word:
            raise InputError("The tokenizer makes no tokens of this word.", "Choose another one.")
        return WholeTrace(word, tuple(self.table.pieces[index] for index in ids), tuple(ids), note)


def _describe(parts: Parts, spec: str, name: str, context: int | None, notes: tuple[str, ...]) -> TokenizerInfo:
    backend = parts.backend
    stage = (backend.normalizer, backend.pre_tokenizer, backend.post_processor) if backend else (None, None, None)
    normalizer, pre_tokenizer, post_processor = map(component_names, stage)
    return TokenizerInfo(
        spec=spec,
        name=name or spec,
        algorithm=parts.algorithm,
        vocabulary=sum(map(bool, parts.table.pieces)),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        post_processor=post_processor,
        fast=backend is not None,
        has_chat_template=chatting.template_of(parts.tokenizer) is not None,
        context=context,
        notes=notes if backend else (*notes, _SLOW_NOTE),
    )
