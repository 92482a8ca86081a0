"""The prepared blood-cell data set, checked before the first step."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger

from cellkit.cell_scale import cell_scale_of
from cellkit.errors import UserError
from cellkit.files.program import quiet
from cellkit.instances import CLASSES


def _repeated(ids: list[Any]) -> list[Any]:
    return [key for key, count in Counter(ids).items() if count > 1]


def find_problems(coco: Any, classes: tuple[str, ...] = CLASSES) -> list[str]:
    """What stops a COCO dictionary from being this project's data set.

    Args:
        coco: Parsed JSON.
        classes: Class names in the order of their category ids, which start at 1.

    Returns:
        One phrase a problem, none if all is well.
    """
    parts = ('images', 'annotations', 'categories')
    missing = [part for part in parts if not isinstance(coco, dict) or part not in coco]
    if missing:
        return [f'it has no {", no ".join(missing)}']
    problems = []
    wanted = dict(enumerate(classes, start=1))
    found = {category.get('id'): category.get('name') for category in coco['categories']}
    if found != wanted:
        problems.append(f'its categories are {found} where {wanted} is expected')
    image_ids = [image['id'] for image in coco['images']]
    if not image_ids:
        problems.append('it lists no images')
    for part in ('images', 'annotations'):
        if repeated := _repeated([item['id'] for item in coco[part]]):
            problems.append(f'{part} share the id {repeated[0]} ({len(repeated)} such ids)')
    known = set(image_ids)
    if lost := [ann['id'] for ann in coco['annotations'] if ann['image_id'] not in known]:
        problems.append(f'annotation {lost[0]} belongs to no image ({len(lost)} such annotations)')
    if odd := [ann['id'] for ann in coco['annotations'] if ann['category_id'] not in wanted]:
        problems.append(f'annotation {odd[0]} has an unknown category ({len(odd)} such ones)')
    sizes = {image['id']: (image['width'], image['height']) for image in coco['images']}
    if bad := [a['id'] for a in coco['annotations'] if not _is_inside(a, sizes)]:
        problems.append(
            f'the box of annotation {bad[0]} has no area or lies outside its image ({len(bad)} '
            'such ones), so training would leave it out and evaluation would not'
        )
    return problems


def _is_inside(annotation: dict, sizes: dict[Any, tuple[int, int]]) -> bool:
    """Whether MMDetection would train on an annotation's box."""
    left, top, width, height = annotation['bbox']
    columns, rows = sizes.get(annotation['image_id'], (left + width, top + height))
    inside = min(left + width, columns) > max(left, 0) and min(top + height, rows) > max(top, 0)
    return inside and width >= 1 and height >= 1 and annotation['area'] > 0


@DATASETS.register_module()
class BCCDDataset(CocoDataset):
    """Cells of stained blood smears in COCO format, as ``make prepare`` writes it.

    A wrong file would otherwise train on nothing: ``CocoDataset`` skips what it does not know.

    Raises:
        UserError: The annotation file is not there or not this project's data set, or an image is
            not there or can't be read.
    """

    METAINFO = dict(classes=CLASSES, palette=[(220, 20, 60)])

    def load_data_list(self) -> list[dict]:
        """Reads and checks the annotation file."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise UserError(
                f'{path} is not there: run `make prepare`, or point DATA_ROOT at a prepared folder'
            )
        content = path.read_bytes()
        try:
            coco = json.loads(content)
        except ValueError as error:
            raise UserError(f'{path} is not JSON ({error}): run `make prepare` again') from error
        if problems := find_problems(coco):
            raise UserError(
                f'{path} cannot be used because {"; ".join(problems)}: run `make prepare` again'
            )
        if not self.test_mode and not any(not a.get('iscrowd') for a in coco['annotations']):
            raise UserError(
                f'{path} has no cell to train on: its {len(coco["annotations"])} annotations are '
                'crowd regions, which training leaves out; run `make prepare` again'
            )
        # Checkpoints hold the training set's metainfo: whoever evaluates one can tell whether the
        # data are still the same.
        self._metainfo['annotations_sha256'] = digest = hashlib.sha256(content).hexdigest()
        if not self.test_mode:
            MMLogger.get_current_instance().info(f'Training data: {path}, SHA-256 {digest}')
            # Pictures of another magnification are known by it.
            if scale := cell_scale_of(coco):
                self._metainfo['cell_scale'] = scale.as_dict()
        with quiet():  # pycocotools talks
            data_list = super().load_data_list()
        lost = [info['img_path'] for info in data_list if not Path(info['img_path']).is_file()]
        if lost:
            raise UserError(
                f'{lost[0]} and {len(lost) - 1} more of the {len(data_list)} images listed in '
                f'{path} are not there: was the data moved? Run `make prepare` again'
            )
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """Adds ``white``, the value that is white in an image of more than 8 bits, if it is so."""
        info = super().parse_data_info(raw_data_info)
        if (white := raw_data_info['raw_img_info'].get('white')) is not None:
            info['white'] = white
        return info

    def prepare_data(self, idx: int) -> Any:
        """As MMEngine's; an image that can't be read is named."""
        try:
            return super().prepare_data(idx)
        except UserError:
            raise  # it names the file
        except Exception as error:
            path = Path(self.get_data_info(idx)['img_path'])
            if _is_readable(path):
                raise  # the image is not to blame
            raise UserError(
                f"{path} can't be read as an image: replace it, or run `make prepare` again with "
                'ARGS=--skip-bad'
            ) from error


def _is_readable(path: Path) -> bool:
    try:
        return path.stat().st_size > 0 and cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
    except (OSError, cv2.error):
        return False
