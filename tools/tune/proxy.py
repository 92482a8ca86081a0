"""A proxy before a database, for many workers or workers that don't reach it.

    python -m tools.tune.proxy postgresql://USER@HOST/tune --port 13000
    make tune SPACE=… STORAGE=grpc://THAT_HOST:13000          # on any machine

It asks for no password: keep it inside a network that you trust.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.program import run_program


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='proxy', description='A proxy before a study database.')
    parser.add_argument('storage', help="the database's URL, or a journal file")
    parser.add_argument('--host', default='localhost', help='who may connect (0.0.0.0: everybody)')
    parser.add_argument('--port', type=int, default=13000)
    args = parser.parse_args(argv)

    def work() -> None:
        from optuna.storages import run_grpc_proxy_server

        from tools.tune.study import open_storage

        storage = open_storage(args.storage, Path())
        print(f'proxy: grpc://{args.host}:{args.port}', flush=True)
        run_grpc_proxy_server(storage, host=args.host, port=args.port)

    return run_program('proxy', work)


if __name__ == '__main__':
    sys.exit(main())
