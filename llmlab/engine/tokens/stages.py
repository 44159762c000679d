"""A text on its way through the tokenizer, as the tokenizer's own parts see it, and back."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmlab.engine.tokens.encoding import without_surrogates
from llmlab.engine.tokens.parts import Parts, component_names
from llmlab.engine.tokens.types import RoundTrip, Stage, StagePiece, TokenKind

if TYPE_CHECKING:
    from tokenizers import Encoding, PreTokenizedString, Tokenizer

LIMIT = 20_000  # characters; beyond, stages are no longer looked at one by one


def stages(parts: Parts, text: str, limit: int = LIMIT) -> tuple[Stage, ...]:
    """What each part of the tokenizer makes of the first `limit` characters: normalizer … decoder.

    The places of all pieces are in the original text. Tokens that were added to the vocabulary are cut out before the
    normalizer and stay as they are. A slow tokenizer tells its tokens and the decoded text only.
    """
    text, _ = without_surrogates(text[:limit])
    if parts.backend is None:
        return _slow(parts, text)
    backend = parts.backend
    encoding = backend.encode(text, add_special_tokens=False)
    kept = _added_places(parts, text, encoding)
    string = _without_added(text, kept)
    normalized = _normalized(backend, string, text, kept)
    words = _words(backend, string, text, kept)
    tokens = _tokens(encoding)
    full = _tokens(backend.encode(text, add_special_tokens=True))
    decoded = backend.decode(encoding.ids, skip_special_tokens=False)
    return (
        Stage("Normalizer", component_names(backend.normalizer), normalized, _normalizing(text, normalized)),
        Stage("Pre-tokenizer", component_names(backend.pre_tokenizer), words, _splitting(normalized, words)),
        Stage("Model", parts.algorithm, tokens, _modelling(words, tokens)),
        Stage("Post-processor", component_names(backend.post_processor), full, _adding(tokens, full)),
        Stage(
            "Decoder",
            component_names(backend.decoder),
            (StagePiece(decoded, 0, len(text)),),
            "Gives the text back exactly." if decoded == text else "Gives another text than the one that was read.",
        ),
    )


def round_trip(parts: Parts, text: str) -> RoundTrip:
    """Whether decoding what was encoded gives `text` back, special tokens in the text included."""
    read, replaced = without_surrogates(text)
    if parts.backend is not None:
        [encoding] = parts.backend.encode_batch([read], add_special_tokens=False)
        ids: list[int] = encoding.ids
        decoded = parts.backend.decode(ids, skip_special_tokens=False)
    else:
        ids, decoded = _slow_round(parts, read)
    if decoded == text:
        return RoundTrip(True, decoded, None, "Decoding the tokens gives the text back exactly.")
    place = _first_difference(text, decoded)
    unknown = any(parts.table.kinds[index] == TokenKind.UNKNOWN for index in set(ids))
    return RoundTrip(False, decoded, place, _explanation(text, decoded, replaced=replaced, unknown=unknown))


def _slow_round(parts: Parts, text: str) -> tuple[list[int], str]:
    tokenizer = parts.tokenizer
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(decoded, str)
    return ids, decoded


def _slow(parts: Parts, text: str) -> tuple[Stage, ...]:
    ids, decoded = _slow_round(parts, text)
    name = type(parts.tokenizer).__name__
    tokens = tuple(StagePiece(parts.table.pieces[index], 0, 0, index) for index in ids)
    return (
        Stage("Model", name, tokens, "A slow tokenizer does not tell what happens in between."),
        Stage(
            "Decoder",
            name,
            (StagePiece(decoded, 0, len(text)),),
            "Gives the text back exactly." if decoded == text else "Gives another text than the one that was read.",
        ),
    )


def _added_places(parts: Parts, text: str, encoding: Encoding) -> list[StagePiece]:
    """Where added tokens stand in the text. The unknown token is one only where it is written out."""
    unknown = TokenKind.UNKNOWN
    return [
        StagePiece(token, start, end, index)
        for index, token, (start, end) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
        if index in parts.added
        and end > start
        and (parts.table.kinds[index] != unknown or text[start:end].strip() == parts.table.pieces[index])
    ]


def _without_added(text: str, kept: Sequence[StagePiece]) -> PreTokenizedString:
    """`text` without added tokens, each part knowing its place in the whole."""
    from tokenizers import PreTokenizedString

    string = PreTokenizedString(text)
    if kept:
        bounds = [0, *(place for piece in kept for place in (piece.start, piece.end)), len(text)]
        spans = [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if b > a]
        string.split(lambda _, whole: [whole[a:b] for a, b in spans])
    return string


def _splits(string: PreTokenizedString, kept: Sequence[StagePiece]) -> tuple[StagePiece, ...]:
    parts = [StagePiece(text, *place) for text, place, _ in string.get_splits("original", "char") if text]
    return tuple(sorted([*parts, *kept], key=lambda piece: (piece.start, piece.end)))


def _normalized(
    backend: Tokenizer, string: PreTokenizedString, text: str, kept: Sequence[StagePiece]
) -> tuple[StagePiece, ...]:
    if not text:
        return ()
    if (normalizer := backend.normalizer) is not None:
        string.normalize(normalizer.normalize)
    return _splits(string, kept)


def _words(
    backend: Tokenizer, string: PreTokenizedString, text: str, kept: Sequence[StagePiece]
) -> tuple[StagePiece, ...]:
    if not text:
        return ()
    if (pre_tokenizer := backend.pre_tokenizer) is not None:
        pre_tokenizer.pre_tokenize(string)
    return _splits(string, kept)


def _tokens(encoding: Encoding) -> tuple[StagePiece, ...]:
    return tuple(
        StagePiece(token, start, end, index)
        for index, token, (start, end) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
    )


def _normalizing(text: str, output: Sequence[StagePiece]) -> str:
    result = "".join(piece.text for piece in output)
    if result == text:
        return "Leaves the text as it is."
    return f"Makes {len(result):,} characters of {len(text):,}: {_difference(text, result)}."


def _splitting(before: Sequence[StagePiece], after: Sequence[StagePiece]) -> str:
    was, now = ("".join(piece.text for piece in pieces) for pieces in (before, after))
    count = _count(len(after), "part")
    if was == now:
        return f"Leaves the text whole: {count}." if len(before) == len(after) else f"Splits the text into {count}."
    return f"Makes {count} and spells them differently."


def _modelling(words: Sequence[StagePiece], tokens: Sequence[StagePiece]) -> str:
    return f"Makes {_count(len(tokens), 'token')} of {_count(len(words), 'part')}."


def _adding(before: Sequence[StagePiece], after: Sequence[StagePiece]) -> str:
    added = len(after) - len(before)
    if added <= 0:
        return "Adds no special tokens."
    was = [piece.token_id for piece in before]
    now = [piece.token_id for piece in after]
    at = next((n for n in range(added + 1) if now[n : n + len(was)] == was), None)
    if at is None:
        return f"Adds {_count(added, 'special token')}."
    front, back = "".join(p.text for p in after[:at]), "".join(p.text for p in after[at + len(was) :])
    places = [f"{front} before" if front else "", f"{back} after" if back else ""]
    return f"Adds {_count(added, 'special token')}: {' and '.join(filter(None, places))} the text."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _first_difference(text: str, other: str) -> int:
    for place in range(0, len(text) + 1, 4096):  # whole blocks first: a megabyte is compared in a millisecond
        if text[place : place + 4096] != other[place : place + 4096]:
            pairs = zip(text[place : place + 4096], other[place : place + 4096], strict=False)
            inside = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
            return min(len(text), len(other)) if inside is None else place + inside
    return min(len(text), len(other))


def _explanation(text: str, decoded: str, *, replaced: int, unknown: bool) -> str:
    """Why the decoded text is another one, as far as can be told from the two."""
    if replaced:
        halves = "half of a surrogate pair is no character and was" if replaced == 1 else "halves of pairs were"
        return f"{replaced:,} lone surrogate {halves} read as U+FFFD."
    if unknown:
        return "Some characters are not in the vocabulary: they became the unknown token, and are lost."
    return f"What was lost: {_difference(text, decoded)}."


def _difference(text: str, other: str) -> str:
    """What was done to `text`, in a few words: the first thing that explains the other text entirely."""
    reasons: list[tuple[str, Any]] = [
        ("a space was added in front", lambda s: " " + s),
        ("a ▁ was added in front", lambda s: "▁" + s),
        ("spaces became ▁", lambda s: s.replace(" ", "▁")),
        ("spaces became ▁, with one in front", lambda s: "▁" + s.replace(" ", "▁")),
        ("the space in front was dropped", lambda s: s.removeprefix(" ")),
        ("white space at the ends was dropped", str.strip),
        ("runs of white space became one space", lambda s: " ".join(s.split())),
        ("capital letters became small", str.lower),
        ("accents were dropped", _without_accents),
        ("capital letters became small and accents were dropped", lambda s: _without_accents(s.lower())),
        ("Unicode's composed form (NFC) was taken", lambda s: unicodedata.normalize("NFC", s)),
        ("Unicode's decomposed form (NFD) was taken", lambda s: unicodedata.normalize("NFD", s)),
        ("look-alikes became plain characters (NFKC)", lambda s: unicodedata.normalize("NFKC", s)),
    ]
    found = next((words for words, change in reasons if change(text) == other), None)
    if found is None and "".join(text.split()) == "".join(other.split()):
        found = "the white space between words is another"
    place = _first_difference(text, other)
    return found or f"the first difference is at character {place + 1:,}"


def _without_accents(text: str) -> str:
    plain = unicodedata.normalize("NFD", text)
    return "".join(character for character in plain if unicodedata.category(character) != "Mn")
