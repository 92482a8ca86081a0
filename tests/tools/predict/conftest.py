"""A detector that thresholds, runs that hold it and pictures that it finds cells in."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from cellkit.instances import label_instances
from cellkit.rle import encode_label_map


@MODELS.register_module(force=True)
class ThresholdDetector(BaseModel):
    """Finds every dark component; the darker, the higher the score."""

    seen: list[tuple[int, int]] = []
    bitmaps = False
    knows: tuple[float, float] | None = None  # diameters in the network's picture; any when None
    error: BaseException | None = None

    def __init__(self, test_cfg: dict, width: int = 3) -> None:
        super().__init__(data_preprocessor={'type': 'mmdet.DetDataPreprocessor'})
        self.test_cfg = test_cfg
        self.layer = torch.nn.Linear(width, 1)

    def forward(
        self, inputs: torch.Tensor, data_samples: list[DetDataSample], mode: str = 'tensor'
    ) -> list[DetDataSample]:
        if self.error:
            raise self.error
        sample = data_samples[0]
        grey = inputs[0].mean(dim=0).numpy()
        self.seen.append(grey.shape)
        height, width = sample.ori_shape
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_NEAREST)
        label_map, _ = label_instances(grey < 200, min_area=20)
        count = int(label_map.max())
        scores = np.array([1 - grey[label_map == k].mean() / 255 for k in range(1, count + 1)])
        above = np.flatnonzero(scores > self.test_cfg['rcnn']['score_thr'])
        if self.knows:
            areas = np.bincount(label_map.ravel(), minlength=count + 1)[1:]
            across = np.sqrt(4 * areas / np.pi) * float(np.min(sample.scale_factor))
            above = above[(across[above] > self.knows[0]) & (across[above] < self.knows[1])]
        above = above[: self.test_cfg['rcnn']['max_per_img']]
        rles = encode_label_map(label_map, count)
        masks = [rles[k] for k in above]
        if self.bitmaps:
            bitmaps = [torch.from_numpy(label_map == k + 1) for k in above]
            masks = torch.stack(bitmaps) if bitmaps else torch.zeros((0, height, width), dtype=bool)
        sample.pred_instances = InstanceData(
            scores=torch.tensor(scores[above], dtype=torch.float32),
            bboxes=torch.zeros((len(above), 4)),  # nothing here reads them
            labels=torch.zeros(len(above), dtype=torch.int64),
            masks=masks,
        )
        return [sample]


class Lab:
    """Fills the working folder of a test."""

    width, height = 160, 120
    config = f"""
default_scope = 'mmdet'
model = dict(
    type='ThresholdDetector', test_cfg=dict(rcnn=dict(score_thr=0.05, max_per_img=50)))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=({width}, {height}), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'scale_factor')),
]
test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=test_pipeline))
"""
    three_cells = ((40, 40, 15, 20), (100, 60, 12, 40), (159, 100, 10, 60))
    """Scores 0.92, 0.84 and 0.76; the last one at the border."""

    def run(
        self, name: str = 'run', file: str = 'best_coco_segm_mAP_iter_20.pth', **content: object
    ) -> Path:
        """A run folder with a config and a checkpoint."""
        run = Path('work_dirs', name)
        run.mkdir(parents=True, exist_ok=True)
        (run / 'config.py').write_text(self.config)
        weights = {'layer.weight': torch.zeros(1, 3), 'layer.bias': torch.zeros(1)}
        torch.save({'state_dict': weights, 'meta': {}, **content}, run / file)
        return run

    def picture(
        self, *cells: tuple[int, int, int, int], size: tuple[int, int] = (height, width)
    ) -> np.ndarray:
        """White with discs ``(x, y, radius, grey)``; the score is 1 - grey / 255."""
        picture = np.full((*size, 3), 255, np.uint8)
        y, x = np.mgrid[: size[0], : size[1]]
        for at_x, at_y, radius, grey in cells:
            picture[np.hypot(x - at_x, y - at_y) <= radius] = grey
        return picture

    def write(
        self, path: str, *cells: tuple[int, int, int, int], size: tuple[int, int] = (height, width)
    ) -> Path:
        """A file with such a picture; by default of three cells."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(path, self.picture(*(cells or self.three_cells), size=size))
        return Path(path)

    def write_empty(self, path: str) -> Path:
        """A file with a picture without a cell."""
        return self.write(path, (0, 0, 0, 255))

    def table(self, path: str | Path) -> list[dict[str, str]]:
        """The rows of a CSV file."""
        with Path(path).open(encoding='utf-8-sig') as file:
            return list(csv.DictReader(file))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """An empty working folder without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    return Lab()


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> type[ThresholdDetector]:
    """The detector's class; what a test sets on it is undone."""
    for name, value in (('seen', []), ('bitmaps', False), ('error', None), ('knows', None)):
        monkeypatch.setattr(ThresholdDetector, name, value)
    return ThresholdDetector
