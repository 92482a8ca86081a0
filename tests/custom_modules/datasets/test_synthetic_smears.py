"""Smears drawn in the data loader: the same by index, others by index, labels as loaded ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from cellkit.label_maps import areas_and_boxes
from custom_modules import SyntheticSmears
from custom_modules.datasets.synthetic_smears import scene

ROOT = Path(__file__).parents[3]
SMALL = dict(size=(120, 160), scale=(0.25, 0.4))


def test_a_field_depends_on_seed_and_index_alone() -> None:
    first, again = SyntheticSmears([], **SMALL), SyntheticSmears([], **SMALL)
    other = SyntheticSmears([], seed=1, **SMALL)
    again.draw(3)
    for index in (7, 8):
        for one, two in zip(first.draw(index), again.draw(index), strict=True):
            np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.draw(7)[0], first.draw(8)[0])
    assert not np.array_equal(first.draw(7)[0], other.draw(7)[0])


def test_annotations_are_those_of_the_map() -> None:
    dataset = SyntheticSmears([], **SMALL)
    results = dataset[0]
    image, label_map = dataset.draw(0)
    np.testing.assert_array_equal(results['img'], image)
    number = int(label_map.max())
    assert number == len(results['gt_masks']) == len(results['gt_bboxes_labels'])
    areas, boxes = areas_and_boxes(label_map, number)
    np.testing.assert_array_equal(results['gt_masks'].areas, areas[1:])
    np.testing.assert_array_equal(results['gt_bboxes'].tensor.numpy(), boxes[1:])


def test_kept_fields_are_found_again_and_belong_to_their_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = SyntheticSmears([], keep=tmp_path, **SMALL).draw(4)
    monkeypatch.setattr(scene, 'draw_smear', None)  # nothing is drawn from here on
    for one, two in zip(drawn, SyntheticSmears([], keep=tmp_path, **SMALL).draw(4), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(TypeError):
        SyntheticSmears([], keep=tmp_path, **SMALL | dict(seed=2)).draw(4)
    assert [file.suffix for file in tmp_path.rglob('*.*')] == ['.npz']


def test_a_field_without_cells_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = SyntheticSmears([], length=3, **SMALL)
    full, empty = dataset.draw(0), np.zeros(SMALL['size'], np.uint8)
    monkeypatch.setattr(dataset, 'draw', lambda i: full if i == 1 else (full[0], empty))
    assert dataset[2]['img_id'] == 1  # 2 and 0 hold none


def test_batches_come_from_a_loader_with_workers() -> None:
    init_default_scope('mmdet')
    config = Config.fromfile(ROOT / 'configs/box_hybrid_mask_rcnn.py')
    loader = config.train_dataloader
    loader.dataset.size = (400, 540)
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    assert [item.shape for item in batch['inputs']] == [torch.Size([3, 384, 512])] * 4
    cells = [len(sample.gt_instances) for sample in batch['data_samples']]
    assert min(cells) >= 1
    assert len({batch['data_samples'][k].img_id for k in range(4)}) == 4
