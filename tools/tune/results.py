"""Write the table of what searches found into a page; what wasn't searched is "not measured".

    python -m tools.tune.results --into docs/results.md

A row is a space; its best settings are held against the default ones by the three runs each of
`make tune SPACE=work_dirs/tune/NAME/repeat.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellkit.files.program import run_program
from cellkit.files.writing import markdown_table, read_object, write_between_marks
from cellkit.metrics.comparison import STANDARD_ERRORS, difference_of_means
from tools.results import NOT_MEASURED, mean_of
from tools.tune import FOLDER
from tools.tune.space import short

SPACES = Path('configs/tune')
HEADER = (
    'space', 'trials: complete, pruned, failed', 'value', 'best trial', 'default, three seeds',
    'best, three seeds', 'more than chance',
)  # fmt: skip


def results_table(spaces: Sequence[Path], out: Path = FOLDER) -> str:
    """The Markdown table of some spaces' studies in a folder."""
    return markdown_table(HEADER, [row(space.stem, out) for space in spaces])


def row(name: str, out: Path) -> tuple[str, ...]:
    """The cells of one study, from what `make tune` wrote beside its page."""
    found = read_object(out / name / 'found.json')
    best = found.get('best')
    if not best:
        return (f'`{name}`', *(NOT_MEASURED,) * (len(HEADER) - 1))
    states = found['states']
    key = next(iter(best['values']))
    trials = ', '.join(str(states.get(s, 0)) for s in ('complete', 'pruned', 'failed'))
    runs = {kind: repeated(out / f'{name}_repeat', kind, key) for kind in ('default', 'best')}
    spread = [mean_of(v, '.3f') if len(v) > 1 else NOT_MEASURED for v in runs.values()]
    value = f'{best["values"][key]:.3f}'
    return (f'`{name}`', trials, f'`{key}`', value, *spread, verdict(*runs.values()))


def settings_of_best(name: str, out: Path) -> str:
    """The best trial's settings in a sentence; empty where nothing was searched."""
    best = read_object(out / name / 'found.json').get('best')
    if not best:
        return ''
    named = ', '.join(f'`{key}={short(value)}`' for key, value in best['parameters'].items())
    return f'Best of `{name}`: {named}.'


def repeated(folder: Path, kind: str, key: str) -> list[float]:
    """The values of the runs with the default or with the best settings."""
    trials: list[dict[str, Any]] = read_object(folder / 'found.json').get('trials', [])
    return [t['values'][key] for t in trials if t['values'] and t['parameters']['settings'] == kind]


def verdict(default: Sequence[float], best: Sequence[float]) -> str:
    """Whether two means differ by more than two standard errors of their difference."""
    if min(len(default), len(best)) < 2:
        return NOT_MEASURED
    difference, error = difference_of_means(default, best)
    word = 'yes' if abs(difference) > STANDARD_ERRORS * error else 'no'
    return f'{word}: {difference:+.4f}, standard error {error:.4f}'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='results', description='The table of searches.')
    add = parser.add_argument
    add('spaces', nargs='*', type=Path, help='their files (default: all that train)')
    add('--into', type=Path, required=True, help='page with the marks')
    add('--out', type=Path, default=FOLDER, help='folder of studies (default: %(default)s)')
    args = parser.parse_args(argv)

    def work() -> None:
        spaces = args.spaces or [s for s in sorted(SPACES.glob('*.py')) if s.stem != 'thresholds']
        best = [settings_of_best(space.stem, args.out) for space in spaces]
        again = 'Written by `python -m tools.tune.results --into docs/results.md`.'
        text = '\n\n'.join(filter(None, [results_table(spaces, args.out), *best, again]))
        write_between_marks(args.into, text, 'tune')
        print(text)

    return run_program('results', work)


if __name__ == '__main__':
    sys.exit(main())
