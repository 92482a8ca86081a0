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
from pathlib import Path

HANDLE = 'jeetblahiri/bccd-dataset-with-mask'
PAGE = f'https://www.kaggle.com/datasets/{HANDLE}'
DEFAULT_OUT = Path('data/raw/BCCD Dataset with mask')
_PARTS = ('train/original', 'train/mask', 'test/original', 'test/mask')


class DownloadError(RuntimeError):
    """The data set could not be fetched or put in its place; the message says what to do."""


def is_dataset(folder: Path) -> bool:
    """Whether `folder` holds train/ and test/, each with a filled original/ and mask/."""
    return all((folder / part).is_dir() and any((folder / part).iterdir()) for part in _PARTS)


def find_dataset(root: Path, depth: int = 3) -> Path | None:
    """The folder at or up to `depth` levels below `root` that holds the data set, or None."""
    level = [root]
    for _ in range(depth + 1):
        for folder in level:
            if is_dataset(folder):
                return folder
        level = [child for folder in level for child in sorted(folder.iterdir()) if child.is_dir()]
    return None


def by_hand(out: Path) -> str:
    """How to get the data set without kagglehub, in one sentence."""
    default = out == DEFAULT_OUT
    prepare = 'make prepare' if default else f'make prepare DATA="{out}"'
    return (
        f"get the archive by hand from {PAGE}, unpack it so that '{out}/train/original' exists, "
        f'then run `{prepare}`'
    )


def download(out: Path = DEFAULT_OUT, copy: bool = False) -> bool:
    """Fetch the data set and put it at `out`.

    Args:
        out: Where `train/` and `test/` are to appear.
        copy: Copy the files out of kagglehub's cache instead of linking to them.

    Returns:
        False if the data set was there already, else True.

    Raises:
        DownloadError: kagglehub or the network is missing, what came is not the data set, or `out`
            is taken or can't be written. Nothing is left at `out` in that case.
    """
    if is_dataset(out):
        return False
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DownloadError(
            f"'{out}' is there but is not the whole data set (wanted {', '.join(_PARTS)}); move it "
            'away or complete it by hand'
        )
    try:
        import kagglehub
    except ImportError:
        raise DownloadError(
            f'kagglehub is not installed; run `pip install -e ".[download]"`, or {by_hand(out)}'
        ) from None
    try:
        fetched = Path(kagglehub.dataset_download(HANDLE))
    except Exception as error:  # kagglehub, requests and urllib3 each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DownloadError(f'the download failed ({reason}); {by_hand(out)}') from error
    source = find_dataset(fetched)
    if source is None:
        raise DownloadError(
            f"'{fetched}' came from Kaggle but holds no {', '.join(_PARTS)}; {by_hand(out)}"
        )
    try:
        _place(source, out, copy)
    except OSError as error:
        raise DownloadError(
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


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description='Fetch the BCCD data set with masks from Kaggle.')
    parser.add_argument('--out', type=Path, default=DEFAULT_OUT, help='where the data set goes')
    parser.add_argument('--copy', action='store_true', help="copy the files, don't link the cache")
    args = parser.parse_args(argv)
    try:
        fetched = download(args.out, args.copy)
    except DownloadError as error:
        print(f'download: {error}', file=sys.stderr)
        return 1
    state = 'is ready' if fetched else 'is there already, nothing to fetch'
    print(f"'{args.out}' {state}; next: `make prepare`")
    return 0


if __name__ == '__main__':
    sys.exit(main())
