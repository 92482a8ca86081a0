"""What training logged: losses, validation metrics, versions, time and memory."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

STAMP = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ')
EPOCH = re.compile(r'Epoch\(train\)\s+\[\s*\d+\]\[\s*\d+/(\d+)\]')
ENVIRONMENT = re.compile(
    r'^ +(sys\.platform|Python|CUDA available|GPU [\d,]+|PyTorch|TorchVision|OpenCV|MMEngine|seed'
    r'|Distributed training|GPU number): (.+)$'
)
TRAINING_DATA = re.compile(r'Training data: (.+), SHA-256 ([0-9a-f]{64})')
PEAK_MEMORY = re.compile(r'Peak memory of the process: ([\d.]+) GiB')
NOT_METRICS = {'step', 'iter', 'epoch', 'lr', 'time', 'data_time', 'memory', 'at'}


class TrainingLog(NamedTuple):
    """The log of a run, over all times it was resumed.

    Attributes:
        train: Training entries in order, each with ``at``, its place on the axis.
        val: Validation entries, likewise.
        unit: Of the axis: ``"epoch"`` or ``"iteration"``.
        environment: Versions, seed and devices as the newest log names them.
        training_data: Annotation file of the training part and its SHA-256, as the log has it.
        step_seconds: Time spent in training steps.
        wall_time: From the first to the last line of each log, summed; None without a log.
        memory_mb: Greatest GPU memory; None where none was logged.
        process_gib: Greatest memory of the training process; None where training has not ended.
        starts: How often the run was started.
        configs: The configs of its starts, as they were run.
        unreadable: Lines that could not be read, such as the last one of a run that was killed.
    """

    train: list[dict[str, Any]]
    val: list[dict[str, Any]]
    unit: str
    environment: dict[str, str]
    training_data: tuple[str, str] | None
    step_seconds: float
    wall_time: timedelta | None
    memory_mb: float | None
    process_gib: float | None
    starts: int
    configs: list[Path]
    unreadable: int

    @property
    def last(self) -> float:
        """How far training came, in the axis's unit."""
        return self.train[-1]['at'] if self.train else 0.0


def read_training_log(run: Path) -> TrainingLog:
    """Read the logs of a run folder; what isn't there is left empty.

    A run that was resumed has several logs: what a later one did again replaces the earlier. Those
    of `mim test`, which writes into the run folder too, are left out.

    Args:
        run: The run folder.
    """
    train: list[dict[str, Any]] = []
    val: list[dict[str, Any]] = []
    unreadable = 0
    logs = [file for file in sorted(run.glob('*/*.log')) if _is_of_training(file)]
    texts = [_lines(file) for file in logs]
    folders = {file.parent for file in logs}
    files = [
        file
        for file in sorted(run.glob('*/vis_data/scalars.json'))
        if file.parents[1] in folders or not any(file.parents[1].glob('*.log'))
    ]
    for file in files:
        entries, bad = _entries(file)
        unreadable += bad
        first = next((entry['step'] for entry in entries if 'loss' in entry), None)
        if first is not None:
            train = [entry for entry in train if entry['step'] < first]
            val = [entry for entry in val if entry['after'] < first]
        for entry in entries:
            if 'loss' in entry:
                train.append(entry)
            elif any(isinstance(entry[key], float) for key in entry.keys() - NOT_METRICS):
                val.append(entry | {'after': train[-1]['step'] if train else 0})
    unit = 'epoch' if any('epoch' in entry for entry in train) else 'iteration'
    length = _epoch_length(texts, train) if unit == 'epoch' else 1
    for entry in train:
        entry['at'] = entry['step'] / length
    for entry in val:
        entry['at'] = _place(entry['step'], entry['after'], unit, length)
    memory = [entry['memory'] for entry in train if 'memory' in entry]
    times = [span for lines in texts if (span := _span(lines)) is not None]
    return TrainingLog(
        train,
        val,
        unit,
        _environment(texts),
        _last_match(TRAINING_DATA, texts),
        _step_seconds(train),
        sum(times, timedelta()) if times else None,
        float(max(memory)) if memory else None,
        float(peak[0]) if (peak := _last_match(PEAK_MEMORY, texts)) else None,
        max(len(files), len(texts)),
        [config for file in files if (config := file.with_name('config.py')).is_file()],
        unreadable,
    )


def series(entries: list[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Places and values of what some of the entries have; nan, in older logs -1, is "none"."""
    pairs = [(entry['at'], entry.get(key, math.nan)) for entry in entries]
    pairs = [(at, value) for at, value in pairs if math.isfinite(value) and value != -1]
    return [place for place, _ in pairs], [value for _, value in pairs]


def _place(step: int, after: int, unit: str, length: float) -> float:
    """Where on the axis a validation lies.

    Args:
        step: As logged: the epoch, or with ``log_metric_by_epoch=False`` the iteration; 0 of a run
            by iterations without that setting.
        after: Iteration of the training entry before it.
        unit: Of the axis.
        length: Iterations of an epoch; 1 on an axis of iterations.
    """
    if not step:
        return after / length
    if unit == 'epoch':
        return step if step <= after / length + 1 else step / length
    return step


def _is_of_training(file: Path) -> bool:
    text = file.read_text(encoding='utf-8', errors='replace')
    return '(train)' in text or '(test)' not in text


def _last_match(pattern: re.Pattern, texts: list[list[str]]) -> tuple[str, ...] | None:
    """Groups of the newest line that has the pattern."""
    for lines in reversed(texts):
        for line in reversed(lines):
            if match := pattern.search(line):
                return match.groups()
    return None


def _entries(file: Path) -> tuple[list[dict[str, Any]], int]:
    entries, unreadable = [], 0
    for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            unreadable += 1
            continue
        if isinstance(entry, dict) and isinstance(entry.get('step'), int):
            entries.append(entry)
        else:
            unreadable += 1
    return entries, unreadable


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding='utf-8', errors='replace').splitlines()


def _epoch_length(texts: list[list[str]], train: list[dict[str, Any]]) -> float:
    """Iterations of an epoch, as the log says, else about."""
    for lines in reversed(texts):
        for line in reversed(lines):
            if match := EPOCH.search(line):
                return float(match[1])
    return max(train[-1]['step'] / max(train[-1].get('epoch', 1), 1), 1.0)


def _environment(texts: list[list[str]]) -> dict[str, str]:
    for lines in reversed(texts):
        found = {match[1]: match[2].strip() for line in lines if (match := ENVIRONMENT.match(line))}
        if found:
            return found
    return {}


def _span(lines: list[str]) -> timedelta | None:
    stamps = [match[1] for line in lines if (match := STAMP.match(line))]
    if not stamps:
        return None
    first, last = (datetime.strptime(stamps[k], '%Y/%m/%d %H:%M:%S') for k in (0, -1))
    return last - first


def _step_seconds(train: list[dict[str, Any]]) -> float:
    """The log's ``time`` is the mean seconds of a step since the entry before it."""
    total, last = 0.0, 0
    for entry in train:
        total += entry.get('time', 0.0) * max(entry['step'] - last, 0)
        last = entry['step']
    return total
