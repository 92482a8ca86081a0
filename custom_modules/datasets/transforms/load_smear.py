"""Load an image by the reader that preparation and prediction use too."""

from __future__ import annotations

from pathlib import Path

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.logging import MMLogger

from cellkit.files.pictures import decode_picture, read_bytes
from cellkit.files.stored import Whites


@TRANSFORMS.register_module()
class LoadSmear(BaseTransform):
    """:class:`mmcv.transforms.LoadImageFromFile` that reads files by what they say of themselves.

    Required keys: ``img_path``, and ``white`` (as `make prepare` writes it) for images of more than
    8 bits whose tags don't tell their depth: without it an image's own values decide, and a message
    says so once. Added: ``img`` (H, W, 3) uint8 BGR, ``img_shape``, ``ori_shape``.

    Raises:
        BadFile: The image can't be read.
    """

    _told = False

    def transform(self, results: dict) -> dict:
        """Read ``results['img_path']``."""
        file = str(results['img_path'])
        whites = Whites.of(results.get('white'))
        # Preparation has looked for damage: a second time in every epoch would double the cost.
        picture = decode_picture(read_bytes(Path(), file), file, whites, check=False)
        if picture.white is not None and 'white' not in results and not self._told:
            self._told = True
            MMLogger.get_current_instance().warning(
                f'{file} {"; ".join(picture.remarks)}: its own values decide, as the annotations '
                'give no `white`; `make prepare` finds one for all images (said once)'
            )
        results['img'] = picture.pixels
        results['img_shape'] = results['ori_shape'] = picture.pixels.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
