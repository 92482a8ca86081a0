"""Outlines, counts and measures of the cells in a user's own slides."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellkit.errors import UserError
from cellkit.files.names import safe_part
from cellkit.files.program import quiet
from tools.predict.formats import chosen_formats
from tools.predict.shards import shard_of
from tools.predict.slides import find_slides

if TYPE_CHECKING:
    from tools.predict.results import Results

PREDICTIONS = Path('predictions')


def predict(
    images: str | Path | Sequence[str | Path],
    run: str | Path | None = None,
    *,
    checkpoint: str | Path | None = None,
    config: str | Path | None = None,
    out: str | Path | None = None,
    score_thr: float | None = None,
    scale: float | None = None,
    tile: str | None = None,
    pixel_size: float | None = None,
    tta: bool = False,
    device: str | None = None,
    formats: str | Sequence[str] | None = None,
    shard: str | None = None,
) -> Results:
    """Outline, count and measure the cells in pictures; docs/predict.md says what is written.

    Args:
        images: Files, folders (with all below them) or patterns.
        run: Training run; when None the checkpoint's, else the newest one, else the model in the
            box.
        checkpoint: Checkpoint file; the run's best one when None.
        config: Config file; the checkpoint's or the run's when None.
        out: Folder of the results; ``predictions/RUN/IMAGES`` when None.
        score_thr: Score from which a detection counts, 0 to 1; as chosen on validation when None.
        scale: Enlarges what the network sees: 2 for cells half as large as in training; 1 leaves
            pictures as they are. When None, and no tile is given, each picture's cells tell it.
        tile: ``"WIDTHxHEIGHT"`` in pixels, at least 64x64, of overlapping tiles to work in: the
            size of the training images. Whole pictures when None.
        pixel_size: Micrometres a pixel, for areas in µm² too; what the files tell when None.
        tta: Test-time augmentation: merge four flips of each picture, in four times the time.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …; the GPU if there is one when None.
        formats: What is written of each picture: names of ``tools.predict.formats.FORMATS`` or
            ``"all"``; overlays and label maps when None. The tables and the COCO file always are.
        shard: ``"I/N"``: only every N-th picture from the I-th on, for several machines; tables are
            written by :func:`tools.predict.merge.merge` when all N have ended. All when None.

    Returns:
        The tables, what could not be done, and where everything was written. Ctrl-C (in a notebook:
        interrupt) ends it early with what was done until then.

    Raises:
        UserError: An argument is out of range, there is no picture, the run can't be used, or the
            output folder holds the results of other pictures.
        OSError: The results can't be written.
    """
    if score_thr is not None and not 0 <= score_thr <= 1:
        raise UserError(f'--score-thr must lie between 0 and 1, not {score_thr:g}')
    for name, value in (('scale', scale), ('pixel-size', pixel_size)):
        if value is not None and not 0 < value < math.inf:
            raise UserError(f'--{name} must be a number greater than 0, not {value:g}')
    chosen = chosen_formats(formats)
    part = None if shard is None else shard_of(shard)
    tile_size = None if tile is None else _height_width(tile)
    names = [images] if isinstance(images, (str, Path)) else images
    root, slides, left_out = find_slides([str(name) for name in names])
    with quiet():  # late, as it takes seconds: a wrong path is told at once
        from cellkit.metrics.calibrated import LEAST_SCORE
        from tools.predict.detector import Detector
        from tools.predict.results import Results
        from tools.runs.model import pick_device
        from tools.runs.run import Run

        device = pick_device(device)
        file = Path(checkpoint) if checkpoint else None
        opened = Run(run or (file and file.parent), or_box=True)
        found = opened.open_checkpoint(file, Path(config) if config else None)
        threshold = opened.threshold(found, score_thr, tta)
        calibration = opened.calibration(found, tta)
    which = ' (the newest run)' if opened.is_newest else ''
    if opened.is_box:
        which = ' (the model in the box: trained on synthetic smears alone)'
    print(f'model: {found.file}{which}, config {found.config_source}, on {device}')
    print(f'score threshold: {threshold.value:g}, {threshold.source}', flush=True)
    factor = 1.0 if scale is None else scale
    with quiet():
        least = LEAST_SCORE if calibration else None
        detector = Detector(found, device, threshold.value, factor, tile_size, tta, least)
    by_hand = scale is not None or tile is not None or not detector.resizes
    cells = None if by_hand else found.cell_scale
    settings = {
        'checkpoint': str(found.file),
        'config': found.config_source,
        'score_threshold': threshold.value,
        'score_threshold_source': threshold.source,
        'calibration': calibration and calibration.as_dict(),
        'scale': factor,
        'scale_by_cells': cells and cells.as_dict(),
        'tile_height_width': tile_size,
        'test_time_augmentation': tta,
        'pixel_size_um': pixel_size,
        'formats': chosen,
        'device': device,
        'started': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
    }
    subject = safe_part(slides[0].path.stem if len(slides) == 1 else root.name or 'slides')
    folder = Path(out or PREDICTIONS / opened.folder.resolve().name / subject)
    results = Results(folder, slides, pixel_size, chosen, calibration, cells, part)
    results.notes += left_out
    results.begin(settings)
    results.fill(detector)
    results.write(settings)
    return results


def _height_width(text: str) -> tuple[int, int]:
    found = re.fullmatch(r'(\d+)[x×](\d+)', text.strip().lower())
    if not found or min(int(found[1]), int(found[2])) < 64:
        raise UserError(
            f'--tile must be WIDTHxHEIGHT in pixels, at least 64x64, such as 1600x1200, not {text}'
        )
    return int(found[2]), int(found[1])
