"""Turn downloaded images and masks into a COCO data set that is ready for training.

    python -m data_prep.prepare --data "/path/BCCD Dataset with mask" --out data/bccd

See docs/data.md.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from cellkit.errors import Problem, UserError
from cellkit.files.depth import find_whites
from cellkit.files.masks import MASK_KINDS
from cellkit.files.prepared import (
    DEMO_MANIFEST,
    IMAGES,
    PARTS,
    SPLIT,
    STAIN_REFERENCE,
    annotation_file,
    data_root,
)
from cellkit.files.program import run_program
from cellkit.files.writing import read_object, sha256_of, write_json, write_whole
from cellkit.instances import CONNECTIVITY, MIN_AREA, THRESHOLD
from data_prep.coco import coco_dict
from data_prep.contact_sheet import contact_sheet
from data_prep.convert import Converted, InstanceRule, MaskOptions
from data_prep.cores import in_processes
from data_prep.demo import DEMO_SET, write_demo_set
from data_prep.download import DOWNLOADED, downloaded
from data_prep.drawings import PREDICTIONS, check_predictions, convert
from data_prep.duplicates import groups, near_duplicates
from data_prep.output import input_fingerprint, is_fresh, link_images, replacing, write_stamp
from data_prep.pairs import Pair, find_pairs
from data_prep.plausibility import Doubt, doubts
from data_prep.report import build_report, report_page
from data_prep.split import split_groups
from data_prep.stain_reference import PICTURE, chosen_image, is_chosen, write_stain_reference

REPORT = 'report/report.json'
MOST_REMARKS = 5  # on the terminal

TOLD = 5
"""Doubtful masks that are named on the terminal; the report names all."""

Parts = dict[str, list[Converted]]


class Prepared(NamedTuple):
    """A prepared data set.

    Attributes:
        out: Its folder.
        report: What was found, as in ``report/report.json``.
        state: 'new'; 'up to date' where neither data nor options had changed; 'kept' where real
            data would have made way for demo smears.
        stain_reference: File of the reference of stain normalisation; None where there is none.
        remark: One sentence on that reference, for the user.
    """

    out: Path
    report: dict[str, Any]
    state: str
    stain_reference: Path | None
    remark: str


def prepare(
    data: Path | str | None = None,
    out: Path | str | None = None,
    *,
    threshold: int = THRESHOLD,
    connectivity: int = CONNECTIVITY,
    min_area: int = MIN_AREA,
    val_fraction: float = 0.3,
    seed: int = 0,
    split_touching: bool = False,
    masks: str = 'auto',
    allow_grey: bool = False,
    invert: bool = False,
    allow_implausible: bool = False,
    skip_bad: bool = False,
    copy_images: bool = False,
    predictions: Path | str | None = None,
    allow_duplicates: bool = False,
    workers: int | None = None,
) -> Prepared:
    """Turn images and masks into a COCO data set; docs/data.md tells the rules.

    Args:
        data: Folder that holds ``train`` and ``test``. By default what ``make download`` left;
            where there is nothing, synthetic demo smears are made.
        out: Folder to write; by default the one that DATA_ROOT names, else ``data/bccd``.
        threshold: A pixel of a grey mask greater than this is cell, 0 to 254.
        connectivity: Neighbours of a pixel, 4 or 8.
        min_area: Smallest cell, pixels.
        val_fraction: Share of the training folder that becomes the validation part, 0.01 to 0.99.
        seed: Of the split into training and validation part.
        split_touching: Cut components that are several cells.
        masks: What masks of several values are: 'auto', 'binary', 'labels' or 'regions'.
        allow_grey: Cut grey masks at the threshold.
        invert: In masks of two values the lower one is cell.
        allow_implausible: Take masks that can't belong to their pictures, and list them.
        skip_bad: Leave bad files out and list them in the report.
        copy_images: Copy the images, don't link them.
        predictions: Folder that ``make predict`` wrote, to count what was changed in it.
        allow_duplicates: Split near-duplicates like other images; they are listed all the same.
        workers: Processes; as many as cores by default.

    Raises:
        UserError: Options, data or the output folder can't be used; ``details`` lists bad files.
    """
    _check('threshold', threshold, 0, 254)
    _check('min-area', min_area, 1, 10**9)
    _check('val-fraction', val_fraction, 0.01, 0.99)
    _check('workers', 1 if workers is None else workers, 1, 1024)
    if connectivity not in (4, 8):
        raise UserError(f'--connectivity is {connectivity}: it must be 4 or 8')
    if masks not in MASK_KINDS:
        raise UserError(f'--masks is {masks}: it must be one of {", ".join(MASK_KINDS)}')
    out = Path(out or data_root())
    data = Path(data) if data else downloaded()
    if data is None and read_object(out / SPLIT).get('demo') is False:
        chosen = out / STAIN_REFERENCE
        return Prepared(
            out, read_object(out / REPORT), 'kept', chosen if chosen.is_file() else None, ''
        )
    data = data or _make_demo_set(workers)
    pairs, problems, left_out = find_pairs(data)
    if data.resolve().is_relative_to(out.resolve()):
        raise UserError(f'{out}: holds the data itself; name another folder with --out')
    predictions = Path(predictions) if predictions else None
    if predictions:
        check_predictions(predictions, [pair.image for pair in pairs])
    rule = InstanceRule(threshold, connectivity, min_area, split_touching)
    settings = {
        'demo': (data / DEMO_MANIFEST).is_file(),
        'instance_rule': vars(rule),
        'seed': seed,
        'val_fraction': val_fraction,
    }
    options = MaskOptions(masks, allow_grey, invert)
    switches = [skip_bad, copy_images, allow_implausible, allow_duplicates, *vars(options).values()]
    switches.append(sha256_of(predictions / PREDICTIONS) if predictions else None)
    inputs = input_fingerprint(data, {**settings, 'switches': switches})
    if is_fresh(out, inputs):
        return Prepared(
            out, read_object(out / REPORT), 'up to date', *_stain_reference(out, workers)
        )

    with replacing(out) as fresh:
        depth = find_whites(data / pair.image for pair in pairs)
        each = partial(
            _convert,
            data,
            rule=rule,
            options=options,
            predictions=predictions,
            whites=depth.whites,
        )
        results = in_processes(each, pairs, workers, each=4)
        converted = []
        for result in tqdm(results, 'masks to COCO', len(pairs), unit='image'):
            if isinstance(result, Converted):
                converted.append(result)
            else:
                problems += result
        doubtful = doubts(converted)
        if not allow_implausible:
            converted, doubtful = _leave_out(converted, doubtful, problems)
        problems.sort()
        if problems and not skip_bad:
            raise UserError(
                f'{len(problems)} problems with the files in {data}, nothing was written; mend '
                'them, or go on without these files with --skip-bad',
                problems,
            )
        parts, duplicates = _split(converted, val_fraction, seed, problems, allow_duplicates)
        settings['fingerprint'] = _data_fingerprint(converted)
        if depth.said:
            settings['depth'] = list(depth.said)
        report = build_report(parts, settings, duplicates, problems, left_out, doubtful)
        _write(fresh, data, parts, settings, report)
        if copy_images:
            for item in tqdm(converted, 'copying images', unit='image'):
                target = fresh / IMAGES / item.pair.image
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(data / item.pair.image, target)
        else:
            link_images(fresh, out, data)
        write_stamp(fresh, inputs)
    return Prepared(out, report, 'new', *_stain_reference(out, workers))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='prepare', description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--data', type=Path, help=f'folder that holds train/ and test/ (default: {DOWNLOADED})')
    add('--out', type=Path, help='folder to write (default: DATA_ROOT, else data/bccd)')
    add('--threshold', type=int, default=THRESHOLD, help='cuts grey masks (--allow-grey)')
    add('--connectivity', type=int, default=CONNECTIVITY, help='neighbours of a pixel, 4 or 8')
    add('--min-area', type=int, default=MIN_AREA, help='smallest cell, pixels')
    add('--val-fraction', type=float, default=0.3, help='share of train/ that becomes validation')
    add('--seed', type=int, default=0, help='seed of the train/val split')
    add('--split-touching', action='store_true', help='cut components that are several cells')
    add('--masks', default='auto', help=f'what several values are: {", ".join(MASK_KINDS)}')
    add('--invert', action='store_true', help='the lower one of two values is cell')
    add('--allow-implausible', action='store_true', help="take masks that can't be right")
    add('--allow-grey', action='store_true', help='cut grey masks at --threshold')
    add('--skip-bad', action='store_true', help='leave bad files out and list them')
    add('--copy-images', action='store_true', help="copy the images, don't link them")
    changed = 'folder of predictions, to count what was added, deleted and reshaped in them'
    add('--predictions', type=Path, metavar='FOLDER', help=changed)
    what = 'split near-duplicate images like others'
    add('--allow-duplicates', action='store_true', help=what)
    add('--workers', type=int, help='processes (default: all cores)')
    options = vars(parser.parse_args(argv))
    return run_program('prepare', lambda: _tell(prepare(**options)), 'stopped; nothing was changed')


def _convert(data: Path, pair: Pair, **options: Any) -> Converted | list[Problem]:
    """As :func:`convert`; what a library trips over is a problem of this pair alone."""
    try:
        return convert(data, pair, **options)
    except Exception as error:
        what = f'failed unexpectedly ({type(error).__name__}: {error})'
        return [Problem(pair.image, what, 'export it and its mask again as PNG')]


def _check(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f'--{option} is {value}: it must lie between {low} and {high}')


def _leave_out(
    converted: Sequence[Converted], doubtful: Sequence[Doubt], problems: list[Problem]
) -> tuple[list[Converted], list[Doubt]]:
    """Move the impossible masks from the converted pairs and the doubts to the problems."""
    impossible = {doubt.problem.file: doubt.problem for doubt in doubtful if doubt.impossible}
    problems += [
        Problem(p.file, p.what, f'{p.remedy}, or go on with --allow-implausible')
        for p in impossible.values()
    ]
    return (
        [item for item in converted if item.pair.mask not in impossible],
        [doubt for doubt in doubtful if not doubt.impossible],
    )


def _make_demo_set(workers: int | None) -> Path:
    print(
        f'There is no data at {DOWNLOADED} and --data names none, so this goes on with synthetic '
        f'demo smears in {DEMO_SET}. For real ones: `make download`, or '
        '`make prepare DATA="/path/BCCD Dataset with mask"`.'
    )
    return write_demo_set(DEMO_SET, workers=workers)


def _split(
    converted: Sequence[Converted],
    val_fraction: float,
    seed: int,
    problems: Sequence[Problem],
    allow_duplicates: bool,
) -> tuple[Parts, list[dict[str, Any]]]:
    """Split into train, val and test, near-duplicates on one side if need be; also list those."""
    same = near_duplicates([item.thumbnail for item in converted])
    train = [k for k, item in enumerate(converted) if item.pair.part == 'train']
    if not train or len(train) == len(converted):
        part = 'test' if train else 'train'
        raise UserError(
            f'{part}: no usable pair is left; mend the files listed with --skip-bad', problems
        )
    place = {k: n for n, k in enumerate(train)}
    ties = [(place[i], place[j]) for i, j, _ in same if i in place and j in place]
    ties = [] if allow_duplicates else ties
    named = [[converted[train[n]].pair.stem for n in group] for group in groups(len(train), ties)]
    if len(named) < 2:
        raise UserError(
            f"train: its {len(train)} images show one field, so they can't be split into training "
            'and validation; add other images, or pass --allow-duplicates if they do not',
            problems,
        )
    val = set(split_groups(named, val_fraction, seed)[1])
    names = [
        'val' if item.pair.part == 'train' and item.pair.stem in val else item.pair.part
        for item in converted
    ]
    parts = {
        part: [item for item, name in zip(converted, names, strict=True) if name == part]
        for part in PARTS
    }
    duplicates = [
        {
            'images': [converted[i].pair.image, converted[j].pair.image],
            'parts': [names[i], names[j]],
            'correlation': round(value, 3),
        }
        for i, j, value in same
    ]
    return parts, duplicates


def _data_fingerprint(converted: Sequence[Converted]) -> str:
    """Hash of the names and contents of all files that went in."""
    digest = hashlib.sha256()
    for item in converted:
        digest.update(f'{item.pair.image}\0{item.pair.mask}\0{item.digest}\n'.encode())
    return f'sha256:{digest.hexdigest()}'


def _write(folder: Path, data: Path, parts: Parts, settings: dict, report: dict) -> None:
    """Write annotations, split.json and the report."""
    files = {name: [item.pair.image for item in items] for name, items in parts.items()}
    every = sorted(image for images in files.values() for image in images)
    image_ids = {image: k for k, image in enumerate(every, start=1)}
    for name, items in parts.items():
        info = {'description': f'Blood cells in smear images, {name} part', **settings}
        write_json(annotation_file(folder, name), coco_dict(items, image_ids, info))
    write_json(folder / SPLIT, {**settings, **files}, indent=1)
    write_json(folder / REPORT, report, indent=1)
    write_whole(folder / 'report' / 'report.md', report_page(report))
    title = 'Demo smears, synthetic' if settings['demo'] else 'Smears and their cells'
    write_whole(folder / 'report' / 'contact_sheet.png', contact_sheet(data, parts, title))


def _stain_reference(out: Path, workers: int | None) -> tuple[Path | None, str]:
    """Leave the reference of stain normalisation in ``out``, unless it is there already.

    A data set without a reference is one all the same.

    Returns:
        The file, if there is one, and a sentence where there is something to tell.
    """
    try:
        if is_chosen(out):
            return out / STAIN_REFERENCE, ''
        file = write_stain_reference(out, workers)
    except UserError as error:
        consequence = "so configs that normalise stain can't be used"
        return None, f'No stain reference, {consequence}: {error}.'
    except OSError as error:
        return None, f"No stain reference: {error.filename} can't be written ({error.strerror})."
    except KeyboardInterrupt:
        words = 'stopped before it chose a stain reference; the rest is ready'
        raise KeyboardInterrupt(words) from None
    return file, f'Stain reference: {chosen_image(file)}; {out / PICTURE} shows it.'


def _tell(prepared: Prepared) -> None:
    """Say on the terminal what came out."""
    out, report = prepared.out, prepared.report
    if prepared.state == 'kept':
        print(
            f'{out} holds a prepared data set, which is kept: name other data with --data, or '
            'remove that folder for the demo set.'
        )
    elif prepared.state == 'up to date':
        print(f'{out} is up to date: neither the data nor the options have changed.')
    else:
        parts = [report['parts'][name] for name in PARTS]
        images = ', '.join(f'{p["images"]} {n}' for n, p in zip(PARTS, parts, strict=True))
        print(f'{out}: images {images}; cells {", ".join(str(p["cells"]) for p in parts)}.')
        print(
            f'{sum(p["dropped_specks"] for p in parts)} specks dropped, '
            f'{sum(p["merged_cell_suspects"] for p in parts)} merged-cell suspects, '
            f'{len(report["near_duplicates"])} near-duplicate pairs '
            f'({report["near_duplicates_between_train_and_test"]} between train and test).'
        )
        if left_out := report['drawings_left_out']:
            counts = ', '.join(f'{n} {reason}' for reason, n in left_out.items())
            print(f'Drawings that are no cells: {counts}.')
        if changed := report['changes']:
            print(
                f'Against the predictions of {changed["images"]} images: {changed["kept"]} cells '
                f'kept, {changed["reshaped"]} reshaped, {changed["added"]} added, '
                f'{changed["deleted"]} deleted.'
            )
        for said in report.get('depth', []):
            print(f'Depth: {said}.')
        for remark in report['remarks'][:MOST_REMARKS]:
            print(f'{remark["file"]} {remark["what"]}.')
        if (more := len(report['remarks']) - MOST_REMARKS) > 0:
            print(f'{more} more remarks on images; the report lists them.')
        for form, count in report['mask_forms'].items():
            print(f'{count} masks were read as {form}.')
        if doubtful := report['doubtful_masks']:
            print(f'{len(doubtful)} masks are doubtful:')
            for row in doubtful[:TOLD]:
                print(f'  {row["file"]} {row["what"]}.')
            if len(doubtful) > TOLD:
                print(f'  and {len(doubtful) - TOLD} more, which the report lists.')
        if report['skipped']:
            print(f'{len(report["skipped"])} problems were skipped; the report lists them.')
        for sentence in report['left_out']:
            print(f'{sentence[0].upper()}{sentence[1:]}.')
        print(f'Report and pictures: {out / "report"}.')
    if prepared.remark:
        print(prepared.remark)


if __name__ == '__main__':
    sys.exit(main())
