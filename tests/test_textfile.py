"""Text of any encoding becomes a prompt; what is no text says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab import textfile
from llmlab.engine.errors import InputError
from llmlab.textfile import Text, Undecided

STORY = "Zoë went to the café.\nShe paid 5 € for tea. 😀\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_recognised(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes(STORY.encode(encoding))
    file = textfile.read(path)
    assert isinstance(file, Text)
    assert (file.text, file.whole, file.size) == (STORY, True, path.stat().st_size)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes("Once upon a time there was a girl.\n".encode(encoding))
    file = textfile.read(path)
    assert isinstance(file, Text)
    assert file.encoding == encoding
    assert file.text.startswith("Once upon")


def test_other_encodings_are_asked_about_and_read_as_chosen(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    text = "Der Bär fraß süße Äpfel und Öl. " * 20
    path.write_bytes(text.encode("cp1252"))
    file = textfile.read(path)
    assert isinstance(file, Undecided)
    readings = dict(file.candidates)
    assert readings["cp1252"].startswith("Der Bär fraß")
    chosen = textfile.read(path, "cp1252")
    assert isinstance(chosen, Text)
    assert chosen.text == text


def test_line_ends_become_newlines(tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"one\r\ntwo\rthree\n")
    file = textfile.read(path)
    assert isinstance(file, Text)
    assert file.text == "one\ntwo\nthree\n"


def test_a_beginning_never_ends_inside_a_character(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(("é" * 100).encode())
    file = textfile.read(path, limit=33)
    assert isinstance(file, Text)
    assert file.text == "é" * 16
    assert not file.whole


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None, "not a text file"),
        (b"abc\0def", None, "not a text file"),
        (b"\xff\xfeab\0", None, "not valid utf-16"),
        (b"\x81\x82", "ascii", "not valid ascii"),
        (b"abc", "klingon", "not valid klingon"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, encoding: str | None, words: str) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        textfile.read(path, encoding)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        textfile.read(tmp_path / "gone.txt")


@given(st.binary(max_size=200))
def test_any_bytes_give_text_a_question_or_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "file.txt"
    path.write_bytes(data)
    try:
        file = textfile.read(path)
        useful = isinstance(file, Text) or bool(file.candidates)
    except InputError as error:
        useful = bool(error.hint)
    assert useful
