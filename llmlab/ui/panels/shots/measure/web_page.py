"""A report as a web page that needs nothing else: HTML 5, light and dark, on screen and on paper. No Qt."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

# Texts come from files: any length, any direction of writing, no spaces to break at.
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f27; --muted: #565d6b; --paper: #fff; --line: #c9ced8; --soft: #f3f4f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ec; --muted: #a3abb8; --paper: #16191f; --line: #3a404b; --soft: #21252d }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper) }
h1 { font-size: 1.5rem; line-height: 1.3; text-wrap: balance } h2 { font-size: 1.15rem; margin-top: 2rem }
h1, h2, dd, td { overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem }
dt { color: var(--muted) } dd { margin: 0 }
figure { margin: 1.5rem 0; border: 1px solid var(--line) } svg { display: block; width: 100%; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
td[dir] { min-width: 6rem }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: start; vertical-align: top }
thead th { color: var(--muted); font-weight: 600; white-space: nowrap } td { white-space: pre-wrap }
.number { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums; width: 1% }
.wrong { background: var(--soft) }
pre { background: var(--soft); padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
@media print {
  :root { color-scheme: light; --ink: #000; --muted: #444; --paper: #fff; --line: #999; --soft: #e4e7ee }
  @page { margin: 16mm }
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt } .wide { overflow: visible }
  thead th { white-space: normal } th, td { padding: .15rem .4rem } td[dir] { min-width: 0 }
  figure, tr { break-inside: avoid } h1, h2 { break-after: avoid }
  .wrong, pre { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""
Row = tuple[str, ...]


def table(head: Row, rows: Sequence[Row], numbers: Sequence[int], wrong: Sequence[int] = ()) -> str:
    """A table; `numbers` are the columns of figures, `wrong` the rows that are marked."""
    kinds = ['class="number"' if column in numbers else 'dir="auto"' for column in range(len(head))]
    top = "".join(f'<th scope="col" {kind}>{safe(cell)}</th>' for cell, kind in zip(head, kinds, strict=True))
    marked = frozenset(wrong)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td {kind}>{safe(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        lines.append(('<tr class="wrong">' if number in marked else "<tr>") + cells + "</tr>")
    return (
        f'<div class="wide">\n<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table>\n</div>"
    )


def page(title: str, facts: Sequence[tuple[str, str]], svg: str, name: str, parts: Sequence[str]) -> str:
    """The whole page: facts by name, the drawing `svg` called `name`, and `parts` of HTML."""
    body = "\n".join(parts)
    told = "\n".join(f'<dt>{safe(label)}</dt><dd dir="auto">{safe(words)}</dd>' for label, words in facts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{safe(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1 dir="auto">{safe(title)}</h1>
<dl>
{told}
</dl>
<figure role="img" aria-label="{safe(name)}">
{_drawing(svg)}
</figure>
{body}
</main>
</body>
</html>
"""


def heading(words: str) -> str:
    """The title of a part."""
    return f'<h2 dir="auto">{safe(words)}</h2>'


def code(text: str) -> str:
    """Lines as they stand."""
    return f'<pre dir="ltr"><code>{safe(text)}</code></pre>'


def safe(words: str) -> str:
    """Text that HTML takes as text; what HTML has no character for is shown as �."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "�", words))


def _drawing(svg: str) -> str:
    """The drawing as a part of a page: without what stands before it in a file of its own."""
    return svg[max(0, svg.find("<svg")) :].rstrip()
