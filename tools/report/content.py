"""What stands in the report: everything that its page and the files beside it show."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader

from cellkit.errors import UserError
from tools.report import figures, pictures, tables
from tools.report.analysis import Part, analyse
from tools.report.findings import Findings


class Content(NamedTuple):
    """What there is to show; a section of the page without its drawing or table is left out.

    Attributes:
        findings: What is read of the run.
        drawings: PNG by name: loss, metrics, threshold, calibration, precision_recall, errors,
            images.
        tables: By name: figures, every_epoch, errors, images.
        info: What the annotation file says of itself; empty where it was not read.
        diameter: Typical diameter of a true cell in pixels; 0 where it is not known.
        errors: A row for every cell that is wrong; None where it is not known.
        pictures: The best and worst images, with outlines.
    """

    findings: Findings
    drawings: dict[str, bytes]
    tables: dict[str, tables.Table]
    info: Mapping[str, Any] = {}
    diameter: float = 0.0
    errors: tables.Table | None = None
    pictures: Sequence[pictures.Picture] = ()


def gather(findings: Findings, data: Path | None = None) -> Content:
    """Make everything that there is to show.

    Args:
        findings: What is read of the run; what else turns out to be missing is added to it.
        data: The prepared data folder, if it isn't where the evaluation says.
    """
    log, evaluation = findings.run.log, findings.evaluation
    content = Content(findings, {}, {})
    drawings, found = content.drawings, content.tables
    if log.train:
        drawings['loss'] = figures.loss_figure(log, findings.best_place)
    if any('/' in key for entry in log.val for key in entry):
        drawings['metrics'] = figures.metrics_figure(log, findings.best_place)
    if not evaluation:
        return content
    found['figures'] = tables.values_table(evaluation)
    every_epoch = findings.run.folder / 'every_epoch_on_test.csv'
    if every_epoch.is_file():
        lines = every_epoch.read_text(encoding='utf-8-sig').splitlines()
        found['every_epoch'] = tables.every_epoch_table(lines)
    if choice := evaluation.get('threshold_choice'):
        drawings['threshold'] = figures.threshold_figure(choice, evaluation['score_thr'])
    sure = (evaluation.get('calibration') or {}).get('part')
    if sure and sure['cells']:
        drawings['calibration'] = figures.calibration_figure(sure, evaluation['images'])
    try:
        part = Part(findings.run.folder, evaluation, data)
        content = content._replace(info=part.info)
        content = _with_errors(content, part)
    except (UserError, ValueError, FileNotFoundError) as error:
        findings.missing.append(f'curves, errors and pictures: {str(error).rstrip(".")}')
    drawings['images'] = figures.count_figure(evaluation['images'])
    found['images'] = tables.images_table(evaluation['images'])
    return content


def _with_errors(content: Content, part: Part) -> Content:
    """Add what the predictions show."""
    evaluation, missing = content.findings.evaluation, content.findings.missing
    analysis = analyse(part)
    curves = figures.precision_recall_figure(analysis.curves, evaluation)
    content.drawings['precision_recall'] = curves
    content.drawings['errors'] = figures.error_figure(analysis)
    content.tables['errors'] = tables.errors_table(analysis)
    drawn = pictures.draw_pictures(part, evaluation['images'])
    lost = len(pictures.best_and_worst(evaluation['images'])) - len(drawn)
    if not drawn:
        missing.append(f'pictures: no image of {part.images} can be read')
    elif lost:
        missing.append(f'{lost} pictures: their images in {part.images} are not there or damaged')
    errors = tables.error_list(part, analysis)
    return content._replace(diameter=analysis.diameter, errors=errors, pictures=drawn)


def beside(content: Content) -> dict[str, bytes | str]:
    """The files beside the page, by name."""
    files: dict[str, bytes | str] = {}
    files |= {f'figure_{name}.png': drawing for name, drawing in content.drawings.items()}
    for name, table in content.tables.items():
        files[f'table_{name}.csv'] = table.csv()
        files[f'table_{name}.md'] = table.markdown()
    if content.errors is not None:
        files['errors.csv'] = content.errors.csv()
    files |= {picture.file: picture.jpeg for picture in content.pictures}
    if config := content.findings.run.config_file:
        files['config.py'] = config.read_text(encoding='utf-8')
    return files


def page(content: Content) -> str:
    """The page's HTML."""
    blanks = dict(trim_blocks=True, lstrip_blocks=True)
    environment = Environment(loader=PackageLoader('tools.report'), autoescape=True, **blanks)
    environment.filters['data_uri'] = data_uri
    evaluation = content.findings.evaluation
    return environment.get_template('page.html').render(
        content._asdict(),
        run=content.findings.run,
        files=beside(content),
        tiles=tables.tiles(evaluation) if evaluation else [],
        provenance=tables.provenance(content.findings, content.info),
        first_report_images=tables.FIRST_REPORT_IMAGES,
        true_colour=pictures.TRUE_COLOUR,
        predicted_colour=pictures.PREDICTED_COLOUR,
        outcome_colours=figures.OUTCOME_COLOURS,
    )


def data_uri(picture: bytes) -> str:
    """A PNG or JPEG inside a page."""
    kind = 'png' if picture.startswith(b'\x89PNG') else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(picture).decode()}'
