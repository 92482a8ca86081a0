"""Score any program's predictions, and compare two, by the project's own figures."""

from __future__ import annotations

import datetime
import math
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.writing import csv_text, sha256_of, write_json, write_whole
from cellkit.metrics.bootstrap import LEAST_IMAGES
from cellkit.metrics.comparison import Comparison, compare
from cellkit.metrics.records import VALUES, intervals, values
from tools.evaluate.session import Session, image_row, too_few
from tools.evaluate.subjects import (
    Subject,
    described,
    folder_subject,
    is_run,
    run_subject,
    truth_of,
)
from tools.evaluate.tables import Written, number, say, write_evaluation
from tools.runs.run import WORK_DIRS

SCORED = WORK_DIRS / 'scored'
SURE = 0.975
"""The better one is named where so many samples agree and the interval leaves out 0."""


def score_folder(
    path: Path,
    part: str,
    data: Path | str | None,
    out: Path | str | None,
    score_thr: float | None,
    allow_missing: bool,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """See :func:`tools.evaluate.score`."""
    truth = truth_of(data, part)
    subject = folder_subject(path, truth, score_thr, allow_missing)
    records, threshold = subject.records, subject.threshold
    bar = partial(tqdm, desc='intervals', unit='sample', leave=False, disable=None)
    between = intervals(records, threshold, samples, seed, progress=bar) if samples > 0 else {}
    notes = list(subject.notes)
    if samples > 0 and not between:
        notes.append(too_few(len(records)))
    result = _about(truth, part, samples, seed) | {
        'made_by': subject.made_by,
        'score_thr': threshold,
        'score_thr_source': subject.threshold_source,
        'figures': values(records, threshold),
        'intervals': between,
        'images': [image_row(record, threshold) for record in records],
        'notes': notes,
    }
    say(write_evaluation(Path(out or SCORED / path.stem), result), result['notes'])
    return result


def compare_two(
    one: Path,
    other: Path,
    part: str,
    data: Path | str | None,
    out: Path | str | None,
    score_thr: float | None,
    allow_missing: bool,
    samples: int,
    seed: int,
    device: str | None,
) -> dict[str, Any]:
    """See :func:`tools.evaluate.compare`."""
    if samples < 1:
        raise UserError('--samples must be 1 or more to compare two')
    truth = truth_of(data, part)
    root = truth.path.parent.parent
    subjects = []
    for path, name in zip((one, other), _names(one, other), strict=True):
        if is_run(path):
            # Results stay where the run has them: what was predicted before is used again.
            subject = run_subject(Session(path, data=root, device=device), name, part, score_thr)
        else:
            subject = folder_subject(path, truth, score_thr, allow_missing)._replace(name=name)
        subjects.append(subject)
    bar = partial(tqdm, desc='comparing', unit='sample', leave=False, disable=None)
    ways = [(subject.records, subject.threshold) for subject in subjects]
    found = compare(*ways, samples, seed, progress=bar)
    notes = [note for subject in subjects for note in subject.notes]
    if len(truth.images) < LEAST_IMAGES:
        unknown = dict(low=math.nan, high=math.nan, better=math.nan)
        found = {key: item._replace(**unknown) for key, item in found.items()}
        notes.append(too_few(len(truth.images)))
    result = _about(truth, part, samples, seed) | {
        'first': described(subjects[0]),
        'second': described(subjects[1]),
        'figures': {
            key: item._asdict() | {'verdict': _verdict(key, item, subjects)}
            for key, item in found.items()
        },
        'notes': notes,
    }
    names = '_against_'.join(subject.name.replace('/', '_') for subject in subjects)
    say(_write(Path(out or SCORED / names), result, found, subjects), result['notes'])
    return result


def _names(one: Path, other: Path) -> list[str]:
    """Short names that tell the two apart."""
    names = [path.name or str(path) for path in (one, other)]
    return names if names[0] != names[1] else [str(one), str(other)]


def _about(truth: GroundTruth, part: str, samples: int, seed: int) -> dict[str, Any]:
    return {
        'part': part,
        'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
        'annotations': str(truth.path),
        'annotations_sha256': sha256_of(truth.path),
        'number_of_images': len(truth.images),
        'number_of_cells': sum(len(image.rles) for image in truth.images.values()),
        'bootstrap': {'samples': samples, 'seed': seed, 'level': 0.95},
    }


def _verdict(key: str, found: Comparison, subjects: list[Subject]) -> str:
    """The name of the better one, or why none is named."""
    if key.startswith('coco/') and not all(subject.scored for subject in subjects):
        return 'no scores'  # a ranking gains from what lies below the threshold
    if math.isnan(found.better):
        return 'too few images'
    if not found.differ or max(found.better, 1 - found.better) < SURE:
        return 'not sure'
    return subjects[0 if found.better > 0.5 else 1].name


def _write(
    folder: Path, result: dict[str, Any], found: dict[str, Comparison], subjects: list[Subject]
) -> Written:
    """Write ``comparison.md``, ``.csv`` and ``.json``."""
    first, second = (subject.name for subject in subjects)
    lines = [
        f'# {first} against {second}, {result["part"]} part',
        '',
        f'{result["number_of_images"]} images, {result["number_of_cells"]} cells, the same for '
        'both.',
        *(
            f'- **{s.name}**: {s.made_by}; score threshold {s.threshold:g} ({s.threshold_source}).'
            for s in subjects
        ),
        '',
        f'| figure | {first} | {second} | difference, 95 % interval | better | how sure |',
        '|---|---:|---:|---|---|---:|',
    ]
    rows = []
    for key, name, _ in VALUES:
        item, verdict = found[key], result['figures'][key]['verdict']
        sure = max(item.better, 1 - item.better)
        by, share = number(item.difference), ''
        if not math.isnan(sure):
            by, share = f'{by} ({number(item.low)} to {number(item.high)})', f'{sure:.1%}'
        both = f'{number(item.first)} | {number(item.second)}'
        lines.append(f'| {name} | {both} | {by} | {verdict} | {share} |')
        rows.append((key, name, *item[:5], verdict, sure))
    lines += [
        '',
        f'Paired bootstrap over the images, {result["bootstrap"]["samples"]} samples, seed '
        f'{result["bootstrap"]["seed"]}: the difference is {first} less {second} (of the bias: of '
        'its size); how sure is the share of the samples in which the one that leads is better. '
        'A name stands where the interval leaves out 0; average precision names none where one has '
        'no scores. Of twenty figures one does so by chance, '
        'and with a dozen images the intervals are somewhat too narrow.',
    ]
    if result['notes']:
        lines += ['', *(f'- Note: {note}.' for note in result['notes'])]
    header = ('key', 'figure', first, second, 'difference', 'low', 'high', 'better', 'how sure')
    texts = {'comparison.md': '\n'.join(lines) + '\n', 'comparison.csv': csv_text(header, rows)}
    for name, text in texts.items():
        write_whole(folder / name, text)
    write_json(folder / 'comparison.json', result, indent=1)
    files = [folder / name for name in (*texts, 'comparison.json')]
    return Written(texts['comparison.md'], files)
