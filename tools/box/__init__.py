"""The model in the box: the weights that come with the project, and how they are made."""

from __future__ import annotations

import datetime
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellkit.cell_scale import cell_scale_of
from cellkit.errors import UserError
from cellkit.files.prepared import annotation_file
from cellkit.files.program import quiet
from cellkit.files.writing import write_whole
from tools.runs.run import BOX, WORK_DIRS, Run

CONFIG = Path('configs/box_hybrid_mask_rcnn.py')
WEIGHTS = BOX / 'model.safetensors'
SMEARS = Path('data/box_smears')
LARGEST = 15e6  # bytes of a file that a repository can bear


def make_box(
    checkpoints: Sequence[Path | str] = (),
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    out: Path | str = WEIGHTS,
    work_dir: Path | str = WORK_DIRS / 'box_hybrid_mask_rcnn',
    smears: Path | str = SMEARS,
) -> Path:
    """Train on synthetic smears alone, choose the score threshold on others, pack the weights.

    A training that was stopped goes on from its last checkpoint.

    Args:
        checkpoints: Weights of that model which were trained elsewhere; nothing is trained then,
            and of several the mean is taken.
        overrides: Changes to the config.
        out: File that takes the weights.
        work_dir: Run folder of the training.
        smears: Folder of the synthetic validation smears; drawn if it isn't there.

    Returns:
        ``out``.

    Raises:
        UserError: The training can't be run, the checkpoints are of different models, or the file
            would be too large.
    """
    from data_prep.demo import write_demo_set
    from data_prep.prepare import prepare
    from tools.evaluate import evaluate
    from tools.train import train

    smears, work_dir = Path(smears), Path(work_dir)
    judged = work_dir / 'on_synthetic'
    # Another seed than the demo set's, whose smears are for showing what the model does.
    drawn = write_demo_set(smears / 'smears', train=24, test=6, seed=1)
    prepared = prepare(drawn, smears / 'prepared', val_fraction=0.9).out
    with _data_root(prepared):
        if not checkpoints:
            begun = (work_dir / 'last_checkpoint').is_file()
            train(CONFIG, overrides, work_dir=work_dir, resume=begun)
            checkpoints = Run(work_dir).steps[-1:]
        checkpoint = Path(checkpoints[0])
        if len(checkpoints) > 1:
            # Beside a run's own checkpoints it would be one of them.
            checkpoint = write_mean(checkpoints, judged / 'mean.pth')
        figures = evaluate(
            part='val',
            checkpoints=[checkpoint],
            config=CONFIG,
            data=prepared,
            out=judged,
            samples=0,
        )
    about = {
        'model': 'HybridViT Mask R-CNN, configs/box_hybrid_mask_rcnn.py',
        'trained_on': 'synthetic smears alone, cellkit/smears',
        'licence': 'Apache-2.0',
        'date': datetime.date.today().isoformat(),
        'score_threshold': f'{figures["score_thr"]:g}',
        'calibration': json.dumps(figures['calibration']['fitted']),
        'cell_scale': json.dumps(_cell_scale(prepared)),
    }
    return pack(checkpoint, about, out)


def _cell_scale(prepared: Path) -> dict[str, Any]:
    """How large the cells of the validation smears are: drawn as those of training."""
    content = json.loads(annotation_file(prepared, 'val').read_bytes())
    return cell_scale_of(content).as_dict()


def write_mean(checkpoints: Sequence[Path | str], out: Path) -> Path:
    """Write the mean of the weights of several checkpoints, trained from a common one.

    What each has learnt too much of cancels out (Wortsman et al., "Model soups", ICML 2022).

    Returns:
        ``out``.

    Raises:
        UserError: One can't be read, or they are of different models.
    """
    import torch

    from tools.runs.run import load_checkpoint

    states = [load_checkpoint(Path(file))['state_dict'] for file in checkpoints]
    shapes = [{key: weight.shape for key, weight in state.items()} for state in states]
    for file, other in zip(checkpoints, shapes, strict=True):
        if other != shapes[0]:
            raise UserError(f'{file} is of another model than {checkpoints[0]}: name others')
    mean = dict(states[0])  # counters have no mean
    for key, weight in mean.items():
        if weight.is_floating_point():
            mean[key] = torch.stack([state[key].double() for state in states]).mean(0).float()
    content = io.BytesIO()
    torch.save({'state_dict': mean}, content)
    write_whole(out, content.getvalue())
    return out


def pack(checkpoint: Path | str, about: Mapping[str, str], out: Path | str = WEIGHTS) -> Path:
    """Write a checkpoint's weights in half precision.

    Raises:
        UserError: The checkpoint can't be read, or the file would be too large.
    """
    from tools.runs.run import load_checkpoint

    with quiet():
        from custom_modules.engine.safetensors_checkpoint import write_safetensors

    weights, out = load_checkpoint(Path(checkpoint))['state_dict'], Path(out)
    # Two bytes for a weight in half precision, eight for a counter.
    size = sum(w.numel() * (2 if w.is_floating_point() else 8) for w in weights.values())
    if size > LARGEST:
        raise UserError(f'{checkpoint}: is {size / 1e6:.1f} MB in half precision, not below 15 MB')
    write_safetensors(out, weights, about)
    return out


@contextmanager
def _data_root(folder: Path) -> Iterator[None]:
    """The prepared data that configs read."""
    before = os.environ.get('DATA_ROOT')
    os.environ['DATA_ROOT'] = str(folder)
    try:
        yield
    finally:
        del os.environ['DATA_ROOT']
        if before is not None:
            os.environ['DATA_ROOT'] = before
