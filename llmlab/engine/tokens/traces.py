"""How a model got from a word to its tokens, step by step. The last step is always the tokenizer's own result.

A *word* here is a part as the pre-tokenizer hands it to the model (“Ġhello”, “▁hello”), not raw text.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import lru_cache

from llmlab.engine.errors import InputError
from llmlab.engine.tokens.parts import SLOW, Parts
from llmlab.engine.tokens.types import (
    LongestMatchTrace,
    MatchStep,
    MergeStep,
    MergeTrace,
    Segmentation,
    Trace,
    UnigramTrace,
    WholeTrace,
)

LONGEST = 400  # characters; a longer word has more steps than anybody follows
BEST = 5  # segmentations of Unigram
TRIED = 12  # pieces that WordPiece tried before it found one
_UNKNOWN_PENALTY = 10.0  # below the worst score of the vocabulary (SentencePiece, unigram_model.cc: kUnkPenalty)


def trace(parts: Parts, word: str) -> Trace:
    """How `word` became tokens. Raises InputError for more than `LONGEST` characters."""
    if len(word) > LONGEST:
        raise too_long(word)
    if parts.backend is None:
        raise InputError(
            "A slow tokenizer does not tell how it works.", f"Choose a fast one (this one is of the kind “{SLOW}”)."
        )
    model = parts.model
    if model["type"] == "BPE":
        return _merges(parts, word)
    if model["type"] == "WordPiece":
        return _longest_match(parts, word)
    if model["type"] == "Unigram":
        return _unigram(parts, word)
    tokens = parts.backend.model.tokenize(word)
    return WholeTrace(
        word, tuple(t.value for t in tokens), tuple(t.id for t in tokens), "The word is looked up as a whole."
    )


def too_long(word: str) -> InputError:
    """The refusal of a word with more steps than anybody follows."""
    return InputError(
        f"This word has {len(word):,} characters; steps are shown for words of up to {LONGEST}.",
        "Choose a shorter word, or one without a long run of the same characters.",
    )


@dataclass(slots=True)
class _Symbol:
    """A node of BPE's chain: gone once it was merged into its left neighbour."""

    id: int
    text: str
    before: int
    after: int
    gone: bool = False


@lru_cache(maxsize=8)
def _merge_table(parts: Parts) -> dict[tuple[int, int], tuple[int, int]]:
    """(left id, right id) → (rank, id of the result)."""
    prefix = parts.model.get("continuing_subword_prefix") or ""
    ids = parts.vocabulary
    return {
        (ids[left], ids[right]): (rank, ids[left + right[len(prefix) :]])
        for rank, (left, right) in enumerate(parts.merges)
    }


def _merges(parts: Parts, word: str) -> MergeTrace:
    """BPE's merges in the order the library makes them: lowest rank first, then from the left."""
    ids, model = parts.vocabulary, parts.model
    if model["ignore_merges"] and word in ids:
        return MergeTrace(word, (word,), (), (word,), (ids[word],), "The vocabulary has the whole word: no merges.")
    pieces, fallback = _first_symbols(parts, word)
    symbols = [_Symbol(index, piece, place - 1, place + 1) for place, (index, piece) in enumerate(pieces)]
    initial = tuple(symbol.text for symbol in symbols)
    steps = _merge_all(parts, symbols)
    left = [symbol for symbol in symbols if not symbol.gone]
    note = fallback
    if model["dropout"]:
        note = "The tokenizer leaves out merges at random (dropout); these are all of them. " + note
    return MergeTrace(word, initial, tuple(steps), tuple(s.text for s in left), tuple(s.id for s in left), note.strip())


