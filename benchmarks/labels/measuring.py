"""One point of the curve: trained on its images, scored on the test part, stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.labels.points import Point, labelled, subset
from benchmarks.training import POINT, keep_settings, steps_of, stretched, train_run
from cellkit.errors import UserError
from cellkit.files.prepared import annotation_file
from cellkit.files.writing import sha256_of, sha256_of_settings, write_json, write_whole
from cellkit.metrics.records import DEFAULT_THRESHOLD
from tools.runs.log import read_training_log

CONFIG = """# Written by benchmarks/labels.
_base_ = {base!r}

randomness = dict(seed={seed})
load_from = {load_from!r}
train_cfg = dict(max_iters={steps})
param_scheduler = {schedule!r}
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler', shuffle=True),  # full batches of however few images
    dataset=dict(ann_file={ann_file!r}),
)
# Who has five labelled images has none to spare for choosing.
val_dataloader = None
val_cfg = None
val_evaluator = None
default_hooks = dict(checkpoint=dict(interval={interval}, save_best=None))
"""


class Box(NamedTuple):
    """A pretrained model: its checkpoint, and the score threshold that it brings."""

    file: Path
    score_thr: float


def open_box(file: Path, config: Path) -> Box:
    """The model in the box: the one place that knows how it is kept.

    Args:
        file: A checkpoint.
        config: Of a model that takes its weights.

    Raises:
        UserError: It is not there, or its weights are of another model.
    """
    from mmengine.registry import init_default_scope  # late: it takes seconds

    from tools.runs.model import build_model
    from tools.runs.run import Run

    run = Run(file.parent)
    checkpoint = run.open_checkpoint(file, config)
    init_default_scope('mmdet')
    try:  # training would load the weights that fit, and say so only in its log
        build_model(checkpoint.config, checkpoint.weights, 'cpu')
    except UserError as error:
        raise UserError(f'{file}: {error}') from error
    return Box(file.resolve(), run.threshold(checkpoint).value)


class Start(NamedTuple):
    """How the runs of one start are trained and scored.

    Attributes:
        config: Config file.
        steps: Of training, the same for any number of images.
        schedule: The config's own, stretched over the steps.
        score_thr: From which score on a detection counts as a cell.
        box: The checkpoint to start from.
        config_sha256: Of what training and testing depend on in the config, less where data lie.
    """

    config: Path
    steps: int
    schedule: list[dict[str, Any]]
    score_thr: float
    box: Path | None
    config_sha256: str


def open_start(config: Path, steps: int | None, score_thr: float | None, box: Path | None) -> Start:
    """Read what the runs of a start have in common.

    Args:
        config: Config file.
        steps: The config's own when None.
        score_thr: When None that of the box, without one 0.5, the default of all programs.
        box: The checkpoint to start from; from scratch when None.

    Raises:
        UserError: The config or the box can't be used.
    """
    from mmengine.config import Config  # late: it takes seconds

    if not config.is_file():
        raise UserError(f'{config}: there is no such config; give the path of a .py file')
    content = Config.fromfile(config).to_dict()
    own = steps_of(content, config)
    if 'ann_file' not in content['train_dataloader']['dataset']:
        raise UserError(f'{config} is not trained on an annotation file; name another config')
    steps = own if steps is None else steps
    if steps < 1:
        raise UserError(f'--steps {steps} is below 1; give at least one')
    opened = box and open_box(box, config)
    if score_thr is None:
        score_thr = opened.score_thr if opened else DEFAULT_THRESHOLD
    return Start(
        config=config.resolve(),
        steps=steps,
        schedule=stretched(content.get('param_scheduler') or [], steps / own),
        score_thr=score_thr,
        box=opened and opened.file,
        config_sha256=_digest(content),
    )


def _digest(content: Mapping[str, Any]) -> str:
    train, test = (content[f'{part}_dataloader'] for part in ('train', 'test'))
    dataset = {k: v for k, v in train['dataset'].items() if k not in ('data_root', 'ann_file')}
    read = [content.get(key) for key in ('model', 'optim_wrapper', 'param_scheduler')]
    read += [train['batch_size'], dataset, test['dataset']['pipeline']]
    read += [hook for hook in content.get('custom_hooks') or [] if hook['type'] == 'EMAHook']
    return sha256_of_settings(read)


def measure(point: Point, start: Start, coco: Mapping[str, Any], root: Path, out: Path) -> bool:
    """Leave ``point.json`` in the point's run folder; whether it was not there before.

    Args:
        point: Which one.
        start: Its start.
        coco: The whole training part.
        root: The prepared data set.
        out: Where the run folders lie.

    Raises:
        UserError: Training failed, or the folder holds a run with other settings.
    """
    folder = out / point.name
    settings = point._asdict() | {
        'of': len(labelled(coco)),
        'config': start.config.stem,
        'config_sha256': start.config_sha256,
        'steps': start.steps if point.images else 0,
        'score_thr': start.score_thr,
        'box_sha256': start.box and sha256_of(start.box),
        'train_sha256': sha256_of(annotation_file(root, 'train')),
        'test_sha256': sha256_of(annotation_file(root, 'test')),
    }
    if keep_settings(folder, settings, POINT):
        return False
    checkpoint = start.box
    if point.images:
        checkpoint = folder / f'iter_{start.steps}.pth'
        if not checkpoint.is_file():
            train(point, start, coco, root, folder)
    result = score(point, start, checkpoint, root, folder)
    write_json(
        folder / POINT,
        settings
        | {
            'minutes': read_training_log(folder).step_seconds / 60,
            'device': result['device'],
            'test_images': result['number_of_images'],
            'figures': result['figures'],
        },
        indent=1,
    )
    return True


def train(point: Point, start: Start, coco: Mapping[str, Any], root: Path, folder: Path) -> None:
    """Train a point's run, or go on with it; its images' annotations are kept beside.

    Raises:
        UserError: It failed.
    """
    images = folder.resolve() / 'train.json'
    write_json(images, subset(coco, point.images, point.draw))
    config = folder / 'written' / f'{point.name}.py'
    text = CONFIG.format(
        base=str(start.config),
        seed=point.draw,
        load_from=start.box and str(start.box),
        steps=start.steps,
        schedule=start.schedule,
        ann_file=str(images),
        interval=max(start.steps // 8, 1),
    )
    write_whole(config, text)
    train_run(config, folder, root)


def score(point: Point, start: Start, checkpoint: Path, root: Path, folder: Path) -> dict[str, Any]:
    """The test part's values of one checkpoint at the start's threshold: nothing is chosen."""
    from tools.evaluate import evaluate

    return evaluate(
        folder,
        checkpoints=[checkpoint],
        score_thr=start.score_thr,
        config=None if point.images else start.config,  # the box need not bring one for this data
        data=root,
        samples=0,
    )
