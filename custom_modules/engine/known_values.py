"""Whether the value that ``save_best`` names will be there at the first validation."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np
from mmengine.hooks import CheckpointHook

from cellkit.errors import UserError
from cellkit.metrics.records import Detections, measure_image
from cellkit.metrics.truth import TrueImage
from cellkit.rle import encode_crops
from custom_modules.engine.validation_loss import ValidationLossHook
from custom_modules.evaluation.cell_metrics import CellMetric


def keys_of(metric: CellMetric) -> set[str]:
    """The keys of a metric's values, from those of one cell that was found."""
    rles = encode_crops([np.ones((4, 4))], [2], [2], 8, 8)
    box = np.array([[2.0, 2.0, 4.0, 4.0]])
    truth = TrueImage('', (8, 8), rles, box, np.array([16.0]))
    record = measure_image(0, truth, Detections(rles, np.ones(1), box), metric.boundary_tolerance)
    return {f'{metric.prefix}/{key}' for key in metric.values([record])}


def check_truth(metrics: Iterable[Any]) -> None:
    """Look for a true cell to validate on.

    Raises:
        UserError: There is none, so that every checkpoint would be as good as any other.
    """
    for metric in metrics:
        if isinstance(metric, CellMetric) and not any(
            image.rles for image in metric.truth.images.values()
        ):
            raise UserError(
                f'{metric.truth.path} has no cell: no checkpoint can be the best on it; run `make '
                'prepare` again, or train without validation (val_dataloader=None)'
            )


def check_save_best(hooks: Iterable[Any], metrics: Iterable[Any]) -> None:
    """Look for every value that a checkpoint hook waits for.

    Args:
        hooks: Of the runner, built.
        metrics: Of the validation evaluator, built. What metrics of other projects give isn't
            known beforehand: a name with their prefix passes.

    Raises:
        UserError: Nothing will give the value; the nearest that will be there is named.
    """
    hooks, metrics = list(hooks), list(metrics)
    losses = any(isinstance(hook, ValidationLossHook) for hook in hooks)
    wanted: list[str] = []
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            wanted += [hook.save_best] if isinstance(hook.save_best, str) else hook.save_best
    ours = [metric for metric in metrics if isinstance(metric, CellMetric)]
    others = [metric.prefix for metric in metrics if not isinstance(metric, CellMetric)]
    for name in wanted:
        if name == 'auto' or (losses and name.startswith('val_loss')) or None in others:
            continue
        if name.rpartition('/')[0] in others:
            continue
        known = set().union(*map(keys_of, ours), {'val_loss'} if losses else ())
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
            hint = f'the nearest is {near[0]}' if near else 'there is no validation'
            raise UserError(
                f'default_hooks.checkpoint.save_best={name}: no validation gives this value, {hint}'
            )