def _merge_all(parts: Parts, symbols: list[_Symbol]) -> list[MergeStep]:
    table = _merge_table(parts)
    heap: list[tuple[int, int, int]] = []  # rank, place, id of the result

    def consider(place: int) -> None:
        if 0 <= place < len(symbols) and (after := symbols[place].after) < len(symbols):
            merge = table.get((symbols[place].id, symbols[after].id))
            if merge is not None:
                heapq.heappush(heap, (merge[0], place, merge[1]))

    for place in range(len(symbols) - 1):
        consider(place)
    steps = []
    while heap:
        rank, place, result = heapq.heappop(heap)
        left = symbols[place]
        if left.gone or left.after >= len(symbols):
            continue
        right = symbols[left.after]
        merge = table.get((left.id, right.id))
        if merge is None or merge[1] != result:  # one of the two has been merged in the meantime
            continue
        pair = (left.text, right.text)
        left.id, left.text, left.after = result, parts.table.pieces[result], right.after
        right.gone = True
        if right.after < len(symbols):
            symbols[right.after].before = place
        consider(left.before)
        consider(place)
        rest = [(at, symbol.text) for at, symbol in enumerate(symbols) if not symbol.gone]
        index = next(n for n, (at, _) in enumerate(rest) if at == place)
        steps.append(MergeStep(tuple(text for _, text in rest), pair, rank, left.text, index))
    return steps


def _first_symbols(parts: Parts, word: str) -> tuple[list[tuple[int, str]], str]:
    """What the merges begin with: characters, or bytes or the unknown token for those the vocabulary lacks."""
    model, ids = parts.model, parts.vocabulary
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    unknown = model.get("unk_token")
    symbols: list[tuple[int, str]] = []
    missing: list[str] = []
    was_unknown = False
    for place, character in enumerate(word):
        piece = (prefix if place else "") + character + (suffix if place == len(word) - 1 else "")
        if piece in ids:
            symbols.append((ids[piece], piece))
            was_unknown = False
            continue
        missing.append(character)
        spelled = [f"<0x{byte:02X}>" for byte in piece.encode("utf-8", "replace")]
        if model.get("byte_fallback") and all(byte in ids for byte in spelled):
            symbols += [(ids[byte], byte) for byte in spelled]
            was_unknown = False
        elif unknown is not None and unknown in ids:
            if not (was_unknown and model.get("fuse_unk")):
                symbols.append((ids[unknown], unknown))
            was_unknown = True
    return symbols, _missing(missing, falls_back=bool(model.get("byte_fallback")), unknown=unknown)


def _missing(characters: list[str], *, falls_back: bool, unknown: str | None) -> str:
    if not characters:
        return ""
    what = "became bytes" if falls_back else f"became {unknown}" if unknown else "were dropped"
    return f"Characters that the vocabulary does not have {what}: {' '.join(dict.fromkeys(characters))}."


def _longest_match(parts: Parts, word: str) -> LongestMatchTrace:
    """WordPiece (Wu et al. 2016, as BERT uses it): from the left, the longest piece that fits; all or nothing."""
    model, ids = parts.model, parts.vocabulary
    unknown = model["unk_token"]
    if len(word) > (limit := model["max_input_chars_per_word"]):
        note = f"Words of more than {limit:,} characters become {unknown} at once."
        return LongestMatchTrace(word, (), (unknown,), (ids[unknown],), note)
    steps: list[MatchStep] = []
    start = 0
    while start < len(word):
        prefix = model["continuing_subword_prefix"] if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in ids), None)
        tried = [prefix + word[start:at] for at in ends if end is None or at >= end][-TRIED:]
        piece = None if end is None else tried[-1]
        steps.append(MatchStep(prefix + word[start:], tuple(tried), piece))
        if end is None:
            note = f"Nothing in the vocabulary begins “{prefix}{word[start:]}”, so the whole word becomes {unknown}."
            return LongestMatchTrace(word, tuple(steps), (unknown,), (ids[unknown],), note)
        start = end
    pieces = tuple(step.piece for step in steps if step.piece is not None)
    return LongestMatchTrace(word, tuple(steps), pieces, tuple(ids[piece] for piece in pieces))


