"""One evaluation at work: a run's config, its data and device, and what was measured so far."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, DictAction

from cellkit.metrics.evaluation import ImageRecord, measure_image
from cellkit.metrics.ground_truth import GroundTruth
from custom_modules.config_check import find_unread_settings
from tools.detector import pick_device
from tools.errors import UserError
from tools.fingerprint import sha256_of
from tools.part_predictions import (
    PartPredictions,
    Progress,
    annotation_file,
    part_dataset,
    predict_part,
)
from tools.run_folder import find_config, load_checkpoint, newest_run

if TYPE_CHECKING:
    from tools.evaluate import Chosen

STEP = re.compile(r'(epoch|iter)_\d+')


class Session:
    """A run opened for evaluation.

    Args:
        arguments: The command line of :mod:`tools.evaluate`.

    Attributes:
        folder: The run folder, or that of the first checkpoint.
        out: Where results are written.
        candidates: The checkpoints among which validation decides.
        named: Whether the user named them, and not the run.
        steps: All regular checkpoints of the run, in order of training.

    Raises:
        UserError: The run or its config can't be used.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        named = arguments.run or [newest_run(Path('work_dirs'))]
        if not arguments.run:
            print(f'run: {named[0]} (the newest)', flush=True)
        self.folder = named[0] if named[0].is_dir() else named[0].parent
        self.out = arguments.out or self.folder
        self.data, self.fresh = arguments.data, arguments.fresh
        self.device = pick_device(arguments.device)
        self.candidates = find_candidates(named)
        self.named = named[0].is_file()
        self.steps = steps(self.folder)
        content = load_checkpoint(self.candidates[0])
        self.config, self.config_source = find_config(self.folder, content, arguments.config)
        self._change(arguments.cfg_options or [])
        self._trained_on = (content.get('meta') or {}).get('dataset_meta') or {}
        self._weights: tuple[Path, Any] = self.candidates[0], content['state_dict']
        self._predictions: dict[tuple[Path, str], PartPredictions] = {}

    def _change(self, options: Sequence[str]) -> None:
        """Take the user's changes into the config."""
        if not options:
            return
        changed = argparse.Namespace(cfg_options=None)
        shell = argparse.ArgumentParser(prog='evaluate')
        shell.add_argument('--cfg-options', nargs='+', action=DictAction)
        shell.parse_args(['--cfg-options', *options], changed)
        before = Config(self.config.to_dict())
        try:
            self.config.merge_from_dict(changed.cfg_options)
        except (KeyError, TypeError, AssertionError) as error:
            raise UserError(f"--cfg-options can't be applied: {error}") from error
        if problems := find_unread_settings(before.to_dict(), self.config.to_dict()):
            raise UserError(f'--cfg-options: {"; ".join(problems)}')

    @staticmethod
    def bar(title: str, unit: str) -> Callable:
        """A progress bar to wrap something with."""
        return partial(Progress, desc=title, unit=unit, leave=False)

    def predictions(self, checkpoint: Path, part: str) -> PartPredictions:
        """What a checkpoint predicts on a part; predicted at most once.

        Raises:
            UserError: The data or the checkpoint can't be used.
        """
        key = checkpoint, part
        if key not in self._predictions:
            if self._weights[0] != checkpoint:
                self._weights = checkpoint, load_checkpoint(checkpoint)['state_dict']
            found = predict_part(
                self.config,
                checkpoint,
                self._weights[1],
                part,
                self.device,
                self.out / 'predictions',
                self.data,
                self.fresh,
            )
            if found.reused:
                print(f'predictions on {part}: as they are in {found.file}', flush=True)
            self._predictions[key] = found
        return self._predictions[key]

    def measure(
        self,
        checkpoint: Path,
        part: str,
        thresholds: Sequence[float],
        instances: bool = True,
    ) -> list[ImageRecord]:
        """Records of a part's images.

        Raises:
            UserError: See :meth:`predictions`; or the annotations are of other images.
        """
        found = self.predictions(checkpoint, part)
        bar = self.bar(f'measuring {part}', 'image')
        try:
            truth = GroundTruth(found.about['annotations'])
            return [
                measure_image(image_id, truth[image_id], results, thresholds, instances)
                for image_id, results in bar(sorted(found.results.items()))
            ]
        except (FileNotFoundError, ValueError) as error:
            raise UserError(str(error).rstrip('.')) from error

    def limit(self, checkpoint: Path, part: str) -> int | None:
        """How many detections an image the model gives at most."""
        return self.predictions(checkpoint, part).about['max_per_img']

    def changed_training_data(self) -> list[str]:
        """A sentence if the training part is not the one that the model was trained on."""
        before = self._trained_on.get('annotations_sha256')
        try:
            file = annotation_file(part_dataset(self.config, 'train', self.data))
        except UserError:
            return []
        if before is None or sha256_of(file) == before:
            return []
        return [
            f'{file} is not the training part that the model was trained on (other data, another '
            'split or other options), so it may have been trained on images of this part'
        ]

    def describe(self, chosen: Chosen, part: str) -> dict[str, Any]:
        """What the figures were made from."""
        found = self.predictions(chosen.file, part)
        truth = GroundTruth(found.about['annotations'])
        return {
            'part': part,
            'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
            'checkpoint': chosen.file.name,
            'checkpoint_sha256': found.about['checkpoint_sha256'],
            'checkpoint_chosen': chosen.how,
            'checkpoint_candidates': chosen.candidates,
            'config': self.config_source,
            'config_sha256': hashlib.sha256(self.config.pretty_text.encode()).hexdigest(),
            'annotations': found.about['annotations'],
            'annotations_sha256': found.about['annotations_sha256'],
            'trained_on_sha256': self._trained_on.get('annotations_sha256'),
            'number_of_images': len(truth),
            'number_of_cells': sum(len(image.rles) for image in truth.images.values()),
            'predictions': str(found.file.relative_to(self.out)),
            'device': found.about['device'],
            'seconds_per_image': found.about['seconds_per_image'],
            'memory': found.about.get('memory'),
        }


def find_candidates(named: Sequence[Path]) -> list[Path]:
    """The checkpoints among which validation decides.

    Args:
        named: One run folder, or checkpoint files.

    Returns:
        The files that were named; of a run the one that training marked as best, or all if it
        marked none or, by several measures, several.

    Raises:
        UserError: There is none.
    """
    folders = [path for path in named if path.is_dir()]
    if not folders:
        if missing := [path for path in named if not path.is_file()]:
            raise UserError(
                f'{missing[0]}: there is no such run folder or checkpoint; name a folder in '
                'work_dirs or a .pth file'
            )
        if len({path.resolve().parent for path in named}) > 1:
            raise UserError('the checkpoints lie in several folders; name those of one run')
        return list(named)
    if len(named) > 1:
        raise UserError('name one run folder, or several checkpoint files of one run, not both')
    best = sorted(folders[0].glob('best_*.pth'))
    candidates = best or steps(folders[0]) or sorted(folders[0].glob('*.pth'))
    if not candidates:
        raise UserError(
            f'{folders[0]}: holds no checkpoint (.pth); wait for the first one, or name another run'
        )
    return candidates


def steps(folder: Path) -> list[Path]:
    """A run's regular checkpoints in order of training."""
    files = [file for file in folder.glob('*.pth') if STEP.fullmatch(file.stem)]
    return sorted(files, key=lambda file: int(file.stem.rsplit('_', 1)[1]))
