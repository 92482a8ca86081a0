"""The three methods as published, slowly, in float64: whole image, white at 255, no limits.

``StainNormalizer(limits=None, guard=None)`` is compared with these.
"""

from __future__ import annotations

import numpy as np

from cellkit.stain import colour, vahadane

BETA = 0.15 * np.log(10)
"""Macenko's threshold of optical density: 0.15 in decimal logarithms, here in natural ones."""


def reinhard_as_published(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Match mean and standard deviation of L*, a*, b* over the whole image.

    Args:
        image, reference: ``(H, W, 3)`` uint8 RGB.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    lab, target = (colour.rgb_to_lab(i.astype(np.float64)) for i in (image, reference))
    mean, std = lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))
    mapped = (lab - mean) / std * target.std(axis=(0, 1)) + target.mean(axis=(0, 1))
    return _to_uint8(colour.lab_to_rgb(mapped))


def macenko_as_published(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Replace the stain vectors and match the 99th percentiles of concentration.

    Args:
        image, reference: ``(H, W, 3)`` uint8 RGB.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    source, target = _macenko_stains(image), _macenko_stains(reference)
    density = colour.optical_density(image.reshape(-1, 3))
    amounts = np.linalg.lstsq(source[0], density.T, rcond=None)[0]
    amounts *= (target[1] / source[1])[:, None]
    return _to_uint8(colour.transmitted_light(amounts.T @ target[0].T).reshape(image.shape))


def vahadane_as_published(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The same with sparse non-negative vectors and concentrations.

    Args:
        image, reference: ``(H, W, 3)`` uint8 RGB.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    found = []
    for each in (image, reference):
        density = colour.optical_density(each.reshape(-1, 3))
        matrix = vahadane.stain_matrix(density[(density >= BETA).all(axis=1)])
        amounts = vahadane.sparse_concentrations(density, matrix)
        found.append((matrix, amounts, np.percentile(amounts, 99, axis=0)))
    (_, amounts, maximum), (target, _, wanted) = found
    amounts = amounts * (wanted / np.maximum(maximum, 1e-6))
    return _to_uint8(colour.transmitted_light(amounts @ target.T).reshape(image.shape))


AS_PUBLISHED = {
    'reinhard': reinhard_as_published,
    'macenko': macenko_as_published,
    'vahadane': vahadane_as_published,
}


def _macenko_stains(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    density = colour.optical_density(image.reshape(-1, 3))
    kept = density[(density >= BETA).all(axis=1)]
    _, _, vectors = np.linalg.svd(kept, full_matrices=False)
    plane = vectors[:2] * np.sign(vectors[:2].sum(axis=1, keepdims=True))
    projected = kept @ plane.T
    low, high = np.percentile(
        np.arctan2(projected[:, 1], projected[:, 0]),
        [1, 99],
    )
    matrix = np.array([np.cos([low, high]), np.sin([low, high])]).T @ plane
    matrix = matrix[np.argsort(-matrix[:, 0])].T
    amounts = np.linalg.lstsq(matrix, density.T, rcond=None)[0]
    return matrix, np.percentile(amounts, 99, axis=1)


def _to_uint8(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
