"""The page to browse results: its data are those that were found, whatever names hold."""

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

from tools.predict.page import page

CELL = dict(x=3, y=4, width=5.0, height=6, area=21, score=0.87654, touches_border=True)


def picture(name: str = 'a.png', **more: Any) -> dict[str, Any]:
    cells = [CELL, CELL | dict(x=30, touches_border=False, score=1.0)]
    base = dict(name=name, width=80, height=60, overlay=f'overlays/{name}.jpg', remarks=[])
    return base | dict(cells=cells) | more


def data_of(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(text)


def test_cells_of_a_picture() -> None:
    html = page('Cells', 'Found by a model.', [picture(remarks=['is odd'])], pixel_size=0.25)
    found = data_of(html)
    assert found['pixel'] == 0.25
    assert found['pictures'] == [
        {
            'name': 'a.png',
            'src': 'overlays/a.png.jpg',
            'size': [80, 60],
            'remarks': ['is odd'],
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


def test_without_a_drawing_and_without_a_picture() -> None:
    (found,) = data_of(page('Cells', '', [picture(overlay=None)]))['pictures']
    assert found['src'] is None
    assert data_of(page('Cells', '', []))['pictures'] == []
