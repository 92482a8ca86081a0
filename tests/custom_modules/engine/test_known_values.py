"""The value that chooses the best checkpoint is one that validation gives."""

import json
from pathlib import Path

import pytest
from mmdet.registry import METRICS
from mmengine.hooks import CheckpointHook

from cellkit.errors import UserError
from cellkit.metrics.records import VALUES
from custom_modules.engine.known_values import check_save_best, check_truth
from custom_modules.engine.validation_loss import ValidationLossHook


@pytest.fixture
def metrics(tmp_path: Path) -> list:
    file = tmp_path / 'val.json'
    file.write_text(json.dumps({'images': [], 'annotations': []}))
    kinds = ('DenseCocoMetric', 'PixelDice', 'CountError', 'InstanceMetrics')
    return [METRICS.build(dict(type=kind, ann_file=str(file))) for kind in kinds]


def hooks(*names: str) -> list:
    rules = ['greater'] * len(names)
    return [ValidationLossHook(), CheckpointHook(save_best=list(names), rule=rules)]


def test_every_value_of_the_tables_may_choose(metrics: list) -> None:
    check_save_best(hooks(*(key for key, *_ in VALUES), 'val_loss', 'val_loss_mask'), metrics)
    check_save_best([CheckpointHook(save_best='auto')], [])


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [('coco/segm_mAPP', 'coco/segm_mAP'), ('pixel/dise', 'pixel/dice'), ('loss', 'val_loss')],
)
def test_an_unknown_one_is_told_with_the_nearest(metrics: list, name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f'save_best={name}: .* the nearest is {nearest}'):
        check_save_best(hooks(name), metrics)


def test_a_loss_wants_its_hook(metrics: list) -> None:
    with pytest.raises(UserError, match='save_best=val_loss'):
        check_save_best(hooks('val_loss')[1:], metrics)


def test_a_validation_part_without_cells_is_told(metrics: list) -> None:
    with pytest.raises(UserError, match=r'val\.json has no cell: no checkpoint can be the best'):
        check_truth(metrics)
