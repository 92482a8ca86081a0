"""The report's HTML page: one file, pictures inside, nothing fetched from elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from string import Template
from typing import NamedTuple

from tools.report_tables import Table

STYLE = """
:root { --ink: #1d2733; --pale: #5d6b7a; --line: #dfe4ea; --wash: #f5f7f9; --accent: #2b6cb0; }
* { box-sizing: border-box; }
html { background: #eceff2; }
body { max-width: 1080px; margin: 24px auto; padding: 40px 52px; background: #fff;
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 28px; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 44px 0 10px; padding-top: 14px; border-top: 2px solid var(--ink); font-size: 20px; }
h3 { margin: 20px 0 4px; font-size: 14px; }
p { margin: 8px 0; max-width: 78ch; }
.lead, .note, figcaption, small { color: var(--pale); }
.note, figcaption { font-size: 13px; }
nav { margin: 18px 0 0; font-size: 13px; }
nav a { margin-right: 14px; white-space: nowrap; }
a { color: var(--accent); text-decoration: none; }
code { font: 13px/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  background: var(--wash); padding: 1px 4px; border-radius: 3px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 24px 0 8px; }
.tile { padding: 12px 14px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--wash); }
.tile b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile small { display: block; line-height: 1.35; }
.missing { margin: 22px 0; padding: 12px 18px; border-left: 4px solid #d9480f;
  background: #fff6f0; }
.missing h2 { margin: 0 0 4px; padding: 0; border: 0; font-size: 16px; }
.missing ul { margin: 0; padding-left: 18px; }
figure { margin: 14px 0; }
figure a { display: block; }
figure img { display: block; width: 100%; height: auto; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
.pictures figure { margin: 0; }
.pictures img { border-radius: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 10px 0; font-size: 13px; }
.legend i { display: inline-block; width: 14px; height: 14px; margin-right: 5px;
  border-radius: 3px; vertical-align: -2px; }
.legend i.line { height: 0; border-top: 3px solid; border-radius: 0; vertical-align: 4px; }
.wide { overflow-x: auto; }
table { width: 100%; margin: 10px 0; border-collapse: collapse; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th { text-align: left; border-bottom: 1.5px solid var(--ink); padding: 4px 10px 4px 0;
  vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: 4px 10px 4px 0; vertical-align: top; }
td.n { white-space: nowrap; }
td:first-child { overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: 1fr 1fr; gap: 0 36px; }
.facts td { overflow-wrap: anywhere; }
.facts td:first-child { width: 130px; color: var(--pale); }
details { margin: 14px 0; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; }
pre { padding: 12px 14px; background: var(--wash); font: 11.5px/1.45 ui-monospace,
  "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 700px) {
  body { margin: 0; padding: 20px 16px; }
  .pictures, .facts { grid-template-columns: 1fr; }
  .wide table { min-width: 720px; }
}
@page { size: A4; margin: 14mm 13mm; }
@media print {
  html { background: none; }
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  nav, summary { display: none; }
  .tiles { grid-template-columns: repeat(5, 1fr); gap: 6px; }
  .tile { padding: 6px 8px; } .tile b { font-size: 17pt; }
  table, .note, figcaption { font-size: 8.5pt; } th, td { padding: 2px 6px 2px 0; }
  h2, h3, .legend, section > h2 + p { break-after: avoid; } h2 { margin-top: 22px; }
  figure, tr, .tile, .missing, .facts section { break-inside: avoid; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  pre { columns: 3; padding: 0; background: none; font-size: 5.5pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="lead">$lead</p>
$nav
</header>
<main>
$body
</main>
</body>
</html>
"""
)


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        title: Its heading; without one it stands under the page's title and not in the contents.
        body: HTML.
    """

    title: str
    body: str


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Args:
        title: Text.
        lead: Text below it.
        sections: In order.

    Returns:
        HTML.
    """
    parts, links = [], []
    for section in sections:
        if section.title:
            name = re.sub(r'\W+', '-', section.title.lower()).strip('-')
            links.append(f'<a href="#{name}">{escape(section.title)}</a>')
            heading = f'<h2 id="{name}">{escape(section.title)}</h2>\n'
            parts.append(f'<section>\n{heading}{section.body}\n</section>')
        else:
            parts.append(section.body)
    return PAGE.substitute(
        title=escape(title),
        lead=text(lead),
        style=STYLE,
        nav=f'<nav>{" ".join(links)}</nav>',
        body='\n'.join(parts),
    )


def text(words: str) -> str:
    """Text as HTML, what stands in backticks as code."""
    pieces = words.split('`')
    return ''.join(
        f'<code>{escape(piece)}</code>' if k % 2 else escape(piece)
        for k, piece in enumerate(pieces)
    )


def paragraph(words: str, kind: str = '') -> str:
    """A paragraph of text; see :func:`text`."""
    return f'<p{_class(kind)}>{text(words)}</p>'


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """The figures one looks for first: value, name and what stands below it."""
    items = (
        f'<b>{escape(value)}</b>{escape(name)}<small>{escape(below)}</small>'
        for value, name, below in figures
    )
    boxes = ''.join(f'<div class="tile">{item}</div>' for item in items)
    return f'<div class="tiles">{boxes}</div>'


def missing(items: Sequence[str]) -> str:
    """What isn't there yet and how to get it, a sentence each."""
    if not items:
        return ''
    lines = ''.join(f'<li>{text(item)}</li>' for item in items)
    return f'<div class="missing"><h2>Not there yet</h2><ul>{lines}</ul></div>'


def figure(picture: bytes, description: str, caption: str = '', file: str = '') -> str:
    """A picture inside the page.

    Args:
        picture: PNG or JPEG.
        description: What one would say who can't see it.
        caption: Below it.
        file: What a click opens.
    """
    kind = 'png' if picture.startswith(b'\x89PNG') else 'jpeg'
    data = base64.b64encode(picture).decode()
    below = f'<figcaption>{text(caption)}</figcaption>' if caption else ''
    source = f'data:image/{kind};base64,{data}'
    image = f'<img src="{source}" alt="{escape(description)}">'
    if file:
        image = f'<a href="{escape(file)}">{image}</a>'
    return f'<figure>{image}{below}</figure>'


def table(content: Table) -> str:
    """A table."""
    head = ''.join(f'<th>{escape(cell)}</th>' for cell in content.header)
    rows = (f'<tr>{"".join(map(_cell, row))}</tr>\n' for row in content.rows)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f'<tbody>{"".join(rows)}</tbody></table></div>'
    )


def facts(groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """Groups of names and values."""
    sections = []
    for title, rows in groups:
        lines = ''.join(
            f'<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>' for name, value in rows
        )
        sections.append(f'<section><h3>{escape(title)}</h3><table>{lines}</table></section>')
    return f'<div class="facts">{"".join(sections)}</div>'


def legend(items: Sequence[tuple[str, str, bool]]) -> str:
    """Names with colours: as a line or, else, as a patch."""
    spans = (
        f'<span><i class="line" style="border-color:{colour}"></i>{escape(name)}</span>'
        if line
        else f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour, line in items
    )
    return f'<div class="legend">{"".join(spans)}</div>'


def folded(title: str, content: str) -> str:
    """Something long that opens on a click, and on paper."""
    return f'<details><summary>{escape(title)}</summary>{content}</details>'


def code(content: str) -> str:
    """A listing."""
    return f'<pre>{escape(content)}</pre>'


def _cell(content: str) -> str:
    """A cell of a table; figures stay on one line."""
    figure = len(content) < 24 and re.match(r'-?\d', content)
    return f'<td{_class("n" if figure else "")}>{escape(content)}</td>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ''
