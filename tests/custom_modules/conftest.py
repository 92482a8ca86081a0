"""Every test here builds from MMDetection's registries, whatever scope the test before left."""

import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _mmdet_scope() -> None:
    init_default_scope('mmdet')
