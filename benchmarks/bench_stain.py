"""Speed of stain normalisation against torchstain, tiatoolbox and staintools.

    make bench-stain
    python benchmarks/bench_stain.py --write docs/stain.md

One image of 1600x1200 is normalised to one reference by every library in turn, in one process on
all cores, several rounds; the fastest round of each counts. A run holds what a user pays for an
image: the image's statistics and its mapping (ours: the guard too). Reading files, fitting the
reference and turning an image into a tensor are left out. The libraries are installed without
their dependencies into `build/bench_stain`, apart from the project's environment; of tiatoolbox
only the modules of stain normalisation are loaded, the rest wants a hundred packages.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import os
import platform
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from cellkit.stain import METHODS, StainNormalizer

ROOT = Path(__file__).parents[1]
PEERS = ROOT / 'build' / 'bench_stain'
IN_A_ROW = 3
PACKAGES = (
    'torchstain==1.4.1',
    'tiatoolbox==2.1.3',
    'staintools==2.1.2',
    'spams-bin==2.6.14',
    'scikit-learn==1.7.2',
    'joblib==1.5.2',
    'threadpoolctl==3.6.0',
)
TARGETS = {'reinhard': 3.0, 'macenko': 5.0, 'vahadane': 10.0}
OURS = 'this project'
MARKS = 'stain-speed'

Run = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """A method of a library, ready to run.

    Attributes:
        method: ``"reinhard"``, ``"macenko"`` or ``"vahadane"``.
        library: Its name.
        run: Normalises the image once; None if the library can't.
        problem: Why it can't.
    """

    method: str
    library: str
    run: Run | None
    problem: str = ''


def install_peers() -> None:
    """Install the libraries into :data:`PEERS`, unless they are there."""
    stamp = PEERS / 'installed.txt'
    wanted = '\n'.join(PACKAGES)
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f'installing {", ".join(PACKAGES)} into {PEERS.relative_to(ROOT)}', file=sys.stderr)
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
             "--upgrade", "--target", str(PEERS), *PACKAGES],
            check=True,
        )  # fmt: skip
        stamp.write_text(wanted)
    sys.path.append(str(PEERS))  # behind the project's own packages


def ours(method: str, image: np.ndarray, reference: np.ndarray) -> Run:
    """This project, as a configuration runs it: limits and guard on."""
    normalizer = StainNormalizer(method)
    normalizer.fit(reference)
    result = normalizer.transform(image)
    if not result.applied:
        raise RuntimeError(f'this project leaves the image unchanged: {result.reason}')
    return lambda: normalizer.transform(image)


def torchstain_of(backend: str) -> Callable[[str, np.ndarray, np.ndarray], Run]:
    """Torchstain with its torch or numpy backend."""

    def make(method: str, image: np.ndarray, reference: np.ndarray) -> Run:
        import torch
        from torchstain import normalizers

        makers = {
            'reinhard': normalizers.ReinhardNormalizer,
            'macenko': normalizers.MacenkoNormalizer,
        }
        if method not in makers:
            raise NotImplementedError('not in torchstain')
        normalizer = makers[method](backend=backend)
        options = {'stains': False} if method == 'macenko' else {}
        if backend == 'torch':  # channels first
            image, reference = (
                torch.from_numpy(i.transpose(2, 0, 1).copy()) for i in (image, reference)
            )
        normalizer.fit(reference)
        return lambda: normalizer.normalize(I=image, **options)

    return make


def staintools(method: str, image: np.ndarray, reference: np.ndarray) -> Run:
    """Staintools with SPAMS."""
    import staintools

    if method == 'reinhard':
        normalizer = staintools.ReinhardColorNormalizer()
    else:
        normalizer = staintools.StainNormalizer(method=method)
    normalizer.fit(reference.copy())
    copy = image.copy()  # it writes into its input
    return lambda: normalizer.transform(copy)


def tiatoolbox(method: str, image: np.ndarray, reference: np.ndarray) -> Run:
    """Tiatoolbox's stain normalisation without the packages that the rest of it imports."""
    if 'tiatoolbox' not in sys.modules:
        _load_part_of_tiatoolbox()
    stainnorm = importlib.import_module('tiatoolbox.tools.stainnorm')
    normalizer = stainnorm.get_normalizer(method)
    normalizer.fit(reference.copy())
    copy = image.copy()
    return lambda: normalizer.transform(copy)


