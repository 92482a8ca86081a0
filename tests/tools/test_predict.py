"""From a user's slides to outlines and tables, with a detector that thresholds."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from cellkit.instances import label_instances
from cellkit.rle import encode_label_map
from tools.fingerprint import sha256_of
from tools.predict import main
from tools.run_folder import best_checkpoint, newest_run, open_run

WIDTH, HEIGHT = 160, 120
CONFIG = f"""
default_scope = 'mmdet'
model = dict(
    type='ThresholdDetector', test_cfg=dict(rcnn=dict(score_thr=0.05, max_per_img=50)))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=({WIDTH}, {HEIGHT}), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'scale_factor')),
]
test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=test_pipeline))
"""


@MODELS.register_module(force=True)
class ThresholdDetector(BaseModel):
    """Finds every dark component; the darker, the higher the score."""

    seen: list[tuple[int, int]] = []
    bitmaps = False
    error: BaseException | None = None

    def __init__(self, test_cfg: dict, width: int = 3) -> None:
        super().__init__(data_preprocessor={'type': 'mmdet.DetDataPreprocessor'})
        self.test_cfg = test_cfg
        self.layer = torch.nn.Linear(width, 1)

    def forward(
        self, inputs: torch.Tensor, data_samples: list[DetDataSample], mode: str = 'tensor'
    ) -> list[DetDataSample]:
        if self.error:
            raise self.error
        sample = data_samples[0]
        grey = inputs[0].mean(dim=0).numpy()
        self.seen.append(grey.shape)
        height, width = sample.ori_shape
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_NEAREST)
        label_map, _ = label_instances(grey < 200, min_area=20)
        count = int(label_map.max())
        scores = np.array([1 - grey[label_map == k].mean() / 255 for k in range(1, count + 1)])
        above = np.flatnonzero(scores > self.test_cfg['rcnn']['score_thr'])
        above = above[: self.test_cfg['rcnn']['max_per_img']]
        rles = encode_label_map(label_map, count)
        masks = [rles[k] for k in above]
        if self.bitmaps:
            bitmaps = [torch.from_numpy(label_map == k + 1) for k in above]
            masks = torch.stack(bitmaps) if bitmaps else torch.zeros((0, height, width), dtype=bool)
        sample.pred_instances = InstanceData(
            scores=torch.tensor(scores[above], dtype=torch.float32), masks=masks
        )
        return [sample]


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and a detector that remembers nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    ThresholdDetector.seen, ThresholdDetector.bitmaps = [], False
    ThresholdDetector.error = None


def make_run(
    name: str = 'run', files: tuple[str, ...] = ('best_coco_segm_mAP_iter_20.pth',), **content
) -> Path:
    """A run folder with a config and checkpoints."""
    run = Path('work_dirs', name)
    run.mkdir(parents=True)
    (run / 'config.py').write_text(CONFIG)
    weights = {'layer.weight': torch.zeros(1, 3), 'layer.bias': torch.zeros(1)}
    for file in files:
        torch.save({'state_dict': weights, 'meta': {}, **content}, run / file)
    return run


def slide(*cells: tuple[int, int, int, int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A white picture with discs ``(x, y, radius, grey)``; the score is 1 - grey / 255."""
    picture = np.full((*size, 3), 255, np.uint8)
    y, x = np.mgrid[: size[0], : size[1]]
    for at_x, at_y, radius, grey in cells:
        picture[np.hypot(x - at_x, y - at_y) <= radius] = grey
    return picture


def write(path: str, picture: np.ndarray) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(path, picture)
    return Path(path)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding='utf-8') as file:
        return list(csv.DictReader(file))


THREE = slide((40, 40, 15, 20), (100, 60, 12, 40), (159, 100, 10, 60))


