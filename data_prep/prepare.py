"""Turn downloaded images and masks into a COCO data set that is ready for training.

    python -m data_prep.prepare --data "/path/BCCD Dataset with mask" --out data/bccd

See docs/data.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from cellkit.instances import CONNECTIVITY, MIN_AREA, THRESHOLD
from data_prep.coco import coco_dict, write_json
from data_prep.contact_sheet import contact_sheet
from data_prep.convert import Converted, InstanceRule, convert_pair
from data_prep.cores import usable_cores
from data_prep.duplicates import groups, near_duplicates
from data_prep.output import input_fingerprint, is_fresh, link_images, replacing, write_stamp
from data_prep.pairs import DataError, Pair, Problem, find_pairs
from data_prep.report import PART_ORDER, build_report, report_page
from data_prep.split import split_groups
from data_prep.stain_reference import (
    PICTURE,
    StainReferenceError,
    chosen_image,
    is_chosen,
    write_stain_reference,
)

DOWNLOADED = Path('data/raw/BCCD Dataset with mask')
DEMO = Path('data/demo_smears')
DEMO_MARK = 'demo.json'


class BadInput(Exception):
    """Files of the data that can't be used."""

    def __init__(self, data: Path, problems: Sequence[Problem]) -> None:
        super().__init__(f'{len(problems)} problems in {data}')
        self.data = data
        self.problems = problems


