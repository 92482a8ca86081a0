"""How programs run: an environment that keeps Matplotlib from being imported is mended."""

import os
import subprocess
import sys

import pytest

from cellkit.files.program import drop_absent_backend

ABSENT = 'module://no_such_module.backend'
DRAW = """
from cellkit.files.program import run_program

def draw():
    import matplotlib.pyplot
    matplotlib.pyplot.figure()

raise SystemExit(run_program('draw', draw))
"""


@pytest.mark.parametrize(
    ('named', 'left'), [(ABSENT, 'agg'), ('module://json.tool', 'module://json.tool'), ('svg',) * 2]
)
def test_a_backend_that_is_not_installed_is_dropped(named: str, left: str, monkeypatch) -> None:
    monkeypatch.setenv('MPLBACKEND', named)
    drop_absent_backend()
    assert os.environ['MPLBACKEND'] == left


def test_a_program_that_a_notebook_starts_can_draw() -> None:
    done = subprocess.run(
        [sys.executable, '-c', DRAW],
        env=os.environ | {'MPLBACKEND': ABSENT},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
