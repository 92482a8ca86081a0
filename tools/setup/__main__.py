"""Installs everything, with the exact versions of requirements/tested.txt, into .venv/.

    make setup                        # or, in the repository's root: python3 -m tools.setup
    python3 -m tools.setup --here     # into the running environment, whose torch stays

A second call returns at once; an interrupted one starts again, with what pip has in its cache.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.setup.environment import BUILD, ROOT, Environment, closing_line, has_gpu
from tools.setup.process import SetupError, run

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

RANGES = ROOT / 'requirements.txt'
TESTED = ROOT / 'requirements' / 'tested.txt'
PACKAGING = ROOT / 'packaging'
PROJECT = ('-e', ROOT, *(PACKAGING / name for name in ('mmdet', 'mmpretrain', 'mmcv-ops')))
OLDEST, NEWEST = (3, 10), (3, 13)
DISK_GB = 8.0  # torch with its CUDA parts takes most of it
MARK = 'setup-stamp'  # in an environment of ours: what it was made from


def check_python(version: tuple[int, int]) -> None:
    """Stops where the versions of requirements/tested.txt cannot be installed."""
    if not OLDEST <= version <= NEWEST:
        have, oldest, newest = ('.'.join(map(str, v)) for v in (version, OLDEST, NEWEST))
        raise SetupError(
            f'Python {have} does not fit, {oldest} to {newest} do: name another one, say '
            '`make setup PYTHON=python3.11`.'
        )


def place() -> str:
    """Where and with which Python an environment is made; another one of ours is made anew."""
    return f'{ROOT}\nPython {platform.python_version()}\n'


def made_from() -> str:
    """Everything that an environment is made from, as text."""
    files = [
        RANGES,
        TESTED,
        ROOT / 'pyproject.toml',
        *sorted(ROOT.glob('packaging/**/*.[pt][yo]*')),
    ]
    parts = [f'\n{file.relative_to(ROOT)}\n{file.read_text("utf-8")}' for file in files]
    return place() + ''.join(parts)


def python_of(venv: Path, windows: bool = os.name == 'nt') -> Path:
    """The interpreter of a virtual environment."""
    return venv / 'Scripts' / 'python.exe' if windows else venv / 'bin' / 'python'


def make_venv(venv: Path) -> None:
    """Makes the environment where it is missing; makes one of ours anew that does not work.

    Raises:
        SetupError: The folder is not ours, the disk is full, or Python cannot make one.
    """
    mark, python = venv / MARK, python_of(venv)
    if mark.is_file():
        fits = mark.read_text('utf-8').startswith(place()) and python.is_file()
        pip = [python, '-Im', 'pip', '-V']
        if fits and subprocess.run(pip, capture_output=True).returncode == 0:
            mark.write_text(place(), 'utf-8')
            return
        if venv.is_symlink():
            raise SetupError(f'{venv} is a link to {venv.resolve()}, which belongs to another '
                             'folder and stays: remove the link.')  # fmt: skip
        for path in venv.iterdir():  # the mark goes last: without it the folder is not ours
            if path != mark:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif venv.is_file() or (venv.is_dir() and any(venv.iterdir())):
        raise SetupError(f'{venv} was not made by `make setup` and stays: move it away, or name '
                         'another folder with `python3 -m tools.setup --venv PATH`.')  # fmt: skip
    venv.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(venv).free / 1e9) < DISK_GB:
        raise SetupError(f'{venv} has {free:.1f} GB free and needs {DISK_GB:g}: make room.')
    mark.write_text(place(), 'utf-8')
    # Not the interpreter of an activated .venv/, which may just have been removed.
    command = [getattr(sys, '_base_executable', sys.executable), '-m', 'venv', venv]
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    try:
        run(command, f'Making {venv.name}/', BUILD / 'logs' / 'venv.log', env)
    except SetupError as error:
        raise SetupError(f'{error} On Debian, `apt install python3-venv` helps.') from None


def kept_torch() -> Path:
    """A constraint file with the torch and torchvision of the running Python, empty without."""
    kept = BUILD / 'kept.txt'
    lines = []
    for name in ('torch', 'torchvision'):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            lines.append(f'{name}=={importlib.metadata.version(name)}\n')
    kept.write_text(''.join(lines), 'utf-8')
    return kept


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Lets a second set-up wait for the first."""
    with (BUILD / 'setup.lock').open('w') as lock:
        if fcntl:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                print('Another set-up is at work here; waiting for it …', flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(venv: Path | None) -> str | None:
    """Fills a virtual environment, or the running Python if none is named.

    Returns:
        The line of the closing check, None if everything is there already.
    """
    check_python(sys.version_info[:2])
    BUILD.mkdir(exist_ok=True)
    with alone():
        if venv is None:
            env = Environment(Path(sys.executable), own=False)
            env.pip_install('Installing', '-r', RANGES, *PROJECT, constraint=kept_torch())
            return closing_line(env.check(), has_gpu())
        mark, wanted = venv / MARK, made_from()
        if mark.is_file() and mark.read_text('utf-8') == wanted:
            return None
        make_venv(venv)
        env = Environment(python_of(venv), own=True)
        env.pip_install('Installing packages', '-r', TESTED, constraint=TESTED)
        env.pip_install('Installing the project', '--no-deps', '--no-build-isolation', *PROJECT)
        line = closing_line(env.check(), has_gpu())
        mark.write_text(wanted, 'utf-8')
        return line


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='tools.setup', description='Install everything.')
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='default: .venv/')
    parser.add_argument(
        '--here', action='store_true', help='fill the running Python instead and keep its torch'
    )
    args = parser.parse_args(argv)
    try:
        if line := set_up(None if args.here else args.venv.absolute()):
            print(line)
    except (SetupError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nStopped; `make setup` starts again.', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
