"""Print torchstain's stain matrix of the synthetic slide for `test_stain_methods.py`.

pip install --no-deps torchstain==1.4.1 && python tests/cellkit/stain/peer_figures.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torchstain

sys.path.insert(0, str(Path(__file__).parent))

from conftest import EOSIN, HAEMATOXYLIN, tissue, unit_columns

normalizer = torchstain.normalizers.MacenkoNormalizer(backend='torch')
normalizer.fit(
    torch.from_numpy(tissue(unit_columns(HAEMATOXYLIN, EOSIN)).transpose(2, 0, 1).copy())
)
print(normalizer.HERef.numpy().round(5).tolist())
