"""One HTML page to browse what was found: every picture, what needs a look first, filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

UNSURE = 24
"""Cells that the page shows by themselves: the least certain ones."""


def page(
    title: str,
    lead: str,
    pictures: Sequence[Mapping[str, Any]],
    problems: Sequence[str] = (),
    pixel_size: float | None = None,
    interval: tuple[int, int] | None = None,
) -> str:
    """The page's HTML; it fetches nothing but the pictures beside it.

    Args:
        title: Of the page.
        lead: What the cells were found with, a sentence or two.
        pictures: Of each its row of ``counts.csv``, and ``overlay``: the path of its drawing from
            the page, or None, ``remarks`` that go on after its name, and ``rows``: those of
            ``cells.csv``.
        problems: A sentence for each picture that could not be done.
        pixel_size: Micrometres a pixel, or None.
        interval: 95 % interval for the number of cells in all pictures, or None.
    """
    calibrated = all(
        cell['probability'] is not None for picture in pictures for cell in picture['rows']
    )
    data = {
        'pictures': [_compact(picture) for picture in pictures],
        'pixel': pixel_size,
        'unsure': UNSURE,
        'sure': 'Probability' if calibrated else 'Score',
        'interval': interval,
    }
    blanks = dict(trim_blocks=True, lstrip_blocks=True)
    environment = Environment(loader=PackageLoader('tools.predict'), autoescape=True, **blanks)
    return environment.get_template('page.html').render(
        title=title, lead=lead, problems=problems, data=data
    )


def _compact(picture: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's program needs of a picture; cells are lists, as there are thousands."""
    overlay, interval = picture['overlay'], [picture['cells_low'], picture['cells_high']]
    return {
        'name': picture['image'],
        'src': overlay and quote(overlay),
        'size': [picture['width'], picture['height']],
        'remarks': list(picture['remarks']),
        'interval': None if None in interval else interval,
        'cells': [
            [
                *(cell[side] for side in ('x', 'y', 'width', 'height')),
                round(cell['score' if cell['probability'] is None else 'probability'], 3),
                cell['area_px'],
                int(cell['touches_border']),
            ]
            for cell in picture['rows']
        ],
    }
