"""What training logged: losses, validation metrics, versions, time and memory."""

from __future__ import annotations

import contextlib
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
    def device(self) -> str:
        """What it was trained on: the names of the GPUs, else ``"CPU"``; empty if not logged."""
        named = [text for name, text in self.environment.items() if re.match(r'GPU \d', name)]
        return ', '.join(named) or ('CPU' if self.environment else '')

    @property
    def last(self) -> float:
        """How far training came, in the axis's unit."""
        return self.train[-1]['at'] if self.train else 0.0


def read_training_log(run: Path) -> TrainingLog:
    """Read the logs of a run folder; what isn't there is left empty.

    A run that was resumed has several logs: what a later one did again replaces the earlier. Those
    of `mim test`, which writes into the run folder too, are left out.
    """
    train: list[dict[str, Any]] = []
    val: list[dict[str, Any]] = []
    unreadable = 0
    logs = {file: _read(file) for file in sorted(run.glob('*/*.log'))}
    logs = {file: text for file, text in logs.items() if '(train)' in text or '(test)' not in text}
    texts = [text.splitlines() for text in logs.values()]
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
                after = train[-1]['step'] if train else 0
                # A validation that was killed, or kept by no checkpoint, is done again.
                val = [old for old in val if (old['step'], old['after']) != (entry['step'], after)]
                val.append(entry | {'after': after})
    unit = 'epoch' if any('epoch' in entry for entry in train) else 'iteration'
    length = 1.0
    if unit == 'epoch' and (match := _last_match(EPOCH, texts)):
        length = float(match[0])
    elif unit == 'epoch':  # about
        length = max(train[-1]['step'] / max(train[-1].get('epoch', 1), 1), 1.0)
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
        length: Iterations of an epoch; 1 on an axis of iterations.
    """
    if not step:
        return after / length
    return step / length if unit == 'epoch' and step > after / length + 1 else step


def _read(file: Path) -> str:
    return file.read_text(encoding='utf-8', errors='replace')


def _last_match(pattern: re.Pattern, texts: list[list[str]]) -> tuple[str, ...] | None:
    """Groups of the newest line that has the pattern."""
    lines = (line for text in reversed(texts) for line in reversed(text))
    return next((match.groups() for line in lines if (match := pattern.search(line))), None)


def _entries(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The entries of a ``scalars.json``, and the number of lines that are none."""
    lines, entries = _read(file).splitlines(), []
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get('step'), int):
                entries.append(entry)
    return entries, len(lines) - len(entries)


def _environment(texts: list[list[str]]) -> dict[str, str]:
    found = [[match for line in lines if (match := ENVIRONMENT.match(line))] for lines in texts]
    return next(({m[1]: m[2].strip() for m in matches} for matches in found[::-1] if matches), {})


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
