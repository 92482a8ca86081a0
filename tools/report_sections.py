"""What stands in the report: its sections and the files beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools import report_figures as figures
from tools import report_page as page
from tools import report_tables as tables
from tools.errors import UserError
from tools.report_analysis import Analysis, Part, analyse, error_rows
from tools.report_pictures import (
    PREDICTED_COLOUR,
    TRUE_COLOUR,
    Picture,
    best_and_worst,
    draw_pictures,
)
from tools.report_run import Run, best_place

TILES = (
    ('coco/segm_mAP', 'mask AP'),
    ('coco/segm_mAP_50', 'mask AP50'),
    ('pixel/dice', 'pixel Dice'),
    ('instance/f1_50', 'F1 at IoU 0.5'),
    ('count/relative_error', 'count error'),
)
BEST = 'Dotted line: the best checkpoint.'


def build(run: Run, data: Path | None = None) -> dict[str, bytes]:
    """Make the report.

    Args:
        run: What there is of the run; what else turns out to be missing is added to it.
        data: The prepared data folder, if it isn't where the evaluation says.

    Returns:
        Contents by file name; ``report.html`` is the page.
    """
    files: dict[str, bytes] = {}
    sections = _training(run, files)
    info: Mapping[str, Any] = {}
    if run.evaluation:
        sections += _figures(run, files)
        try:
            part = Part(run.folder, run.evaluation, data)
            info = part.info
            sections += _errors(run, part, files)
        except UserError as error:
            run.missing.append(f'curves, errors and pictures: {error}')
        except (ValueError, FileNotFoundError) as error:
            run.missing.append(f'curves, errors and pictures: {str(error).rstrip(".")}')
        sections.append(_images(run, files))
    sections.append(_made_with(run, info, files))
    top = page.Section('', _top(run, info))
    content = page.page(f'Training report: {run.folder.name}', _lead(run), [top, *sections])
    return files | {'report.html': content.encode()}


def _lead(run: Run) -> str:
    evaluation = run.evaluation
    if not evaluation:
        return 'Training so far; not evaluated yet.'
    return (
        f'Figures on the {evaluation["part"]} part: {evaluation.get("number_of_images")} images, '
        f'{evaluation.get("number_of_cells")} cells. Checkpoint {evaluation.get("checkpoint")}, '
        f'{evaluation.get("checkpoint_chosen")}; score threshold {evaluation["score_thr"]:g}, '
        f'{evaluation.get("score_thr_source")}.'
    )


def _top(run: Run, info: Mapping[str, Any]) -> str:
    parts = []
    if info.get('demo'):
        parts.append(
            page.paragraph('Made of synthetic demo smears: the figures say nothing of real ones.')
        )
    if run.evaluation:
        shown = []
        for key, name in TILES:
            value = run.evaluation['figures'].get(key)
            low, high = run.evaluation.get('intervals', {}).get(key, (None, None))
            form = _percent if key.startswith('count/') else _three
            between = f'{form(low)} to {form(high)}' if low is not None else ''
            shown.append((form(value), name, between))
        parts.append(page.tiles(shown))
        bootstrap = run.evaluation.get('bootstrap') or {}
        if run.evaluation.get('intervals'):
            parts.append(
                page.paragraph(
                    f'Below each figure its 95 % interval: bootstrap over the images, '
                    f'{bootstrap.get("samples")} samples.',
                    'note',
                )
            )
        parts += [page.paragraph(f'Note: {note}.') for note in run.evaluation.get('notes', [])]
    parts.append(page.missing(run.missing))
    return '\n'.join(parts)


def _training(run: Run, files: dict[str, bytes]) -> list[page.Section]:
    found, log = [], run.log
    best = best_place(run)
    mark = f' {BEST}' if best is not None else ''
    if log.train:
        files['figure_loss.png'] = figures.loss_figure(log, best)
        caption = 'Training losses as logged, means over the steps of a logging interval.'
        if any('val_loss' in entry for entry in log.val):
            caption += (
                ' Validation losses (dashed) are of whole images without augmentation, in '
                'evaluation mode, so they may lie below the training losses.'
            )
        else:
            caption += (
                " There is no validation loss: `dict(type='ValidationLossHook')` among "
                '`custom_hooks` of the config logs it.'
            )
        body = page.figure(files['figure_loss.png'], 'loss curves', caption + mark)
        found.append(page.Section('Losses', body))
    if any(key != 'val_loss' for entry in log.val for key in entry if '/' in key):
        files['figure_metrics.png'] = figures.metrics_figure(log, best)
        caption = f'On the validation part; number of validations: {len(log.val)}.'
        body = page.figure(files['figure_metrics.png'], 'validation metrics', caption + mark)
        found.append(page.Section('Validation during training', body))
    return found


def _figures(run: Run, files: dict[str, bytes]) -> list[page.Section]:
    evaluation = run.evaluation
    content = tables.figures_table(evaluation)
    files['table_figures.csv'], files['table_figures.md'] = content.csv(), content.markdown()
    number = evaluation.get('number_of_images')
    words = (
        'First report: the experiment that this one does anew, a ViT-B Mask R-CNN after 20 epochs '
        f'on {tables.FIRST_REPORT_IMAGES} test images, its checkpoint chosen on the test set.'
    )
    if number != tables.FIRST_REPORT_IMAGES or evaluation['part'] != 'test':
        words += f" These figures are of {number} {evaluation['part']} images: don't rank the two."
    body = page.table(content) + page.paragraph(words, 'note')
    every = run.folder / 'every_epoch_on_test.csv'
    if every.is_file():
        rows = list(csv.reader(io.StringIO(every.read_text(encoding='utf-8'))))
        names = {key: name for key, name, _ in tables.ROWS}
        keep = [k for k, key in enumerate(rows[0]) if key == 'checkpoint' or key in EPOCH_KEYS]
        header = tuple(names.get(rows[0][k], rows[0][k]) for k in keep)
        lines = [tuple(_short(row[k]) for k in keep) for row in rows[1:]]
        first = {key: value for key, (value, _) in tables.FIRST_REPORT.items()}
        first['checkpoint'] = 'first report, epoch 20 (its Dice is a bug)'
        lines.append(tuple(first.get(rows[0][k], '-') for k in keep))
        content = tables.Table(header, lines)
        files['table_every_epoch.csv'] = content.csv()
        files['table_every_epoch.md'] = content.markdown()
        body += '<h3>Test figures of every checkpoint, for comparison only</h3>'
        body += page.table(content)
        body += page.paragraph(
            f'Nothing was chosen by this table: checkpoint {evaluation["checkpoint"]} and score '
            'threshold were chosen on validation.',
            'note',
        )
    found = [page.Section('Figures', body)]
    choice = evaluation.get('threshold_choice')
    if choice:
        files['figure_threshold.png'] = figures.threshold_figure(choice, evaluation['score_thr'])
        caption = 'Chosen on validation: the least count error, ties by the greatest Dice.'
        body = page.figure(files['figure_threshold.png'], 'choice of the score threshold', caption)
        found.append(page.Section('Score threshold', body))
    return found


EPOCH_KEYS = {
    'coco/segm_mAP',
    'coco/segm_mAP_50',
    'pixel/dice',
    'pixel/iou',
    'count/relative_error',
    'instance/f1_50',
}


def _errors(run: Run, part: Part, files: dict[str, bytes]) -> list[page.Section]:
    analysis = analyse(part)
    evaluation = run.evaluation
    name = 'figure_precision_recall.png'
    files[name] = figures.precision_recall_figure(
        analysis.curves, evaluation['figures'], evaluation['score_thr'], evaluation['part']
    )
    caption = (
        'All detections of all images, none cut off. A dot is what a user gets: cells at or above '
        'the score threshold with overlaps resolved.'
    )
    body = page.figure(files[name], 'precision-recall curves of masks', caption)
    found = [page.Section('Precision and recall', body)]
    found.append(_error_section(analysis, part, files))
    pictures = draw_pictures(part, evaluation['images'])
    if not pictures:
        run.missing.append(f'pictures: no image of {part.images} can be read')
        return found
    if lost := len(best_and_worst(evaluation['images'])) - len(pictures):
        run.missing.append(
            f'{lost} pictures: their images in {part.images} are not there or damaged'
        )
    for picture in pictures:
        files[picture.file] = picture.jpeg
    found.append(page.Section('Best and worst images', _pictures(pictures)))
    return found


def _error_section(analysis: Analysis, part: Part, files: dict[str, bytes]) -> page.Section:
    files['figure_errors.png'] = figures.error_figure(analysis)
    content = tables.errors_table(analysis)
    files['table_errors.csv'], files['table_errors.md'] = content.csv(), content.markdown()
    rows = error_rows(part, analysis)
    header = ('image', 'cell', 'error', 'x', 'y', 'area_px', 'neighbours', 'at_border')
    lines = [tuple(str(row[key]) for key in header) for row in rows]
    files['errors.csv'] = tables.Table(header, lines).csv()
    body = page.table(content)
    body += page.figure(
        files['figure_errors.png'],
        'errors by area and by crowding',
        'Above: shares of the true cells; below: predictions too many, either spurious or pieces '
        'of a cell that is split, though another piece may find it. A typical cell is '
        f'{analysis.diameter:.0f} pixels across. Every error with its place: `errors.csv`.',
    )
    return page.Section('Errors', body)


def _pictures(pictures: list[Picture]) -> str:
    entries = [('true outline', TRUE_COLOUR, True), ('predicted outline', PREDICTED_COLOUR, True)]
    colours = figures.OUTCOME_COLOURS.items()
    entries += [(name, colour, False) for name, colour in colours if name != 'found']
    parts = [page.paragraph('By panoptic quality of each image.'), page.legend(entries)]
    for best, title in ((True, 'Best'), (False, 'Worst')):
        shown = [picture for picture in pictures if picture.best == best]
        if not shown:
            continue
        inner = ''.join(
            page.figure(picture.jpeg, _caption(picture), _caption(picture), picture.file)
            for picture in shown
        )
        parts.append(f'<h3>{title}</h3><div class="pictures">{inner}</div>')
    return '\n'.join(parts)


def _caption(picture: Picture) -> str:
    row = picture.row
    wrong = [f'{n} {name}' for name, n in picture.counts.items() if n and name != 'found']
    return (
        f'{row["file_name"]}: {row["true"]} cells, {row["predicted"]} counted; panoptic quality '
        f'{_three(row["pq"])}, Dice {_three(row["dice"])}; {", ".join(wrong) or "no error"}'
    )


def _images(run: Run, files: dict[str, bytes]) -> page.Section:
    images = run.evaluation['images']
    content = tables.images_table(images)
    files['figure_images.png'] = figures.count_figure(images)
    files['table_images.csv'], files['table_images.md'] = content.csv(), content.markdown()
    body = page.figure(files['figure_images.png'], 'counts and quality of each image')
    body += page.folded(f'All {len(images)} images, the worst first', page.table(content))
    return page.Section('Image by image', body)


def _made_with(run: Run, info: Mapping[str, Any], files: dict[str, bytes]) -> page.Section:
    body = page.facts(tables.provenance(run.evaluation, run.log, run.config, info))
    if run.log.unreadable:
        body += page.paragraph(
            f'Lines of the log that are cut off and were left out: {run.log.unreadable}.', 'note'
        )
    if run.config_text is None:
        body += page.paragraph('The config is in the checkpoint only, which is not opened.', 'note')
    else:
        files['config.py'] = run.config_text.encode()
        body += page.folded('The config as run', page.code(run.config_text))
    body += page.paragraph(f'Files beside this page: {", ".join(sorted(files))}.', 'note')
    return page.Section('What it was made with', body)


def _three(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{value:.1%}'


def _short(cell: str) -> str:
    try:
        return tables.number(float(cell))
    except ValueError:
        return cell
