"""Pictures of more than 8 bits, as a user gives them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tools.predict.__main__ import main


def test_a_folder_has_one_depth_and_says_so(lab, capsys: pytest.CaptureFixture) -> None:
    """The same cells from 12 bits as from 8, and a picture of another camera is no count."""
    lab.write('in/plain.png')
    deep = np.rint(lab.picture(*lab.three_cells) / 255 * 4095).astype(np.uint16)
    planar = {'photometric': 'rgb', 'planarconfig': 'separate'}
    tifffile.imwrite('in/deep.tif', deep, photometric='rgb')
    tifffile.imwrite('in/planar.tif', deep.transpose(2, 0, 1).copy(), **planar)
    tifffile.imwrite('in/pages.tif', np.stack([deep, deep]), photometric='rgb')
    run = str(lab.run())
    options = ['--run', run, '--score-thr', '0.25']
    assert main(['in', '--out', 'out', *options]) == 0
    assert {row['cells'] for row in lab.table('out/counts.csv')} == {'3'}
    printed = capsys.readouterr().out
    said = '3 pictures of more than 8 bits: values up to 4095, read as 12 bits'
    assert f'note: {said}.' in printed
    assert f'{Path("in/pages.tif").resolve()} has 2 pages, of which only the first' in printed
    assert json.loads(Path('out/settings.json').read_bytes())['depth'] == [said]

    tifffile.imwrite('in/other.tif', deep * 16, photometric='rgb')
    assert main(['in', '--out', 'out', *options]) == 1
    assert 'deep.tif: is nearly black when read as 16 bits' in capsys.readouterr().err
    rows = lab.table('out/counts.csv')
    assert [(row['image'], row['cells']) for row in rows] == [
        ('other.tif', '3'),
        ('plain.png', '3'),
    ]
