"""The benchmark of prediction, on untrained weights and a small picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks import predict
from benchmarks.harness import ROOT
from cellkit.smears.smear import draw_smear


@pytest.mark.slow
def test_every_way_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config.fromfile(ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py')
    config.test_dataloader.dataset.pipeline[1].scale = (160, 120)
    config.model.test_cfg.rcnn.max_per_img = 5
    init_default_scope('mmdet')
    torch.manual_seed(0)
    weights = MODELS.build(config.model).state_dict()
    run = tmp_path / 'run'
    run.mkdir()
    meta = {'cfg': config.pretty_text, 'dataset_meta': {'classes': ('cell',)}}
    torch.save({'state_dict': weights, 'meta': meta}, run / 'epoch_1.pth')
    smear, _ = draw_smear(np.random.default_rng(0), (120, 160))
    cv2.imwrite(str(tmp_path / 'a.png'), smear)
    monkeypatch.setattr(predict, 'program', lambda *args: 1.0)  # tested with the program
    text = predict.run(run, tmp_path / 'a.png', rounds=1)
    for way in (predict.OURS, predict.NETWORK, predict.STOCK, predict.SAMPLES, predict.DRAWN):
        assert f'| {way} |' in text
    assert 'float32' in text
    assert 'of the cores at other work' in text
