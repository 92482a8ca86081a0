"""Puts mmcv with working operators in place, in the quickest way there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.setup.environment import BUILD, Environment
from tools.setup.process import SetupError, last_line, run

WHEEL_INDEX = 'https://mmwheels.onedl.ai'  # the forks' own wheels, for some pairs of versions
OPERATORS = 'mmcv/ops/csrc/pytorch'
REINSTALL = ('install', '--no-deps', '--force-reinstall')


def jobs(gpu: bool) -> int:
    """Compilers to run at once: as many as cores, at about 1.5 GB (CUDA: 3 GB) of memory each."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return max(1, min(cores, int(memory // (3.0 if gpu else 1.5))))


def build_key(version: str, torch: Mapping) -> str:
    """What a wheel was built for: its own name tells neither the torch nor the GPU."""
    device = f'sm{torch["arch"]}' if torch['gpu'] else 'cpu'
    return f'onedl-mmcv-{version}-torch{torch["torch"]}-{torch["python"]}-{device}'


def wheel_cache() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'blood-cell-segmentation'


def index_page(torch: Mapping) -> str:
    """Where the forks would keep a wheel for this torch (the rule is onedl-mim's)."""
    device = f'cu{torch["cuda"].replace(".", "")}' if torch['cuda'] else 'cpu'
    major, minor = torch['torch'].split('.')[:2]
    return f'{WHEEL_INDEX}/{device}-torch{major}{minor}0/simple/onedl-mmcv/index.html'


def reachable(url: str, seconds: float = 5.0) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=seconds):
            return True
    except OSError:
        return False


def own_toolkit(cuda: str) -> Path | None:
    """The machine's CUDA toolkit of the same major version as torch's CUDA."""
    nvcc = shutil.which('nvcc')
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"),
             nvcc and Path(nvcc).resolve().parents[1], "/usr/local/cuda"]  # fmt: skip
    for home in map(Path, filter(None, homes)):
        parts = (home / 'bin' / 'nvcc', home / 'include' / 'cuda_runtime.h')
        if all(part.is_file() for part in parts):  # nvcc may be a mere link to its toolkit
            told = subprocess.run([parts[0], '--version'], capture_output=True, text=True).stdout
            release = re.search(r'release (\d+)\.', told)
            if release and release[1] == cuda.split('.')[0]:
                return home
    return None


def as_toolkit(wheels: Path, home: Path) -> Path:
    """Gives the folder of NVIDIA's Python wheels the layout of a toolkit, as the linker needs it.

    Args:
        wheels: The folder with ``bin``, ``include``, ``lib`` and ``nvvm``.
        home: Folder to make, of symbolic links.
    """
    shutil.rmtree(home, ignore_errors=True)
    (home / 'lib64').mkdir(parents=True)
    for name in ('bin', 'include', 'nvvm'):
        (home / name).symlink_to(wheels / name)
    for library in sorted((wheels / 'lib').iterdir()):
        (home / 'lib64' / library.name).symlink_to(library)
        plain = home / 'lib64' / re.sub(r'\.so\..*', '.so', library.name)
        if not plain.is_symlink():
            plain.symlink_to(library)
    return home


def cuda_home(env: Environment, cuda: str) -> Path:
    """A CUDA toolkit that fits torch: the machine's own, else the compiler from PyPI."""
    if home := own_toolkit(cuda):
        return home
    major = cuda.split('.')[0]
    if int(major) < 13:  # the wheels of earlier versions lack parts of the compiler
        raise SetupError(
            f"mmcv's GPU operators need nvcc of CUDA {cuda}, which was not found: install that "
            'CUDA toolkit or set CUDA_HOME to it, and run `make setup` again.'
        )
    parts = ('nvidia-cuda-nvcc', 'nvidia-cuda-crt', 'nvidia-nvvm', 'nvidia-cuda-cccl')
    env.pip('Installing the CUDA compiler', 'install', *(f'{part}=={cuda}.*' for part in parts))
    folder = last_line(env.ask('import nvidia; print(list(nvidia.__path__)[0])').stdout)
    return as_toolkit(Path(folder) / f'cu{major}', BUILD / 'cuda')


