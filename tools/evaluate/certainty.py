"""How sure the model is and whether that is true: the calibration in an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cellkit.metrics.calibrated import (
    Calibration,
    Image,
    check_calibration,
    fit_calibration,
    image_of,
    left_out,
)
from cellkit.metrics.records import ImageRecord


def certainty(
    records: Sequence[ImageRecord],
    validation: Sequence[ImageRecord] | None,
    threshold: float,
    stored: Calibration | None = None,
) -> dict[str, Any]:
    """Calibrate on validation and check the probabilities and count intervals on a part.

    Args:
        records: Of the part's images; the very ``validation`` where that is the part.
        validation: Of the validation images; None where nothing was to be chosen on them.
        threshold: Score from which a detection counts.
        stored: A calibration from before, for when there is no ``validation``.

    Returns:
        ``fitted``, the calibration or None; ``source`` of it in words; ``validation`` and ``part``:
        see :func:`cellkit.metrics.calibrated.check_calibration`, on validation each image with what
        was fitted on the others; ``total``: true and counted cells of the part, and the ends of
        the interval for the true number. None where there is nothing to say.
    """
    if validation is None:
        fitted, source = stored, 'as it was stored with the model'
        if stored is None:
            source = 'none: nothing was fitted on validation, as the score threshold was given'
    else:
        images = [image_of(record) for record in validation]
        fitted, source = fit_calibration(images), f'fitted on {len(images)} validation images'
        if fitted is None:
            source = (
                f'none: {len(images)} validation images are too few, or hold too few detections'
            )
    result: dict[str, Any] = {'fitted': fitted and fitted.as_dict(), 'source': source}
    result |= dict.fromkeys(('validation', 'part', 'total'))
    if fitted is None:
        return result
    if validation is not None and (others := left_out(images)):
        result['validation'] = check_calibration(images, others, threshold)
    if records is validation:
        result['part'] = result['validation']
        return result
    shown = [image_of(record) for record in records]
    result['part'] = check_calibration(shown, [fitted] * len(shown), threshold)
    result['total'] = _total(shown, fitted, threshold)
    return result


def _total(images: Sequence[Image], fitted: Calibration, threshold: float) -> dict[str, Any]:
    """The whole part as one batch."""
    return {
        'true': sum(image.true for image in images),
        'found': sum(int((image.scores >= threshold).sum()) for image in images),
        'interval': fitted.interval([fitted.evidence(image.scores) for image in images]),
    }


def interval_columns(found: Mapping[str, Any], number: int) -> list[dict[str, int | None]]:
    """``cells_low`` and ``cells_high`` of each image of the part."""
    ends = found['part']['intervals'] if found['part'] else [(None, None)] * number
    return [{'cells_low': low, 'cells_high': high} for low, high in ends]


def certainty_lines(found: Mapping[str, Any], part: str) -> list[str]:
    """The section of the Markdown table."""
    lines = ['## How sure the score is', '', f'Calibration: {found["source"]}.']
    if not found['fitted']:
        return lines
    lines[-1] = f'Temperature {found["fitted"]["temperature"]:.3f}, {found["source"]}.'
    shown = {'validation, each image by the others': found['validation']}
    if found['part'] is not found['validation']:
        shown[part] = found['part']
    shown = {name: check for name, check in shown.items() if check}
    if not shown:
        return lines
    rows = [
        ('expected calibration error of the score', 'ece_score', '.4f'),
        ('expected calibration error of the probability', 'ece', '.4f'),
        ('mean probability of a counted cell', 'mean', '.4f'),
        ('share of the counted cells that are true', 'share', '.4f'),
        ('mean width of the 95 % interval for an image, cells', 'width', '.1f'),
    ]
    lines += ['', f'| | {" | ".join(shown)} |', f'|---|{"---|" * len(shown)}']
    for name, key, form in rows:
        lines.append(f'| {name} | {" | ".join(_text(c[key], form) for c in shown.values())} |')
    covered = [f'{check["covered"]} of {len(check["intervals"])}' for check in shown.values()]
    lines.append(f'| images whose interval holds the true number | {" | ".join(covered)} |')
    if total := found['total']:
        low, high = total['interval']
        lines += [
            '',
            f'All images of {part} together: {total["found"]} cells counted, 95 % interval {low} '
            f'to {high}; {total["true"]} are there.',
        ]
    return lines


def _text(value: float, form: str) -> str:
    return '-' if math.isnan(value) else format(value, form)
