"""The data report: what was found, in numbers, as JSON and as a page to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellkit.changes import Changes
from cellkit.drawn import REASONS
from cellkit.errors import Problem
from cellkit.files.listing import LeftOut
from cellkit.files.prepared import PARTS
from data_prep.convert import Converted
from data_prep.plausibility import Doubt


def build_report(
    parts: Mapping[str, Sequence[Converted]],
    settings: Mapping[str, Any],
    duplicates: Sequence[Mapping[str, Any]],
    skipped: Sequence[Problem],
    left_out: LeftOut,
    doubtful: Sequence[Doubt] = (),
) -> dict[str, Any]:
    """Collect the numbers of a data set, for JSON.

    Args:
        parts: Images of train, val and test.
        settings: Rule, seed, fingerprint and the like; copied to the top of the report.
        duplicates: Near-duplicates, ``{"images": [a, b], "parts": [p, q], "correlation"}``.
        skipped: Bad input that was left out.
        left_out: Files that were left out.
        doubtful: Masks that don't fit their pictures.
    """
    forms = Counter(item.form for items in parts.values() for item in items if item.form)
    across = [d for d in duplicates if 'test' in d['parts'] and set(d['parts']) != {'test'}]
    every = [item for name in PARTS for item in parts[name]]
    return {
        **settings,
        'parts': {name: _numbers(parts[name]) for name in PARTS},
        'near_duplicates': list(duplicates),
        'near_duplicates_between_train_and_test': len(across),
        'drawings_left_out': _left_out(every),
        'changes': _changes(every),
        'remarks': [
            {'file': item.pair.image, 'what': what}
            for name in PARTS
            for item in parts[name]
            for what in item.remarks
        ],
        'mask_forms': dict(sorted(forms.items())),
        'doubtful_masks': [vars(doubt.problem) for doubt in doubtful],
        'skipped': [vars(problem) for problem in skipped],
        'left_out': left_out.sentences(),
        'ignored_files': left_out.names(),
        'images': [_row(name, item) for name in PARTS for item in parts[name]],
    }


def _left_out(items: Sequence[Converted]) -> dict[str, int]:
    """Number of drawings that are no cells, by reason in words."""
    return {
        words: total
        for reason, words in REASONS.items()
        if (total := sum(item.left_out.get(reason, 0) for item in items))
    }


def _changes(items: Sequence[Converted]) -> dict[str, int]:
    """What was changed in the predictions of how many images; empty where none are known."""
    found = [item.changes._asdict() for item in items if item.changes]
    total = {key: sum(changes[key] for changes in found) for key in Changes._fields}
    return {'images': len(found), **total} if found else {}


def _numbers(items: Sequence[Converted]) -> dict[str, Any]:
    counts = [len(item.rles) for item in items]
    areas = [area for item in items for area in item.areas]
    specks = [area for item in items for area in item.specks]
    sizes = Counter(f'{item.width}x{item.height}' for item in items)
    return {
        'images': len(items),
        'cells': sum(counts),
        'sizes': dict(sorted(sizes.items())),
        'cells_per_image': _summary(counts),
        'images_with_more_than_100_cells': sum(count > 100 for count in counts),
        'cell_area_px': _summary(areas),
        'dropped_specks': len(specks),
        'dropped_specks_px': sum(specks),
        'merged_cell_suspects': sum(len(item.merged) for item in items),
    }


def _summary(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {}
    quartiles = np.percentile(values, [0, 25, 50, 75, 100])
    names = ('min', 'q25', 'median', 'q75', 'max')
    summary = {name: round(float(v), 1) for name, v in zip(names, quartiles, strict=True)}
    return summary | {'mean': round(float(np.mean(values)), 1)}


def _row(part: str, item: Converted) -> dict[str, Any]:
    return {
        'file': item.pair.image,
        'part': part,
        'width': item.width,
        'height': item.height,
        'cells': len(item.rles),
        'median_area_px': float(np.median(item.areas)),
        'dropped_specks_px': item.specks,
        'mask_form': item.form,
        'mask_remark': item.remark,
        'merged_cell_suspects': item.merged,
        **({'drawings_left_out': item.left_out} if item.left_out else {}),
        **({'changes': item.changes._asdict()} if item.changes else {}),
    }


def report_page(report: Mapping[str, Any]) -> str:
    """Lay a report out as Markdown."""
    rule = report['instance_rule']
    parts = [report['parts'][name] for name in PARTS]
    table = {
        'images': [p['images'] for p in parts],
        'sizes': [', '.join(f'{k} ({n})' for k, n in p['sizes'].items()) for p in parts],
        'cells': [p['cells'] for p in parts],
        'cells an image (least – median – most)': [_spread(p['cells_per_image']) for p in parts],
        'images with more than 100 cells': [p['images_with_more_than_100_cells'] for p in parts],
        'cell area, px (least – median – most)': [_spread(p['cell_area_px']) for p in parts],
        'dropped specks': [f'{p["dropped_specks"]} ({p["dropped_specks_px"]} px)' for p in parts],
        'merged-cell suspects': [p['merged_cell_suspects'] for p in parts],
    }
    lines = ['# Data report', '']
    if report['demo']:
        lines += ['**Synthetic demo images, no real smears.** Figures from them say nothing.', '']
    lines += [
        f'Cells are {rule["connectivity"]}-connected components of a mask with at least '
        f'{rule["min_area"]} pixels, or what a mask numbers as one; touching cells '
        f'{"are cut apart" if rule["split_touching"] else "stay one component"}.',
        f'Split with seed {report["seed"]}, {report["val_fraction"]:.0%} of the training folder '
        'for validation, near-duplicates on one side.',
        *(f'Depth: {said}.' for said in report.get('depth', [])),
        '',
        f'| | {" | ".join(PARTS)} |',
        '|---|' + '---:|' * len(PARTS),
        *(f'| {title} | {" | ".join(map(str, row))} |' for title, row in table.items()),
        '',
        '![Contact sheet](contact_sheet.png)',
        '',
        *_masks_section(report),
        *_duplicates_section(report),
        *_suspects_section(report),
    ]
    if report['drawings_left_out']:
        lines += ['## Drawings that are no cells', '']
        lines += [f'- {n} {words}' for words, n in report['drawings_left_out'].items()] + ['']
    if report['changes']:
        lines += ['## Changes against the predictions', '']
        lines += [f'- {name} {n}' for name, n in report['changes'].items()] + ['']
    if report['remarks']:
        lines += [f'## Remarks on images: {len(report["remarks"])}', '']
        lines += [f'- `{r["file"]}` {r["what"]}.' for r in report['remarks']] + ['']
    if report['skipped']:
        lines += [f'## Skipped: {len(report["skipped"])} problems', '']
        lines += [f'- `{s["file"]}` {s["what"]}; {s["remedy"]}.' for s in report['skipped']] + ['']
    if report['ignored_files']:
        lines += [f'## Files left out: {len(report["ignored_files"])}', '']
        lines += [f'{sentence}.\n' for sentence in report['left_out']]
        lines += [f'- `{name}`' for name in report['ignored_files']] + ['']
    return '\n'.join(lines)


def _spread(summary: Mapping[str, float]) -> str:
    return ' – '.join(f'{summary[key]:.0f}' for key in ('min', 'median', 'max')) if summary else '–'


def _masks_section(report: Mapping[str, Any]) -> list[str]:
    """What masks were read as, and those that don't fit their pictures."""
    lines = []
    remarks = [(row['file'], row['mask_remark']) for row in report['images'] if row['mask_remark']]
    if report['mask_forms'] or remarks:
        lines += ['## Masks that are not plain 0 and 255', '']
        lines += [f'- {count} read as {form}' for form, count in report['mask_forms'].items()]
        lines += [f'- mask of `{file}`: {remark}' for file, remark in remarks] + ['']
    if doubtful := report['doubtful_masks']:
        lines += [f'## Doubtful masks: {len(doubtful)}', '']
        lines += [f'- `{d["file"]}` {d["what"]}; {d["remedy"]}.' for d in doubtful] + ['']
    return lines


