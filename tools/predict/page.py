"""One HTML page to browse what was found: every picture, what needs a look first, filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

UNSURE = 24
"""Cells that the page shows by themselves: those of least score."""


def page(
    title: str,
    lead: str,
    pictures: Sequence[Mapping[str, Any]],
    problems: Sequence[str] = (),
    pixel_size: float | None = None,
) -> str:
    """The page's HTML; it fetches nothing but the pictures beside it.

    Args:
        title: Of the page.
        lead: What the cells were found with, a sentence or two.
        pictures: Of each its ``name``, ``width`` and ``height`` in pixels, ``overlay``: the path of
            its drawing from the page, or None, ``remarks``: sentences, and ``cells``: dicts with
            ``x``, ``y``, ``width``, ``height``, ``area`` in pixels, ``score`` and
            ``touches_border``.
        problems: A sentence for each picture that could not be done.
        pixel_size: Micrometres a pixel, or None.
    """
    data = {
        'pictures': [_compact(picture) for picture in pictures],
        'pixel': pixel_size,
        'unsure': UNSURE,
    }
    blanks = dict(trim_blocks=True, lstrip_blocks=True)
    environment = Environment(loader=PackageLoader('tools.predict'), autoescape=True, **blanks)
    return environment.get_template('page.html').render(
        title=title, lead=lead, problems=problems, data=data
    )


def _compact(picture: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's program needs of a picture; cells are lists, as there are thousands."""
    overlay = picture['overlay']
    return {
        'name': picture['name'],
        'src': overlay and quote(overlay),
        'size': [picture['width'], picture['height']],
        'remarks': list(picture['remarks']),
        'cells': [
            [
                *(int(cell[side]) for side in ('x', 'y', 'width', 'height')),
                round(float(cell['score']), 3),
                int(cell['area']),
                int(cell['touches_border']),
            ]
            for cell in picture['cells']
        ],
    }
