"""What was found in a user's slides: files of each, tables, a page and a COCO data set of all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from tqdm.auto import tqdm

from cellkit.cell_scale import CellScale
from cellkit.files.depth import Depth, find_whites
from cellkit.files.names import shown
from cellkit.files.regions import has_regions
from cellkit.files.writing import write_json, write_whole
from cellkit.metrics.calibrated import Calibration
from tools.predict.detector import Detector
from tools.predict.earlier import Earlier
from tools.predict.formats import DEFAULT, FORMATS
from tools.predict.journal import Journal
from tools.predict.large_files import large_formats
from tools.predict.look import Looker
from tools.predict.magnification import Magnification
from tools.predict.outcome import Outcome
from tools.predict.problems import problem_of
from tools.predict.shards import Shard, begin_shard, write_shard
from tools.predict.sizes import Sizes
from tools.predict.slides import SETTINGS, Slide
from tools.predict.tables import Micrometres, OfTables, Tables
from tools.predict.tile_store import UNFINISHED, clear
from tools.predict.workers import MOST, pools


class Results(OfTables):
    """What was found in pictures, and the folder that it is written to.

    Args:
        out: The folder; made if it isn't there.
        slides: All pictures that are to be done.
        pixel_size: Micrometres a pixel; what the files tell, if they do, when None.
        formats: Keys of ``FORMATS``: the files of each picture.
        calibration: Says how sure a score is, or None.
        cells: How large cells are in training: each picture is done at the scale at which its are
            so too. All are resized to one size when None.
        shard: The part of the pictures that is done; all when None.

    Attributes:
        slides: The pictures that are done.
        tables: What is known of those that were done.
        problems: A sentence for each picture that could not be done.
        of_problems: Their numbers in the listing, from 1 on.
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
        shard: Shard | None = None,
    ) -> None:
        self.formats = tuple(formats)
        self._large = {slide for slide in slides if has_regions(slide.path)}
        self._earlier = Earlier(out)
        self._earlier.make_way([slide.path for slide in slides], map(self._files_of, slides))
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.shard, self._listed = out, shard, slides
        chosen = shard.numbers(len(slides)) if shard else range(len(slides))
        self._numbers = {slides[k]: k + 1 for k in chosen}
        self.slides = list(self._numbers)
        self._sizes = Sizes(slides, pixel_size)
        sizes = Micrometres(self._sizes.known, self._sizes.common)
        self.tables = Tables(out, sizes, calibration)
        self.problems: list[str] = []
        self.of_problems: list[int] = []
        self.notes: list[str] = self._sizes.said()
        self.stopped = False
        self.depth = Depth()
        self._journal = Journal(shard.folder(out) if shard else out)
        self._cells = cells
        self._identity: dict[str, Any] = {}

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Note in ``settings.json`` what is to be done, so that a killed run's folder is known."""
        if self.shard:
            begin_shard(self.out, self.shard)
        images = {*self._earlier.images, *map(_path_of, self._listed)}
        files = {*self._earlier.files, *(file for s in self._listed for file in self._files_of(s))}
        noted = {'unfinished': True, 'images': sorted(images), 'files': sorted(files)}
        write_json(self.out / SETTINGS, {**settings, **noted}, indent=1)

    def fill(self, detector: Detector) -> None:
        """Find the cells of all pictures; one that can't be done stops no other.

        Pictures are read and drawn while the network looks at others.
        """
        cv2.setLogLevel(0)  # what OpenCV says of a bad file is said again, in one sentence
        self.depth = find_whites(slide.path for slide in self._listed)
        self.notes += self.depth.said
        bar = partial(tqdm, dynamic_ncols=True, disable=None)
        many_tiles = detector.tile is not None or self._large
        self._identity = detector.identity() if self.shard else {}
        jobs = MOST if many_tiles else len(self.slides)
        with pools(detector.device, jobs) as (pictures, network):
            looker = Looker(
                detector,
                network.map,
                partial(bar, unit='tile', leave=False),
                self.depth.whites,
                self.tables.calibration,
                Magnification(detector, self._cells) if self._cells else None,
            )

            def look_at(slide: Slide) -> tuple[Outcome, Sequence[str]]:
                how = (slide, self._formats_of(slide), self._sizes.of(slide))
                if slide in self._large:
                    return looker.large(*how, self._store_of(slide))
                return looker.whole(*how)

            waiting = [pictures.submit(look_at, slide) for slide in self.slides]
            try:
                for slide, future in zip(self.slides, bar(waiting, unit='image'), strict=True):
                    try:
                        outcome, remarks = future.result()
                        self.add(slide, outcome, remarks)
                        self.notes += [f'{shown(slide.path)} {remark}' for remark in remarks]
                    except Exception as error:  # one picture costs no other
                        self.problems.append(problem_of(slide.path, error))
                        self.of_problems.append(self._numbers[slide])
            except KeyboardInterrupt:
                self.stopped = True

    def add(self, slide: Slide, outcome: Outcome, remarks: Sequence[str] = ()) -> None:
        """Write a picture's files, and keep the rows of the tables.

        Args:
            slide: Where the picture is from.
            outcome: What was found.
            remarks: What is to be known of the picture; they go on after its name.
        """
        files = dict(zip(self._formats_of(slide), self._files_of(slide), strict=True))
        names, size = (slide.shown, _path_of(slide)), self._sizes.of(slide)
        number = self._numbers[slide]
        record = self.tables.record(number, names, outcome, files, size, remarks)
        try:
            for key, file in files.items():
                _put(self.out / file, outcome.files[key])
            for name, rows in (('cells', record.cells), ('counts', [record.count])):
                header = self.tables.header(name)
                self._journal.add(name, header, [row.values() for row in rows])
        except OSError:
            self._earlier.remove(files.values())  # a label map without its row passes for one
            raise
        self.tables.add(record)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write tables, page and COCO data set of what was added, and ``settings.json``.

        Of a shard only what :func:`tools.predict.merge.merge` makes them of is written.
        """
        depth = {'depth': self.depth.said} if self.depth.said else {}
        settings = {**settings, **depth, **self._sizes.noted()}
        if not self.shard:
            how = (self.tables, self._earlier, settings, self.problems, self.stopped)
            self.notes += write_all(*how)
        elif not self.stopped:
            self._write_shard(settings)
        self._journal.close()
        done = {record.number for record in self.tables.records}
        for slide, number in self._numbers.items():
            if slide in self._large and number in done and not self.stopped:
                clear(self._store_of(slide))

    def _write_shard(self, settings: Mapping[str, Any]) -> None:
        about = {
            'settings': {**settings, 'started': None},
            'listing': list(map(_path_of, self._listed)),
            'model': self._identity,
            'pixel_sizes': self.tables.sizes,
        }
        done = {
            'started': settings.get('started'),
            'records': [record._asdict() for record in self.tables.records],
            'problems': self.problems,
            'of_problems': self.of_problems,
        }
        write_shard(self.out, self.shard, about, done)

    def _files_of(self, slide: Slide) -> list[str]:
        """The files of a picture below the folder of results, one a format."""
        made = [FORMATS[key] for key in self._formats_of(slide)]
        return [f'{each.folder}/{slide.name}{each.suffix}' for each in made]

    def _formats_of(self, slide: Slide) -> tuple[str, ...]:
        return large_formats(self.formats) if slide in self._large else self.formats

    def _store_of(self, slide: Slide) -> Path:
        """Where the tiles of a large picture are kept until the run has ended."""
        return self.out / UNFINISHED / slide.name


def write_all(
    tables: Tables,
    earlier: Earlier,
    settings: Mapping[str, Any],
    problems: Sequence[str],
    stopped: bool = False,
) -> list[str]:
    """Write tables, page, COCO data set and ``settings.json``; what is outdated is removed.

    Args:
        tables: What was found.
        earlier: What was in the folder before.
        settings: But for pictures, files and scales.
        problems: A sentence for each picture that could not be done.
        stopped: Whether it is not all: files of an earlier run stay, for a later one to replace.

    Returns:
        What a user should know.
    """
    tables.write(settings, problems)
    files = [file for record in tables.records for file in record.files.values()]
    notes = []
    if stopped:
        files += sorted(earlier.files - set(files))
    elif removed := earlier.remove(earlier.files - set(files)):
        notes.append(
            f'{len(removed)} files of an earlier run, whose images are gone or could not be '
            f'done now, were removed ({removed[0]}{" …" * (len(removed) > 1)})'
        )
    done = {'images': [record.path for record in tables.records], 'files': files}
    write_json(tables.out / SETTINGS, {**settings, **tables.scales, **done}, indent=1)
    return notes


def _path_of(slide: Slide) -> str:
    return shown(slide.path.as_posix())


def _put(file: Path, content: bytes | Path) -> None:
    """Write a file whole, or move it to its place."""
    if isinstance(content, Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        os.replace(content, file)
    else:
        write_whole(file, content)
