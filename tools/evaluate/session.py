"""One evaluation at work: a run, its data and device, and what was measured so far."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.writing import sha256_of
from cellkit.metrics.average_precision import coco_values
from cellkit.metrics.bootstrap import LEAST_IMAGES
from cellkit.metrics.records import (
    ImageRecord,
    ThresholdChoice,
    choose_threshold,
    intervals,
    values,
)
from tools.evaluate.certainty import certainty, interval_columns
from tools.evaluate.tables import say, write_evaluation, write_every_epoch
from tools.runs.model import pick_device
from tools.runs.overrides import Overrides, apply_overrides
from tools.runs.predictions import PartPredictions, annotations_of, part_dataset, predict_part
from tools.runs.run import Checkpoint, Run
from tools.runs.views import with_views

BEST_BY = 'coco/segm_mAP'


class Chosen(NamedTuple):
    """A checkpoint and how it was chosen, in words, with the candidates' values on validation."""

    file: Path
    how: str
    candidates: dict[str, float]


class Session:
    """A run opened for evaluation; arguments as for :func:`tools.evaluate.evaluate`.

    Raises:
        UserError: The run or its config can't be used.
    """

    def __init__(
        self,
        run: Path | str | None = None,
        checkpoints: Sequence[Path | str] = (),
        config: Path | str | None = None,
        overrides: Overrides = (),
        data: Path | str | None = None,
        out: Path | str | None = None,
        device: str | None = None,
        fresh: bool = False,
        tta: bool = False,
    ) -> None:
        named = [Path(file) for file in checkpoints]
        if run is None and any(file.is_file() for file in named):
            if len({file.resolve().parent for file in named}) > 1:
                raise UserError('the checkpoints lie in several folders; name those of one run')
            run = named[0].parent
        self.run = Run(run, or_box=True)
        if self.run.is_newest:
            print(f'run: {self.run.folder} (the newest)', flush=True)
        elif self.run.is_box and run is None:
            print('run: the model in the box, as there is no run yet', flush=True)
        self.device = pick_device(device)
        self.named = bool(named)
        self.candidates = self._find(named) if named else self._candidates()
        self.out = Path(out or self.run.evaluations(tta))
        self.data, self.fresh, self.tta = data and Path(data), fresh, tta
        self._config, self._overrides = config and Path(config), overrides
        self.opened = self._open(self.candidates[0])
        self._predictions: dict[tuple[Path, str], PartPredictions] = {}
        self._records: dict[tuple[Path, str], list[ImageRecord]] = {}

    def _find(self, named: Sequence[Path]) -> list[Path]:
        """The files that were named, where they lie or in the run folder."""
        folder, found = self.run.folder, []
        for file in named:
            found.append(file if file.is_file() else folder / file.name)
            if not found[-1].is_file():
                there = ', '.join(path.name for path in self.run.checkpoints) or 'no checkpoint'
                raise UserError(f'{file}: there is no such checkpoint; {folder} has {there}')
        return found

    def _candidates(self) -> list[Path]:
        """Those that training marked as best, else all."""
        found = self.run.marked_best or self.run.steps or self.run.checkpoints
        return found or [self.run.best_checkpoint]  # which says that there is none

    def checkpoint(self, file: Path) -> Checkpoint:
        """A candidate with its own config, or the one that was named; only the latest is held."""
        if self.opened.file != file:
            self.opened = self._open(file)
        return self.opened

    def _open(self, file: Path) -> Checkpoint:
        opened = self.run.open_checkpoint(file, self._config)
        if self._overrides:
            apply_overrides(opened.config, self._overrides)
        return opened._replace(config=with_views(opened.config)) if self.tta else opened

    def predictions(self, file: Path, part: str) -> PartPredictions:
        """What a checkpoint predicts on a part; predicted at most once."""
        key = file, part
        if key not in self._predictions:
            folder = self.out / 'predictions'
            opened = self.checkpoint(file)
            found = predict_part(opened, part, self.device, folder, self.data, self.fresh)
            if found.reused:
                print(f'predictions on {part}: as they are in {found.file}', flush=True)
            self._predictions[key] = found
        return self._predictions[key]

    def records(self, file: Path, part: str) -> list[ImageRecord]:
        """A record of each image of a part; made at most once."""
        key = file, part
        if key not in self._records:
            found = self.predictions(file, part)
            self._records[key] = found.measure(GroundTruth(found.about['annotations']))
        return self._records[key]

    def choose_checkpoint(self) -> Chosen:
        """The candidate of greatest segm mAP on validation."""
        if len(self.candidates) == 1:
            file = self.candidates[0]
            how = 'the only one there was'
            if self.named:
                how = 'named by hand'
            elif file.name.startswith('best_'):
                how = 'which training marked as best on validation'
            return Chosen(file, how, {})
        found = {}
        for file in self.candidates:
            matches = [record.segm.of_all_areas() for record in self.records(file, 'val')]
            value = coco_values(matches)['mAP']
            if math.isnan(value):
                raise UserError(
                    f'{self.predictions(file, "val").about["annotations"]} has no cell, so no '
                    'checkpoint can be chosen on it; name one with --checkpoints'
                )
            found[file] = value
            print(f'{file.name}: {BEST_BY} {value:.4f} on validation', flush=True)
        best = max(self.candidates, key=found.__getitem__)
        how = f'the best of {len(found)} by {BEST_BY} on validation ({found[best]:.4f})'
        return Chosen(best, how, {file.name: value for file, value in found.items()})

    def evaluate(
        self, part: str, score_thr: float | str | None, samples: int, seed: int
    ) -> dict[str, Any]:
        """Choose, measure, write and print; see :func:`tools.evaluate.evaluate`."""
        chosen = self.choose_checkpoint()
        print(f'checkpoint: {chosen.file.name}, {chosen.how}', flush=True)
        choice, validation, before = None, {}, None
        threshold, source = score_thr, 'given with --score-thr'
        if score_thr == 'run':
            threshold, source = self.run.threshold(self.checkpoint(chosen.file), tta=self.tta)
        elif score_thr is None:
            before = records = self.records(chosen.file, 'val')
            choice = choose_threshold(records)
            threshold = choice.value
            source = 'from count errors on validation'
            if len(records) >= LEAST_IMAGES:  # of fewer there is no fair standard error
                good = f'{choice.low:g} to {choice.high:g}'
                source += f', where {good} do as well within one standard error'
            if not any(record.found(choice.thresholds[0]) for record in records):
                source = 'the default: nothing was predicted on validation, so none could be chosen'
            validation = values(records, threshold)
        print(f'score threshold: {threshold:g}, {source}', flush=True)

        records = self.records(chosen.file, part)
        bar = partial(tqdm, desc='intervals', unit='sample', leave=False, disable=None)
        between = intervals(records, threshold, samples, seed, progress=bar) if samples > 0 else {}
        stored = None if before else self.run.calibration(self.checkpoint(chosen.file))
        sure = certainty(records, before, threshold, stored)
        limit = self.predictions(chosen.file, part).about['max_per_img']
        result = self._describe(chosen, part) | {
            'score_thr': threshold,
            'score_thr_source': source,
            'validation': validation,
            'threshold_choice': choice and choice._asdict(),
            'calibration': sure,
            'figures': values(records, threshold),
            'intervals': between,
            'bootstrap': {'samples': samples, 'seed': seed, 'level': 0.95},
            'images': [
                image_row(record, threshold) | ends
                for record, ends in zip(records, interval_columns(sure, len(records)), strict=True)
            ],
            'notes': notes(records, threshold, part, choice, limit)
            + self._changed_training_data(chosen)
            + ([] if between or not samples else [too_few(len(records))]),
        }
        say(write_evaluation(self.out, result), result['notes'])
        return result

    def every_epoch_on_test(self, threshold: float) -> None:
        """The test values of every checkpoint of the run, for comparison only."""
        records = {file.stem: self.records(file, 'test') for file in self.run.steps}
        rows = [{'checkpoint': name} | values(found, threshold) for name, found in records.items()]
        if not rows:
            raise UserError(f'{self.run.folder}: holds no epoch_*.pth or iter_*.pth to go through')
        say(write_every_epoch(self.out, rows, threshold))

    def _changed_training_data(self, chosen: Chosen) -> list[str]:
        """A sentence if the training part is not the one that the model was trained on."""
        before = self.checkpoint(chosen.file).trained_on
        try:
            file = annotations_of(part_dataset(self.opened.config, 'train', self.data))
        except UserError:
            return []
        if before is None or sha256_of(file) == before:
            return []
        return [
            f'{file} is not the training part that the model was trained on (other data, another '
            'split or other options), so it may have been trained on images of this part'
        ]

    def _describe(self, chosen: Chosen, part: str) -> dict[str, Any]:
        """What the values were made from."""
        found, records = self.predictions(chosen.file, part), self.records(chosen.file, part)
        about, opened = found.about, self.checkpoint(chosen.file)
        return {
            'part': part,
            'run': str(self.run.folder),
            'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
            'checkpoint': chosen.file.name,
            'checkpoint_sha256': about['checkpoint_sha256'],
            'checkpoint_chosen': chosen.how,
            'checkpoint_candidates': chosen.candidates,
            'config': opened.config_source,
            'test_time_augmentation': self.tta,
            'config_sha256': hashlib.sha256(opened.config.pretty_text.encode()).hexdigest(),
            'annotations': about['annotations'],
            'annotations_sha256': about['annotations_sha256'],
            'trained_on_sha256': opened.trained_on,
            'number_of_images': len(records),
            'number_of_cells': sum(record.true for record in records),
            'predictions': str(found.file.relative_to(self.out)),
            'device': about['device'],
            'seconds_per_image': about['seconds_per_image'],
            'memory': about.get('memory'),
        }


