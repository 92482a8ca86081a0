"""The command `python -m data_prep.demo`."""

import os
import subprocess
import sys
from pathlib import Path

from data_prep.demo.__main__ import main

SMALL = ['--train', '1', '--test', '1', '--workers', '1']


def test_it_writes_a_set_and_says_so(tmp_path, capsys):
    assert main(['--out', str(tmp_path / 'smears'), *SMALL]) == 0
    assert capsys.readouterr().out.endswith('smears: 1 training and 1 test smears, synthetic\n')
    assert len(list((tmp_path / 'smears').rglob('*.png'))) == 4


def test_a_folder_with_other_things_is_refused(tmp_path, capsys):
    (tmp_path / 'thesis.txt').write_text('years of work')
    assert main(['--out', str(tmp_path), *SMALL]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count('\n') == 1
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


def test_the_package_is_imported_without_the_drawing_libraries():
    code = 'import sys, data_prep.demo.__main__; sys.exit("cv2" in sys.modules)'
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, '-c', code], cwd=root, env=dict(os.environ), check=True)
