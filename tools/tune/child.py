"""One trial's run, in a process of its own that ends with its worker.

python -m tools.tune.child CONFIG --work-dir RUN [--resume] [--gpus N] [--time]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.program import run_program
from tools.runs.child import end_with_the_starter


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='trial', description="One trial's run.")
    parser.add_argument('config', type=Path)
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--gpus', type=int, default=1)
    parser.add_argument('--time', action='store_true', help='predict the validation part, timed')
    args = parser.parse_args(argv)
    end_with_the_starter()

    def work() -> None:
        from tools.train import train

        train(args.config, work_dir=args.work_dir, resume=args.resume, gpus=args.gpus)
        if args.time:
            from tools.runs.model import pick_device
            from tools.runs.predictions import predict_part
            from tools.runs.run import Run

            checkpoint = Run(args.work_dir).open_checkpoint()
            predict_part(checkpoint, 'val', pick_device(), args.work_dir / 'predictions')

    return run_program('trial', work)


if __name__ == '__main__':
    sys.exit(main())