def _duplicates_section(report: Mapping[str, Any]) -> list[str]:
    duplicates = report['near_duplicates']
    lines = [f'## Near-duplicate images: {len(duplicates)} pairs', '']
    if not duplicates:
        return [*lines, 'None found.', '']
    leaks = report['near_duplicates_between_train_and_test']
    lines += [f'{leaks} of them between the training folder and the test folder.', '']
    lines += ['| image | part | image | part | correlation |', '|---|---|---|---|---:|']
    for d in duplicates:
        (a, b), (p, q) = d['images'], d['parts']
        lines.append(f'| `{a}` | {p} | `{b}` | {q} | {d["correlation"]:.2f} |')
    return [*lines, '']


def _suspects_section(report: Mapping[str, Any]) -> list[str]:
    total = sum(len(row['merged_cell_suspects']) for row in report['images'])
    verb = 'were' if report['instance_rule']['split_touching'] else 'would be'
    lines = [f'## Merged-cell suspects: {total} components', '']
    if not total:
        return [*lines, 'None found.', '']
    lines += [f'Large components with a dent that {verb} cut by `--split-touching`.', '']
    lines += ['| image | part | components | pieces |', '|---|---|---:|---:|']
    for row in report['images']:
        if suspects := row['merged_cell_suspects']:
            pieces = sum(s['pieces'] for s in suspects)
            lines.append(f'| `{row["file"]}` | {row["part"]} | {len(suspects)} | {pieces} |')
    return [*lines, '']
