"""Print torchstain's stain matrix of the synthetic slide for `test_macenko.py`.

pip install --no-deps torchstain==1.4.1 && python -m tests.cellkit.stain.peer_values
"""

from __future__ import annotations

import torch
import torchstain

from tests.cellkit.stain.slides import STAINS, tissue

normalizer = torchstain.normalizers.MacenkoNormalizer(backend='torch')
normalizer.fit(torch.from_numpy(tissue(STAINS).transpose(2, 0, 1).copy()))
print(normalizer.HERef.numpy().round(5).tolist())
