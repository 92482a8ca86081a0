"""The page to browse results: its data are those that were found, whatever names hold."""

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

from tools.predict.page import page

CELL = dict(
    x=3, y=4, width=5, height=6, area_px=21, score=0.99, probability=0.87654, touches_border=1
)


def picture(name: str = 'a.png', **more: Any) -> dict[str, Any]:
    cells = [CELL, CELL | dict(x=30, touches_border=0, probability=1.0)]
    base = dict(image=name, width=80, height=60, overlay=f'overlays/{name}.jpg', remarks=[])
    return base | dict(cells_low=1, cells_high=3, rows=cells) | more


def data_of(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(text)


def test_cells_of_a_picture() -> None:
    html = page('Cells', 'Found by a model.', [picture(remarks=['is odd'])], (), 0.25, (1, 3))
    found = data_of(html)
    assert (found['pixel'], found['interval'], found['sure']) == (0.25, [1, 3], 'Probability')
    assert found['pictures'] == [
        {
            'name': 'a.png',
            'src': 'overlays/a.png.jpg',
            'size': [80, 60],
            'remarks': ['is odd'],
            'interval': [1, 3],
            'cells': [[3, 4, 5, 6, 0.877, 21, 1], [30, 4, 5, 6, 1.0, 21, 0]],
        }
    ]
    assert '<title>Cells</title>' in html


def test_names_are_neither_markup_nor_addresses() -> None:
    name = 'slide #1 100% </script><b>&'
    html = page(name, name, [picture(name)], problems=[f'{name}: is empty.'])
    (found,) = data_of(html)['pictures']
    assert found['name'] == name
    assert not set('#<> ') & set(found['src'])
    assert unquote(found['src']) == f'overlays/{name}.jpg'
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.feed(html)
    assert 'b' not in tags
    assert tags.count('script') == 2


def test_nothing_is_fetched_from_elsewhere() -> None:
    html = page('Cells', 'Found by a model.', [picture()])
    assert set(re.findall(r'https?://[^\s"\'`)]+', html)) <= {'http://www.w3.org/2000/svg'}


def test_without_a_calibration_scores_stand_for_themselves() -> None:
    cells = [CELL | dict(probability=None)]
    found = data_of(page('Cells', '', [picture(rows=cells, cells_low=None, cells_high=None)]))
    assert found['sure'] == 'Score'
    assert found['pictures'][0]['cells'][0][4] == 0.99
    assert found['pictures'][0]['interval'] is None


def test_without_a_drawing_and_without_a_picture() -> None:
    (found,) = data_of(page('Cells', '', [picture(overlay=None)]))['pictures']
    assert found['src'] is None
    assert data_of(page('Cells', '', []))['pictures'] == []
