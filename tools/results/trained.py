"""What one evaluated run is: how it was trained, what that took, and what it measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.writing import read_object
from cellkit.metrics.records import ImageRecord
from tools.runs.run import BOX, Run, evaluation_stem, run_folder, step_of


class Trained(NamedTuple):
    """An evaluated run.

    Attributes:
        folder: Of the evaluation.
        result: The evaluation.
        data: Training images, in words.
        encoder: Its kind, in words.
        start: ``"box"``, ``"pretrained"``, ``"scratch"``, or the checkpoint's name.
        seed: Of training; None where it is not known.
        steps: Of training.
        device: It was trained on.
        minutes: Spent in training steps.
        gib: Greatest memory of the process, or of the GPU, GiB; nan where none was logged.
    """

    folder: Path
    result: Mapping[str, Any]
    data: str
    encoder: str
    start: str
    seed: int | None
    steps: int
    device: str
    minutes: float
    gib: float

    def records(self) -> list[ImageRecord]:
        """One an image, from the predictions that were evaluated.

        Raises:
            UserError: They are not there any more.
        """
        from tools.runs.predictions import read_predictions  # late: it takes seconds

        file = self.folder / self.result['predictions']
        try:
            found = read_predictions(file)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file}: can't be read ({error}); evaluate {self.folder} again with --fresh"
            ) from error
        return found.measure(GroundTruth(Path(found.about['annotations'])))


def read_trained(folder: Path, part: str) -> Trained:
    """Read an evaluated run.

    Args:
        folder: Of the evaluation: the run's, or its ``tta``.
        part: Which evaluation.

    Raises:
        UserError: It has not been evaluated.
    """
    file = folder / f'{evaluation_stem(part)}.json'
    result = read_object(file)
    if not result:
        raise UserError(f'{file} is not there: run `python -m tools.evaluate {folder}` first')
    run = Run(run_folder(folder, result))
    log, record = run.log, read_object(run.folder / 'run.json')
    starts = record.get('starts') or [{}]
    images = (starts[-1].get('data') or {}).get('images')
    logged = int(log.train[-1]['step']) if log.train else 0
    steps = step_of(str(result.get('checkpoint')))
    encoder, start = _origin(run)
    return Trained(
        folder,
        result,
        f'{images} images' if images else 'not known',
        encoder,
        start,
        record.get('seed'),
        steps[1] if steps and steps[0] == 'iter' else logged,
        log.device or 'not known',
        log.step_seconds / 60,
        log.memory_mb / 1024 if log.memory_mb else log.process_gib or math.nan,
    )


def _origin(run: Run) -> tuple[str, str]:
    """Encoder and start, by the config."""
    from mmengine.config import Config  # late: it takes seconds

    file = run.config_file
    if file is None:
        return 'not known', 'not known'
    config = Config.fromfile(file, import_custom_modules=False)
    model = config.model.get('detector') or config.model
    backbone = model.get('backbone') or {}
    arch = backbone.get('arch')
    encoder = ' '.join(filter(None, (backbone.get('type'), arch if isinstance(arch, str) else '')))
    if load_from := config.get('load_from'):
        from_box = Path(load_from).parent.name == BOX.name
        return encoder, 'box' if from_box else Path(load_from).stem
    pretrained = (backbone.get('init_cfg') or {}).get('checkpoint')
    return encoder, 'pretrained' if pretrained else 'scratch'


def same_images(runs: Sequence[Trained]) -> None:
    """See to it that all were scored on the same images.

    Raises:
        UserError: Two of them were not.
    """
    for one in runs[1:]:
        if one.result['annotations_sha256'] != runs[0].result['annotations_sha256']:
            raise UserError(
                f'{one.folder} and {runs[0].folder} were scored on other images: evaluate one of '
                'them again with --data'
            )
