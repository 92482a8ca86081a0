"""A sheet of training samples as the model sees them, with the outlines it learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellkit.errors import UserError
from cellkit.files.prepared import PARTS
from cellkit.files.program import quiet
from cellkit.files.writing import write_whole


def browse(
    config: Path | str,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    number: int = 4,
    draws: int = 4,
    seed: int = 0,
    part: str = 'train',
    out: Path | str | None = None,
) -> Path:
    """Draw a sheet: a row an image, first as it is stored, then as the pipeline hands it on.

    Args:
        config: Config file.
        overrides: Values by dotted key, or ``KEY=VALUE`` texts.
        number: Images, spread evenly over the part.
        draws: Samples of each.
        seed: What is drawn by chance follows from it, the image and the number of the sample.
        part: ``train``, ``val`` or ``test``.
        out: PNG to write; ``work_dirs/browse/CONFIG.png`` when None.

    Returns:
        The file that was written.

    Raises:
        UserError: Config, settings or data can't be used, or a number is out of range.
    """
    if part not in PARTS:
        raise UserError(f'there is no part {part}; name one of {", ".join(PARTS)}')
    if min(number, draws) < 1 or seed < 0:
        raise UserError(
            f'{number} images, {draws} samples of each and seed {seed}: give at least 1, 1 and 0'
        )
    config = Path(config)
    name = config.stem if part == 'train' else f'{config.stem}_{part}'
    out = Path(out or f'work_dirs/browse/{name}.png')
    if out.suffix.lower() != '.png':
        raise UserError(f'{out}: the sheet is a PNG; give a name that ends in .png')
    with quiet():  # late: it takes seconds, --help shouldn't
        import custom_modules  # noqa: F401 - registers
        from data_prep.sheet import draw_sheet
        from tools.browse.samples import Samples
        from tools.browse.tiles import LEGEND, tile
        from tools.runs.config_file import read_config
        from tools.runs.overrides import apply_overrides
    settings = read_config(config)
    apply_overrides(settings, overrides)
    samples = Samples(settings, config, part)
    rows = []
    for index in samples.spread(number):
        drawn = [(f'sample {k + 1}', samples.drawn(index, seed, k)) for k in range(draws)]
        rows.append([tile(*one) for one in [('as stored', samples.stored(index)), *drawn]])
    title = f'{config.name}, {part}, seed {seed}: {LEGEND}'
    write_whole(out, draw_sheet(title, rows))
    return out
