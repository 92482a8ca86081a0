"""What was found in a user's slides: files of each, tables, a page and a COCO data set of all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from tqdm.auto import tqdm

from cellkit.cell_scale import CellScale
from cellkit.files.depth import Depth, find_whites
from cellkit.files.formats import coco
from cellkit.files.names import shown
from cellkit.files.regions import has_regions
from cellkit.files.writing import csv_text, write_json, write_whole
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import Evidence
from tools.predict.detector import Detector
from tools.predict.earlier import Earlier
from tools.predict.formats import DEFAULT, FORMATS
from tools.predict.journal import Journal
from tools.predict.large_files import large_formats
from tools.predict.look import Looker
from tools.predict.magnification import Choice, Magnification
from tools.predict.outcome import Outcome
from tools.predict.page import page
from tools.predict.problems import problem_of
from tools.predict.sizes import Sizes
from tools.predict.slides import SETTINGS, Slide
from tools.predict.tile_store import UNFINISHED, clear
from tools.predict.workers import MOST, pools

BOX = ('x', 'y', 'width', 'height')

# Columns of the tables after the image's name: the name, the value's key, the decimals to which it
# is rounded (None for words), and the power of the pixel size in µm that it is multiplied by; where
# the pixel size isn't known, a column with a power is left out.
Column = tuple[str, str, int | None, int]
COUNT_COLUMNS: tuple[Column, ...] = (
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
    ('scale', 'scale', 3, 0),
    ('scale_from', 'scale_from', None, 0),
    ('image_id', 'image_id', 0, 0),
)
CELL_COLUMNS: tuple[Column, ...] = (
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
        pixel_size: Micrometres a pixel; what the files tell, if they do, when None.
        formats: Keys of ``FORMATS``: the files of each picture.
        calibration: Says how sure a score is, or None.
        cells: How large cells are in training: each picture is done at the scale at which its are
            so too. All are resized to one size when None.

    Attributes:
        counts: Rows of ``counts.csv``, a dict for each picture that was done.
        cells: Rows of ``cells.csv``, a dict for each cell.
        problems: A sentence for each picture that could not be done.
        notes: Remarks on pictures that were done.
        stopped: Whether Ctrl-C came before all were done.
        depth: How pictures of more than 8 bits are read.

    Raises:
        UserError: The folder holds the results of other pictures, or files of something else.
    """

    def __init__(
        self,
        out: Path,
        slides: Sequence[Slide],
        pixel_size: float | None = None,
        formats: Sequence[str] = DEFAULT,
        calibration: Calibration | None = None,
        cells: CellScale | None = None,
    ) -> None:
        self.formats = tuple(formats)
        self._large = {slide for slide in slides if has_regions(slide.path)}
        self._earlier = Earlier(out)
        self._earlier.make_way([slide.path for slide in slides], map(self._files_of, slides))
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.slides = out, slides
        self._sizes = Sizes(slides, pixel_size)
        self.counts: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.notes: list[str] = self._sizes.said()
        self.stopped = False
        self.depth = Depth()
        self._journal = Journal(out)
        self._done: list[Slide] = []
        self.calibration, self._cells = calibration, cells
        self._evidence: list[Evidence] = []
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._seen: list[dict[str, Any]] = []

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Note in ``settings.json`` what is to be done, so that a killed run's folder is known."""
        images = {*self._earlier.images, *(shown(slide.path.as_posix()) for slide in self.slides)}
        files = {*self._earlier.files, *(file for s in self.slides for file in self._files_of(s))}
        noted = {'unfinished': True, 'images': sorted(images), 'files': sorted(files)}
        write_json(self.out / SETTINGS, {**settings, **noted}, indent=1)

    def fill(self, detector: Detector) -> None:
        """Find the cells of all pictures; one that can't be done stops no other.

        Pictures are read and drawn while the network looks at others.
        """
        cv2.setLogLevel(0)  # what OpenCV says of a bad file is said again, in one sentence
        self.depth = find_whites(slide.path for slide in self.slides)
        self.notes += self.depth.said
        bar = partial(tqdm, dynamic_ncols=True, disable=None)
        many_tiles = detector.tile is not None or self._large
        jobs = MOST if many_tiles else len(self.slides)
        with pools(detector.device, jobs) as (pictures, network):
            looker = Looker(
                detector,
                network.map,
                partial(bar, unit='tile', leave=False),
                self.depth.whites,
                self.calibration,
                Magnification(detector, self._cells) if self._cells else None,
            )

            def look_at(slide: Slide) -> tuple[Outcome, Sequence[str]]:
                how = (slide, self._formats_of(slide), self._sizes.of(slide))
                if slide in self._large:
                    return looker.large(*how, self._store_of(slide))
                return looker.whole(*how)

            waiting = [pictures.submit(look_at, slide) for slide in self.slides]
            try:
                for number, future in enumerate(bar(waiting, unit='image'), start=1):
                    slide = self.slides[number - 1]
                    try:
                        outcome, remarks = future.result()
                        self.add(slide, number, outcome, remarks)
                        self.notes += [f'{shown(slide.path)} {remark}' for remark in remarks]
                    except Exception as error:  # one picture costs no other
                        self.problems.append(problem_of(slide.path, error))
            except KeyboardInterrupt:
                self.stopped = True

    def add(
        self, slide: Slide, image_id: int, outcome: Outcome, remarks: Sequence[str] = ()
    ) -> None:
        """Write a picture's files, and keep the rows of the tables.

        Args:
            slide: Where the picture is from.
            image_id: Its number in the COCO data set.
            outcome: What was found.
            remarks: What is to be known of the picture; they go on after its name.
        """
        count = self._row(COUNT_COLUMNS, slide, outcome.values | {'image_id': image_id})
        files = dict(zip(self._formats_of(slide), self._files_of(slide), strict=True))
        count['labels'] = files.get('labels') or files.get('ome')
        cells = [self._row(CELL_COLUMNS, slide, cell) for cell in outcome.cells]
        try:
            for key, file in files.items():
                _put(self.out / file, outcome.files[key])
            for name, rows in (('cells', cells), ('counts', [count])):
                self._journal.add(name, self._header(name), [row.values() for row in rows])
        except OSError:
            self._earlier.remove(files.values())  # a label map without its row passes for one
            raise
        self._done.append(slide)
        if outcome.evidence:
            self._evidence.append(outcome.evidence)
        self.counts.append(count)
        self.cells += cells
        size = {side: count[side] for side in ('width', 'height')}
        self._images.append({'id': image_id, 'file_name': slide.shown, **size})
        about = dict(overlay=files.get('overlay'), remarks=remarks, rows=cells)
        self._seen.append(count | about)
        for cell, rle in zip(outcome.cells, outcome.rles, strict=True):
            number, box = len(self._annotations) + 1, [cell[side] for side in BOX]
            item = coco.annotation(number, image_id, rle, cell['area'], box)
            self._annotations.append(item | {'score': round(cell['score'], 5)})

    @property
    def interval(self) -> tuple[int, int] | None:
        """95 % interval for the number of cells in all pictures that were done, if one is known."""
        return self.calibration and self.calibration.interval(self._evidence)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write tables, page and COCO data set of what was added, and ``settings.json``."""
        for name, rows in (('counts', self.counts), ('cells', self.cells)):
            text = csv_text(self._header(name), [row.values() for row in rows])
            write_whole(self.out / f'{name}.csv', text)
        # In ASCII, since pycocotools opens it in the system's encoding.
        found = coco.data_set(self._images, self._annotations)
        write_whole(self.out / 'predictions.json', json.dumps(found) + '\n')
        write_whole(self.out / 'index.html', self._page(settings))
        files = [file for slide in self._done for file in self._files_of(slide)]
        if self.stopped:
            files += sorted(self._earlier.files - set(files))  # for a later run to replace
        elif removed := self._earlier.remove(self._earlier.files - set(files)):
            self.notes.append(
                f'{len(removed)} files of an earlier run, whose images are gone or could not be '
                f'done now, were removed ({removed[0]}{" …" * (len(removed) > 1)})'
            )
        depth = {'depth': self.depth.said} if self.depth.said else {}
        done = [shown(slide.path.as_posix()) for slide in self._done]
        scales = {
            row['image']: {'scale': row['scale'], 'from': row['scale_from']}
            for row in self.counts
            if row['scale_from'] != Choice().source
        }
        depth |= {'scales': scales} if scales else {}
        noted = {**settings, **depth, **self._sizes.noted(), 'images': done, 'files': files}
        write_json(self.out / SETTINGS, noted, indent=1)
        self._journal.close()
        for slide in self._large.intersection(self._done):
            if not self.stopped:
                clear(self._store_of(slide))

    def _page(self, settings: Mapping[str, Any]) -> str:
        problems = [f'{problem.rstrip(".")}.' for problem in self.problems]
        model, threshold = settings.get('checkpoint', ''), settings.get('score_threshold', 0.0)
        lead = f'Model: {model}; score threshold {threshold:g}.'
        title = f'Cells in {self.out.name}'
        return page(title, lead, self._seen, problems, self._sizes.common, self.interval)

    def _files_of(self, slide: Slide) -> list[str]:
        """The files of a picture below the folder of results, one a format."""
        made = [FORMATS[key] for key in self._formats_of(slide)]
        return [f'{each.folder}/{slide.name}{each.suffix}' for each in made]

    def _formats_of(self, slide: Slide) -> tuple[str, ...]:
        return large_formats(self.formats) if slide in self._large else self.formats

    def _store_of(self, slide: Slide) -> Path:
        """Where the tiles of a large picture are kept until the run has ended."""
        return self.out / UNFINISHED / slide.name

    def _header(self, name: str) -> list[str]:
        columns = self._known(COUNT_COLUMNS if name == 'counts' else CELL_COLUMNS)
        return ['image', *(column[0] for column in columns), *['labels'] * (name == 'counts')]

    def _known(self, columns: Sequence[Column]) -> list[Column]:
        return [column for column in columns if self._sizes.known or not column[-1]]

    def _row(
        self, columns: Sequence[Column], slide: Slide, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {'image': slide.shown}
        size = self._sizes.of(slide)
        for name, key, decimals, power in self._known(columns):
            factor = 1 if not power else size and size**power
            known = values[key] is not None and factor is not None
            if decimals is None:
                row[name] = values[key]
            else:
                row[name] = round(values[key] * factor, decimals) if known else None
        return row


def _put(file: Path, content: bytes | Path) -> None:
    """Write a file whole, or move it to its place."""
    if isinstance(content, Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        os.replace(content, file)
    else:
        write_whole(file, content)
