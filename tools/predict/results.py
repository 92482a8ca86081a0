"""What was found in a user's slides: overlays, label maps, tables and COCO results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.cuda import OutOfMemoryError
from tqdm.auto import tqdm

from cellkit.errors import BadFile, UserError
from cellkit.files.pictures import read_slide
from cellkit.files.writing import csv_text, write_json, write_whole
from cellkit.rle import encode_label_map
from cellkit.shapes import shape_values
from tools.predict.detector import Detector, Segmentation
from tools.predict.overlay import draw_overlay
from tools.predict.slides import Slide

SETTINGS = 'settings.json'
MOST_CELLS = np.iinfo(np.uint16).max  # that a label map of 16 bits holds
BOX = ('x', 'y', 'width', 'height')

# Columns of the tables after the image's name: the name, the value's key, the decimals to which it
# is rounded, and the power of the pixel size in µm that it is multiplied by; where the pixel size
# isn't known, a column with a power is left out.
COUNT_COLUMNS = (
    ('cells', 'cells', 0, 0),
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

    Attributes:
        counts: Rows of ``counts.csv``, a dict for each picture that was done.
        cells: Rows of ``cells.csv``, a dict for each cell.
        problems: A sentence for each picture that could not be done.
        notes: Remarks on pictures that were done.
        stopped: Whether Ctrl-C came before all were done.

    Raises:
        UserError: The folder holds the results of other pictures.
    """

    def __init__(self, out: Path, slides: Sequence[Slide], pixel_size: float | None = None) -> None:
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
        self._done: list[str] = []
        self._coco: list[dict[str, Any]] = []

    def fill(self, detector: Detector) -> None:
        """Find the cells of all pictures; one that can't be done stops no other."""
        cv2.setLogLevel(0)  # what OpenCV says of a bad file is said again, in one sentence
        bar = partial(tqdm, dynamic_ncols=True, disable=None)
        try:
            for number, slide in enumerate(bar(self.slides, unit='image'), start=1):
                try:
                    picture, remark = read_slide(slide.path)
                    found = detector(picture, partial(bar, unit='tile', leave=False))
                    self.add(slide, number, picture, found)
                except BadFile as error:
                    self.problems.append(f'{error}.')
                except (MemoryError, OutOfMemoryError):
                    self.problems.append(
                        f'{slide.path}: needs more memory than there is; work in tiles '
                        '(--tile 1600x1200) or cut it into parts.'
                    )
                except cv2.error as error:
                    self.problems.append(
                        f"{slide.path}: OpenCV can't handle it ({error.err}); if it is very large, "
                        'cut it into parts.'
                    )
                else:
                    if remark:
                        self.notes.append(f'{slide.path} {remark}')
                    if found.full:
                        self.notes.append(
                            f'{slide.path} has as many detections as the model gives at once '
                            f'({detector.limit}), so cells may be missing: work in tiles (--tile)'
                        )
        except KeyboardInterrupt:
            self.stopped = True

    def add(self, slide: Slide, image_id: int, picture: np.ndarray, found: Segmentation) -> None:
        """Measure and draw a picture's cells, write the drawing and the label map, keep the rows.

        Args:
            slide: Where the picture is from.
            image_id: Its number in the COCO results.
            picture: (H, W, 3) uint8 BGR.
            found: Its cells.

        Raises:
            BadFile: There are too many cells for a label map of 16 bits.
        """
        label_map, scores = found.label_map, found.scores
        if len(scores) > MOST_CELLS:
            raise BadFile(str(slide.path), f'has more than {MOST_CELLS} cells', 'cut it into parts')
        # The mask may end a pixel of the network's picture before the border.
        values = shape_values(label_map, border=max(math.ceil(found.resolution - 1e-3), 1))
        at_border = values['touches_border']
        overlay = draw_overlay(picture, label_map, at_border, smooth=min(found.resolution, 4.0))
        jpeg = cv2.imencode('.jpg', overlay, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        write_whole(self.out / 'overlays' / f'{slide.name}.jpg', jpeg.tobytes())
        png = cv2.imencode('.png', label_map.astype(np.uint16))[1]
        write_whole(self.out / 'labels' / f'{slide.name}.png', png.tobytes())
        self._done.append(str(slide.path))
        whole = values['area'][~at_border]  # what the border cuts says nothing about size
        count = {
            'cells': len(scores),
            'touching_border': int(np.count_nonzero(at_border)),
            'mean_area': float(np.mean(whole)) if len(whole) else None,
            'median_area': float(np.median(whole)) if len(whole) else None,
            'foreground_fraction': np.count_nonzero(label_map) / max(label_map.size, 1),
            'width': label_map.shape[1],
            'height': label_map.shape[0],
            'image_id': image_id,
        }
        self.counts.append(self._row(COUNT_COLUMNS, slide, count))
        columns = {key: column.tolist() for key, column in {**values, 'score': scores}.items()}
        for k, rle in enumerate(encode_label_map(label_map, len(scores))):
            cell = {key: column[k] for key, column in columns.items()}
            self.cells.append(self._row(CELL_COLUMNS, slide, cell))
            number, box = len(self._coco) + 1, [cell[side] for side in BOX]
            item = dict(
                image_id=image_id, file_name=slide.shown, category_id=1, id=number, bbox=box
            )
            self._coco.append(item | dict(score=round(cell['score'], 5), segmentation=rle))

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
