"""Which images a part of a run's data is."""

from pathlib import Path

import pytest
from mmengine.config import Config

from cellkit.errors import UserError
from tools.runs.predictions import part_dataset

CONFIGS = Path(__file__).parents[3] / 'configs'


def test_images_that_were_drawn_are_no_part() -> None:
    config = Config.fromfile(CONFIGS / 'box_hybrid_mask_rcnn.py')
    with pytest.raises(UserError, match='the train images of the run are no files'):
        part_dataset(config, 'train')
