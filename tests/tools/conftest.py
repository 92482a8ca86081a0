"""What the tests of several programs share: a made-up training log."""

import json
from pathlib import Path

import pytest


class Log:
    """Writes what MMEngine logs."""

    @staticmethod
    def train(step: int, **more: float) -> dict:
        """A training entry."""
        loss = 100 / (step + 10)
        return {'loss': loss, 'loss_mask': loss / 2, 'lr': 0.1, 'time': 0.5, 'step': step} | more

    @staticmethod
    def val(value: float, step: int = 0) -> dict:
        """A validation entry."""
        return {'coco/segm_mAP': value, 'pixel/dice_pooled': value, 'time': 9.0, 'step': step}

    @staticmethod
    def write(run: Path, stamp: str, entries: list[dict], tail: str = '') -> None:
        """The scalars of one start of a run, with a last line that may be cut off."""
        folder = run / stamp / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, entries)) + '\n' + tail)


@pytest.fixture
def log() -> type[Log]:
    return Log
