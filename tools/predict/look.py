"""Look at one picture: read it, find its cells, measure and draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

from cellkit.errors import BadFile
from cellkit.files import regions
from cellkit.files.pictures import read_picture
from cellkit.files.regions import open_regions
from cellkit.files.stored import Whites
from cellkit.metrics.calibrated import Calibration
from tools.predict.detector import Detector
from tools.predict.large import large_outcome, look_at_tiles
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
    """

    def __init__(
        self,
        detector: Detector,
        run: Callable[[Callable, Iterable], Iterable],
        progress: Callable[..., Iterable],
        whites: Whites,
        calibration: Calibration | None = None,
    ) -> None:
        self.detector, self.run, self.progress = detector, run, progress
        self.whites, self.calibration = whites, calibration
        self._one_at_a_time = Lock()  # of pictures that take a gigabyte

    def whole(
        self, slide: Slide, formats: Sequence[str], pixel_size: float | None
    ) -> tuple[Outcome, Sequence[str]]:
        """Look at a picture that is read whole; returns remarks too, that go on after its name."""
        picture, remarks, *_ = read_picture(slide.path, self.whites)
        large = picture.shape[0] * picture.shape[1] > regions.LARGE
        with self._one_at_a_time if large else nullcontext():
            found = self.detector(picture, self.run, self.progress)
            outcome = outcome_of(
                str(slide.path), picture, found, formats, pixel_size, self.calibration
            )
        if large and not self.detector.tile:
            said = 'is large and was shrunk to the size of one training image: is --tile meant?'
            remarks = (*remarks, said)
        return outcome, (*remarks, *self._limit(found.full, 'work in tiles (--tile)'))

    def large(
        self, slide: Slide, formats: Sequence[str], pixel_size: float | None, folder: Path
    ) -> tuple[Outcome, Sequence[str]]:
        """Look at a picture that is read by regions, always in tiles.

        What is in the folder from a run that was killed is taken from there.
        """
        detector = self.detector if self.detector.tile else self.detector.in_tiles(TILE)
        with self._one_at_a_time, open_regions(slide.path) as picture:
            if picture.size[0] * picture.size[1] > MOST:
                what = f'has more than {MOST} pixels, which run lengths in COCO JSON do not reach'
                raise BadFile(str(slide.path), what, 'cut it into parts')
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
        if not self.detector.tile:
            height, width = TILE
            remarks.append(
                f'is large and was done in tiles of {width}x{height} pixels; name the size of the '
                'training images with --tile if it is another'
            )
        return outcome, remarks

    def _limit(self, full: bool, remedy: str) -> list[str]:
        limit = self.detector.limit
        said = f'has as many detections as the model gives at once ({limit})'
        return [f'{said}, so cells may be missing: {remedy}'] if full else []
