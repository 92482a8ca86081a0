"""How many labels? Quality against their number, from the box and from scratch."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import ROOT
from benchmarks.labels.measuring import measure, open_start
from benchmarks.labels.page import read_points, results, write_page
from benchmarks.labels.points import labelled, read_training_part, select
from cellkit.errors import UserError
from cellkit.files.prepared import data_root as named_data_root
from tools.box import WEIGHTS

CONFIG = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'
FEW = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu_few.py'
SCRATCH = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_scratch.py'


def run(
    data_root: Path | None = None,
    box: Path = WEIGHTS,
    config: Path = CONFIG,
    few_config: Path = FEW,
    scratch_config: Path = SCRATCH,
    steps: int | None = None,
    score_thr: float | None = None,
    only: str | None = None,
    out: Path = Path('work_dirs/labels'),
    write: Path | None = None,
) -> str:
    """Train on 0, 1, 2, 5, 10 and all images, score on the test part, store every point.

    No validation image is used: the last checkpoint counts, at a score threshold fixed in
    advance. Three draws of 1, 2 and 5 images, one of 10 and of all. Called again, it goes on
    where it stopped. Several machines share the work with --only; copy the point.json of every
    run folder into one place before --write, which trains nothing.

    Args:
        data_root: Prepared data set; that of DATA_ROOT by default.
        box: Checkpoint of the model in the box.
        config: Config of the runs from the box.
        few_config: Config of those from the box on a handful of images.
        scratch_config: Config of the runs from scratch.
        steps: Of every run; each config's own by default.
        score_thr: Score threshold; the box's own and 0.5 from scratch by default.
        only: Which points, such as 'box', 'few:5 scratch:all' or 'box:5:0' (one draw).
        out: Folder of the runs.
        write: Page that takes table and plot of what is stored; nothing is trained then.
    """
    if write is not None:
        if only:
            raise UserError('--write takes all points that are stored; leave out --only')
        return write_page(write, read_points(out))
    root = (data_root or named_data_root()).resolve()
    coco = read_training_part(root)
    points = select(only, len(labelled(coco)))
    ways = {'box': (config, box), 'few': (few_config, box), 'scratch': (scratch_config, None)}
    starts = {
        start: open_start(file, steps, score_thr, checkpoint)
        for start, (file, checkpoint) in ways.items()
        if any(point.start == start for point in points)
    }
    try:
        for number, point in enumerate(points, 1):
            new = measure(point, starts[point.start], coco, root, out)
            state = 'done' if new else 'as it is stored'
            print(f'{number} of {len(points)}: {point.name} {state}', flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('stopped; the same command goes on from there') from None
    return results(read_points(out))
