"""A training run on disk: its checkpoints, config, log and evaluations, read when asked for."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cellkit.cell_scale import CellScale
from cellkit.errors import UserError
from cellkit.files.writing import read_object, sha256_of
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.records import DEFAULT_THRESHOLD
from tools.runs.log import TrainingLog, read_training_log

if TYPE_CHECKING:
    from mmengine.config import Config

WORK_DIRS = Path('work_dirs')
BOX = Path(__file__).parents[2] / 'box'
"""The model that comes with the project, in a folder of its own like a run's."""
THRESHOLD_KEY = 'count/best_score_thr'
STEP = re.compile(r'(?:^|_)(epoch|iter)_(\d+)$')


class Threshold(NamedTuple):
    """A score threshold and, in words, where it comes from."""

    value: float
    source: str


class Checkpoint(NamedTuple):
    """A checkpoint that was read, with the config that goes with it.

    Attributes:
        file: Where it lies.
        weights: Its ``state_dict``.
        config_source: Where the config is from, in words.
        content: The whole file, with ``meta`` and ``message_hub`` from MMEngine.
    """

    file: Path
    weights: Mapping[str, Any]
    config: Config
    config_source: str
    content: Mapping[str, Any]

    @property
    def trained_on(self) -> str | None:
        """SHA-256 of the annotations of the training part, where the checkpoint holds it."""
        meta = (self.content.get('meta') or {}).get('dataset_meta') or {}
        return meta.get('annotations_sha256')

    @property
    def cell_scale(self) -> CellScale | None:
        """How large the cells of the training part are, where the checkpoint holds it."""
        meta = (self.content.get('meta') or {}).get('dataset_meta') or {}
        own = self.content.get('about', {}).get('cell_scale', 'null')
        found = meta.get('cell_scale') or json.loads(own)
        return found and CellScale.from_dict(found)


class Run:
    """A run folder.

    Args:
        folder: Where training wrote, or `BOX`; the newest run in ``work_dirs`` when None.
        work_dirs: Where to look for the newest run.
        or_box: Where there is no run at all, take the model in the box.

    Raises:
        UserError: There is no such folder, or no run at all.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        work_dirs: Path = WORK_DIRS,
        or_box: bool = False,
    ) -> None:
        if folder is None and or_box and BOX.is_dir() and not written_by_training(work_dirs):
            folder = BOX
        self.is_newest = folder is None
        self.folder = newest_run(work_dirs) if folder is None else Path(folder)
        if not self.folder.is_dir():
            parent = self.folder.parent
            near = {file.relative_to(parent).parts[0] for file in written_by_training(parent)}
            hint = f' ({parent} has {", ".join(sorted(near))})' if near else ''
            raise UserError(f'{self.folder}: there is no such run folder{hint}; check the path')

    @property
    def is_box(self) -> bool:
        """Whether this is the model that comes with the project."""
        return self.folder.resolve() == BOX.resolve()

    @property
    def results(self) -> Path:
        """Where what is made of the run goes: the run folder; the box's stays as it came."""
        return WORK_DIRS / BOX.name if self.is_box else self.folder

    @property
    def checkpoints(self) -> list[Path]:
        """All checkpoints, by name."""
        return sorted([*self.folder.glob('*.pth'), *self.folder.glob('*.safetensors')])

    @property
    def steps(self) -> list[Path]:
        """The regular checkpoints in order of training."""
        files = [file for file in self.checkpoints if STEP.match(file.stem)]
        return sorted(files, key=lambda file: step_of(file.name)[1])

    @property
    def marked_best(self) -> list[Path]:
        """The checkpoints that training marked as best on validation, by one measure or more."""
        return sorted(self.folder.glob('best_*.pth'))

    @property
    def best_checkpoint(self) -> Path:
        """The run's best checkpoint by validation, else its last one.

        Of several best ones, by several measures, the one that was evaluated, else the newest.

        Raises:
            UserError: The folder holds no checkpoint.
        """
        if best := self.marked_best:
            evaluated = self.folder / str(self.evaluation().get('checkpoint'))
            return evaluated if evaluated in best else max(best, key=_modified)
        if (named := self.folder / 'last_checkpoint').is_file():
            # It holds an absolute path: in a folder that was moved, the file lies beside it.
            last = self.folder / Path(named.read_text(encoding='utf-8').strip()).name
            if last.is_file():
                return last
        if self.checkpoints:
            return max(self.checkpoints, key=_modified)
        raise UserError(
            f'{self.folder}: holds no checkpoint (.pth, .safetensors) yet; wait for the first one, '
            'or name another run'
        )

    @cached_property
    def log(self) -> TrainingLog:
        """What training logged."""
        return read_training_log(self.folder)

    @property
    def config_file(self) -> Path | None:
        """The config as it was run: `mim test` writes its own into the folder too."""
        files = self.log.configs or list(self.folder.glob('*.py'))
        return max(files, key=_modified, default=None)

    def evaluations(self, tta: bool = False) -> Path:
        """The folder that evaluations are written to; a part of it with test-time augmentation."""
        return self.results / 'tta' if tta else self.results

    def evaluation_file(self, part: str = 'test', tta: bool = False) -> Path:
        """Where the evaluation of a part is written."""
        return self.evaluations(tta) / f'{evaluation_stem(part)}.json'

    def evaluation(self, part: str = 'test', tta: bool = False) -> dict[str, Any]:
        """What ``tools.evaluate`` wrote of a part; empty if it didn't."""
        return read_object(self.evaluation_file(part, tta))

    def open_checkpoint(self, file: Path | None = None, config: Path | None = None) -> Checkpoint:
        """Read a checkpoint with its config.

        The config is the one that is named; else the checkpoint's own, before the folder's.

        Args:
            file: The checkpoint; the best one when None.
            config: A config file.

        Raises:
            UserError: The checkpoint or a config can't be read.
        """
        from mmengine.config import Config

        file = file or self.best_checkpoint
        content = load_checkpoint(file)
        text = (content.get('meta') or {}).get('cfg')
        source = config or (None if text else self.config_file)
        if not (source or text):
            raise UserError(f'{self.folder}: holds no config (.py); name one with --config FILE')
        try:
            found = Config.fromfile(source) if source else Config.fromstring(text, '.py')
        except Exception as error:  # a config is a program
            raise UserError(
                f"{source or 'the config in the checkpoint'}: can't be read as a config "
                f'({_first_line(error)}); name another with --config FILE'
            ) from error
        where = str(source or 'written in the checkpoint')
        return Checkpoint(file, content['state_dict'], found, where, content)

    def threshold(
        self, checkpoint: Checkpoint, given: float | None = None, tta: bool = False
    ) -> Threshold:
        """The score from which a detection counts as a cell.

        The first of these: what the user gave; what the evaluation of this checkpoint chose on
        validation (``evaluation.json``), if ``tta`` in that with test-time augmentation first;
        what comes with the model in the box; what the last validation before the checkpoint chose,
        as the checkpoint itself or the run's log says; 0.5.
        """
        if given is not None:
            return Threshold(given, 'given with --score-thr')
        for way in (True, False) if tta else (False,):
            evaluation = self.evaluation(tta=way)
            if evaluation.get('threshold_choice') and is_evaluated(evaluation, checkpoint.file):
                where = self.evaluation_file(tta=way).relative_to(self.results)
                source = f'{evaluation["score_thr_source"]} ({where})'
                return Threshold(float(evaluation['score_thr']), source)
        if (own := checkpoint.content.get('about', {}).get('score_threshold')) is not None:
            return Threshold(float(own), 'which comes with the weights')
        chosen = 'chosen on validation in training, from the'
        scalars = checkpoint.content.get('message_hub', {}).get('log_scalars', {})
        if (history := scalars.get(f'val/{THRESHOLD_KEY}')) is not None:
            return Threshold(float(history.current()), f'{chosen} checkpoint')
        if logged := [entry[THRESHOLD_KEY] for entry in self.log.val if THRESHOLD_KEY in entry]:
            return Threshold(logged[-1], f"{chosen} run's log")
        return Threshold(DEFAULT_THRESHOLD, 'the default: none was chosen on validation')

    def calibration(self, checkpoint: Checkpoint, tta: bool = False) -> Calibration | None:
        """What says how sure a score is.

        The first of these: what the evaluation of this checkpoint fitted on validation
        (``evaluation.json``); what comes with the weights; None. Scores with test-time augmentation
        are others: if ``tta``, only its own evaluation counts.
        """
        evaluation = self.evaluation(tta=tta)
        found = (evaluation.get('calibration') or {}).get('fitted')
        if not found or not is_evaluated(evaluation, checkpoint.file):
            own = {} if tta else checkpoint.content.get('about', {})
            found = json.loads(own.get('calibration', 'null'))
        return found and Calibration.from_dict(found)


