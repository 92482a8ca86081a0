"""Look at one picture: read it, find its cells, measure and draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np

from cellkit.errors import BadFile
from cellkit.files import regions
from cellkit.files.pictures import read_picture
from cellkit.files.regions import open_regions
from cellkit.files.stored import Whites
from cellkit.metrics.calibrated import Calibration
from tools.predict.detector import Detector, Segmentation
from tools.predict.large import large_outcome, look_at_tiles
from tools.predict.magnification import Choice, Magnification
from tools.predict.outcome import Outcome, outcome_of
from tools.predict.slides import Slide
from tools.predict.tile_store import TileStore

TILE = (1200, 1600)
"""(height, width) of the tiles of a large picture: of the images of the BCCD set."""

MOST = (1 << 31) - 1
"""Pixels of the largest picture: pycocotools counts them in 32 bits."""


class Looker:
    """Looks at pictures, of which threads may have several in work.

    Args:
        detector: Finds the cells.
        run: As ``map``: calls the network.
        progress: Wraps the results of tiles, for a progress bar.
        whites: How pictures of more than 8 bits are read.
        calibration: Says how sure a score is, or None.
        magnification: Chooses the scale of each picture; None where the user has or none is known.
    """

    def __init__(
        self,
        detector: Detector,
        run: Callable[[Callable, Iterable], Iterable],
        progress: Callable[..., Iterable],
        whites: Whites,
        calibration: Calibration | None = None,
        magnification: Magnification | None = None,
    ) -> None:
        self.detector, self.run, self.progress = detector, run, progress
        self.whites, self.calibration = whites, calibration
        self.magnification = magnification
        self._one_at_a_time = Lock()  # of pictures that take a gigabyte

    def whole(
        self, slide: Slide, formats: Sequence[str], pixel_size: float | None
    ) -> tuple[Outcome, Sequence[str]]:
        """Look at a picture that is read whole; returns remarks too, that go on after its name."""
        picture, remarks, *_ = read_picture(slide.path, self.whites)
        large = picture.shape[0] * picture.shape[1] > regions.LARGE
        with self._one_at_a_time if large else nullcontext():
            found, choice = self._seen(picture, pixel_size)
            outcome = outcome_of(
                str(slide.path), picture, found, formats, pixel_size, self.calibration
            )
        outcome.values.update(scale=choice.scale, scale_from=choice.source)
        remarks = (*remarks, *filter(None, [choice.remark]))
        if large and not (self.detector.tile or choice.tile):
            said = 'is large and was shrunk to the size of one training image: is --tile meant?'
            remarks = (*remarks, said)
        return outcome, (*remarks, *self._limit(found.full, 'work in tiles (--tile)'))

    def _seen(self, picture: np.ndarray, pixel_size: float | None) -> tuple[Segmentation, Choice]:
        """The cells of a picture at the scale that fits."""
        asked, first = self.magnification, None
        if asked is None:
            return self.detector(picture, self.run, self.progress), self.by_hand
        choice = asked.of_pixel_size(pixel_size, picture.shape[:2])
        if choice is None:
            first = self.detector(picture, self.run, self.progress)
            choice = asked.of_picture(picture, first, self.run)
        detector = self.detector.in_tiles(choice.tile) if choice.tile else self.detector
        if choice.tile or first is None:
            first = detector(picture, self.run, self.progress)
        return first, choice

    @property
    def by_hand(self) -> Choice:
        """The scale of all pictures where none is chosen for each."""
        scale, tile = self.detector.scale, self.detector.tile
        return Choice(scale, 'as it is' if scale == 1 and not tile else 'given')

    def large(
        self, slide: Slide, formats: Sequence[str], pixel_size: float | None, folder: Path
    ) -> tuple[Outcome, Sequence[str]]:
        """Look at a picture that is read by regions, always in tiles.

        What is in the folder from a run that was killed is taken from there.
        """
        asked = self.magnification
        with self._one_at_a_time, open_regions(slide.path) as picture:
            if picture.size[0] * picture.size[1] > MOST:
                what = f'has more than {MOST} pixels, which run lengths in COCO JSON do not reach'
                raise BadFile(str(slide.path), what, 'cut it into parts')
            choice = self.by_hand
            if asked:
                choice = asked.of_pixel_size(pixel_size, asked.cells.size)
                choice = choice or asked.of_regions(picture, self.run)
            tile = choice.tile or self.detector.tile or (asked.cells.size if asked else TILE)
            detector = self.detector.in_tiles(tile)
            state = slide.path.stat()
            file = {'file': str(slide.path), 'bytes': state.st_size, 'changed': state.st_mtime_ns}
            store = TileStore(folder, file | detector.identity())
            look_at_tiles(detector, picture, store, self.run, self.progress)
            outcome, full = large_outcome(
                str(slide.path),
                detector,
                picture,
                store,
                formats,
                pixel_size,
                self.calibration,
            )
            remarks = [*picture.remarks, *self._limit(full, 'choose smaller tiles (--tile)')]
        outcome.values.update(scale=choice.scale, scale_from=choice.source)
        remarks += filter(None, [choice.remark])
        if not self.detector.tile:
            said = f'is large and was done in tiles of {tile[1]}x{tile[0]} pixels'
            sizes = '; name the size of the training images with --tile if it is another'
            remarks.append(said + ('' if asked else sizes))
        return outcome, remarks

    def _limit(self, full: bool, remedy: str) -> list[str]:
        limit = self.detector.limit
        said = f'has as many detections as the model gives at once ({limit})'
        return [f'{said}, so cells may be missing: {remedy}'] if full else []