def fetch_source(env: Environment, version: str, folder: Path) -> Path:
    """mmcv's unpacked source; it is there complete or not at all."""
    source = folder / f'onedl_mmcv-{version}'
    if not source.is_dir():
        env.pip("Fetching mmcv's source", "download", "--no-deps", "--no-build-isolation",
                "--no-binary", "onedl-mmcv", "-d", folder, f"onedl-mmcv=={version}")  # fmt: skip
        part = folder / 'part'
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(next(folder.glob('onedl_mmcv-*.tar.gz'))) as archive:
            archive.extractall(part)
        os.replace(part / source.name, source)
    return source


def compiled(source: Path, gpu: bool) -> Callable[[], str]:
    """Progress of the compiler: object files of all that there will be."""
    patterns = ['*.cpp', 'cpu/*.cpp', *(['cuda/*.cu', 'cuda/*.cpp'] if gpu else [])]
    total = sum(len(list((source / OPERATORS).glob(pattern))) for pattern in patterns)
    return lambda: f'({len(list(source.glob("build/temp*/**/*.o")))} of {total} files)'


def build_wheel(env: Environment, version: str, torch: Mapping) -> Path:
    """Compiles mmcv in a folder that stays, so that an interruption costs no finished file."""
    if not any(map(shutil.which, (os.environ.get('CXX', 'c++'), 'g++', 'clang++'))):
        raise SetupError('mmcv needs a C++ compiler: install one, say `apt install g++`.')
    if not (Path(torch['include']) / 'Python.h').is_file():
        raise SetupError(
            f"mmcv needs Python's headers and {torch['include']}/Python.h is not there: install "
            'them, say `apt install python3-dev`.'
        )
    folder = BUILD / build_key(version, torch)
    folder.mkdir(parents=True, exist_ok=True)
    source = fetch_source(env, version, folder)
    workers = jobs(torch['gpu'])
    settings = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': str(workers)}
    if torch['gpu']:
        settings |= {'CUDA_HOME': str(cuda_home(env, torch['cuda'])), 'FORCE_CUDA': '1'}
    wheels = folder / 'wheels'
    shutil.rmtree(wheels, ignore_errors=True)
    command = [env.python, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation",
               "--no-cache-dir", "-w", wheels, source]  # fmt: skip
    print("mmcv's operators are compiled once; that takes 8 to 14 minutes on two cores")
    label = f'Compiling mmcv, {workers} files at a time'
    run(command, label, env.logs / 'compiling-mmcv.log', compiled(source, torch['gpu']), settings)
    return next(wheels.glob('onedl_mmcv-*.whl'))


def install_mmcv(env: Environment, version: str) -> str:
    """Tries what is there, a wheel compiled earlier and a ready one before it compiles.

    Returns:
        One line that says on which devices mmcv's operators run.
    """
    torch = env.torch()
    key = build_key(version, torch)
    cache = wheel_cache() / key

    def check() -> str | None:
        works, line = env.works()
        if works:
            env.mark.write_text(key)
        return line if works else None

    if env.mark.is_file() and env.mark.read_text() == key and (line := check()):
        return line
    if earlier := sorted(cache.glob('onedl_mmcv-*.whl')):
        env.pip('Installing mmcv, compiled earlier', *REINSTALL, earlier[0])
        if line := check():
            return line
    if reachable(page := index_page(torch)):
        try:
            env.pip("Trying a ready mmcv wheel", *REINSTALL, "--no-index", "--only-binary=:all:",
                    "--find-links", page, f"onedl-mmcv=={version}")  # fmt: skip
            if line := check():
                return line
        except SetupError:
            pass
        print('No ready wheel of mmcv fits this torch and this machine', flush=True)
    wheel = build_wheel(env, version, torch)
    env.pip('Installing mmcv', *REINSTALL, wheel)
    line = check()
    if line is None:
        raise SetupError(f'mmcv was compiled but its check fails ({env.works()[1]}).')
    cache.mkdir(parents=True, exist_ok=True)
    part = cache / f'part-{os.getpid()}'
    shutil.copyfile(wheel, part)
    os.replace(part, cache / wheel.name)
    return line
