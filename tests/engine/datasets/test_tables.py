"""CSV, TSV and workbooks: what is detected, what can be corrected, and that a bad row costs only itself."""

from __future__ import annotations

import csv
import datetime
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.datasets import Dialect, FieldMapping, Format, NoteKind
from llmlab.engine.datasets import limits as bounds
from llmlab.engine.errors import InputError

from .conftest import read, texts, workbook

CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\ufeff"), max_size=12
)


@pytest.mark.parametrize(
    ("content", "dialect", "fields"),
    [
        ("text,label\nhello,a\nworld,b\n", Dialect(",", '"', True), ("text", "label")),
        ("hello;a\nworld;b\nagain;a\n", Dialect(";", '"', False), ("column 1", "column 2")),
        ("a|b, c|d\n1|2, 3|4\n5|6, 7|8\n", Dialect("|", '"', True), ("a", "b, c", "d")),
        ("great film,pos\nbad film,neg\nnice,pos\n", Dialect(",", '"', False), ("column 1", "column 2")),
        ("name,age\nLily,7\nTom,8\n", Dialect(",", '"', True), ("name", "age")),
        ("'a, b','x'\n'c','y'\n'd','x'\n", Dialect(",", "'", False), ("column 1", "column 2")),
        ("a sentence\nanother one\nthird\n", Dialect(",", '"', False), ("column 1",)),
    ],
)
def test_the_dialect_is_detected(content: str, dialect: Dialect, fields: tuple[str, ...]) -> None:
    found = read("x.csv", content)
    assert (found.dialect, found.fields) == (dialect, fields)


def test_tabs_are_preferred_in_a_tsv_file() -> None:
    found = read("x.tsv", "text\tlabel\na, b, c\tx\nd, e, f\ty\n")
    assert found.format is Format.TSV
    assert found.rows == (("a, b, c", "x"), ("d, e, f", "y"))


def test_what_was_detected_can_be_corrected() -> None:
    content = "text,label;x\nhello,a;b\n'q,;r';c\n"
    assert read("x.csv", content).dialect == Dialect(",", '"', True)
    corrected = read("x.csv", content, delimiter=";", header=False, quote="'")
    assert corrected.dialect == Dialect(";", "'", False)
    assert corrected.rows == (("text,label", "x"), ("hello,a", "b"), ("q,;r", "c"))


def test_ragged_rows_keep_all_they_have() -> None:
    found = read("x.csv", "text,label\none\na,b\nx,y,z,w\nc,d\n")
    assert found.fields == ("text", "label", "column 3", "column 4")
    assert found.rows == (("one", "", "", ""), ("a", "b", "", ""), ("x", "y", "z", "w"), ("c", "d", "", ""))
    assert [note.line for note in found.notes if note.kind is NoteKind.CHANGED] == [2, 4]


def test_an_open_quote_hides_no_row() -> None:
    rows = "".join(f"text {number},label\n" for number in range(3000))
    found = read("x.csv", f'text,label\n"never closed,oops\n{rows}')
    assert len(found.rows) == 3001
    assert found.rows[0] == ('"never closed', "oops")
    assert any("no end" in text for text in texts(found, NoteKind.CHANGED))


def test_a_quoted_value_may_hold_lines_and_row_numbers_stay_right() -> None:
    found = read("x.csv", 'text,label\n"one\ntwo",a\nthree,b\n')
    assert found.rows == (("one\ntwo", "a"), ("three", "b"))
    assert found.lines == (2, 4)


def test_a_long_value_costs_its_row_only() -> None:
    found = read("x.csv", f"text,label\na,b\n{'x' * (bounds.FIELD + 1)},c\nd,e\n")
    assert found.rows == (("a", "b"), ("d", "e"))
    assert [note.line for note in found.notes if note.kind is NoteKind.SKIPPED] == [3]
    assert read("x.csv", f"text,label\n{'x' * 130_000},c\nd,e\n").rows[0][1] == "c"  # csv's own limit is 128 KiB


def test_ten_thousand_columns() -> None:
    line = ",".join(f"c{number}" for number in range(10_000))
    found = read("x.csv", f"{line}\n{line.replace('c', '')}\n")
    assert len(found.fields) == bounds.COLUMNS
    assert found.rows[0][0] == "0"
    assert len(texts(found, NoteKind.SKIPPED)) == 1


