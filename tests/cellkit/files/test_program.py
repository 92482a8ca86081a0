"""How programs end, what they say to a person, and the environment that they run in."""

import gc
import io
import os
import subprocess
import sys

import pytest

from cellkit.errors import BadFile, UserError
from cellkit.files.program import drop_absent_backend, quiet, run_program, words

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


def ends(error: BaseException | None, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """Exit status, and what is said on stderr, of a program whose work raises an error."""

    def work() -> None:
        if error is not None:
            raise error

    status = run_program('prog', work, 'stopped; nothing was written')
    return status, capsys.readouterr().err


def test_every_program_ends_the_same_way(capsys: pytest.CaptureFixture) -> None:
    assert ends(None, capsys) == (0, '')
    assert ends(UserError('a.png: is bad; mend it'), capsys) == (
        2,
        'prog: a.png: is bad; mend it.\n',
    )
    assert (
        ends(BadFile('a.png', 'is bad', 'mend it'), capsys)[1] == 'prog: a.png: is bad; mend it.\n'
    )
    several = UserError('2 are bad; mend them', ['a: is bad; mend it', 'b: is bad; mend it'])
    assert ends(several, capsys)[1].splitlines() == [
        'a: is bad; mend it.', 'b: is bad; mend it.', 'prog: 2 are bad; mend them.',
    ]  # fmt: skip
    full = OSError(28, 'No space left on device', '/full/x')
    status, said = ends(full, capsys)
    assert status == 2
    assert said.startswith("prog: /full/x: can't be written or read (No space left on device)")
    assert ends(KeyboardInterrupt(), capsys) == (130, 'prog: stopped; nothing was written.\n')
    assert ends(KeyboardInterrupt('half done'), capsys) == (130, 'prog: half done.\n')
    assert run_program('prog', lambda: 1) == 1


def test_a_fault_of_ours_is_no_sentence() -> None:
    """A traceback is what whoever mends it needs."""
    with pytest.raises(ZeroDivisionError):
        run_program('prog', lambda: 1 // 0)


def test_a_list_in_one_string() -> None:
    assert words('a.pth "b c.pth"') == ['a.pth', 'b c.pth']
    assert words(None) == words('') == []
    with pytest.raises(UserError, match='a quotation mark stands alone'):
        words('a "b')


def test_no_garbage_is_collected_during_imports() -> None:
    def fail() -> None:
        with quiet():
            assert not gc.isenabled()
            raise ImportError

    assert gc.isenabled()
    with pytest.raises(ImportError):
        fail()
    assert gc.isenabled()


def test_a_name_that_is_no_text_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
    monkeypatch.setattr(sys, 'stdout', stream)
    assert run_program('x', lambda: print('\udce4ä')) == 0
    stream.flush()
    assert stream.buffer.getvalue() == b'\\udce4\\xe4\n'


@pytest.mark.parametrize('lines', [1, 100_000])  # one that is only written at the end, and many
def test_a_reader_that_has_seen_enough_is_no_error(lines: int) -> None:
    script = (
        'import sys\n'
        'from cellkit.files.program import run_program\n'
        'sys.stdin.read()\n'
        f'sys.exit(run_program("p", lambda: print("line\\n" * {lines})))'
    )
    pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    with subprocess.Popen([sys.executable, '-c', script], text=True, **pipes) as process:
        process.stdout.close()
        process.stdin.close()  # now it prints
        assert process.stderr.read() == ''
    assert process.returncode == 141
