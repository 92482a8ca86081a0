"""The recipes that are compared: a name, a config, and what it says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

NOTHING: Mapping[str, Any] = MappingProxyType({})
BASELINE = 'baseline'


class Recipe(NamedTuple):
    """How a run is trained and scored.

    Attributes:
        config: Of a config file, below ``configs/``; one that is not there has not been measured.
        overrides: Values by dotted key. The number of steps, the seed and how often is validated
            are the same for all.
        tested: The recipe whose runs are scored, where nothing else is trained for this one.
        tta: Score with test-time augmentation.
    """

    config: str
    overrides: Mapping[str, Any] = NOTHING
    tested: str | None = None
    tta: bool = False


CPU = 'bccd_hybrid_mask_rcnn_cpu'
PIPELINE = 'train_dataloader.dataset.pipeline'

RECIPES = {
    BASELINE: Recipe(f'{CPU}.py'),
    'tta': Recipe(f'{CPU}.py', tested=BASELINE, tta=True),
    'scratch': Recipe(f'{CPU}.py', {'load_from': None, 'optim_wrapper.optimizer.lr': 1e-3}),
    'no_swap': Recipe(f'{CPU}.py', {f'{PIPELINE}.6.swap_channels': False}),  # of colours
    'geometry': Recipe(f'augment/{CPU}_geometry.py'),
    'optics': Recipe(f'augment/{CPU}_optics.py'),
    'colour': Recipe(f'augment/{CPU}_colour.py'),
    'copy_paste': Recipe(f'augment/{CPU}_copy_paste.py'),
    'copy_paste_tta': Recipe(f'augment/{CPU}_copy_paste.py', tested='copy_paste', tta=True),
    'mild': Recipe(f'augment/{CPU}_mild.py'),  # the three before
    'mild_tta': Recipe(f'augment/{CPU}_mild.py', tested='mild', tta=True),
    'large_scale': Recipe(f'augment/{CPU}_large_scale.py'),
    'all': Recipe(f'augment/{CPU}_all.py'),
    'patches': Recipe(f'patches/{CPU}_patches.py'),
    'ema': Recipe(f'recipes/{CPU}_ema.py'),
    'multi_scale': Recipe(f'recipes/{CPU}_multi_scale.py'),
    'cascade': Recipe('recipes/bccd_hybrid_cascade_mask_rcnn_cpu.py'),
    'point_rend': Recipe('recipes/bccd_hybrid_point_rend_cpu.py'),
}
"""By name; the tables have them in this order."""