def test_everything_that_is_written(capsys: pytest.CaptureFixture) -> None:
    make_run()
    write('in/a.png', THREE)
    write('in/sub/b.TIF', slide((80, 60, 20, 30)))
    write('in/empty.bmp', slide())
    assert main(['in', '--pixel-size', '0.5']) == 0
    out = Path('predictions/run/in')
    told = capsys.readouterr().out
    assert 'best_coco_segm_mAP_iter_20.pth (the newest run)' in told
    assert 'score threshold: 0.5, the default' in told
    assert '3 of 3 images, 4 cells, 1 of them at a border: predictions/run/in' in told

    counts = {row['image']: row for row in table(out / 'counts.csv')}
    assert list(counts) == ['a.png', 'empty.bmp', 'sub/b.TIF']
    truth = label_instances(THREE[..., 0] < 200)[0]
    areas = np.bincount(truth.ravel())[1:]
    row = counts['a.png']
    assert (row['cells'], row['touching_border'], row['image_id']) == ('3', '1', '1')
    assert float(row['mean_area_px']) == pytest.approx(areas[:2].mean())  # whole cells only
    assert float(row['median_area_um2']) == pytest.approx(np.median(areas[:2]) / 4)
    assert float(row['foreground_fraction']) == pytest.approx(areas.sum() / truth.size, abs=1e-5)
    assert counts['empty.bmp']['cells'] == '0'
    assert counts['empty.bmp']['mean_area_px'] == ''

    cells = table(out / 'cells.csv')
    assert [row['image'] for row in cells] == ['a.png'] * 3 + ['sub/b.TIF']
    first = cells[0]
    assert [int(first[k]) for k in ('cell', 'x', 'y', 'width', 'height')] == [1, 25, 25, 31, 31]
    assert (float(first['centroid_x']), float(first['centroid_y'])) == (40, 40)
    assert float(first['score']) == pytest.approx(1 - 20 / 255, abs=1e-4)
    assert float(first['area_um2']) == float(first['area_px']) / 4
    assert float(first['equivalent_diameter_um']) == pytest.approx(15, rel=0.02)
    assert float(first['circularity']) > 0.9
    assert [row['touches_border'] for row in cells] == ['0', '0', '1', '0']

    labels = cv2.imread(str(out / 'labels/a.png'), cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, truth)
    overlay = cv2.imread(str(out / 'overlays/sub/b.jpg'))
    assert overlay.shape == (HEIGHT, WIDTH, 3)
    assert not np.array_equal(overlay, slide((80, 60, 20, 30)))

    coco = json.loads((out / 'predictions.json').read_text())
    assert [item['image_id'] for item in coco] == [1, 1, 1, 3]
    for item in coco[:3]:
        mask = coco_mask.decode(item['segmentation'])
        np.testing.assert_array_equal(mask, truth == item['id'])
        assert item['bbox'] == coco_mask.toBbox(item['segmentation']).tolist()
    truth_file = COCO()
    truth_file.dataset = {'images': [{'id': k} for k in (1, 2, 3)], 'categories': [{'id': 1}]}
    truth_file.createIndex()
    assert len(truth_file.loadRes(coco).anns) == 4
    assert json.loads((out / 'settings.json').read_text())['score_threshold'] == 0.5
    assert not list(out.rglob('*.part')), 'a half-written file was left'


def test_bitmaps_give_the_same_as_run_lengths() -> None:
    make_run()
    write('in/a.png', THREE)
    write('in/empty.png', slide())
    results = []
    for bitmaps in (False, True):
        ThresholdDetector.bitmaps = bitmaps
        assert main(['in', '--out', f'out{bitmaps}']) == 0
        results.append(Path(f'out{bitmaps}/predictions.json').read_text())
    assert results[0] == results[1]
    assert len(json.loads(results[0])) == 3