def image_row(record: ImageRecord, threshold: float) -> dict[str, Any]:
    """One image's own values."""
    own = values([record], threshold)
    names = ('pixel/dice', 'pixel/iou', 'instance/f1_50', 'instance/f1_75', 'instance/pq')
    return {
        'image_id': record.image_id,
        'file_name': record.file_name,
        'true': record.true,
        'predicted': record.found(threshold),
        'detections': record.detections,
        'segm_mAP': own['coco/segm_mAP'],
        **{name.split('/')[1]: own[name] for name in (*names, 'instance/boundary_f1')},
    }


def too_few(images: int) -> str:
    """Why there are no intervals."""
    return (
        f'no intervals, as {images} image{"s are" if images > 1 else " is"} too few for them: 95 % '
        f'intervals over images take {LEAST_IMAGES} or more'
    )


def notes(
    records: Sequence[ImageRecord],
    threshold: float,
    part: str,
    choice: ThresholdChoice | None,
    limit: int | None,
) -> list[str]:
    """What a reader of the values must know, a sentence each, without its full stop."""
    found = []
    if not any(record.detections for record in records):
        found.append(
            f'the model predicted nothing on any of the {len(records)} {part} images, so the '
            'figures are those of empty predictions: it needs more training'
        )
    elif not any(record.found(threshold) for record in records):
        found.append(f'no detection on {part} reaches the score threshold')
    if part == 'val' and choice is not None:
        found.append('the score threshold was chosen on these very images')
    if part == 'train':
        found.append('the model was trained on these very images')
    if full := sum(limit is not None and record.detections >= limit for record in records):
        found.append(
            f'{full} of {len(records)} images have as many detections as the model may give '
            f'({limit}), so cells may be missing: raise model.test_cfg.rcnn.max_per_img'
        )
    if limit is not None and limit < 300:
        found.append(f'the model gives at most {limit} detections an image')
    return found
