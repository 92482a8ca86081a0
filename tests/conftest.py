"""What several test folders share."""

import os
from pathlib import Path

os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'  # no look-up on the network, no nag
os.environ.pop('DATA_ROOT', None)  # `make` sets it: the user's data are not the tests' business

import pytest

SAMPLE = Path(__file__).parents[2] / 'shared' / 'data' / 'BCCD Dataset with mask'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin, so that in the end no process waits for another one's."""
    slow = {item.path for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope='session')
def sample() -> Path:
    """The real sample's folder; the test is skipped where it is not at hand."""
    if not SAMPLE.is_dir():
        pytest.skip('the real sample is not at ../shared/data')
    return SAMPLE


@pytest.fixture(scope='session')
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of six small synthetic smears (240x320)."""
    from data_prep.demo import write_demo_set
    from data_prep.prepare import prepare

    folder = tmp_path_factory.mktemp('tiny')
    write_demo_set(folder / 'smears', train=4, test=2, size=(240, 320), workers=1)
    return prepare(folder / 'smears', folder / 'bccd').out
