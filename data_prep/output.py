"""Write the prepared data set beside the old one, then put it in its place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cellkit
from data_prep.pairs import PARTS, DataError

STAMP = '.prepared.json'
OURS = frozenset({'annotations', 'images', 'report', 'split.json', STAMP})


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Give an empty folder beside ``out`` that takes its place when the block ends well.

    Entries of ``out`` that the preparation did not write are kept. When the block raises, ``out``
    is as it was and the new folder is gone.

    Args:
        out: Folder to replace or to make.

    Raises:
        DataError: No permission, or ``out`` holds something that was never prepared data.
    """
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise DataError(f'{out}: is a file; name a folder with --out')
    if out.is_dir() and not (out / 'split.json').exists() and any(_visible(out)):
        raise DataError(
            f'{out}: holds files that are no prepared data set; name another folder with --out or '
            'empty this one'
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
    except OSError as error:
        raise DataError(
            f"{out.parent}: can't be written ({error.strerror}); change its permissions or name "
            'another folder with --out'
        ) from error
    try:
        fresh.chmod(0o755)  # mkdtemp makes a private folder
        try:
            yield fresh
            _take_place(fresh, out)
        except OSError as error:
            place = Path(error.filename or out)
            if not (place.is_relative_to(fresh) or place.is_relative_to(out)):
                raise DataError(
                    f"{place}: can't be read ({error.strerror}); nothing was changed, restore the "
                    'file and run it again'
                ) from error
            raise DataError(
                f"{out}: can't be written ({error.strerror}: {error.filename}); free space or "
                'change permissions, nothing was changed'
            ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _visible(folder: Path) -> Iterator[str]:
    return (name for name in os.listdir(folder) if not name.startswith('.'))


def _take_place(fresh: Path, out: Path) -> None:
    if not out.exists():
        os.replace(fresh, out)
        return
    retired = fresh.with_name(fresh.name + '.old')
    moved = []
    try:
        os.replace(out, retired)
        for name in os.listdir(retired):
            if name not in OURS:
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
    target = data.resolve()
    home = out.resolve().parent
    if target.is_relative_to(home):
        target = Path(os.path.relpath(target, out.resolve()))
    try:
        (folder / 'images').symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f'{out}: no symbolic link can be made there ({error}); pass --copy-images'
        ) from error


def input_fingerprint(data: Path, options: Mapping[str, Any]) -> str:
    """Hash of the data's file names, sizes and times, of the options and of the code."""
    digest = hashlib.sha256()
    for part in PARTS:
        for kind in ('original', 'mask'):
            with os.scandir(data / part / kind) as entries:
                for entry in sorted(entries, key=lambda e: e.name):
                    try:
                        state = entry.stat()
                        digest.update(f'{part}/{kind}/{entry.name}\0{state.st_size}\0'.encode())
                        digest.update(f'{state.st_mtime_ns}\n'.encode())
                    except OSError:  # a link to nothing
                        digest.update(f'{part}/{kind}/{entry.name}\0gone\n'.encode())
    digest.update(json.dumps([str(data.resolve()), options], sort_keys=True).encode())
    sources = sorted(Path(__file__).parent.glob('*.py'))
    sources += [
        Path(cellkit.__file__).parent / name for name in ('instances.py', 'label_maps.py', 'rle.py')
    ]
    for source in sources:
        if not source.name.startswith(('demo_', 'download')):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def write_stamp(folder: Path, fingerprint: str) -> None:
    """Note in a finished folder what it was made from and what it holds."""
    content = {'inputs': fingerprint, 'outputs': _outputs(folder)}
    (folder / STAMP).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def is_fresh(out: Path, fingerprint: str) -> bool:
    """Whether ``out`` was made from these inputs and no file of it was changed or removed since."""
    try:
        stamp = json.loads((out / STAMP).read_text(encoding='utf-8'))
        return stamp == {'inputs': fingerprint, 'outputs': _outputs(out)}
    except (OSError, ValueError):
        return False


def _outputs(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file that was written; of linked images, only that they are there."""
    found: dict[str, list[int]] = {'images': [int((folder / 'images' / 'train').is_dir())]}
    files = sorted(folder.glob('annotations/*')) + sorted(folder.glob('report/*'))
    if not (folder / 'images').is_symlink():  # copies, which can get lost
        files += sorted(path for path in folder.glob('images/**/*') if path.is_file())
    for path in files:
        state = path.stat()
        found[path.relative_to(folder).as_posix()] = [state.st_size, state.st_mtime_ns]
    state = (folder / 'split.json').stat()
    found['split.json'] = [state.st_size, state.st_mtime_ns]
    return found
