"""On real images: the fast methods are the papers, and a sample of pixels stands for all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cellkit.stain import METHODS, StainNormalizer, normalizer, papers

REFERENCES = (0, 42)
IMAGES = (1, 23, 30, 43)  # 23 is grey and blurred, 43 pale


def read(sample: Path, index: int) -> np.ndarray:
    files = sorted((sample / 'train' / 'original').iterdir())
    return cv2.cvtColor(cv2.imread(str(files[index])), cv2.COLOR_BGR2RGB)


@pytest.mark.slow
@pytest.mark.parametrize('index', IMAGES)
@pytest.mark.parametrize('method', ['reinhard', 'macenko'])
def test_unlimited_method_is_the_paper_within_one_grey_level(
    sample: Path, method: str, index: int
) -> None:
    image, reference = read(sample, index), read(sample, REFERENCES[index > 25])
    image, reference = (np.ascontiguousarray(i[::2, ::2]) for i in (image, reference))
    ours = StainNormalizer(method, limits=None, guard=None)
    ours.fit(reference)
    result = ours.transform(image).image.astype(int)
    expected = papers.AS_PUBLISHED[method](image, reference)
    assert np.abs(result - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize('index', IMAGES)
@pytest.mark.parametrize('method', METHODS)
def test_sample_of_pixels_gives_the_map_of_all_pixels(
    sample: Path, method: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one grey level; Vahadane's dictionary within two."""
    image, reference = read(sample, index), read(sample, REFERENCES[index > 25])
    sampled = StainNormalizer(method, guard=None)
    sampled.fit(reference)
    fast = sampled.transform(image).image[::3, ::3].astype(int)
    monkeypatch.setattr(normalizer, 'MAX_SAMPLE', image.size)
    full = StainNormalizer(method, guard=None)
    full.fit(reference)
    source, regions = full._describe(image, 'rgb')
    exact = full._map(source, regions).exact(image[::3, ::3])
    difference = np.abs(fast - np.clip(np.rint(exact), 0, 255))
    assert difference.max() <= (2 if method == 'vahadane' else 1)