@dataclass(frozen=True, slots=True)
class _Path:
    """The best ways to a place: by `total`, the last piece, and which way led to its beginning."""

    total: float
    start: int
    index: int | None  # id of the last piece, None for an unknown character
    score: float
    rest: _Path | None


def _unigram(parts: Parts, word: str) -> UnigramTrace:
    """The best segmentations by the sum of log-probabilities (Kudo 2018, Viterbi), and the best one's tokens."""
    paths = _best_paths(parts, word)
    segmentations = tuple(_segmentation(word, path) for path in paths)
    pieces, ids = _own_tokens(parts, word, paths[0]) if word else ((), ())
    unknown = any(index is None for index, _, _ in _pieces(paths[0], len(word))) if word else False
    penalty = f"An unknown character counts {_UNKNOWN_PENALTY:g} less than the rarest piece." if unknown else ""
    return UnigramTrace(word, segmentations if word else (), pieces, ids, penalty)


@lru_cache(maxsize=8)
def _longest_piece(parts: Parts) -> int:
    return max(map(len, parts.vocabulary), default=1)


def _best_paths(parts: Parts, word: str) -> list[_Path]:
    """The `BEST` ways to the end of `word`. Of equals the one found first comes first, as in the library."""
    ids, scores = parts.vocabulary, parts.model["scores"]
    lowest = float(scores.min()) - _UNKNOWN_PENALTY
    reach = _longest_piece(parts)
    ways: list[list[_Path]] = [[_Path(0.0, 0, None, 0.0, None)]] + [[] for _ in word]
    for start in range(len(word)):
        single = False
        for end in range(start + 1, min(start + reach, len(word)) + 1):
            index = ids.get(word[start:end])
            if index is not None:
                single = single or end == start + 1
                _extend(ways[end], ways[start], start, index, float(scores[index]))
        if not single:
            _extend(ways[start + 1], ways[start], start, None, lowest)
    return ways[-1]


def _extend(there: list[_Path], here: list[_Path], start: int, index: int | None, score: float) -> None:
    there += [_Path(score + path.total, start, index, score, path) for path in here]
    there.sort(key=lambda path: -path.total)  # stable: of equals the first one stays first
    del there[BEST:]


def _pieces(path: _Path, end: int) -> list[tuple[int | None, tuple[int, int], float]]:
    """Id, place and score of each piece, from the left."""
    pieces = []
    while path.rest is not None:
        pieces.append((path.index, (path.start, end), path.score))
        end, path = path.start, path.rest
    return pieces[::-1]


def _segmentation(word: str, path: _Path) -> Segmentation:
    pieces = _pieces(path, len(word))
    return Segmentation(
        tuple(word[start:end] for _, (start, end), _ in pieces), tuple(score for *_, score in pieces), path.total
    )


def _own_tokens(parts: Parts, word: str, path: _Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The tokens of the best way: unknown characters in a row are one, or bytes where the vocabulary has them."""
    spans: list[tuple[int | None, int, int]] = []
    for index, (start, end), _ in _pieces(path, len(word)):
        if index is None and spans and spans[-1][0] is None and spans[-1][2] == start:
            spans[-1] = (None, spans[-1][1], end)
        else:
            spans.append((index, start, end))
    tokens: list[tuple[str, int]] = []
    for index, start, end in spans:
        piece = word[start:end]
        if index is not None:
            tokens.append((piece, index))
            continue
        spelled = [f"<0x{byte:02X}>" for byte in piece.encode("utf-8", "replace")]
        if parts.model.get("byte_fallback") and all(byte in parts.vocabulary for byte in spelled):
            tokens += [(byte, parts.vocabulary[byte]) for byte in spelled]
        else:
            tokens.append((piece, int(parts.model["unk_id"])))
    return tuple(piece for piece, _ in tokens), tuple(index for _, index in tokens)