def test_one_bad_image_stops_no_other(capsys: pytest.CaptureFixture) -> None:
    make_run()
    write('in/a.png', THREE)
    write('in/z.png', THREE)
    Path('in/b.png').write_bytes(Path('in/a.png').read_bytes()[:60])
    Path('in/c.jpg').write_text('no picture')
    assert main(['in']) == 1
    told = capsys.readouterr()
    assert '2 of 4 images, 6 cells' in told.out
    assert '2 images could not be done' in told.err
    assert 'b.png: is truncated' in told.err
    assert "c.jpg: can't be decoded as a picture; export it again" in told.err
    assert len(table(Path('predictions/run/in/counts.csv'))) == 2


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['gone'], 'gone: there is no such file or folder'),
        (['nothing'], 'no picture (.png'),
        (['in', '--run', 'work_dirs/ran'], 'ran: there is no such run folder (work_dirs has run)'),
        (['in', '--run', 'work_dirs/young'], 'young: holds no checkpoint'),
        (['in', '--checkpoint', 'gone.pth'], 'gone.pth: there is no such checkpoint'),
        (['in', '--checkpoint', 'cut.pth'], "cut.pth: can't be read as a checkpoint"),
        (['in', '--checkpoint', 'other.pth', '--config', 'work_dirs/run/config.py'], 'not of this'),
        (['in', '--checkpoint', 'list.pth'], 'list.pth: holds no model weights'),
        (['in', '--config', 'bad.py'], "bad.py: can't be read as a config"),
        (['in', '--config', 'gone.py'], "gone.py: can't be read as a config"),
        (['in', '--config', 'odd.py'], "the config's model can't be built"),
        (['in', '--config', 'plain.py', '--scale', '2'], 'has no Resize with a scale'),
        (['in', '--config', 'plain.py', '--tile', '64x64'], 'has no Resize with a scale'),
        (['in', '--device', 'cuda'], "device cuda can't be used"),
        (['in', '--device', 'abacus'], "device abacus can't be used"),
        (['in', '--out', 'taken'], 'taken'),
    ],
)
def test_one_sentence_where_nothing_can_start(
    capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    run = make_run()
    write('in/a.png', THREE)
    Path('nothing').mkdir()
    Path('work_dirs/young').mkdir()
    Path('cut.pth').write_bytes(next(run.glob('*.pth')).read_bytes()[:300])
    torch.save({'state_dict': {'layer.weight': torch.zeros(1, 7)}}, 'other.pth')
    torch.save([1, 2], 'list.pth')
    Path('bad.py').write_text('model = dict(')
    Path('odd.py').write_text(CONFIG.replace('ThresholdDetector', 'NoSuchDetector'))
    resize = next(line for line in CONFIG.splitlines() if 'Resize' in line)
    Path('plain.py').write_text(CONFIG.replace(resize, ''))
    Path('taken').touch()
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.startswith('predict: ')
    assert told.err.count('\n') == 1
    assert told.err.endswith('.\n')
    assert not Path('predictions').exists()


def test_no_run_at_all(capsys: pytest.CaptureFixture) -> None:
    write('in/a.png', THREE)
    assert main(['in']) == 2
    assert 'no run with a checkpoint (.pth) in work_dirs: train first' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments',
    [
        [], ['in', '--score-thr', '1.5'], ['in', '--scale', '0'], ['in', '--tile', '800'],
        ['in', '--tile', '8x8'], ['in', '--pixel-size', 'nan'], ['in', '--scale', 'big'],
    ],
)  # fmt: skip
def test_wrong_options(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_other_results_are_not_overwritten(capsys: pytest.CaptureFixture) -> None:
    make_run()
    write('monday/a.png', THREE)
    write('tuesday/b.png', slide())
    assert main(['monday', '--out', 'out']) == 0
    before = Path('out/counts.csv').read_text()
    assert main(['tuesday', '--out', 'out']) == 2
    assert 'out: holds the results of 1 other images' in capsys.readouterr().err
    assert Path('out/counts.csv').read_text() == before
    assert main(['monday', 'tuesday', '--out', 'out']) == 0  # more of them is no loss
    assert len(table(Path('out/counts.csv'))) == 2


def test_its_own_results_are_no_slides() -> None:
    make_run()
    write('a.png', THREE)
    for _ in range(2):
        assert main(['.', '--out', 'results']) == 0
        assert len(table(Path('results/counts.csv'))) == 1


def test_names_that_differ_by_suffix_alone() -> None:
    make_run()
    write('in/a.png', THREE)
    write('in/a.tif', slide((80, 60, 20, 30)))
    assert main(['in', '--out', 'out']) == 0
    assert sorted(path.name for path in Path('out/labels').iterdir()) == ['a_png.png', 'a_tif.png']
    assert [row['cells'] for row in table(Path('out/counts.csv'))] == ['3', '1']


def test_stopping_keeps_what_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make_run()
    for name in ('a', 'b', 'c'):
        write(f'in/{name}.png', THREE)
    forward = ThresholdDetector.forward

    def stop_at_the_second(self: ThresholdDetector, *args, **kwargs) -> list[DetDataSample]:
        self.error = KeyboardInterrupt() if self.seen else None
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ThresholdDetector, 'forward', stop_at_the_second)
    assert main(['in', '--out', 'out']) == 130
    assert len(table(Path('out/counts.csv'))) == 1
    assert 'stopped' in capsys.readouterr().err


@pytest.mark.parametrize('error', [MemoryError(), torch.cuda.OutOfMemoryError('full')])
def test_too_little_memory_is_told(capsys: pytest.CaptureFixture, error: Exception) -> None:
    make_run()
    write('in/a.png', THREE)
    ThresholdDetector.error = error
    assert main(['in']) == 1
    assert 'a.png: needs more memory than there is; work in tiles' in capsys.readouterr().err