def run_folder(folder: Path, evaluation: Mapping[str, Any]) -> Path:
    """The run of an evaluation in ``folder``, the run's own or its ``tta``.

    Where it lies, since folders are moved and copied; else where it lay when it was evaluated.
    """
    named = Path(evaluation.get('run', folder))
    return next((p for p in (folder, folder.parent) if (p / 'run.json').is_file()), named)


def evaluation_stem(part: str) -> str:
    """What the names of the files of a part's evaluation begin with."""
    return 'evaluation' if part == 'test' else f'evaluation_{part}'


def written_by_training(work_dirs: Path) -> list[Path]:
    """Logs and checkpoints of all runs in a folder."""
    patterns = ('*/*.pth', '*/*/vis_data/scalars.json', '*/*/*.log')
    return [file for pattern in patterns for file in work_dirs.glob(pattern)]


def newest_run(work_dirs: Path = WORK_DIRS) -> Path:
    """The folder in ``work_dirs`` where training wrote last; the same one for every program.

    Raises:
        UserError: There is none.
    """
    newest = max(written_by_training(work_dirs), key=_modified, default=None)
    if newest is None:
        raise UserError(
            f'{work_dirs}: holds no training run; train first (make train), or name the folder of '
            'a run'
        )
    return work_dirs / newest.relative_to(work_dirs).parts[0]


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: a dict with ``state_dict``.

    Raises:
        UserError: The file isn't there or is no checkpoint.
    """
    from mmengine.runner import CheckpointLoader

    import custom_modules  # noqa: F401 - registers the loader of .safetensors

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


def is_evaluated(evaluation: Mapping[str, Any], checkpoint: Path) -> bool:
    """Whether an evaluation is of this very file, not of an earlier one of its name."""
    return evaluation.get('checkpoint') == checkpoint.name and (
        evaluation.get('checkpoint_sha256') == sha256_of(checkpoint)
    )


def step_of(name: str) -> tuple[str, int] | None:
    """``("epoch" or "iter", number)`` from a checkpoint's name; None without one."""
    match = STEP.search(Path(name).stem)
    return (match[1], int(match[2])) if match else None


def _modified(file: Path) -> int:
    return file.stat().st_mtime_ns


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
