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
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from cellkit.stain import METHODS, CannotNormalise, StainNormalizer, colour, save_states
from data_prep.cores import usable_cores

FOLDER = 'stain'
REFERENCE = f'{FOLDER}/reference.json'
PICTURE = f'{FOLDER}/reference.png'
REFUSED = f'{FOLDER}/unavailable.json'
TRAINING = 'annotations/train.json'

_TILE = (400, 300)
_EXAMPLES = 4


class StainReferenceError(Exception):
    """No reference can be chosen; the message says why and what to do."""


@dataclass(frozen=True)
class Choice:
    """The chosen reference and how it was found.

    Attributes:
        image: File name as in the annotations.
        distance: Mean distance of the other images' stains, CIELAB units.
        names: File names of the images that took part.
        distances: ``(n,)``, distance of each of them from the chosen one.
        skipped: Reason by file name of those that did not.
    """

    image: str
    distance: float
    names: list[str]
    distances: np.ndarray
    skipped: dict[str, str]


def stain_statistics(image: np.ndarray) -> np.ndarray:
    """Mean CIELAB of the foreground and CIELAB of the background of a BGR image, ``(6,)``.

    Raises:
        CannotNormalise: If the image shows no stained foreground.
    """
    state = StainNormalizer('reinhard').fit(image, 'bgr')
    return np.concatenate([state.mean, colour.rgb_to_lab(state.white)])


def medoid(statistics: np.ndarray) -> tuple[int, np.ndarray]:
    """The row with the least summed Euclidean distance to all rows; the first of equals.

    Args:
        statistics: ``(n, d)``, n at least 1.

    Returns:
        Its index, and the distances ``(n,)`` of all rows from it.
    """
    sums = [np.linalg.norm(statistics - row, axis=1).sum() for row in statistics]
    best = int(np.argmin(sums))
    return best, np.linalg.norm(statistics - statistics[best], axis=1)


