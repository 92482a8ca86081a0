"""Speed of stain normalisation against torchstain, tiatoolbox and staintools.

One image of 1600x1200 is normalised to one reference by every library in turn, in one process on
all cores, several rounds; the fastest run of each counts. A run holds what a user pays for an
image: the image's statistics and its mapping (ours: the guard too). Reading files, fitting the
reference and turning an image into a tensor are left out. The libraries are installed without
their dependencies into ``build/bench_stain``, apart from the project's environment; of tiatoolbox
only the modules of stain normalisation are loaded, the rest wants a hundred packages.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from benchmarks.harness import ROOT, SAMPLE, Way, in_turn, machine, markdown_table
from cellkit.errors import UserError
from cellkit.files.pictures import read_picture
from cellkit.files.prepared import data_root, is_demo
from cellkit.smears.smear import draw_smear
from cellkit.stain import METHODS, StainNormalizer

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

Call = Callable[[], object]
Contender = tuple[str, str]  # method and library


def install_peers() -> None:
    """Install the libraries into :data:`PEERS`, unless they are there."""
    stamp = PEERS / 'installed.txt'
    wanted = '\n'.join(PACKAGES)
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f'installing {", ".join(PACKAGES)} into {PEERS.relative_to(ROOT)}', file=sys.stderr)
        pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
        done = subprocess.run([*pip, '--upgrade', '--target', str(PEERS), *PACKAGES])
        if done.returncode:
            raise UserError(f'{PEERS}: pip could not install the libraries, see above; try again')
        stamp.write_text(wanted)
    if str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))  # behind the project's own packages


def ours(method: str, image: np.ndarray, reference: np.ndarray) -> Call:
    """This project, as a configuration runs it: limits and guard on."""
    normalizer = StainNormalizer(method)
    normalizer.fit(reference)
    result = normalizer.transform(image)
    if not result.applied:
        raise UserError(f'the image stays unchanged ({result.reason}): give another --image')
    return lambda: normalizer.transform(image)


def torchstain(backend: str, method: str, image: np.ndarray, reference: np.ndarray) -> Call:
    """Torchstain with its torch or numpy backend."""
    from torchstain import normalizers

    if method == 'vahadane':
        raise NotImplementedError('not in torchstain')
    normalizer = getattr(normalizers, f'{method.title()}Normalizer')(backend=backend)
    options = {'stains': False} if method == 'macenko' else {}
    if backend == 'torch':
        channels_first = (picture.transpose(2, 0, 1).copy() for picture in (image, reference))
        image, reference = map(torch.from_numpy, channels_first)
    normalizer.fit(reference)
    return lambda: normalizer.normalize(I=image, **options)


def staintools(method: str, image: np.ndarray, reference: np.ndarray) -> Call:
    """Staintools with SPAMS."""
    import staintools

    reinhard, others = staintools.ReinhardColorNormalizer, staintools.StainNormalizer
    normalizer = reinhard() if method == 'reinhard' else others(method=method)
    normalizer.fit(reference.copy())
    copy = image.copy()  # it writes into its input
    return lambda: normalizer.transform(copy)


def tiatoolbox(method: str, image: np.ndarray, reference: np.ndarray) -> Call:
    """Tiatoolbox's stain normalisation without the packages that the rest of it imports."""
    if 'tiatoolbox' not in sys.modules:
        _load_part_of_tiatoolbox()
    normalizer = importlib.import_module('tiatoolbox.tools.stainnorm').get_normalizer(method)
    normalizer.fit(reference.copy())
    copy = image.copy()
    return lambda: normalizer.transform(copy)


def _load_part_of_tiatoolbox() -> None:
    """Put empty packages in place of tiatoolbox's, whose `__init__` import all of it.

    `tiatoolbox.utils.misc` becomes a module with the two functions that stain normalisation uses,
    compiled from the library's own source.
    """
    from skimage import exposure

    spec = importlib.util.find_spec('tiatoolbox')
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


LIBRARIES: dict[str, Callable[[str, np.ndarray, np.ndarray], Call]] = {
    OURS: ours,
    'torchstain (torch)': partial(torchstain, 'torch'),
    'torchstain (numpy)': partial(torchstain, 'numpy'),
    'tiatoolbox': tiatoolbox,
    'staintools': staintools,
}


