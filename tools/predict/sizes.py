"""The pixel size of each picture: the user's, else what its file tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cellkit.files.pixel_size import PixelSize, pixel_size_of
from tools.predict.slides import Slide


class Sizes:
    """Micrometres a pixel.

    Args:
        slides: The pictures.
        given: What the user says of all; files are asked when None.
    """

    def __init__(self, slides: Sequence[Slide], given: float | None) -> None:
        self._given = given
        found = {} if given else {slide: pixel_size_of(slide.path) for slide in slides}
        self._found = {slide: size for slide, size in found.items() if size}
        self._all = len(self._found) == len(slides)

    def of(self, slide: Slide) -> float | None:
        """Of a picture; None where nothing tells it."""
        return self._given or (self._found[slide].value if slide in self._found else None)

    @property
    def known(self) -> bool:
        """Whether that of any picture is known."""
        return bool(self._given or self._found)

    @property
    def common(self) -> float | None:
        """The one that all pictures have; None if they differ or some have none."""
        values = {size.value for size in self._found.values()}
        return self._given or (values.pop() if self._all and len(values) == 1 else None)

    def said(self) -> list[str]:
        """A sentence for each size that files tell, without a full stop."""
        slides: dict[PixelSize, list[Slide]] = {}
        for slide, size in self._found.items():
            slides.setdefault(size, []).append(slide)
        return [
            f'{size.value:g} µm a pixel, as {size.source} in {_named(some)} has it; --pixel-size '
            'overrides it'
            for size, some in slides.items()
        ]

    def noted(self) -> dict[str, Any]:
        """For ``settings.json``."""
        told = {slide.shown: size.value for slide, size in self._found.items()}
        return {'pixel_sizes_um_of_files': told} if told else {}


def _named(slides: Sequence[Slide]) -> str:
    return slides[0].shown if len(slides) == 1 else f'{len(slides)} pictures'