LIBRARIES: dict[str, Callable[[str, np.ndarray, np.ndarray], Run]] = {
    OURS: ours,
    'torchstain (torch)': torchstain_of('torch'),
    'torchstain (numpy)': torchstain_of('numpy'),
    'tiatoolbox': tiatoolbox,
    'staintools': staintools,
}


def _load_part_of_tiatoolbox() -> None:
    """Put empty packages in place of tiatoolbox's, whose `__init__` import all of it.

    `tiatoolbox.utils.misc` becomes a module with the two functions that stain normalisation uses,
    compiled from the library's own source.
    """
    import logging

    from skimage import exposure

    spec = importlib.util.find_spec('tiatoolbox')
    if spec is None or spec.origin is None:
        raise ImportError('tiatoolbox is not installed')
    folder = Path(spec.origin).parent
    for name in ('tiatoolbox', 'tiatoolbox.tools', 'tiatoolbox.utils'):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split('.')[1:]))]
        sys.modules[name] = package
    sys.modules['tiatoolbox'].logger = logging.getLogger('tiatoolbox')
    sys.modules['tiatoolbox'].logger.setLevel(logging.ERROR)
    misc = types.ModuleType('tiatoolbox.utils.misc')
    vars(misc).update(np=np, cv2=cv2, exposure=exposure)
    for unused in ('load_stain_matrix', 'parse_cv2_interpolaton', 'select_cv2_interpolation'):
        setattr(misc, unused, None)
    source = ast.parse((folder / 'utils' / 'misc.py').read_text(encoding='utf-8'))
    used = ('get_luminosity_tissue_mask', 'contrast_enhancer')
    source.body = [n for n in source.body if isinstance(n, ast.FunctionDef) and n.name in used]
    exec(compile(source, 'tiatoolbox/utils/misc.py', 'exec'), vars(misc))
    sys.modules['tiatoolbox.utils.misc'] = misc


def prepare(image: np.ndarray, reference: np.ndarray) -> list[Contender]:
    """Fit every library and run it once."""
    found = []
    for method in METHODS:
        for library, make in LIBRARIES.items():
            try:
                run = make(method, image, reference)
                run()
            except Exception as error:
                if library == OURS:
                    raise
                found.append(Contender(method, library, None, f'{type(error).__name__}: {error}'))
            else:
                found.append(Contender(method, library, run))
    return found


def measure(runs: dict[object, Run], rounds: int, patience: float) -> dict[object, list[float]]:
    """Seconds of every run, in turn, some in a row as in a data loader (the first one of a turn
    pays for waking a core); one that takes long sits out once its patience is used up."""
    times: dict[object, list[float]] = {key: [] for key in runs}
    for _ in tqdm(range(rounds), 'rounds', disable=None):
        for key, run in runs.items():
            if len(times[key]) >= 3 and sum(times[key]) > patience:
                continue
            for _ in range(IN_A_ROW):
                start = time.perf_counter()
                run()
                times[key].append(time.perf_counter() - start)
    return times


