"""What a training run left behind: its config, its checkpoints, its score threshold."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from tools.errors import UserError
from tools.fingerprint import sha256_of

THRESHOLD_KEY = 'count/best_score_thr'
DEFAULT_THRESHOLD = 0.5


class Threshold(NamedTuple):
    """A score threshold and, in words, where it comes from."""

    value: float
    source: str


class Run(NamedTuple):
    """What prediction needs of a training run.

    Attributes:
        folder: The run folder, or the checkpoint's where a file was named.
        checkpoint: The checkpoint's file.
        weights: Its ``state_dict``.
        config: The config.
        config_source: Where the config is from, in words.
        threshold: The score from which a detection counts.
    """

    folder: Path
    checkpoint: Path
    weights: Mapping[str, Any]
    config: Config
    config_source: str
    threshold: Threshold


def open_run(
    folder: Path | None = None,
    checkpoint: Path | None = None,
    config: Path | None = None,
    score_thr: float | None = None,
    work_dirs: Path = Path('work_dirs'),
) -> Run:
    """Read a run; what is not named is looked for.

    Args:
        folder: The run folder; the checkpoint's or the newest one when None.
        checkpoint: A checkpoint file; the run's best one when None.
        config: A config file; the run's when None.
        score_thr: The score threshold; the one chosen on validation when None.
        work_dirs: Where to look for the newest run.

    Raises:
        UserError: Something isn't there or can't be read.
    """
    folder = folder or (checkpoint.parent if checkpoint else newest_run(work_dirs))
    checkpoint = checkpoint or best_checkpoint(folder)
    content = load_checkpoint(checkpoint)
    found, source = find_config(folder, content, config)
    threshold = score_threshold(folder, checkpoint, content, score_thr)
    return Run(folder, checkpoint, content['state_dict'], found, source, threshold)


def newest_run(work_dirs: Path) -> Path:
    """The folder in ``work_dirs`` with the newest checkpoint.

    Raises:
        UserError: There is none.
    """
    checkpoints = list(work_dirs.glob('*/*.pth'))
    if not checkpoints:
        raise UserError(
            f'no run with a checkpoint (.pth) in {work_dirs}: train first (make train), or name '
            'the folder of a run'
        )
    return max(checkpoints, key=lambda path: path.stat().st_mtime_ns).parent


def best_checkpoint(run: Path) -> Path:
    """The run's best checkpoint by validation, else its last one.

    Of several best ones, by several measures, the one that was evaluated, else the newest.

    Raises:
        UserError: The folder isn't there or holds no checkpoint.
    """
    if not run.is_dir():
        near = sorted(path.name for path in run.parent.glob('*/') if list(path.glob('*.pth')))
        hint = f' ({run.parent} has {", ".join(near)})' if near else ''
        raise UserError(f'{run}: there is no such run folder{hint}; check --run')
    if best := list(run.glob('best_*.pth')):
        evaluated = run / str(_evaluation(run).get('checkpoint'))
        if evaluated in best:
            return evaluated
        return max(best, key=lambda path: path.stat().st_mtime_ns)
    named = run / 'last_checkpoint'
    if named.is_file():
        # It holds an absolute path: in a folder that was moved, the file lies beside it.
        last = run / Path(named.read_text(encoding='utf-8').strip()).name
        if last.is_file():
            return last
    if rest := list(run.glob('*.pth')):
        return max(rest, key=lambda path: path.stat().st_mtime_ns)
    raise UserError(f'{run}: holds no checkpoint (.pth) yet; wait for one, or name another --run')


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Returns:
        Its dict, with ``state_dict`` and, from MMEngine, ``meta`` and ``message_hub``.

    Raises:
        UserError: The file isn't there or is no checkpoint.
    """
    if not file.is_file():
        raise UserError(f'{file}: there is no such checkpoint; give the path of a .pth file')
    try:
        content = CheckpointLoader.load_checkpoint(str(file), 'cpu', 'silent')
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{file}: can't be read as a checkpoint ({_first_line(error)}); copy it again or name "
            'another'
        ) from error
    if not isinstance(content, Mapping) or 'state_dict' not in content:
        raise UserError(
            f'{file}: holds no model weights (state_dict); name a checkpoint of training'
        )
    return dict(content)


def find_config(run: Path, checkpoint: Mapping[str, Any], file: Path | None) -> tuple[Config, str]:
    """The config of a run.

    The checkpoint's own is taken before the folder's: `mim test` writes its config there too.

    Args:
        run: Folder with the config that training wrote there.
        checkpoint: Content of the checkpoint, which holds the config.
        file: A config file that the user named instead.

    Returns:
        The config, and where it is from.

    Raises:
        UserError: There is none, or it can't be read.
    """
    source = file
    try:
        if not source and (text := (checkpoint.get('meta') or {}).get('cfg')):
            return Config.fromstring(text, '.py'), 'written in the checkpoint'
        dumped = max(run.glob('*.py'), key=lambda path: path.stat().st_mtime_ns, default=None)
        source = source or dumped
        if source:
            return Config.fromfile(source), str(source)
    except Exception as error:  # a config is a program
        raise UserError(
            f"{source or 'the config in the checkpoint'}: can't be read as a config "
            f'({_first_line(error)}); name another with --config FILE'
        ) from error
    raise UserError(f'{run}: holds no config (.py); name one with --config FILE')


def score_threshold(
    run: Path, checkpoint_file: Path, checkpoint: Mapping[str, Any], given: float | None = None
) -> Threshold:
    """The score from which a detection counts as a cell.

    The first of these: what the user gave; what the evaluation of this checkpoint chose on
    validation (``evaluation.json``); what the last validation before the checkpoint chose, as the
    checkpoint itself or the run's log says; 0.5.
    """
    if given is not None:
        return Threshold(given, 'given with --score-thr')
    evaluation = _evaluation(run)
    if evaluation.get('threshold_choice') and is_evaluated(evaluation, checkpoint_file):
        source = f'{evaluation["score_thr_source"]} (evaluation.json)'
        return Threshold(float(evaluation['score_thr']), source)
    history = checkpoint.get('message_hub', {}).get('log_scalars', {}).get(f'val/{THRESHOLD_KEY}')
    if history is not None:
        return Threshold(
            float(history.current()), 'chosen on validation in training, from the checkpoint'
        )
    if (value := _from_log(run)) is not None:
        return Threshold(value, "chosen on validation in training, from the run's log")
    return Threshold(DEFAULT_THRESHOLD, 'the default: none was chosen on validation')


def is_evaluated(evaluation: Mapping[str, Any], checkpoint: Path) -> bool:
    """Whether an evaluation is of this very file, not of an earlier one of its name."""
    return evaluation.get('checkpoint') == checkpoint.name and (
        evaluation.get('checkpoint_sha256') == sha256_of(checkpoint)
    )


def _evaluation(run: Path) -> dict[str, Any]:
    """What ``tools.evaluate`` wrote of a run; empty if it didn't."""
    try:
        content = json.loads((run / 'evaluation.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _from_log(run: Path) -> float | None:
    """The latest value in the run's newest log that has one."""
    for log in sorted(run.glob('*/vis_data/scalars.json'), reverse=True):
        found = None
        for line in log.read_text(encoding='utf-8').splitlines():
            try:
                found = json.loads(line).get(THRESHOLD_KEY, found)
            except ValueError:  # the last line of a run that was killed
                continue
        if found is not None:
            return float(found)
    return None


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
