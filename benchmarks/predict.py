"""What prediction costs an image: tools.predict, its network alone, and MMDetection's inferencer.

All see the same pictures with the same weights, in turn, in one process. The inferencer is run as a
user would who wants masks: with bitmaps (``encode=False``), an image at a time.

Turns don't make up for other work on the machine here: threads that wait for each other, as the
inferencer's do, lose several times more by it than pictures with a core each. So the share of the
cores that went to other work is told; with more than a few per cent the ratios mean nothing.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median

import torch
from mmdet.apis import DetInferencer
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config

from benchmarks.harness import ROOT, SAMPLE, Way, in_turn, machine, markdown_table
from cellkit.errors import UserError
from cellkit.files.pictures import read_picture
from cellkit.files.prepared import data_root
from tools.predict.detector import Detector
from tools.predict.outcome import outcome_of
from tools.predict.results import Results
from tools.predict.slides import Slide, find_slides
from tools.predict.workers import pools
from tools.runs.run import Checkpoint, Run

OURS, NETWORK = 'tools.predict, all it writes', '– of it the network'
STOCK = 'DetInferencer, masks in its dict, nothing written'
SAMPLES = 'DetInferencer, data samples with bitmaps, nothing written'
DRAWN = 'DetInferencer, JSON and pictures written'
FEW = 2  # images of the way that draws: it takes seconds for each


def with_precision(checkpoint: Checkpoint, precision: str, **head: bool) -> Checkpoint:
    """The checkpoint with a config that computes so, and settings of the mask head changed."""
    config = copy.deepcopy(checkpoint.config)
    config.model.precision = precision
    if config.model.roi_head.mask_head.type == 'RLEMaskHead':
        config.model.roi_head.mask_head.update(head)
    return checkpoint._replace(config=config)


def inferencer(checkpoint: Checkpoint) -> DetInferencer:
    """MMDetection's own, with bitmaps; it reads pictures itself and looks for the stock reader."""
    config: Config = copy.deepcopy(checkpoint.config)
    get_test_pipeline_cfg(config)[0].type = 'LoadImageFromFile'
    return DetInferencer(config, str(checkpoint.file), device='cpu', show_progress=False)


def ways_of(
    checkpoint: Checkpoint, precision: str, threshold: float, slides: Sequence[Slide], folder: Path
) -> dict[str, tuple[Way, int]]:
    """What is timed, and the images that each does in a run."""
    detector = Detector(with_precision(checkpoint, precision), 'cpu', threshold)
    stock = inferencer(with_precision(checkpoint, precision, encode=False))
    files = [str(slide.path) for slide in slides]
    inputs = [detector.pipeline({'img': read_picture(s.path).pixels, 'img_id': 0}) for s in slides]
    batches = [{key: [value] for key, value in data.items()} for data in inputs]

    def ours() -> None:
        results = Results(folder / 'ours', slides)
        results.fill(detector)
        results.write({'score_threshold': detector.score_thr})

    @torch.inference_mode()
    def look(batch: dict) -> None:
        detector.model.test_step(batch)

    def network() -> None:
        with pools('cpu', len(slides)) as (_, pool):
            list(pool.map(look, copy.deepcopy(batches)))

    def infer(number: int, **options: object) -> Callable[[], None]:
        def run() -> None:
            for file in files[:number]:
                stock(file, **options)

        return run

    few = min(FEW, len(slides))
    drawing = infer(few, out_dir=str(folder / 'stock'), no_save_pred=False)
    samples = infer(len(slides), no_save_vis=True, return_datasamples=True)
    return {
        OURS: (Way(ours), len(slides)),
        NETWORK: (Way(network), len(slides)),
        STOCK: (Way(infer(len(slides), no_save_vis=True)), len(slides)),
        SAMPLES: (Way(samples), len(slides)),
        DRAWN: (Way(drawing), few),
    }


