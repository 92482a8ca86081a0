"""A training step with mmcv's compiled operators against one with torchvision's, in one process.

python -m benchmarks.ops.step --write docs/setup.md    # in an environment with a compiled mmcv
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from pathlib import Path

from benchmarks.harness import ROOT, machine
from benchmarks.model import batch, training_step
from cellkit.files.program import run_program
from cellkit.files.writing import write_between_marks

CONFIG = 'bccd_hybrid_mask_rcnn_cpu'


def compare(pairs: int) -> str:
    """Steps in turn, who comes first alternating; the median ratio of the pairs."""
    spec = importlib.util.spec_from_file_location(
        'ops', ROOT / 'packaging/mmcv-ops/src/mmcv/_ext.py'
    )
    without = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(without)
    users = [sys.modules[f'mmcv.ops.{name}'] for name in ('nms', 'roi_align')]
    ways = {'compiled': users[0].ext_module, 'without': without}
    step = training_step(CONFIG, {}, batch((384, 512), 4), 'cpu').run
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(pairs + 1):
        for name in sorted(ways, reverse=bool(k % 2)):
            for user in users:
                user.ext_module = ways[name]
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    compiled, plain = (seconds[name][1:] for name in ways)  # the first pair allocates
    ratio = statistics.median(b / a for a, b in zip(compiled, plain, strict=True))
    medians = ' against '.join(f'{statistics.median(times):.3f}' for times in (plain, compiled))
    return (
        f'A training step of `{CONFIG}` (4 x 512x384) takes {ratio:.3f} times as long as with a '
        f'compiled mmcv: median of {pairs} pairs in one process, {medians} s. {machine("torch")}.'
    )


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pairs', type=int, default=30)
    parser.add_argument('--write', type=Path, help='page with the marks "step"')
    args = parser.parse_args()

    def work() -> None:
        text = compare(args.pairs)
        print(text)
        if args.write:
            write_between_marks(args.write, text, 'step')

    return run_program('step', work)


if __name__ == '__main__':
    sys.exit(main())