def as_table(contenders: Sequence[Contender], times: dict[object, list[float]], note: str) -> str:
    """The Markdown table and a line for each target."""
    lines = ['| method | library | fastest, ms | median, ms | by ours |', '|---|---|---|---|---|']
    verdicts = []
    for method in METHODS:
        of_method = [c for c in contenders if c.method == method]
        best = {c.library: min(times[c]) for c in of_method if c.run}
        for contender in of_method:
            if contender.run is None:
                text = f'| {method} | {contender.library} | not measured: {contender.problem} | | |'
                lines.append(text.replace('\n', ' '))
                continue
            spent = times[contender]
            lines.append(
                f'| {method} | {contender.library} | {1e3 * min(spent):.1f} '
                f'| {1e3 * float(np.median(spent)):.1f} | {min(spent) / best[OURS]:.1f}x |'
            )
        others = {library: seconds for library, seconds in best.items() if library != OURS}
        if others:
            fastest = min(others, key=others.get)
            ratio = others[fastest] / best[OURS]
            kept = 'reached' if ratio >= TARGETS[method] else 'missed'
            verdicts.append(
                f'- {method}: {ratio:.1f} times as fast as {fastest}, the fastest library '
                f'(target {TARGETS[method]:.0f}: {kept})'
            )
    return '\n'.join([*lines, '', *verdicts, '', note])


def test_images(image: Path | None, reference: Path | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Two RGB images of 1600x1200 and where they come from."""
    if image is not None and reference is not None:
        pictures = [cv2.imread(str(p), cv2.IMREAD_COLOR) for p in (image, reference)]
        if any(p is None for p in pictures):
            raise SystemExit(f"bench_stain: {image} or {reference} can't be read as an image.")
        source = 'the images given'
    else:
        root = Path(os.environ.get('DATA_ROOT', 'data/bccd'))
        sample = [
            root / 'images' / 'train' / 'original',
            ROOT.parent / 'shared' / 'data' / 'BCCD Dataset with mask' / 'train' / 'original',
        ]
        found = [sorted(folder.glob('*.png')) for folder in sample if folder.is_dir()]
        files = next((f for f in found if len(f) > 40), None)
        if files is not None:
            pictures = [cv2.imread(str(files[k]), cv2.IMREAD_COLOR) for k in (30, 0)]
            source = 'two real smears'
        else:
            from data_prep.demo_scene import demo_smear

            rng = np.random.default_rng(0)
            pictures = [demo_smear(rng, (1200, 1600))[0][..., ::-1] for _ in range(2)]
            source = 'two generated smears'
    image_rgb, reference_rgb = (
        np.ascontiguousarray(cv2.resize(p, (1600, 1200))[..., ::-1]) for p in pictures
    )
    return image_rgb, reference_rgb, source


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--image', type=Path)
    parser.add_argument('--reference', type=Path)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--patience', type=float, default=12.0, help='seconds for a slow library')
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--write', type=Path, help='Markdown page to put the table into')
    args = parser.parse_args(argv)
    install_peers()
    cv2.setNumThreads(args.threads)
    try:
        import torch

        torch.set_num_threads(args.threads)
    except ImportError:
        pass
    warnings.simplefilter('ignore')

    image, reference, source = test_images(args.image, args.reference)
    contenders = prepare(image, reference)
    png = cv2.imencode('.png', image)[1]
    runs: dict[object, Run] = {c: c.run for c in contenders if c.run}
    runs['decode'] = lambda: cv2.imdecode(png, cv2.IMREAD_COLOR)
    times = measure(runs, args.rounds, args.patience)
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else float('nan')
    note = (
        f'{source.capitalize()} of 1600x1200, {args.threads} threads, {args.rounds} rounds of '
        f'{IN_A_ROW} runs; '
        f'Python {platform.python_version()}, OpenCV {cv2.__version__}, numpy {np.__version__}; '
        f'load of the machine {load:.1f}. Decoding the image from PNG: '
        f'{1e3 * min(times["decode"]):.1f} ms.'
    )
    table = as_table(contenders, times, note)
    print(table)
    if args.write:
        from tools.marked_page import write_between_marks

        write_between_marks(args.write, table, MARKS)
    return 0


if __name__ == '__main__':
    sys.exit(main())
