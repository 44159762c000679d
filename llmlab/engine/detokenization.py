"""A completion's text while it grows, one token at a time, and where stop strings end it."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from llmlab.engine.tokenization import decode, joins_bytes

REPLACEMENT = "\ufffd"  # what decoders write for bytes that are no character, or none yet
LONGEST_WAIT = 8  # tokens; a character has four bytes, so what is not one by then never will be
PROMPT_TAIL = 4  # tokens of the prompt that decide whether the completion begins with a space


class Detokenizer:
    """Text as it becomes certain: concatenated, what decoding all tokens at once would give.

    Only the last few tokens are decoded at each step. Special tokens have no text. What may still become a
    character is held back until it does.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._special = frozenset(tokenizer.all_special_ids) | {i for i, token in added if token.special}
        self._joins = joins_bytes(tokenizer)
        self._alone: dict[int, str] = {}  # of single tokens the text: most windows are one token long
        self._window = [i for i in before[-PROMPT_TAIL:] if i not in self._special]
        self._told = self._decode()
        self._waiting = 0

    def add(self, token: int) -> str:
        """The text that is certain once `token` is there."""
        if token in self._special:
            return ""
        if self._joins and not self._waiting and REPLACEMENT not in (whole := self._of_one(token)):
            self._window, self._told = [token], whole
            return whole
        self._window.append(token)
        text = self._decode()
        self._waiting += 1
        if text.endswith(REPLACEMENT) and self._waiting < LONGEST_WAIT:
            return ""
        new = text[len(self._told) :]
        if new:
            # The tokens just told are the next window's beginning: spaces before a word depend on what precedes it.
            del self._window[: -self._waiting]
            self._told, self._waiting = self._decode(), 0
        return new

    def rest(self) -> str:
        """What was held back, when no more tokens follow."""
        return self._decode()[len(self._told) :]

    def _decode(self) -> str:
        return self._of_one(*self._window) if len(self._window) == 1 else decode(self._tokenizer, self._window)

    def _of_one(self, token: int) -> str:
        text = self._alone.get(token)
        if text is None:
            text = self._alone[token] = decode(self._tokenizer, [token])
        return text


class StopStrings:
    """Holds text back where it could be the beginning of a stop string, and ends before one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        """The text that certainly belongs to the completion."""
        if not self._stop:
            return text
        self._held += text
        places = [place for place in map(self._held.find, self._stop) if place >= 0]
        if places:
            self.found = True
            keep = min(places)
        else:
            keep = len(self._held) - max(map(self._overlap, self._stop))
        told, self._held = self._held[:keep], self._held[keep:]
        return told

    def rest(self) -> str:
        """What was held back, when no more text follows."""
        return "" if self.found else self._held

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that `stop` begins with."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