def choose_reference(folder: Path, names: Sequence[str], workers: int | None = None) -> Choice:
    """Find the medoid of images.

    Args:
        folder: Folder that the names are relative to.
        names: File names.
        workers: Images read at once; by default as many as cores.

    Raises:
        StainReferenceError: If no image can serve.
    """
    names = sorted(names)
    workers = workers or usable_cores()
    found: dict[str, np.ndarray] = {}
    skipped: dict[str, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        tasks = pool.map(lambda name: _statistics_or_reason(folder / name), names)
        for name, result in tqdm(
            zip(names, tasks, strict=True), 'stain statistics', len(names), disable=None
        ):
            if isinstance(result, str):
                skipped[name] = result
            else:
                found[name] = result
    if not found:
        raise StainReferenceError(
            f'{folder}: none of {len(names)} training images can be a stain reference '
            f'({next(iter(skipped.values()), "there are none")}); check the images'
        )
    best, distances = medoid(np.stack(list(found.values())))
    kept = list(found)
    return Choice(kept[best], float(distances.mean()), kept, distances, skipped)


def write_stain_reference(
    data_root: str | Path, workers: int | None = None, force: bool = False
) -> Path:
    """Choose the reference of a prepared data set and write it with its states.

    Args:
        data_root: Prepared data set.
        workers: As for :func:`choose_reference`.
        force: Choose again even though the training part has not changed.

    Returns:
        The JSON file.

    Raises:
        StainReferenceError: If the data set can't be read or no image can serve.
    """
    root = Path(data_root)
    content = _read_annotations(root)
    target = root / REFERENCE
    chosen = is_chosen(root)
    if chosen and not force:
        return target
    if not chosen:
        target.unlink(missing_ok=True)  # of another training part: it would pass for this one's
    try:
        names = [image['file_name'] for image in json.loads(content)['images']]
    except (ValueError, KeyError, TypeError) as error:
        raise StainReferenceError(
            f'{root / TRAINING}: is no COCO file ({error}); run `make prepare` again'
        ) from error
    refused = root / REFUSED
    if not force and (reason := _refusal(refused, content)):
        raise StainReferenceError(f'{root / "images"}: {reason}')
    try:
        choice = choose_reference(root / 'images', names, workers)
    except StainReferenceError as error:
        refused.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(content).hexdigest()
        reason = str(error).removeprefix(f'{root / "images"}: ')  # no path: the same everywhere
        refused.write_text(json.dumps({'reason': reason, 'train_json_sha256': digest}) + '\n')
        raise
    refused.unlink(missing_ok=True)
    reference = _read(root / 'images' / choice.image)
    states = {method: StainNormalizer(method).fit(reference, 'bgr') for method in METHODS}
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_picture(root, choice)
    save_states(
        target,
        states,
        image=choice.image,
        chosen='medoid of mean foreground and background CIELAB',
        images=len(choice.names),
        mean_distance=round(choice.distance, 3),
        skipped=choice.skipped,
        train_json_sha256=hashlib.sha256(content).hexdigest(),
    )
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    default = Path(os.environ.get('DATA_ROOT', 'data/bccd'))
    parser.add_argument('--data-root', type=Path, default=default)
    parser.add_argument('--workers', type=int, help='images read at once (default: cores)')
    parser.add_argument('--force', action='store_true', help='choose again if nothing changed')
    args = parser.parse_args(argv)
    try:
        file = write_stain_reference(args.data_root, args.workers, args.force)
    except StainReferenceError as error:
        print(f'stain_reference: {error}.', file=sys.stderr)
        return 2
    about = json.loads(file.read_text(encoding='utf-8'))
    print(
        f'{file}: {about["image"]}, the medoid of {about["images"]} training images '
        f'(mean distance {about["mean_distance"]:.1f} in CIELAB, {len(about["skipped"])} skipped).'
    )
    print(f'{args.data_root / PICTURE} shows it.')
    return 0


def is_chosen(data_root: str | Path) -> bool:
    """Whether the reference is there and was chosen from the training part as it is now.

    Raises:
        StainReferenceError: If the data set can't be read.
    """
    root = Path(data_root)
    fingerprint = hashlib.sha256(_read_annotations(root)).hexdigest()
    try:
        found = json.loads((root / REFERENCE).read_text(encoding='utf-8'))['train_json_sha256']
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found == fingerprint and (root / PICTURE).is_file()


def _refusal(file: Path, annotations: bytes) -> str | None:
    """Why no image of this very training part could serve, if that is known."""
    try:
        found = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    same = found.get('train_json_sha256') == hashlib.sha256(annotations).hexdigest()
    return found.get('reason') if same else None


def chosen_image(file: Path) -> str:
    """File name, as in the annotations, of the image that a reference file describes."""
    return json.loads(file.read_text(encoding='utf-8'))['image']


def _read_annotations(root: Path) -> bytes:
    try:
        return (root / TRAINING).read_bytes()
    except OSError as error:
        raise StainReferenceError(
            f"{root / TRAINING}: can't be read ({error.strerror}); prepare the data set with "
            '`make prepare`'
        ) from error


def _read(file: Path) -> np.ndarray:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise StainReferenceError(f"{file}: can't be read as an image; run `make prepare` again")
    return image


def _statistics_or_reason(file: Path) -> np.ndarray | str:
    try:
        return stain_statistics(_read(file))
    except CannotNormalise as error:
        return str(error)


def _write_picture(root: Path, choice: Choice) -> None:
    """The reference, and images near to far: as they are, then after each method."""
    order = np.argsort(choice.distances, kind='stable')[1:]
    places = np.linspace(0, len(order) - 1, min(_EXAMPLES, len(order))).round().astype(int)
    others = [choice.names[order[k]] for k in places]
    reference = _read(root / 'images' / choice.image)
    columns = [('reference', choice.image, reference)]
    for name in others:
        distance = choice.distances[choice.names.index(name)]
        columns.append((f'distance {distance:.1f}', name, _read(root / 'images' / name)))

    gap, caption, title = 10, 42, 40
    page = Image.new(
        'RGB',
        (
            gap + len(columns) * (_TILE[0] + gap),
            title + 4 * (_TILE[1] + caption) + gap,
        ),
        'white',
    )
    draw = ImageDraw.Draw(page)
    draw.text(
        (gap, 8),
        f'Stain reference: the medoid of {len(choice.names)} training images',
        'black',
        ImageFont.load_default(22),
    )
    for column, (text, name, image) in enumerate(columns):
        x = gap + column * (_TILE[0] + gap)
        for row, method in enumerate([None, *METHODS]):
            y = title + row * (_TILE[1] + caption)
            shown, note = image, f'{text}: {Path(name).name[:28]}'
            if method is not None:
                normalizer = StainNormalizer(method)
                normalizer.fit(reference, 'bgr')
                result = normalizer.transform(image, 'bgr')
                shown = result.image
                note = f'{method}' + (f': {result.reason}' if result.reason else '')
            small = cv2.resize(shown, _TILE, interpolation=cv2.INTER_AREA)
            page.paste(Image.fromarray(small[..., ::-1]), (x, y))
            draw.text((x, y + _TILE[1] + 4), note[:60], 'black', ImageFont.load_default(16))
    target = root / PICTURE
    beside = target.with_name(target.name + '.part')
    page.save(beside, format='PNG')
    os.replace(beside, target)


if __name__ == '__main__':
    sys.exit(main())