def test_names_that_no_template_can_hold_are_changed() -> None:
    found = read("x.csv", "text, {x} ,,text\na,b,c,d\n", header=True)
    assert found.fields == ("text", "(x)", "column 3", "text 2")
    assert len(texts(found, NoteKind.CHANGED)) == 3


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=2, max_size=12))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    rows = [(f"t{first}", second.strip() + "s", third.strip() + "u") for first, second, third in rows]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([("text", "more", "label"), *rows])
    found = read("x.csv", file.getvalue(), delimiter=",", header=True)
    assert list(found.rows) == rows
    assert not texts(found, NoteKind.SKIPPED)


def test_the_answer_is_found_by_name_or_by_its_repetition() -> None:
    assert read("x.csv", "id,question,answer\n1,a,b\n2,c,d\n").mapping == FieldMapping(("question",), "answer")
    content = "premise,hypothesis,verdict\n" + "".join(f"p{n},h{n},{'ab'[n % 2]}\n" for n in range(12))
    assert read("x.csv", content).mapping == FieldMapping(("premise", "hypothesis"), "verdict")


def test_a_mapping_makes_examples() -> None:
    found = read("x.csv", "text,label\nhello,a\n")
    (example,) = found.examples(FieldMapping(("label",), "text"))
    assert (example.fields, example.output) == ((("label", "a"),), "hello")


def test_a_workbook_is_read_as_people_see_it() -> None:
    day = datetime.datetime(2024, 2, 29)
    data = workbook(
        ("Moods", [("text", "n", "day", "sure"), ("Lovely", 1.0, day, True), (None, None), ("Dull", 0.5, None, False)]),
        ("Other", [("text", "b"), ("x", "y")]),
    )
    found = read("book.xlsx", data)
    assert found.fields == ("text", "n", "day", "sure")
    assert found.rows == (("Lovely", "1", "2024-02-29", "TRUE"), ("Dull", "0.5", "", "FALSE"))
    assert found.sheets == ("Moods", "Other")
    assert any("Other" in text for text in texts(found, NoteKind.ASSUMED))
    assert read("book.xlsx", data, sheet="Other").rows == (("x", "y"),)
    with pytest.raises(InputError, match="no sheet"):
        read("book.xlsx", data, sheet="Third")


def _with_shared_texts(data: bytes, texts: bytes) -> bytes:
    """A workbook whose cell A2 refers to the last of some shared texts, as spreadsheet programs write them."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("sheet1.xml"):
                content = content.replace(b't="inlineStr"><is><t>Lovely</t></is>', b't="s"><v>1</v>')
            new.writestr(name, content)
        space = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        new.writestr("xl/sharedStrings.xml", b'<sst xmlns="%s">%s</sst>' % (space, texts))
    return file.getvalue()


def test_shared_texts_with_formats_and_pronunciation() -> None:
    data = workbook(("Moods", [("text", "label"), ("Lovely", "good")]))
    texts = b"<si><t>no</t></si><si><r><t>Love</t></r><r><rPr/><t>ly!</t></r><rPh><t>x</t></rPh></si>"
    assert read("book.xlsx", _with_shared_texts(data, texts)).rows == (("Lovely!", "good"),)
    with pytest.raises(InputError, match="MB of texts"):
        read("book.xlsx", _with_shared_texts(data, b"<si><t>no</t></si>" * (bounds.SHEET_TEXTS // 18)))
    with pytest.raises(InputError, match="damaged"):
        read("book.xlsx", _with_shared_texts(data, b"<si><t>"))


def _zip(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_zip(**{"xl/workbook.xml": b"0" * (bounds.SHEET_UNPACKED + 1)}), "unpacks to more"),
        (_zip(**{"xl/workbook.xml": b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'}), "entities"),
        (_zip(**{"readme.txt": b"hello"}), "no Excel workbook"),
        (_zip(**{"xl/workbook.xml": b"<workbook"}), "damaged"),
        (b"PK\x03\x04 and nothing else", "damaged"),
        (b"no zip at all", "damaged"),
    ],
)
def test_workbooks_that_harm_or_are_none(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read("book.xlsx", data)
    assert caught.value.hint


def test_a_workbook_under_another_name_is_still_one() -> None:
    assert read("book.csv", workbook(("S", [("text", "label"), ("a", "b")]))).format is Format.XLSX
