"""Runs `mim` without its traceback: the training script has said what is wrong already.

python -m tools.train.run_mim train mmdet configs/bccd_vitb_mask_rcnn.py
"""

import subprocess
import sys
import warnings

from cellkit.files.program import hand_on_signals

warnings.filterwarnings('ignore', message='pkg_resources is deprecated')

from mim.cli import cli  # noqa: E402


def main() -> int:
    """Exit status of the program that mim started, 128 + signal if it was killed."""
    received = hand_on_signals()
    try:
        cli(prog_name='mim')
    except subprocess.CalledProcessError as error:
        if received:  # torch's launcher has a status of its own
            return 128 + received[0]
        return error.returncode if error.returncode > 0 else 128 - error.returncode
    return 0


if __name__ == '__main__':
    sys.exit(main())