def parser() -> argparse.ArgumentParser:
    """The command line."""

    def between(kind: type, low: float, high: float) -> Any:
        def parse(text: str) -> Any:
            value = kind(text)
            if not low <= value <= high:
                raise argparse.ArgumentTypeError(f'must lie between {low} and {high}, not {text}')
            return value

        return parse

    p = argparse.ArgumentParser(prog='prepare', description=__doc__.splitlines()[0])
    p.add_argument(
        '--data', type=Path, help=f'folder that holds train/ and test/ (default: {DOWNLOADED})'
    )
    p.add_argument('--out', type=Path, default=Path('data/bccd'), help='folder to write')
    p.add_argument(
        '--threshold',
        type=between(int, 0, 254),
        default=THRESHOLD,
        help='a mask pixel greater than this is cell',
    )
    p.add_argument('--connectivity', type=int, choices=(4, 8), default=CONNECTIVITY)
    p.add_argument(
        '--min-area',
        type=between(int, 1, 10**9),
        default=MIN_AREA,
        help='smallest cell, pixels',
    )
    p.add_argument(
        '--val-fraction',
        type=between(float, 0.01, 0.99),
        default=0.3,
        help='share of the training folder that becomes the validation part',
    )
    p.add_argument('--seed', type=int, default=0, help='seed of the train/val split')
    p.add_argument(
        '--split-touching', action='store_true', help='cut components that are several cells'
    )
    p.add_argument('--allow-grey', action='store_true', help='cut grey masks at --threshold')
    p.add_argument('--skip-bad', action='store_true', help='leave bad files out and list them')
    p.add_argument('--copy-images', action='store_true', help="copy the images, don't link them")
    p.add_argument('--workers', type=between(int, 1, 1024), help='processes (default: all cores)')
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 when the data has problems."""
    args = parser().parse_args(argv)
    try:
        return prepare(args)
    except BadInput as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        print(
            f'prepare: {len(error.problems)} problems with the files in {error.data}, nothing was '
            'written; mend them, or go on without these files with --skip-bad.',
            file=sys.stderr,
        )
        return 2
    except DataError as error:
        print(f'prepare: {error}.', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('prepare: stopped; nothing was changed.', file=sys.stderr)
        return 130


def prepare(args: argparse.Namespace) -> int:
    """Do what the command line asks for.

    Raises:
        DataError: The data or the output folder can't be used as a whole.
    """
    out: Path = args.out
    if args.data is None and not _downloaded() and _holds_real_data(out):
        print(
            f'{out} holds a prepared data set, which is kept: name other data with --data, or '
            'remove that folder for the demo set.'
        )
        return 0
    data: Path = args.data or _default_data(args.workers)
    pairs, problems, ignored = find_pairs(data)
    if data.resolve().is_relative_to(out.resolve()):
        raise DataError(f'{out}: holds the data itself; name another folder with --out')
    rule = InstanceRule(args.threshold, args.connectivity, args.min_area, args.split_touching)
    settings = {
        'demo': (data / DEMO_MARK).is_file(),
        'instance_rule': vars(rule),
        'seed': args.seed,
        'val_fraction': args.val_fraction,
    }
    switches = [args.skip_bad, args.copy_images, args.allow_grey]
    inputs = input_fingerprint(data, {**settings, 'switches': switches})
    if is_fresh(out, inputs):
        print(f'{out} is up to date: neither the data nor the options have changed.')
        return _choose_stain_reference(out, args.workers)

    with replacing(out) as fresh:
        converted, found = _convert(data, pairs, rule, args)
        problems = sorted(problems + found)
        if problems and not args.skip_bad:
            raise BadInput(data, problems)
        try:
            parts, duplicates = _split(converted, args)
        except DataError:
            for problem in problems:
                print(problem, file=sys.stderr)
            raise
        settings['fingerprint'] = _data_fingerprint(converted)
        report = build_report(parts, settings, duplicates, problems, ignored)
        _write(fresh, data, parts, settings, report)
        if args.copy_images:
            _copy_images(fresh, data, converted)
        else:
            link_images(fresh, out, data)
        write_stamp(fresh, inputs)
    _print_summary(out, report)
    return _choose_stain_reference(out, args.workers)


def _choose_stain_reference(out: Path, workers: int | None) -> int:
    """Leave the reference of stain normalisation in ``out``, unless it is there already.

    Returns:
        The exit status: a data set without a reference is one all the same.
    """
    try:
        if is_chosen(out):
            return 0
        file = write_stain_reference(out, workers)
    except StainReferenceError as error:
        print(f"No stain reference, so configs that normalise stain can't be used: {error}.")
    except OSError as error:
        print(f"No stain reference: {error.filename} can't be written ({error.strerror}).")
    except KeyboardInterrupt:
        print('prepare: stopped before it chose a stain reference; the rest is ready.')
        return 130
    else:
        print(f'Stain reference: {chosen_image(file)}; {out / PICTURE} shows it.')
    return 0


def _downloaded() -> Path | None:
    """Where `make download` left the data set, if it did."""
    for folder in (DOWNLOADED, DOWNLOADED.parent):
        if (folder / 'train').is_dir() or (folder / 'test').is_dir():
            return folder
    return None


def _holds_real_data(out: Path) -> bool:
    """Whether a prepared data set is there that is not the demo set."""
    try:
        return json.loads((out / 'split.json').read_bytes())['demo'] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _default_data(workers: int | None) -> Path:
    """The downloaded set, or the demo set where there is none."""
    if found := _downloaded():
        return found
    print(
        f'There is no data at {DOWNLOADED} and --data names none, so this goes on with synthetic '
        f'demo smears in {DEMO}. For real ones: `make download`, or `make prepare DATA="/path/BCCD '
        'Dataset with mask"`.'
    )
    from data_prep.demo_smears import write_demo_set

    try:
        write_demo_set(DEMO, workers=workers)
    except OSError as error:
        raise DataError(f"{DEMO}: the demo set can't be written ({error})") from error
    return DEMO


def _convert(
    data: Path, pairs: Sequence[Pair], rule: InstanceRule, args: argparse.Namespace
) -> tuple[list[Converted], list[Problem]]:
    """Convert all pairs, over processes, with a progress bar."""
    convert = partial(convert_pair, data, rule=rule, allow_grey=args.allow_grey)
    converted: list[Converted] = []
    problems: list[Problem] = []
    with tqdm(total=len(pairs), desc='masks to COCO', unit='image') as bar:
        for result in _map(convert, pairs, args.workers):
            if isinstance(result, Converted):
                converted.append(result)
            else:
                problems += result
            bar.update()
    return converted, problems


def _map(convert: Any, pairs: Sequence[Pair], workers: int | None) -> Iterator[Any]:
    workers = min(workers or usable_cores(), len(pairs) // 4)
    if workers <= 1:
        yield from map(convert, pairs)
        return
    # Spawned, not forked: a fork hangs on the threads that OpenCV may hold in this process.
    with ProcessPoolExecutor(workers, get_context('spawn'), cv2.setNumThreads, (1,)) as pool:
        try:
            yield from pool.map(convert, pairs, chunksize=2)
        except BrokenProcessPool as error:
            raise DataError(
                'a worker process was killed, perhaps for want of memory; try fewer with --workers'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _split(
    converted: Sequence[Converted], args: argparse.Namespace
) -> tuple[dict[str, list[Converted]], list[dict[str, Any]]]:
    """Split into train, val and test, near-duplicates on one side; also list those."""
    same = near_duplicates([item.thumbnail for item in converted])
    train = [k for k, item in enumerate(converted) if item.pair.part == 'train']
    if not train or len(train) == len(converted):
        part = 'train' if not train else 'test'
        raise DataError(f'{part}: no usable pair is left; mend the files listed with --skip-bad')
    place = {k: n for n, k in enumerate(train)}
    ties = [(place[i], place[j]) for i, j, _ in same if i in place and j in place]
    named = [[converted[train[n]].pair.stem for n in group] for group in groups(len(train), ties)]
    if len(named) < 2:
        raise DataError(
            f"train: its {len(train)} images show one field, so they can't be split into training "
            'and validation; add other images'
        )
    sides = dict(
        zip(('train', 'val'), split_groups(named, args.val_fraction, args.seed), strict=True)
    )
    side = {stem: name for name, stems in sides.items() for stem in stems}
    names = [side[c.pair.stem] if c.pair.part == 'train' else 'test' for c in converted]
    parts = {
        part: [item for item, name in zip(converted, names, strict=True) if name == part]
        for part in PART_ORDER
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


def _write(
    folder: Path,
    data: Path,
    parts: dict[str, list[Converted]],
    settings: dict[str, Any],
    report: dict[str, Any],
) -> None:
    """Write annotations, split.json and the report."""
    everything = sorted(item.pair.image for items in parts.values() for item in items)
    image_ids = {image: k for k, image in enumerate(everything, start=1)}
    (folder / 'annotations').mkdir()
    (folder / 'report').mkdir()
    for name, items in parts.items():
        info = {'description': f'Blood cells in smear images, {name} part', **settings}
        write_json(folder / 'annotations' / f'{name}.json', coco_dict(items, image_ids, info))
    files = {name: [item.pair.image for item in items] for name, items in parts.items()}
    write_json(folder / 'split.json', {**settings, **files}, indent=1)
    write_json(folder / 'report' / 'report.json', report, indent=1)
    (folder / 'report' / 'report.md').write_text(report_page(report), encoding='utf-8')
    title = 'Demo smears, synthetic' if settings['demo'] else 'Smears and their cells'
    contact_sheet(data, parts, title).save(folder / 'report' / 'contact_sheet.png')


def _copy_images(folder: Path, data: Path, converted: Sequence[Converted]) -> None:
    for item in tqdm(converted, desc='copying images', unit='image'):
        target = folder / 'images' / item.pair.image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(data / item.pair.image, target)


def _print_summary(out: Path, report: dict[str, Any]) -> None:
    figures = [report['parts'][name] for name in PART_ORDER]
    images = ', '.join(f'{p["images"]} {n}' for n, p in zip(PART_ORDER, figures, strict=True))
    cells = ', '.join(str(p['cells']) for p in figures)
    print(f'{out}: images {images}; cells {cells}.')
    print(
        f'{sum(p["dropped_specks"] for p in figures)} specks dropped, '
        f'{sum(p["merged_cell_suspects"] for p in figures)} merged-cell suspects, '
        f'{len(report["near_duplicates"])} near-duplicate pairs '
        f'({report["near_duplicates_between_train_and_test"]} between train and test).'
    )
    if report['skipped']:
        print(f'{len(report["skipped"])} problems were skipped; the report lists them.')
    print(f'Report and pictures: {out / "report"}.')


if __name__ == '__main__':
    sys.exit(main())
