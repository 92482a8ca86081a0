"""The stain transforms inside real pipelines, data loader workers and configs."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import worker_init_fn
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset

import custom_modules.datasets.transforms.stain_transforms  # noqa: F401 - registers
from cellkit.errors import UserError
from cellkit.files.prepared import STAIN_REFERENCE
from cellkit.smears.smear import draw_smear
from cellkit.stain import METHODS, StainNormalizer
from cellkit.stain.jitter import jitter
from data_prep.stain_reference import write_stain_reference

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope='module')
def data_root(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set with its stain reference."""
    root = tmp_path_factory.mktemp('stain') / 'bccd'
    shutil.copytree(tiny_data, root)
    write_stain_reference(root, workers=1)
    return root


@pytest.fixture(scope='module')
def image() -> np.ndarray:
    """A synthetic smear, BGR."""
    smear, _ = draw_smear(np.random.default_rng(3), (240, 320))
    return np.ascontiguousarray(smear[..., ::-1])


@pytest.mark.parametrize('method', METHODS)
def test_normalize_does_what_the_package_does(
    data_root: Path, image: np.ndarray, method: str
) -> None:
    file = str(data_root / STAIN_REFERENCE)
    step = TRANSFORMS.build({'type': 'StainNormalize', 'method': method, 'reference': file})
    results = step({'img': image.copy(), 'img_path': 'a.png'})
    expected = StainNormalizer(method, state=step.normalizer.state).transform(image, 'bgr')
    assert expected.applied
    assert np.array_equal(results['img'], expected.image)
    assert results['stain'] == {'applied': True, 'reason': '', 'strength': 1.0}
    assert f"method='{method}'" in repr(step)


def test_reference_may_be_an_image(tmp_path: Path, image: np.ndarray) -> None:
    file = tmp_path / 'reference.png'
    cv2.imwrite(str(file), image)
    step = TRANSFORMS.build({'type': 'StainNormalize', 'method': 'macenko', 'reference': str(file)})
    unchanged = step({'img': image.copy()})['img']
    assert np.abs(unchanged.astype(int) - image).max() <= 1
    rgb = np.ascontiguousarray(image[..., ::-1])
    step = TRANSFORMS.build(
        {
            'type': 'StainNormalize',
            'method': 'macenko',
            'reference': str(file),
            'channel_order': 'rgb',
        }
    )
    assert np.abs(step({'img': rgb.copy()})['img'].astype(int) - rgb).max() <= 1


def test_impossible_image_passes_and_is_told(data_root: Path) -> None:
    step = TRANSFORMS.build(
        {
            'type': 'StainNormalize',
            'method': 'reinhard',
            'reference': str(data_root / STAIN_REFERENCE),
        }
    )
    black = np.zeros((40, 50, 3), np.uint8)
    for _ in range(2):
        results = step({'img': black, 'img_path': 'black.png'})
        assert results['img'] is black
        assert not results['stain']['applied']
        assert results['stain']['reason']
    assert step._told


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'reference': 'none.json'}, UserError, r'none\.json: .*No such file'),
        ({'reference': 'none.png'}, UserError, r'none\.png: is not there'),
        ({'reference': __file__}, UserError, "can't be decoded"),
        ({'method': 'khan'}, ValueError, "'khan' is unknown"),
        ({'strength': 2}, ValueError, 'strength is 2'),
        ({'limits': {'white': 0.1}}, ValueError, 'white'),
        ({'channel_order': 'hsv'}, ValueError, "'hsv'"),
    ],
)
def test_wrong_options_are_named(
    data_root: Path, options: dict, error: type[Exception], message: str
) -> None:
    known = {'type': 'StainNormalize', 'method': 'macenko'}
    reference = {'reference': str(data_root / STAIN_REFERENCE)}
    with pytest.raises(error, match=message):
        TRANSFORMS.build({**known, **reference, **options})


