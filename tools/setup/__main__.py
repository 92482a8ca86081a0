"""Installs everything, with the exact versions of requirements/tested.txt, into .venv/.

    make setup                        # or, in the repository's root: python3 -m tools.setup
    python3 -m tools.setup --here     # into the running environment (a hosted notebook)

A second call returns at once. An interrupted one goes on where it stopped: the compiled files of
mmcv's operators stay in build/, and the finished wheel in the user's cache for other clones.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.setup.environment import BUILD, ROOT, Environment
from tools.setup.mmcv import install_mmcv
from tools.setup.process import SetupError, run

RANGES = ROOT / 'requirements.txt'
FOR_BUILD = ROOT / 'requirements' / 'build.txt'
TESTED = ROOT / 'requirements' / 'tested.txt'
OLDEST, NEWEST = (3, 10), (3, 13)
DISK_GB = 8.0  # torch with its CUDA parts takes most of it


def pinned(name: str) -> str:
    """The version that requirements/tested.txt pins a package to."""
    match = re.search(rf'^{re.escape(name)}==([^\s;]+)', TESTED.read_text(), re.MULTILINE)
    if match is None:
        raise SetupError(f'{TESTED} does not pin {name}: add a line {name}==<version>.')
    return match[1]


def check_python(version: tuple[int, int]) -> None:
    """Stops where the versions of requirements/tested.txt cannot be installed."""
    if not OLDEST <= version <= NEWEST:
        have, oldest, newest = ('.'.join(map(str, v)) for v in (version, OLDEST, NEWEST))
        raise SetupError(
            f'Python {have} does not fit, {oldest} to {newest} do: name another one, say '
            '`make setup PYTHON=python3.11`.'
        )


def has_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU, told without torch."""
    smi = shutil.which('nvidia-smi')
    return smi is not None and subprocess.run([smi, '-L'], capture_output=True).returncode == 0


def fingerprint(gpu: bool) -> str:
    """Changes whenever an installation would have to be made anew."""
    digest = hashlib.sha256(f'{ROOT} {sys.version} {gpu}'.encode())
    inputs = [RANGES, FOR_BUILD, TESTED, ROOT / 'pyproject.toml', ROOT / 'packaging/mmdet']
    for path in [*inputs, Path(__file__).parent]:
        for file in sorted(path.glob('*.*')) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def make_venv(venv: Path) -> Path:
    """The environment's Python; the environment is made (anew) where it is missing or broken."""
    python = venv / 'bin' / 'python'
    wanted = '{}.{}'.format(*sys.version_info[:2])
    if python.is_file():
        code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([python, '-c', code], capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip() == wanted:
            return python
    elif (free := shutil.disk_usage(ROOT).free / 1e9) < DISK_GB:
        raise SetupError(f'{ROOT} has {free:.1f} GB free and needs {DISK_GB:g}: make room.')
    label = f'Making {venv.name}/ with Python {wanted}'
    try:
        run([sys.executable, '-m', 'venv', '--clear', venv], label, BUILD / 'logs' / 'venv.log')
    except SetupError as error:
        raise SetupError(f'{error} On Debian, `apt install python3-venv` helps.') from None
    return python


def without_mmcv(requirements: Path) -> Path:
    """The same requirements less mmcv, which pip alone would build blind and in silence."""
    lines = [li for li in requirements.read_text().splitlines() if not li.startswith('onedl-mmcv')]
    out = BUILD / f'{requirements.stem}-without-mmcv.txt'
    out.write_text('\n'.join(lines) + '\n')
    return out


def install(env: Environment, keep_torch: bool) -> str:
    """Installs all packages and the project; returns the line of the closing check."""
    if keep_torch:
        kept = BUILD / 'kept.txt'
        kept.write_text(f'torch=={env.torch()["torch"]}\n')
        files = ('-c', kept, '-r', FOR_BUILD, '-r', without_mmcv(RANGES))
    else:
        files = ('-r', without_mmcv(TESTED))
    env.pip('Installing packages', 'install', *files)
    env.pip("Installing the project", "install", "--no-deps", "--no-build-isolation",
            "-e", ROOT, ROOT / "packaging" / "mmdet")  # fmt: skip
    return install_mmcv(env, pinned('onedl-mmcv'))


def set_up(venv: Path | None) -> str | None:
    """Fills a virtual environment, or the running Python if none is named.

    Returns:
        The line of the closing check, None if everything is there already.
    """
    check_python(sys.version_info[:2])
    BUILD.mkdir(exist_ok=True)
    if venv is None:
        return install(Environment(Path(sys.executable), BUILD / 'mmcv-built-for'), True)
    gpu = has_gpu()
    stamp, wanted = venv / 'setup-stamp', fingerprint(gpu)
    with (BUILD / 'setup.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second set-up waits for the first
        if stamp.is_file() and stamp.read_text() == wanted:
            return None
        env = Environment(make_venv(venv), venv / 'mmcv-built-for')
        line = install(env, False)
        if gpu and not env.torch()['gpu']:
            line += "; nvidia-smi lists one: its driver is too old for torch's CUDA, update it"
        stamp.write_text(wanted)
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
        return 1
    except KeyboardInterrupt:
        print('\nStopped; the next `make setup` goes on from here.', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
