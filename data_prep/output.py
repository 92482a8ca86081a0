"""Write a folder beside the old one, then put it in its place; tell whether it is still good."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cellkit
import data_prep
from cellkit.errors import UserError
from cellkit.files.prepared import IMAGES, SPLIT
from cellkit.files.writing import sha256_of_code, sha256_of_each, write_json
from data_prep.pairs import ANNOTATIONS, FOLDERS

STAMP = '.prepared.json'
OURS = frozenset({'annotations', IMAGES, 'report', SPLIT, STAMP})


@contextmanager
def replacing(
    out: Path, kind: str = 'prepared data set', mark: str = SPLIT, ours: Collection[str] = OURS
) -> Iterator[Path]:
    """Give an empty folder beside ``out`` that takes its place when the block ends well.

    Entries of ``out`` that are not ours are kept. When the block raises, ``out`` is as it was and
    the new folder is gone.

    Args:
        out: Folder to replace or to make.
        kind: What ``out`` holds, for the message.
        mark: A file that every folder of this kind has.
        ours: Entries that are replaced.

    Raises:
        UserError: No permission, or ``out`` holds something that was never of this kind.
    """
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise UserError(f'{out}: is a file; name a folder with --out')
    if out.is_dir() and not (out / mark).exists() and any(n[0] != '.' for n in os.listdir(out)):
        raise UserError(
            f'{out}: holds files that are no {kind}; name another folder with --out or empty '
            'this one'
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
    except OSError as error:
        raise UserError(
            f"{out.parent}: can't be written ({error.strerror}); change its permissions or name "
            'another folder with --out'
        ) from error
    try:
        fresh.chmod(0o755)  # mkdtemp makes a private folder
        yield fresh
        _take_place(fresh, out, ours)
    except OSError as error:
        place = Path(error.filename or out)
        if not (place.is_relative_to(fresh) or place.is_relative_to(out)):
            raise UserError(
                f"{place}: can't be read ({error.strerror}); nothing was changed, restore the file "
                'and run it again'
            ) from error
        raise UserError(
            f"{out}: can't be written ({error.strerror}: {error.filename}); free space or change "
            'permissions, nothing was changed'
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _take_place(fresh: Path, out: Path, ours: Collection[str]) -> None:
    if not out.exists():
        os.replace(fresh, out)
        return
    retired = fresh.with_name(fresh.name + '.old')
    moved = []
    try:
        os.replace(out, retired)
        for name in os.listdir(retired):
            if name not in ours:
                os.replace(retired / name, fresh / name)
                moved.append(name)
        os.replace(fresh, out)
    except BaseException:  # Ctrl-C too: everything goes back
        if retired.exists():
            for name in moved:
                os.replace(fresh / name, retired / name)
            os.replace(retired, out)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def link_images(folder: Path, out: Path, data: Path) -> None:
    """Make ``<folder>/images`` a link to the data, relative when both lie in one folder."""
    target, home = data.resolve(), out.resolve()
    if target.is_relative_to(home.parent):
        target = Path(os.path.relpath(target, home))
    try:
        (folder / IMAGES).symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f'{out}: no symbolic link can be made there ({error}); pass --copy-images'
        ) from error


def input_fingerprint(data: Path, options: Mapping[str, Any]) -> str:
    """Hash of the data's file names and contents, of the options and of the code.

    Sizes and times don't count: two masks of one size may be exchanged, and a copy is newer.
    """
    digest = hashlib.sha256()
    files = [f'{part}/{ANNOTATIONS}' for part in ('train', 'test')]
    for folder in FOLDERS:
        if (data / folder).is_dir():
            files += [f'{folder}/{name}' for name in sorted(os.listdir(data / folder))]
    for file, content in zip(files, sha256_of_each(data / file for file in files), strict=True):
        digest.update(os.fsencode(file) + f'\0{content}\n'.encode())
    digest.update(json.dumps([str(data.resolve()), options], sort_keys=True).encode())
    digest.update(sha256_of_code(data_prep.__file__, cellkit.__file__).encode())
    return digest.hexdigest()


def write_stamp(folder: Path, fingerprint: str) -> None:
    """Note in a finished folder what it was made from and what it holds."""
    write_json(folder / STAMP, {'inputs': fingerprint, 'outputs': _outputs(folder)}, indent=1)


def is_fresh(out: Path, fingerprint: str) -> bool:
    """Whether ``out`` was made from these inputs and no file of it was changed or removed since."""
    try:
        stamp = json.loads((out / STAMP).read_bytes())
        return stamp == {'inputs': fingerprint, 'outputs': _outputs(out)}
    except (OSError, ValueError):
        return False


def _outputs(folder: Path) -> dict[str, str]:
    """Hash of every file that was written; of linked images, only whether they are there."""
    files = [folder / SPLIT, *folder.glob('annotations/*'), *folder.glob('report/*')]
    if not (folder / IMAGES).is_symlink():  # copies, which can get lost
        files += [path for path in folder.glob('images/**/*') if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files]
    linked = {IMAGES: str((folder / IMAGES / 'train').is_dir())}
    return linked | dict(zip(names, sha256_of_each(files), strict=True))
