"""Fetches the BCCD data set with masks from Kaggle.

    python -m data_prep.download

Needs the optional extra `download` (`pip install -e ".[download]"`), which brings kagglehub. The
1328 image and mask pairs (some 2 GB) stay in kagglehub's cache; `--out` becomes a symbolic link
to them, or a copy with `--copy`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.program import run_program
from data_prep.pairs import FOLDERS

HANDLE = 'jeetblahiri/bccd-dataset-with-mask'
PAGE = f'https://www.kaggle.com/datasets/{HANDLE}'
DOWNLOADED = Path('data/raw/BCCD Dataset with mask')


def is_dataset(folder: Path) -> bool:
    """Whether `folder` holds train/ and test/, each with a filled original/ and mask/."""
    return all((folder / part).is_dir() and any((folder / part).iterdir()) for part in FOLDERS)


def downloaded() -> Path | None:
    """Where `make download` left the data set, if it did."""
    for folder in (DOWNLOADED, DOWNLOADED.parent):
        if (folder / 'train').is_dir() or (folder / 'test').is_dir():
            return folder
    return None


def find_dataset(root: Path) -> Path | None:
    """The folder at or up to three levels below `root` that holds the data set, or None."""
    below = [sorted(root.glob(level)) for level in ('*', '*/*', '*/*/*')]
    return next((folder for folder in chain([root], *below) if is_dataset(folder)), None)


def by_hand(out: Path) -> str:
    """How to get the data set without kagglehub, in one sentence."""
    prepare = 'make prepare' if out == DOWNLOADED else f'make prepare DATA="{out}"'
    return (
        f"get the archive by hand from {PAGE}, unpack it so that '{out}/train/original' exists, "
        f'then run `{prepare}`'
    )


def download(out: Path = DOWNLOADED, copy: bool = False) -> bool:
    """Fetch the data set and put it at `out`.

    Args:
        out: Where `train/` and `test/` are to appear.
        copy: Copy the files out of kagglehub's cache instead of linking to them.

    Returns:
        False if the data set was there already, else True.

    Raises:
        UserError: kagglehub or the network is missing, what came is not the data set, or `out`
            is taken or can't be written. Nothing is left at `out` in that case.
    """
    wanted = ', '.join(FOLDERS)
    if is_dataset(out):
        return False
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"'{out}' is there but is not the whole data set (wanted {wanted}); move it away or "
            'complete it by hand'
        )
    try:
        import kagglehub
    except ImportError:
        raise UserError(
            f'kagglehub is not installed; run `pip install -e ".[download]"`, or {by_hand(out)}'
        ) from None
    try:
        fetched = Path(kagglehub.dataset_download(HANDLE))
    except Exception as error:  # kagglehub, requests and urllib3 each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f'the download failed ({reason}); {by_hand(out)}') from error
    source = find_dataset(fetched)
    if source is None:
        raise UserError(f"'{fetched}' came from Kaggle but holds no {wanted}; {by_hand(out)}")
    try:
        _place(source, out, copy)
    except OSError as error:
        raise UserError(
            f"'{out}' could not be written ({error.strerror or error}); free the place or choose "
            f"another with --out (the data are in '{source}')"
        ) from error
    return True


def _place(source: Path, out: Path, copy: bool) -> None:
    """Make `out` a link to `source` or a copy of it, in one step at the end."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.download.', dir=out.parent) as beside:
        fresh = Path(beside) / 'data'
        if copy:
            shutil.copytree(source, fresh)
        else:
            fresh.symlink_to(source.resolve(), target_is_directory=True)
        if out.is_symlink():
            out.unlink()  # a link to a cache that was emptied
        elif out.exists():
            out.rmdir()  # empty, or `download` would have refused
        os.replace(fresh, out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description='Fetch the BCCD data set with masks from Kaggle.')
    parser.add_argument('--out', type=Path, default=DOWNLOADED, help='where the data set goes')
    parser.add_argument('--copy', action='store_true', help="copy the files, don't link the cache")
    args = parser.parse_args(argv)

    def work() -> None:
        fetched = download(args.out, args.copy)
        state = 'is ready' if fetched else 'is there already, nothing to fetch'
        print(f"'{args.out}' {state}; next: `make prepare`")

    return run_program('download', work, 'stopped; nothing was put in place')


if __name__ == '__main__':
    sys.exit(main())