def parts(detector: Detector, slides: Sequence[Slide]) -> dict[str, float]:
    """Seconds of one core that each part of an image takes in tools.predict, the mean of images."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {}

    def timed(what: str, work: Callable, *arguments: object) -> object:
        start = time.thread_time()
        result = work(*arguments)
        spent.setdefault(what, []).append(time.thread_time() - start)
        return result

    try:
        for slide in (slides[0], *slides):  # the first one warms up
            picture = timed('read and check the file', read_picture, slide.path).pixels
            found = timed('resize, network, masks, overlaps', detector.segment, picture)
            timed('measure, draw, encode', outcome_of, slide.name, picture, found)
    finally:
        torch.set_num_threads(before)
    return {what: mean(seconds[1:]) for what, seconds in spent.items()}


def program(checkpoint: Checkpoint, precision: str, slide: Slide, folder: Path) -> float:
    """Seconds of the whole program on one picture, from its start to its end."""
    config = folder / 'config.py'
    with_precision(checkpoint, precision).config.dump(config)
    command = [sys.executable, '-m', 'tools.predict', slide.path, '--out', folder / 'one']
    command += ['--checkpoint', checkpoint.file.resolve(), '--config', config, '--device', 'cpu']
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def busy_seconds() -> tuple[float, float]:
    """Seconds that all cores have worked since the machine started, and this process of them."""
    own = sum(os.times()[:4])
    stat = Path('/proc/stat')
    if not stat.is_file():  # not Linux
        return own, own
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, stat.read_text().split('\n')[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf('SC_CLK_TCK'), own


def pictures_of(images: Path | None) -> list[Slide]:
    """The pictures given; else the real sample's test images, else those of the prepared set."""
    places = [SAMPLE / 'test' / 'original', data_root() / 'images' / 'test' / 'original']
    place = images or next((place for place in places if place.is_dir()), None)
    if place is None:
        raise UserError('there are no pictures: name some with --images, or run `make prepare`')
    return find_slides([str(place)])[1]


def run(
    run: Path | None = None,
    images: Path | None = None,
    precision: str = 'float32',
    rounds: int = 4,
) -> str:
    """Time prediction on the CPU.

    Args:
        run: Training run; the newest one by default.
        images: Pictures; real ones where they lie beside the repository.
        precision: float32 or bfloat16.
        rounds: Of all ways in turn.
    """
    opened = Run(run)
    checkpoint = opened.open_checkpoint()
    threshold = opened.threshold(checkpoint).value
    slides = pictures_of(images)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ways = ways_of(checkpoint, precision, threshold, slides, folder)
        in_turn({name: way for name, (way, _) in ways.items()}, 1)  # the first run allocates
        start, (all_before, own_before) = time.perf_counter(), busy_seconds()
        timed = in_turn({name: way for name, (way, _) in ways.items()}, rounds, label='rounds')
        all_after, own_after = busy_seconds()
        passed = (time.perf_counter() - start) * (os.cpu_count() or 1)
        others = max(all_after - all_before - own_after + own_before, 0) / passed
        detector = Detector(with_precision(checkpoint, precision), 'cpu', threshold)
        shares = parts(detector, slides)
        whole = min(program(checkpoint, precision, slides[0], folder) for _ in range(2))
    each = {
        name: [seconds / ways[name][1] for seconds in spent]
        for name, spent in timed.seconds.items()
    }
    ours = min(each[OURS])
    rows = [
        [name, f'{min(spent):.3f}', f'{median(spent):.3f}', f'{min(spent) / ours:.2f}']
        for name, spent in each.items()
    ]
    header = ['way', 'fastest, s an image', 'median', 'over tools.predict']
    about = (
        f'Machine: {machine("torch", "mmdet")}. {len(slides)} pictures, `{opened.folder.name}` in '
        f'{precision}, {torch.get_num_threads()} threads; {rounds} rounds, all ways in turn, '
        f'with {others:.0%} of the cores at other work; DetInferencer with drawing: {FEW} pictures.'
    )
    sizes = ', '.join(f'{what} {seconds:.3f}' for what, seconds in shares.items())
    notes = (
        f'Seconds of one core an image: {sizes}.\n\nThe program on one picture, from its start to '
        f'its end: {whole:.1f} s.'
    )
    return f'{about}\n\n{markdown_table(header, rows)}\n\n{notes}'
