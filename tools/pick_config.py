"""Picks the config that fits the machine and the prepared data; `make train` uses it.

python -m tools.pick_config     # the config on stdout, the reason on stderr
"""

import json
import os
import sys
from pathlib import Path

GPU = 'configs/bccd_vitb_mask_rcnn.py'
CPU = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
DEMO = 'configs/bccd_hybrid_mask_rcnn_demo.py'


def is_demo(data_root: Path) -> bool:
    """Whether a prepared data set was made from synthetic smears.

    Raises:
        FileNotFoundError: There is no prepared data set.
    """
    if not (data_root / 'annotations' / 'train.json').is_file():
        raise FileNotFoundError(f'{data_root} holds no prepared data: run `make prepare` first.')
    split = data_root / 'split.json'
    return split.is_file() and bool(json.loads(split.read_text()).get('demo'))


def pick(gpu: bool, demo: bool) -> tuple[str, str]:
    """The config and the reason for it."""
    if gpu:
        return GPU, 'there is a GPU'
    if demo:
        return DEMO, 'there is no GPU and the data is the synthetic demo set'
    return CPU, 'there is no GPU'


def main() -> int:
    try:
        demo = is_demo(Path(os.environ.get('DATA_ROOT') or 'data/bccd'))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    import torch  # late: a missing data set is told at once

    config, reason = pick(torch.cuda.is_available(), demo)
    print(f'Training {config}: {reason} (CONFIG=… picks another).', file=sys.stderr)
    print(config)
    return 0


if __name__ == '__main__':
    sys.exit(main())
