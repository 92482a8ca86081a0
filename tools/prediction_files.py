"""Write what was found in a user's slides: pictures, label maps, tables, COCO results."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cellkit.rle import encode_label_map
from tools.errors import UserError
from tools.slides import Slide

SETTINGS = 'settings.json'
JPEG_QUALITY = 92
COUNT_COLUMNS = (
    'image',
    'cells',
    'touching_border',
    'mean_area_px',
    'median_area_px',
    'foreground_fraction',
    'width',
    'height',
    'image_id',
)


def write_beside(path: Path, content: bytes) -> None:
    """Write a file beside and rename it: it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class Results:
    """The output folder of one run of the program.

    Args:
        out: The folder; made if it isn't there.
        settings: What the results depend on, for ``settings.json``.
        slides: All images that are to be done.
        pixel_size: Micrometres a pixel, or None.

    Raises:
        UserError: The folder holds the results of other images.
    """

    def __init__(
        self,
        out: Path,
        settings: Mapping[str, Any],
        slides: Sequence[Slide],
        pixel_size: float | None = None,
    ) -> None:
        others = sorted(_images_done(out) - {str(slide.path) for slide in slides})
        if others:
            raise UserError(
                f'{out}: holds the results of {len(others)} other images ({others[0]} …); name '
                'another folder with --out, or remove this one'
            )
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.settings, self.pixel_size = out, dict(settings), pixel_size
        self.done: list[str] = []
        self.counts: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []
        self.coco: list[dict[str, Any]] = []

    def add(
        self,
        slide: Slide,
        image_id: int,
        overlay: np.ndarray,
        label_map: np.ndarray,
        scores: np.ndarray,
        figures: Mapping[str, np.ndarray],
    ) -> None:
        """Write one image's pictures and keep its rows.

        Args:
            slide: The image.
            image_id: Its number in the COCO results.
            overlay: (H, W, 3) uint8 BGR.
            label_map: (H, W) int, 0 background, 1..N, N < 65536.
            scores: (N,) float.
            figures: As from ``shape_figures``, of labels 1..N.
        """
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _write_picture(self.out / 'overlays' / f'{slide.name}.jpg', overlay, quality)
        _write_picture(self.out / 'labels' / f'{slide.name}.png', label_map.astype(np.uint16))
        self.done.append(str(slide.path))
        self.counts.append(self._count_row(slide.shown, image_id, label_map, figures))
        self.cells += self._cell_rows(slide.shown, scores, figures)
        for k, rle in enumerate(encode_label_map(label_map, len(scores))):
            self.coco.append(
                {
                    'image_id': image_id,
                    'file_name': slide.shown,
                    'category_id': 1,
                    'id': len(self.coco) + 1,
                    'bbox': [int(figures[side][k]) for side in ('x', 'y', 'width', 'height')],
                    'score': round(float(scores[k]), 5),
                    'segmentation': rle,
                }
            )

    def finish(self) -> None:
        """Write the tables of all images that were added."""
        columns = list(COUNT_COLUMNS)
        cell_columns = [
            "image", "cell", "score", "x", "y", "width", "height", "centroid_x", "centroid_y",
            "area_px", "equivalent_diameter_px", "eccentricity", "circularity", "touches_border",
        ]  # fmt: skip
        if self.pixel_size:
            columns[5:5] = ['mean_area_um2', 'median_area_um2']
            cell_columns[11:11] = ['area_um2', 'equivalent_diameter_um']
        write_beside(self.out / 'counts.csv', _csv(columns, self.counts))
        write_beside(self.out / 'cells.csv', _csv(cell_columns, self.cells))
        write_beside(self.out / 'predictions.json', (json.dumps(self.coco) + '\n').encode())
        settings = json.dumps({**self.settings, 'images': self.done}, indent=1, ensure_ascii=False)
        write_beside(self.out / SETTINGS, (settings + '\n').encode())

    def _count_row(
        self, image: str, image_id: int, label_map: np.ndarray, figures: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        at_border = figures['touches_border']
        whole = figures['area'][~at_border]  # what the border cuts says nothing about size
        mean, median = (float(np.mean(whole)), float(np.median(whole))) if len(whole) else ('', '')
        row = {
            'image': image,
            'cells': len(at_border),
            'touching_border': int(np.count_nonzero(at_border)),
            'mean_area_px': mean and round(mean, 1),
            'median_area_px': median,
            'foreground_fraction': round(np.count_nonzero(label_map) / max(label_map.size, 1), 5),
            'width': label_map.shape[1],
            'height': label_map.shape[0],
            'image_id': image_id,
        }
        if self.pixel_size:
            row['mean_area_um2'] = mean and round(mean * self.pixel_size**2, 3)
            row['median_area_um2'] = median and round(median * self.pixel_size**2, 3)
        return row

    def _cell_rows(
        self, image: str, scores: np.ndarray, figures: Mapping[str, np.ndarray]
    ) -> list[dict[str, Any]]:
        rows = []
        for k, label in enumerate(figures['label'].tolist()):
            area, diameter = int(figures['area'][k]), float(figures['equivalent_diameter'][k])
            row = {'image': image, 'cell': label, 'score': round(float(scores[k]), 4)}
            row |= {side: int(figures[side][k]) for side in ('x', 'y', 'width', 'height')}
            row |= {
                side: round(float(figures[side][k]), 2) for side in ('centroid_x', 'centroid_y')
            }
            row |= {'area_px': area, 'equivalent_diameter_px': round(diameter, 2)}
            row |= {
                side: round(float(figures[side][k]), 4) for side in ('eccentricity', 'circularity')
            }
            row['touches_border'] = int(figures['touches_border'][k])
            if self.pixel_size:
                row['area_um2'] = round(area * self.pixel_size**2, 4)
                row['equivalent_diameter_um'] = round(diameter * self.pixel_size, 4)
            rows.append(row)
        return rows


def _images_done(out: Path) -> set[str]:
    """The images whose results a folder holds already."""
    try:
        return set(json.loads((out / SETTINGS).read_text(encoding='utf-8'))['images'])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _write_picture(path: Path, picture: np.ndarray, options: Sequence[int] = ()) -> None:
    write_beside(path, cv2.imencode(path.suffix, picture, list(options))[1].tobytes())


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
