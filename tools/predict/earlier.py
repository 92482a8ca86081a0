"""What an earlier run left in a folder of results, and what of it may be replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.names import original, shown
from cellkit.files.writing import read_object
from tools.predict.slides import SETTINGS, is_results

TABLES = ('index.html', 'counts.csv', 'cells.csv', 'predictions.json', SETTINGS)


class Earlier:
    """The results of an earlier run.

    Args:
        out: The folder, which need not be there.

    Attributes:
        images: The pictures that were done, absolute, as :func:`cellkit.files.names.shown` writes.
        files: The drawings and label maps that were written, relative to the folder.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.known = out, is_results(out)
        noted = read_object(out / SETTINGS) if self.known else {}
        self.images = set(map(str, noted['images'])) if self.known else set()
        self.files = set(map(str, noted.get('files', ())))

    def make_way(self, images: Sequence[Path], files: Iterable[Sequence[str]]) -> None:
        """See that nothing is lost when pictures are done into the folder.

        A picture that is gone from its folder is no longer waited for.

        Args:
            images: What is to be done, absolute.
            files: What will be written of each, relative to the folder.

        Raises:
            UserError: The folder holds the results of other pictures, or files of something else.
        """
        others = sorted(self.images - {shown(image.as_posix()) for image in images})
        others = [image for image in others if not _is_gone(Path(original(image)))]
        if others:
            raise UserError(
                f'{shown(self.out)}: holds the results of {len(others)} other images '
                f'({others[0]} …); name another folder with --out, or remove this one'
            )
        wanted = {file for each in files for file in each} - self.files
        for name in sorted(wanted) if self.known else [*TABLES, *sorted(wanted)]:
            if (self.out / name).exists():
                raise UserError(
                    f'{shown(self.out / name)}: is there and not of an earlier run, so it is not '
                    'overwritten; name another folder with --out, or move it away'
                )

    def remove(self, files: Iterable[str]) -> list[str]:
        """Remove drawings and label maps, and folders that get empty; returns those there were."""
        removed, home = [], self.out.resolve()
        for name in sorted(files):
            file = self.out / name
            if not file.is_file() or not file.resolve().is_relative_to(home):
                continue
            file.unlink()
            removed.append(name)
            for folder in file.parents:
                if folder == self.out or any(folder.iterdir()):
                    break
                folder.rmdir()
        return removed


def _is_gone(image: Path) -> bool:
    """Whether a picture was taken out of a folder that is still there: no disk that is away."""
    return image.parent.is_dir() and not image.exists()