def fit_all(image: np.ndarray, reference: np.ndarray) -> dict[Contender, Call | str]:
    """Fit every library and run it once; what can't run is there with the reason."""
    found: dict[Contender, Call | str] = {}
    for method in METHODS:
        for library, fit in LIBRARIES.items():
            try:
                call = fit(method, image, reference)
                call()
            except Exception as error:  # a library may fail in any way
                if library == OURS:
                    raise
                call = f'not measured: {type(error).__name__}: {error}'
            found[method, library] = call
    return found


def table(contenders: dict[Contender, Call | str], seconds: dict[Contender, list[float]]) -> str:
    """The Markdown table and a line for each target."""
    best = {contender: min(spent) for contender, spent in seconds.items()}
    rows, verdicts = [], []
    for (method, library), call in contenders.items():
        cells = [call, '', '']
        if not isinstance(call, str):
            fastest, middle = best[method, library], median(seconds[method, library])
            ratio = fastest / best[method, OURS]
            cells = [f'{1e3 * fastest:.1f}', f'{1e3 * middle:.1f}', f'{ratio:.1f}x']
        rows.append([method, library, *cells])
    for method, target in TARGETS.items():
        others = [key for key in best if key[0] == method and key[1] != OURS]
        if others:
            fastest = min(others, key=best.get)
            ratio = best[fastest] / best[method, OURS]
            verdicts.append(
                f'- {method}: {ratio:.1f} times as fast as {fastest[1]}, the fastest library '
                f'(target {target:.0f}: {"reached" if ratio >= target else "missed"})'
            )
    header = ['method', 'library', 'fastest, ms', 'median, ms', 'by ours']
    return '\n'.join([markdown_table(header, rows, text=2), '', *verdicts])


def two_smears(image: Path | None, reference: Path | None) -> tuple[list[np.ndarray], str]:
    """Image and reference, RGB of 1600x1200, and where they come from."""
    folders = [SAMPLE / 'train' / 'original']
    if is_demo(data_root()) is False:
        folders.insert(0, data_root() / 'images' / 'train' / 'original')
    files = next((found for f in folders if len(found := sorted(f.glob('*.png'))) > 40), None)
    if image and reference:
        chosen, source = [image, reference], 'The images given'
    elif files:
        chosen, source = [files[30], files[0]], 'Two real smears'
    else:
        chosen, source = [], 'Two generated smears'
    rng = np.random.default_rng(0)
    pictures = [read_picture(Path(file)).pixels[..., ::-1] for file in chosen]
    pictures = pictures or [draw_smear(rng, (1200, 1600))[0] for _ in range(2)]
    return [cv2.resize(np.ascontiguousarray(p), (1600, 1200)) for p in pictures], source


def run(
    image: Path | None = None,
    reference: Path | None = None,
    rounds: int = 8,
    patience: float = 12.0,
    threads: int = os.cpu_count() or 1,
) -> str:
    """Time every method of every library.

    Args:
        image: Picture to normalise; with ``reference``, else two real or generated smears.
        reference: Picture to normalise to.
        rounds: Of all libraries in turn.
        patience: Seconds after which a slow library sits out the other rounds.
        threads: Of OpenCV and torch.
    """
    install_peers()
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    warnings.simplefilter('ignore')
    pictures, source = two_smears(image, reference)
    contenders = fit_all(*pictures)
    ways = {key: Way(call) for key, call in contenders.items() if not isinstance(call, str)}
    png = cv2.imencode('.png', pictures[0])[1]
    ways['PNG', 'OpenCV'] = Way(lambda: cv2.imdecode(png, cv2.IMREAD_COLOR))
    seconds = in_turn(ways, rounds, in_a_row=IN_A_ROW, patience=patience, label='rounds').seconds
    load = f'{os.getloadavg()[0]:.1f}' if hasattr(os, 'getloadavg') else 'unknown'
    note = (
        f'{source} of 1600x1200, {threads} threads, {rounds} rounds of {IN_A_ROW} runs; '
        f'{machine("cv2", "numpy")}; load of the machine {load}. '
        f'Decoding the image from PNG: {1e3 * min(seconds["PNG", "OpenCV"]):.1f} ms.'
    )
    return f'{table(contenders, seconds)}\n\n{note}'
