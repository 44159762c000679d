"""The report as a web page: whatever the texts are, the page's structure is its own."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine.shots.types import Example
from llmlab.ui.panels.shots.measure import report, web_page
from llmlab.ui.panels.shots.measure.presenter import Measuring
from tests.presenters.shots_fakes import PROJECT, SPEC, Bed

VOID = {"meta"}
SVG = '<?xml version="1.0"?>\n<svg viewBox="0 0 4 4"><g><path d="M0 0"/></g></svg>\n'
HOSTILE = (
    "<script>alert('x')</script>", "</td></table>& &amp; \"quotes\"", "\x00\x1b[31m\x7f", "w" * 3000,
    "هذا نص عربي، مع English.", "line one\n\n  line two", "日本語 🌍", "\ud800",
)  # fmt: skip


class Page(HTMLParser):
    """Reads a page, and fails where a tag is not closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, "only a drawing may close a tag at once"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), "no attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in {"td", "th"}:
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells[-1][-1] += data
        self.words += data


@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=3))
def test_texts_are_never_markup(title: str, name: str, rows: list[tuple[str, str, str]]) -> None:
    table = web_page.table(("#", "item", title), rows, numbers=(0,), wrong=(0,))
    text = web_page.page(title, ((name, title),), SVG, name, (web_page.heading(name), table, web_page.code(title)))
    text.encode()  # a surrogate alone could not be written
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("td") == 3 * len(rows)
    assert not {"script", "img", "a", "link"} & {tag for tag, _ in page.tags}
    for row, cells in zip(rows, page.cells[1:], strict=True):
        assert cells == [_seen(cell) for cell in row]


def _seen(text: str) -> str:
    """What a reader finds of a text: no control characters, and every end of a line as one."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "\ufffd", text)


@pytest.mark.parametrize("labels", [("time", "model"), ("<b>time</b>", 'mo"del & co')])
def test_the_report_of_hostile_items(labels: tuple[str, str], tmp_path: Path) -> None:
    bed = Bed(Measuring, {"counts": [0, 1], "seeds": 2})
    items = tuple(Example((("x", text),), labels[n % 2]) for n, text in enumerate(HOSTILE[:-1]))
    pool = tuple(Example((("x", f"shot {n}"),), labels[n % 2]) for n in range(3))
    short = tuple(replace(item, fields=(("x", item.values["x"][:20]),)) for item in items)
    bed.open(replace(PROJECT, spec=replace(SPEC, labels=labels), examples=pool, test=short))
    bed.tab.run()
    bed.jobs.run_all()
    bed.page.path = tmp_path
    bed.tab.export("html")
    bed.jobs.run_all()
    page = Page((tmp_path / "shots-sweep.html").read_text("utf-8"))
    tables = [tag for tag, _ in page.tags].count("table")
    assert tables == 2
    assert [row[1] for row in page.cells[-len(short) :]] == [_seen(item.values["x"]) for item in short]
    assert "balanced by label, 2 seeds, out of 3 examples" in page.words
    for tag, attributes in page.tags:
        if tag in {"td", "th"}:
            assert attributes.get("dir") == "auto" or attributes.get("class") == "number"
        if tag == "th":
            assert attributes["scope"] == "col"
    styles = (tmp_path / "shots-sweep.html").read_text("utf-8")
    assert "prefers-color-scheme: dark" in styles
    assert "@media print" in styles
    wrong = sum(attributes.get("class") == "wrong" for tag, attributes in page.tags if tag == "tr")
    assert wrong == sum(line.value < 1 for line in bed.tab.found.items)


def test_a_report_that_does_not_list_all_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "MOST_ROWS", 2)
    bed = Bed(Measuring, {"counts": [0, 1], "seeds": 1})
    bed.open()
    bed.tab.run()
    bed.jobs.run_all()
    bed.page.path = tmp_path
    for kind in ("html", "md"):
        bed.tab.export(kind)
    bed.jobs.run_all()
    for kind in ("html", "md"):
        text = (tmp_path / f"shots-sweep.{kind}").read_text("utf-8")
        assert "Items, 1 shot, seed 0: the first 2 of 4" in text
