"""Run a benchmark and print its table: ``python -m benchmarks NAME [options]``.

    dense           label map and run lengths against the stock bitmap a cell
    model           a training step of the configs, and what each speed setting is worth
    predict         an image in tools.predict, and in MMDetection's inferencer
    gpu             a training step of the main config on a GPU, and what it keeps
    memory          GPU memory of training, counted without one, and what fits which card
    coco            COCO evaluation against pycocotools and faster-coco-eval
    stain           stain normalisation against torchstain, tiatoolbox and staintools
    agreement       metrics against the libraries that defined them
    stain-training  does stain handling help? the small model trained each way
    threshold       the score threshold, chosen in several ways, on images it was not chosen on
    pretraining     does an encoder that unlabelled smears have taught help a small detector?
    labels          how many labels? quality against the number of labelled images
    recipes         which recipe helps? the small model trained by each
    survival        runs that are killed at random moments and resumed, against one left alone
    scale           cells of pictures of another magnification or field than the training's
    slide           one large slide against its parts: the count, and memory with all formats

``python -m benchmarks NAME --help`` tells the options; ``--write PAGE`` puts the table between the
page's marks of that name.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import get_args, get_origin

from cellkit.files.program import run_program
from cellkit.files.writing import write_between_marks

NAMES = (
    'dense', 'model', 'predict', 'gpu', 'memory', 'coco', 'stain', 'agreement', 'stain-training',
    'threshold', 'pretraining', 'labels', 'recipes', 'survival', 'scale', 'slide',
)  # fmt: skip


def command_line(name: str, run: Callable[..., str]) -> argparse.ArgumentParser:
    """The arguments of a benchmark's function as options; its docstring is the help."""
    parser = argparse.ArgumentParser(
        prog=f'python -m benchmarks {name}',
        description=inspect.getdoc(run),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for argument, about in inspect.signature(run, eval_str=True).parameters.items():
        # Path of Path | None, and of tuple[Path, ...], which takes several
        kind = next(iter(get_args(about.annotation)), about.annotation)
        several = '+' if get_origin(about.annotation) is tuple else None
        option = f'--{argument.replace("_", "-")}'
        parser.add_argument(
            option, type=kind, nargs=several, default=about.default, help='default: %(default)s'
        )
    if not _writes(run):
        parser.add_argument('--write', type=Path, metavar='PAGE', help='Markdown page')
    return parser


def _writes(run: Callable[..., str]) -> bool:
    """Whether a benchmark writes the page itself."""
    return 'write' in inspect.signature(run).parameters


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('name', choices=NAMES)
    name = parser.parse_args(argv[:1]).name
    run = import_module(f'benchmarks.{name.replace("-", "_")}').run
    options = vars(command_line(name, run).parse_args(argv[1:]))
    page = None if _writes(run) else options.pop('write')

    def work() -> None:
        text = run(**options)
        print(text)
        if page:
            write_between_marks(page, text, name)

    return run_program(f'benchmarks {name}', work, 'stopped; nothing was written')


if __name__ == '__main__':
    sys.exit(main())
