"""What was found in a user's slides: overlays, label maps, tables and COCO results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
from torch.cuda import OutOfMemoryError
from tqdm.auto import tqdm

from cellkit.errors import BadFile, UserError
from cellkit.files.pictures import read_slide
from cellkit.files.writing import csv_text, write_json, write_whole
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import Evidence
from tools.predict.detector import Detector
from tools.predict.outcome import Outcome, outcome_of
from tools.predict.slides import Slide
from tools.predict.workers import MOST, pools

SETTINGS = 'settings.json'
LARGE = 1 << 26  # pixels of a picture beside which no other such one is done: it takes a gigabyte
BOX = ('x', 'y', 'width', 'height')

# Columns of the tables after the image's name: the name, the value's key, the decimals to which it
# is rounded, and the power of the pixel size in µm that it is multiplied by; where the pixel size
# isn't known, a column with a power is left out.
COUNT_COLUMNS = (
    ('cells', 'cells', 0, 0),
    ('cells_low', 'cells_low', 0, 0),
    ('cells_high', 'cells_high', 0, 0),
    ('touching_border', 'touching_border', 0, 0),
    ('mean_area_px', 'mean_area', 1, 0),
    ('median_area_px', 'median_area', 1, 0),
    ('mean_area_um2', 'mean_area', 3, 2),
    ('median_area_um2', 'median_area', 3, 2),
    ('foreground_fraction', 'foreground_fraction', 5, 0),
    ('width', 'width', 0, 0),
    ('height', 'height', 0, 0),
    ('image_id', 'image_id', 0, 0),
)
CELL_COLUMNS = (
    ('cell', 'label', 0, 0),
    ('score', 'score', 4, 0),
    ('probability', 'probability', 4, 0),
    *((side, side, 0, 0) for side in BOX),
    ('centroid_x', 'centroid_x', 2, 0),
    ('centroid_y', 'centroid_y', 2, 0),
    ('area_px', 'area', 0, 0),
    ('equivalent_diameter_px', 'equivalent_diameter', 2, 0),
    ('area_um2', 'area', 4, 2),
    ('equivalent_diameter_um', 'equivalent_diameter', 4, 1),
    ('eccentricity', 'eccentricity', 4, 0),
    ('circularity', 'circularity', 4, 0),
    ('touches_border', 'touches_border', 0, 0),
)


class Results:
    """What was found in pictures, and the folder that it is written to.

    Args:
        out: The folder; made if it isn't there.
        slides: All pictures that are to be done.
        pixel_size: Micrometres a pixel, or None.
        calibration: Says how sure a score is, or None.

    Attributes:
        counts: Rows of ``counts.csv``, a dict for each picture that was done.
        cells: Rows of ``cells.csv``, a dict for each cell.
        problems: A sentence for each picture that could not be done.
        notes: Remarks on pictures that were done.
        stopped: Whether Ctrl-C came before all were done.

    Raises:
        UserError: The folder holds the results of other pictures.
    """

    def __init__(
        self,
        out: Path,
        slides: Sequence[Slide],
        pixel_size: float | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        others = sorted(_images_done(out) - {str(slide.path) for slide in slides})
        if others:
            raise UserError(
                f'{out}: holds the results of {len(others)} other images ({others[0]} …); name '
                'another folder with --out, or remove this one'
            )
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.slides, self.pixel_size = out, slides, pixel_size
        self.counts: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.stopped = False
        self.calibration = calibration
        self._evidence: list[Evidence] = []
        self._done: list[str] = []
        self._coco: list[dict[str, Any]] = []

    def fill(self, detector: Detector) -> None:
        """Find the cells of all pictures; one that can't be done stops no other.

        Pictures are read and drawn while the network looks at others.
        """
        cv2.setLogLevel(0)  # what OpenCV says of a bad file is said again, in one sentence
        bar = partial(tqdm, dynamic_ncols=True, disable=None)
        jobs = len(self.slides) if detector.tile is None else MOST
        one_at_a_time = Lock()

        def look_at(slide: Slide) -> tuple[Outcome, list[str]]:
            picture, remark = read_slide(slide.path)
            large = picture.shape[0] * picture.shape[1] > LARGE
            with one_at_a_time if large else nullcontext():
                found = detector(picture, network.map, partial(bar, unit='tile', leave=False))
                outcome = outcome_of(str(slide.path), picture, found, self.calibration)
            notes = [f'{slide.path} {remark}'] if remark else []
            if found.full:
                notes.append(
                    f'{slide.path} has as many detections as the model gives at once '
                    f'({detector.limit}), so cells may be missing: work in tiles (--tile)'
                )
            return outcome, notes

        with pools(detector.device, jobs) as (pictures, network):
            waiting = [pictures.submit(look_at, slide) for slide in self.slides]
            try:
                for number, future in enumerate(bar(waiting, unit='image'), start=1):
                    slide = self.slides[number - 1]
                    try:
                        outcome, notes = future.result()
                        self.add(slide, number, outcome)
                        self.notes += notes
                    except BadFile as error:
                        self.problems.append(f'{error}.')
                    except (MemoryError, OutOfMemoryError):
                        self.problems.append(
                            f'{slide.path}: needs more memory than there is; work in tiles '
                            '(--tile 1600x1200) or cut it into parts.'
                        )
                    except cv2.error as error:
                        self.problems.append(
                            f"{slide.path}: OpenCV can't handle it ({error.err}); if it is very "
                            'large, cut it into parts.'
                        )
            except KeyboardInterrupt:
                self.stopped = True

    def add(self, slide: Slide, image_id: int, outcome: Outcome) -> None:
        """Write a picture's drawing and label map, and keep the rows of the tables.

        Args:
            slide: Where the picture is from.
            image_id: Its number in the COCO results.
            outcome: What was found.
        """
        write_whole(self.out / 'overlays' / f'{slide.name}.jpg', outcome.overlay)
        write_whole(self.out / 'labels' / f'{slide.name}.png', outcome.labels)
        self._done.append(str(slide.path))
        if outcome.evidence:
            self._evidence.append(outcome.evidence)
        count = outcome.values | {'image_id': image_id}
        self.counts.append(self._row(COUNT_COLUMNS, slide, count))
        for cell, rle in zip(outcome.cells, outcome.rles, strict=True):
            self.cells.append(self._row(CELL_COLUMNS, slide, cell))
            number, box = len(self._coco) + 1, [cell[side] for side in BOX]
            item = dict(
                image_id=image_id, file_name=slide.shown, category_id=1, id=number, bbox=box
            )
            self._coco.append(item | dict(score=round(cell['score'], 5), segmentation=rle))

    @property
    def interval(self) -> tuple[int, int] | None:
        """95 % interval for the number of cells in all pictures that were done, if one is known."""
        return self.calibration and self.calibration.interval(self._evidence)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write the tables of what was added, and what it depends on to ``settings.json``."""
        tables = {'counts': (COUNT_COLUMNS, self.counts), 'cells': (CELL_COLUMNS, self.cells)}
        for name, (columns, rows) in tables.items():
            header = ['image', *(column[0] for column in self._known(columns))]
            text = csv_text(header, [row.values() for row in rows])
            write_whole(self.out / f'{name}.csv', text)
        # In ASCII, since pycocotools opens it in the system's encoding.
        write_whole(self.out / 'predictions.json', json.dumps(self._coco) + '\n')
        write_json(self.out / SETTINGS, {**settings, 'images': self._done}, indent=1)

    def _known(self, columns: Sequence[tuple[str, str, int, int]]) -> list:
        return [column for column in columns if self.pixel_size or not column[-1]]

    def _row(
        self, columns: Sequence[tuple[str, str, int, int]], slide: Slide, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {'image': slide.shown}
        for name, key, decimals, power in self._known(columns):
            factor = self.pixel_size**power if power else 1
            row[name] = None if values[key] is None else round(values[key] * factor, decimals)
        return row


def _images_done(out: Path) -> set[str]:
    """The pictures whose results a folder holds already."""
    try:
        return set(json.loads((out / SETTINGS).read_bytes())['images'])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
