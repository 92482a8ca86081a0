"""Choose the reference image of stain normalisation from the training part, by statistics.

    python -m data_prep.stain_reference --data-root data/bccd

The reference is the medoid: the training image whose stain is nearest to all others, measured by
the mean CIELAB colour of its foreground and the colour of its background. Written are
`stain/reference.json`, with the image's name and its state for every method, and
`stain/reference.png`, which shows it and what it does to other images. See docs/stain.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files import prepared
from cellkit.files.cores import usable_cores
from cellkit.files.pictures import read_picture
from cellkit.files.prepared import STAIN_REFERENCE, annotation_file
from cellkit.files.program import run_program
from cellkit.files.stain_states import save_states
from cellkit.files.stored import Whites
from cellkit.files.writing import read_object, write_json, write_whole
from cellkit.stain import METHODS, CannotNormalise, StainNormalizer, State, colour
from data_prep.sheet import Tile, draw_sheet

PICTURE = 'stain/reference.png'
REFUSED = 'stain/unavailable.json'

_EXAMPLES = 4


@dataclass(frozen=True)
class Choice:
    """The chosen reference and how it was found.

    Attributes:
        image: File name as in the annotations.
        distances: Distance of every image that took part from the chosen one, CIELAB units.
        skipped: Reason by file name of those that did not take part.
    """

    image: str
    distances: dict[str, float]
    skipped: dict[str, str]


def write_stain_reference(
    data_root: str | Path, workers: int | None = None, force: bool = False
) -> Path:
    """Choose the reference of a prepared data set and write it with its states.

    Args:
        data_root: Prepared data set.
        workers: Images read at once; by default as many as cores.
        force: Choose again even though the training part has not changed.

    Returns:
        The JSON file.

    Raises:
        UserError: If the data set can't be read or no image can serve.
    """
    root = Path(data_root)
    whites, fingerprint = _training_part(root)
    target, refused = root / STAIN_REFERENCE, root / REFUSED
    if not is_chosen(root):
        target.unlink(missing_ok=True)  # of another training part: it would pass for this one's
    elif not force:
        return target
    images = root / 'images'
    if not force and (reason := _refusal(refused, fingerprint)):
        raise UserError(f'{images}: {reason}')
    try:
        choice = choose_reference(images, list(whites), workers, whites)
    except CannotNormalise as error:
        write_json(refused, {'reason': str(error), 'train_json_sha256': fingerprint})
        raise UserError(f'{images}: {error}') from error
    refused.unlink(missing_ok=True)
    reference = _read(images, choice.image, whites)
    states = {method: StainNormalizer(method).fit(reference, 'bgr') for method in METHODS}
    write_whole(root / PICTURE, _draw_picture(images, choice, states, whites))
    save_states(
        target,
        states,
        image=choice.image,
        chosen='medoid of mean foreground and background CIELAB',
        images=len(choice.distances),
        mean_distance=round(float(np.mean(list(choice.distances.values()))), 3),
        skipped=choice.skipped,
        train_json_sha256=fingerprint,
    )
    return target


def is_chosen(data_root: str | Path) -> bool:
    """Whether the reference is there and was chosen from the training part as it is now.

    Raises:
        UserError: If the data set can't be read.
    """
    root = Path(data_root)
    _, fingerprint = _training_part(root)
    found = read_object(root / STAIN_REFERENCE).get('train_json_sha256')
    return found == fingerprint and (root / PICTURE).is_file()


def chosen_image(file: Path) -> str:
    """File name, as in the annotations, of the image that a reference file describes."""
    return json.loads(file.read_bytes())['image']


def choose_reference(
    folder: Path,
    names: Sequence[str],
    workers: int | None = None,
    whites: Mapping[str, float | None] | None = None,
) -> Choice:
    """Find the medoid of images.

    Args:
        folder: That holds them.
        names: Relative to it.
        workers: Images read at once; by default as many as cores.
        whites: ``white`` of those whose annotations give it, by name.

    Raises:
        CannotNormalise: If no image can serve.
        UserError: If an image can't be read.
    """
    names = sorted(names)
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        tasks = pool.map(lambda name: _statistics_or_reason(_read(folder, name, whites)), names)
        results = list(tqdm(tasks, 'stain statistics', len(names), disable=None))
    every = dict(zip(names, results, strict=True))
    skipped = {name: reason for name, reason in every.items() if isinstance(reason, str)}
    found = {name: every[name] for name in names if name not in skipped}
    if not found:
        raise CannotNormalise(
            f'none of {len(names)} training images can be a stain reference '
            f'({next(iter(skipped.values()), "there are none")}); check the images'
        )
    best, distances = medoid(np.stack(list(found.values())))
    by_name = dict(zip(found, distances.tolist(), strict=True))
    return Choice(list(found)[best], by_name, skipped)


def medoid(statistics: np.ndarray) -> tuple[int, np.ndarray]:
    """The row of ``(n, d)`` with the least summed Euclidean distance to all; the first of equals.

    Returns:
        Its index, and the distances ``(n,)`` of all rows from it.
    """
    sums = [np.linalg.norm(statistics - row, axis=1).sum() for row in statistics]
    best = int(np.argmin(sums))
    return best, np.linalg.norm(statistics - statistics[best], axis=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data-root', type=Path, default=prepared.data_root())
    parser.add_argument('--workers', type=int, help='images read at once (default: cores)')
    parser.add_argument('--force', action='store_true', help='choose again if nothing changed')
    args = parser.parse_args(argv)

    def work() -> None:
        file = write_stain_reference(args.data_root, args.workers, args.force)
        about = json.loads(file.read_bytes())
        print(
            f'{file}: {about["image"]}, the medoid of {about["images"]} training images (mean '
            f'distance {about["mean_distance"]:.1f} in CIELAB, {len(about["skipped"])} skipped).'
        )
        print(f'{args.data_root / PICTURE} shows it.')

    return run_program('stain_reference', work)


def _read(folder: Path, name: str, whites: Mapping[str, float | None] | None) -> np.ndarray:
    return read_picture(folder / name, Whites.of((whites or {}).get(name))).pixels


def _training_part(root: Path) -> tuple[dict[str, float | None], str]:
    """``white`` by file name of the training images, and the SHA-256 of their annotation file."""
    file = annotation_file(root, 'train')
    try:
        content = file.read_bytes()
        images = json.loads(content)['images']
        whites = {image['file_name']: image.get('white') for image in images}
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = getattr(error, 'strerror', None) or error
        raise UserError(
            f"{file}: can't be read ({cause}); prepare the data set with `make prepare`"
        ) from error
    return whites, hashlib.sha256(content).hexdigest()


def _refusal(file: Path, fingerprint: str) -> str | None:
    """Why no image of this very training part could serve, if that is known."""
    found = read_object(file)
    return found.get('reason') if found.get('train_json_sha256') == fingerprint else None


def _statistics_or_reason(image: np.ndarray) -> np.ndarray | str:
    """Mean CIELAB of the foreground and CIELAB of the background, ``(6,)``; or why not."""
    try:
        state = StainNormalizer('reinhard').fit(image, 'bgr')
    except CannotNormalise as error:
        return str(error)
    return np.concatenate([state.mean, colour.rgb_to_lab(state.white)])


def _draw_picture(
    folder: Path,
    choice: Choice,
    states: dict[str, State],
    whites: Mapping[str, float | None],
) -> bytes:
    """The reference, and images near to far: as they are, then after each method."""
    others = sorted(choice.distances, key=choice.distances.get)[1:]
    places = np.linspace(0, len(others) - 1, min(_EXAMPLES, len(others))).round().astype(int)
    shown = [choice.image, *(others[k] for k in places)]
    images = [np.ascontiguousarray(_read(folder, name, whites)[..., ::-1]) for name in shown]
    said = ['reference', *(f'distance {choice.distances[name]:.1f}' for name in shown[1:])]
    words = [f'{text}: {Path(name).name[:28]}' for text, name in zip(said, shown, strict=True)]
    rows = [list(map(Tile, images, words))]
    for method, state in states.items():
        results = [StainNormalizer(method, state=state).transform(image) for image in images]
        rows.append([Tile(r.image, f'{method}\n{r.reason}'.strip()) for r in results])
    title = f'Stain reference: the medoid of {len(choice.distances)} training images'
    return draw_sheet(title, rows)


if __name__ == '__main__':
    sys.exit(main())