def test_jitter_draws_from_numpy_s_global_generator(image: np.ndarray) -> None:
    step = TRANSFORMS.build({'type': 'StainJitter', 'prob': 1.0, 'scale': 0.2, 'shift': 0.02})
    np.random.seed(7)  # noqa: NPY002
    first = step({'img': image})['img']
    second = step({'img': image})['img']
    np.random.seed(7)  # noqa: NPY002
    again = step({'img': image})['img']
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, image)
    np.random.seed(7)  # noqa: NPY002
    scale, shift = np.random.uniform(-1, 1, (2, 3))  # noqa: NPY002
    assert np.array_equal(first, jitter(image, 0.2 * scale, 0.02 * shift, 'bgr').image)


def test_jitter_has_a_probability(image: np.ndarray) -> None:
    step = TRANSFORMS.build({'type': 'StainJitter', 'prob': 0.3})
    np.random.seed(0)  # noqa: NPY002
    small = image[:64, :64]
    changed = sum('stain' in step({'img': small}) for _ in range(300))
    assert 60 < changed < 120
    never = TRANSFORMS.build({'type': 'StainJitter', 'prob': 0})
    assert never({'img': image})['img'] is image


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'prob': 1.5}, r'prob is 1\.5'),
        ({'scale': 1.0}, 'scale < 1'),
        ({'shift': -0.1}, 'shift >= 0'),
        ({'channel_order': 'lab'}, "'lab'"),
    ],
)
def test_jitter_checks_its_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build({'type': 'StainJitter', **options})


class _Jittered(Dataset):
    """The same picture eight times, jittered."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.step = TRANSFORMS.build({'type': 'StainJitter', 'prob': 1.0})

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> np.ndarray:
        return self.step({'img': self.image})['img'].reshape(-1)[:300].astype(np.int16)


def _epoch(image: np.ndarray, seed: int) -> np.ndarray:
    def init(worker: int) -> None:
        worker_init_fn(worker, num_workers=2, rank=0, seed=seed)

    loader = DataLoader(_Jittered(image), num_workers=2, worker_init_fn=init)
    return np.concatenate([batch.numpy() for batch in loader])


def test_every_worker_draws_its_own_and_the_seed_repeats_it(image: np.ndarray) -> None:
    small = np.ascontiguousarray(image[:100, :100])
    first, again, other = _epoch(small, 1), _epoch(small, 1), _epoch(small, 2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first, axis=0)) == len(first)


def test_steps_are_picklable(data_root: Path, image: np.ndarray) -> None:
    for options in (
        {
            'type': 'StainNormalize',
            'method': 'vahadane',
            'reference': str(data_root / STAIN_REFERENCE),
        },
        {'type': 'StainJitter'},
    ):
        step = TRANSFORMS.build(options)
        copied = pickle.loads(pickle.dumps(step))
        np.random.seed(1)  # noqa: NPY002
        expected = step({'img': image})['img']
        np.random.seed(1)  # noqa: NPY002
        assert np.array_equal(copied({'img': image})['img'], expected)


@pytest.mark.parametrize('variant', [*METHODS, 'stain_jitter'])
def test_config_gives_training_samples(
    variant: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DATA_ROOT', str(data_root))
    config = Config.fromfile(ROOT / f'configs/bccd_vitb_mask_rcnn_{variant}.py')
    main = Config.fromfile(ROOT / 'configs/bccd_vitb_mask_rcnn.py')
    init_default_scope('mmdet')
    name = 'StainJitter' if variant == 'stain_jitter' else 'StainNormalize'
    pipeline = config.train_dataloader.dataset.pipeline
    assert [step.type for step in pipeline if step.type != name] == [
        step.type for step in main.train_dataloader.dataset.pipeline
    ]
    assert pipeline[1].type == name
    for part in ('val', 'test'):
        steps = [step.type for step in config[f'{part}_dataloader'].dataset.pipeline]
        assert ('StainNormalize' in steps) == (variant != 'stain_jitter')
    data_set = DATASETS.build({**config.train_dataloader.dataset, 'pipeline': pipeline[:2]})
    assert data_set[0]['img'].dtype == np.uint8
    sample = Compose(pipeline)(data_set.get_data_info(0))
    assert sample['inputs'].shape[0] == 3
    assert len(sample['data_samples'].gt_instances)