def test_more_cells_than_the_model_gives(capsys: pytest.CaptureFixture) -> None:
    make_run()
    cells = [(x, y, 5, 30) for x in range(10, 160, 15) for y in range(10, 120, 15)]
    write('in/a.png', slide(*cells))
    assert main(['in']) == 0
    assert 'as many detections as the model gives at once (50)' in capsys.readouterr().out


def test_no_cell_found_gets_a_hint(capsys: pytest.CaptureFixture) -> None:
    make_run()
    write('in/a.png', slide())
    assert main(['in']) == 0
    assert 'no cell was found; if yours measure other' in capsys.readouterr().out


REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize('head', ['RLEMaskHead', 'FCNMaskHead'])
def test_a_real_model(head: str) -> None:
    """Mask R-CNN with untrained weights: whatever it finds must agree between all the files."""
    config = Config.fromfile(REPOSITORY / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py')
    config.test_dataloader.dataset.pipeline[1].scale = (WIDTH, HEIGHT)
    config.model.roi_head.mask_head.type = head
    config.model.test_cfg.rcnn.max_per_img = 20
    run = make_run(files=())
    config.dump(run / 'config.py')
    torch.manual_seed(0)
    init_default_scope('mmdet')
    torch.save({'state_dict': MODELS.build(config.model).state_dict()}, run / 'last.pth')
    write('in/a.png', slide((80, 60, 20, 30), size=(180, 240)))
    assert main(['in', '--score-thr', '0', '--out', 'out']) == 0
    labels = cv2.imread('out/labels/a.png', cv2.IMREAD_UNCHANGED)
    assert labels.shape == (180, 240)
    coco = json.loads(Path('out/predictions.json').read_text())
    assert 1 <= labels.max() == len(coco) == len(table(Path('out/cells.csv'))) <= 20
    for item in coco:
        np.testing.assert_array_equal(coco_mask.decode(item['segmentation']), labels == item['id'])


# What the network sees


def test_scale_enlarges_what_the_network_sees() -> None:
    make_run()
    write('in/a.png', slide((200, 100, 30, 30), size=(2 * HEIGHT, 2 * WIDTH)))
    for scale in ('1', '2', '0.5'):
        assert main(['in', '--scale', scale, '--out', scale]) == 0
        assert int(table(Path(scale, 'counts.csv'))[0]['cells']) == 1
    sizes = [(HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH), (HEIGHT // 2, WIDTH // 2)]
    assert ThresholdDetector.seen == sizes


def same_cells(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label maps are one but for the numbers."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return pairs.shape[1] == 1 + a.max() == 1 + b.max() and not pairs[:, 0].any()


@pytest.mark.parametrize('seed', range(4))
def test_tiles_find_what_is_there(seed: int) -> None:
    """Also cells far larger than the overlap of 24 pixels."""
    make_run()
    rng = np.random.default_rng(seed)
    truth, cells = np.zeros((330, 470), np.int32), []
    y, x = np.mgrid[:330, :470]
    for _ in range(120):
        at = (int(rng.integers(470)), int(rng.integers(330)), int(rng.integers(4, 40)))
        near = np.hypot(x - at[0], y - at[1]) <= at[2] + 3
        if not truth[near].any():
            truth[np.hypot(x - at[0], y - at[1]) <= at[2]] = len(cells) + 1
            cells.append((*at, int(rng.integers(20, 80))))
    truth = label_instances(truth > 0, min_area=1)[0]
    areas = np.bincount(truth.ravel())
    picture = slide(*cells, size=truth.shape)
    picture[(areas < 30)[truth]] = 255  # the detector takes none under 20 pixels
    truth[(areas < 30)[truth]] = 0
    write('in/a.png', picture)
    assert main(['in', '--tile', f'{WIDTH}x{HEIGHT}', '--score-thr', '0.2', '--out', 'out']) == 0
    assert len(ThresholdDetector.seen) == 16
    assert set(ThresholdDetector.seen) == {(HEIGHT, WIDTH)}
    found = cv2.imread('out/labels/a.png', cv2.IMREAD_UNCHANGED).astype(np.int32)
    assert same_cells(label_instances(truth > 0, min_area=1)[0], found)


def test_tiles_of_a_small_picture_have_the_same_scale() -> None:
    make_run()
    write('in/small.png', slide((30, 30, 10, 30), size=(60, 70)))
    write('in/high.png', slide((30, 30, 10, 30), size=(400, 300)))
    assert main(['in', '--tile', f'{2 * WIDTH}x{2 * HEIGHT}']) == 0
    small = ThresholdDetector.seen[-1]
    assert small == (30, 35)
    assert set(ThresholdDetector.seen[:-1]) == {(HEIGHT, WIDTH * 15 // 16)}  # 240x300 by a half


# Which run, checkpoint and threshold


def set_time(file: Path, when: int) -> None:
    """Sets when a file was changed, in seconds after some day."""
    os.utime(file, (1e9 + when, 1e9 + when))


def test_best_checkpoint_then_last_then_newest() -> None:
    run = make_run(files=('iter_10.pth', 'iter_20.pth'))
    set_time(run / 'iter_10.pth', 9)
    set_time(run / 'iter_20.pth', 8)
    assert best_checkpoint(run).name == 'iter_10.pth'
    (run / 'last_checkpoint').write_text('/elsewhere/work_dirs/old/iter_20.pth\n')
    assert best_checkpoint(run).name == 'iter_20.pth'
    for file, age in (('best_coco_segm_mAP_iter_10.pth', 5), ('best_coco_segm_mAP_iter_20.pth', 6)):
        (run / file).touch()
        set_time(run / file, age)
    assert best_checkpoint(run).name == 'best_coco_segm_mAP_iter_20.pth'


def test_newest_run_is_the_one_with_the_newest_checkpoint() -> None:
    for age, name in ((3, 'b'), (9, 'c'), (5, 'a')):
        set_time(next(make_run(name).glob('*.pth')), age)
    Path('work_dirs/started').mkdir()
    assert newest_run(Path('work_dirs')).name == 'c'


def test_config_from_the_checkpoint_alone() -> None:
    run = make_run(meta={'cfg': CONFIG})
    file = next(run.glob('*.pth')).rename('alone.pth')
    opened = open_run(checkpoint=file)
    assert opened.config.model.type == 'ThresholdDetector'
    assert opened.config_source == 'written in the checkpoint'


def history(value: float) -> dict:
    buffer = HistoryBuffer()
    buffer.update(0.9)
    buffer.update(value)
    return {'log_scalars': {'val/count/best_score_thr': buffer}, 'runtime_info': {}}


def test_threshold_by_source() -> None:
    run = make_run('logged')
    log = run / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    lines = [{'loss': 1, 'step': 5}, {'count/best_score_thr': 0.3}, {'count/best_score_thr': 0.35}]
    log.write_text('\n'.join(map(json.dumps, lines)) + '\n{"count/best_sc')
    assert open_run(run).threshold == (0.35, "chosen on validation in training, from the run's log")
    own = make_run('own', message_hub=history(0.45))
    assert open_run(own).threshold.value == 0.45
    assert open_run(make_run('none')).threshold.value == 0.5
    assert open_run(own, score_thr=0.0).threshold == (0.0, 'given with --score-thr')


def test_threshold_of_an_evaluation() -> None:
    """Counts only if it is of this checkpoint and was chosen, not given."""
    run = make_run(files=('best_a_iter_1.pth', 'best_b_iter_2.pth'), message_hub=history(0.45))
    set_time(run / 'best_a_iter_1.pth', 1)
    results = {'checkpoint': 'best_a_iter_1.pth', 'score_thr': 0.6, 'score_thr_source': 'least'}
    results['checkpoint_sha256'] = sha256_of(run / 'best_a_iter_1.pth')
    for choice, value in (({'value': 0.6}, 0.6), (None, 0.45)):
        (run / 'evaluation.json').write_text(json.dumps({**results, 'threshold_choice': choice}))
        opened = open_run(run)
        assert opened.checkpoint.name == 'best_a_iter_1.pth'
        assert opened.threshold.value == value
    assert open_run(checkpoint=run / 'best_b_iter_2.pth').threshold.value == 0.45
    for broken in ('{"checkpoint": ', '[]', '{}'):
        (run / 'evaluation.json').write_text(broken)
        assert open_run(run).checkpoint.name == 'best_b_iter_2.pth'
        assert open_run(run).threshold.value == 0.45


def test_score_threshold_decides() -> None:
    make_run(message_hub=history(0.9))
    write('in/a.png', THREE)  # scores 0.92, 0.84, 0.76
    for threshold, cells in ((None, 1), ('0.8', 2), ('0.01', 3), ('1', 0)):
        option = ['--score-thr', threshold] if threshold else []
        assert main(['in', '--out', f'out{threshold}', *option]) == 0
        assert int(table(Path(f'out{threshold}', 'counts.csv'))[0]['cells']) == cells
