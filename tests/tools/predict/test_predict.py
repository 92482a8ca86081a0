"""From a user's slides to outlines and tables, as a program or a notebook calls it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope

from cellkit.errors import UserError
from cellkit.files.writing import sha256_of
from cellkit.smears.smear import draw_smear
from tools.predict import predict, workers
from tools.predict.detector import Detector
from tools.runs.run import Run

REPOSITORY = Path(__file__).parents[3]


def test_what_is_returned_is_what_is_written(lab) -> None:
    lab.run()
    lab.write('in/a.png')
    lab.write('in/sub/b.TIF', (80, 60, 20, 30))
    results = predict('in', pixel_size=0.5)
    assert results.out == Path('predictions/run/in')
    assert (results.problems, results.notes, results.stopped) == ([], [], False)
    for rows, name in ((results.counts, 'counts.csv'), (results.cells, 'cells.csv')):
        written = lab.table(results.out / name)
        shown = [{k: '' if v is None else str(v) for k, v in row.items()} for row in rows]
        assert shown == written
    assert [row['cells'] for row in results.counts] == [3, 1]
    assert len(json.loads((results.out / 'predictions.json').read_text())['annotations']) == 4
    labels = cv2.imread(str(results.out / 'labels/a.png'), cv2.IMREAD_UNCHANGED)
    assert labels.max() == 3
    assert (results.out / 'overlays/sub/b.jpg').is_file()


@pytest.mark.parametrize(
    ('images', 'out'),
    [
        ('in/a.png', 'a'), (Path('in/a.png'), 'a'), (['in/a.png', Path('in/b.png')], 'in'),
        (Path('in'), 'in'), ('in/*.png', 'in'), ('in/a.png in/b.png', 'in'),
    ],
)  # fmt: skip
def test_images_are_named_in_any_way(lab, images: object, out: str) -> None:
    run = lab.run()
    lab.write('in/a.png')
    lab.write('in/b.png')
    results = predict(images, run)
    assert results.out == Path('predictions/run', out)
    assert len(results.counts) == (1 if out == 'a' else 2)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'score_thr': 1.5}, '--score-thr must lie between 0 and 1, not 1.5'),
        ({'score_thr': float('nan')}, '--score-thr must lie'),
        ({'scale': 0}, '--scale must be a number greater than 0, not 0'),
        ({'scale': float('inf')}, '--scale must be'),
        ({'pixel_size': -1.0}, '--pixel-size must be'),
        ({'pixel_size': float('nan')}, '--pixel-size must be'),
        ({'tile': '800'}, '--tile must be WIDTHxHEIGHT in pixels, at least 64x64'),
        ({'tile': '8x800'}, '--tile must be'),
        ({'tile': ''}, '--tile must be'),
    ],
)
def test_arguments_out_of_range(lab, options: dict, said: str) -> None:
    lab.run()
    lab.write('in/a.png')
    with pytest.raises(UserError, match=said):
        predict('in', **options)
    assert not Path('predictions').exists()


def test_settings_say_how_it_was_done(lab) -> None:
    run = lab.run(meta={'cfg': lab.config})
    lab.write('in/a.png')
    results = predict(
        'in', str(run), out='out', score_thr=0.25, scale=2, tile='200×100', pixel_size=0.1,
        device='cpu',
    )  # fmt: skip
    settings = json.loads((results.out / 'settings.json').read_bytes())
    assert settings.pop('started')
    assert settings == {
        'checkpoint': 'work_dirs/run/best_coco_segm_mAP_iter_20.pth',
        'config': 'written in the checkpoint',
        'score_threshold': 0.25,
        'score_threshold_source': 'given with --score-thr',
        'calibration': None,
        'scale': 2,
        'scale_by_cells': None,
        'scales': {'a.png': {'scale': 2, 'from': 'given'}},
        'tile_height_width': [100, 200],
        'test_time_augmentation': False,
        'pixel_size_um': 0.1,
        'formats': ['overlay', 'labels'],
        'device': 'cpu',
        'images': [str(Path('in/a.png').absolute())],
        'files': ['overlays/a.jpg', 'labels/a.png'],
    }


def test_tile_and_scale_reach_the_network(lab, detector) -> None:
    lab.run()
    lab.write('in/a.png', (80, 60, 20, 30), size=(240, 480))
    predict('in', tile=f'{2 * lab.width}x{2 * lab.height}')
    assert detector.seen == [(lab.height, lab.width)] * 2
    predict('in', scale=0.5)
    assert detector.seen[2:] == [(40, 80)]


def test_other_results_are_not_overwritten(lab) -> None:
    lab.run()
    lab.write('monday/a.png')
    lab.write_empty('tuesday/b.png')
    predict('monday', out='out')
    before = Path('out/counts.csv').read_text()
    with pytest.raises(UserError, match='out: holds the results of 1 other images'):
        predict('tuesday', out='out')
    assert Path('out/counts.csv').read_text() == before
    assert len(predict(['monday', 'tuesday'], out='out').counts) == 2  # more of them is no loss


@pytest.mark.parametrize('out', ['results', None])
def test_its_own_results_are_no_slides(lab, out: str | None) -> None:
    lab.run()
    lab.write('a.png')
    for _ in range(2):
        assert len(predict('.', out=out).counts) == 1


def test_names_that_differ_by_suffix_alone(lab) -> None:
    lab.run()
    lab.write('in/a.png')
    lab.write('in/a.tif', (80, 60, 20, 30))
    results = predict('in', out='out')
    assert sorted(path.name for path in Path('out/labels').iterdir()) == ['a_png.png', 'a_tif.png']
    assert [row['cells'] for row in results.counts] == [3, 1]


def test_one_bad_image_stops_no_other(lab) -> None:
    lab.run()
    for name in ('a', 'z'):
        lab.write(f'in/{name}.png')
    Path('in/b.png').write_bytes(Path('in/a.png').read_bytes()[:60])
    Path('in/c.jpg').write_text('no picture')
    results = predict('in')
    assert [row['image'] for row in results.counts] == ['a.png', 'z.png']
    assert [row['image_id'] for row in results.counts] == [1, 4]
    assert 'b.png: is truncated' in results.problems[0]
    assert "c.jpg: can't be decoded as a picture; export it again" in results.problems[1]
    assert all(problem.endswith('.') for problem in results.problems)


def test_stopping_keeps_what_is_done(lab, detector, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run()
    for name in ('a', 'b', 'c'):
        lab.write(f'in/{name}.png', size=(100 if name == 'b' else lab.height, lab.width))
    forward = detector.forward

    def stop_at_the_second(
        self: torch.nn.Module, inputs: torch.Tensor, *args: object, **kwargs: object
    ) -> list:
        if inputs.shape[2] == 100:
            raise KeyboardInterrupt
        return forward(self, inputs, *args, **kwargs)

    monkeypatch.setattr(detector, 'forward', stop_at_the_second)
    results = predict('in', out='out')
    assert results.stopped
    assert len(results.counts) == len(lab.table('out/counts.csv')) == 1


@pytest.mark.parametrize('error', [MemoryError(), torch.cuda.OutOfMemoryError('full')])
def test_too_little_memory_is_told(lab, detector, error: Exception) -> None:
    lab.run()
    lab.write('in/a.png')
    detector.error = error
    (problem,) = predict('in').problems
    assert 'a.png: needs more memory than there is; work in tiles' in problem


def test_more_cells_than_the_model_gives(lab) -> None:
    lab.run()
    lab.write('in/a.png', *((x, y, 5, 30) for x in range(10, 160, 15) for y in range(10, 120, 15)))
    (note,) = predict('in').notes
    assert 'as many detections as the model gives at once (50)' in note


# Which run, checkpoint and threshold


def history(value: float) -> dict:
    """What MMEngine keeps in a checkpoint, with the threshold that validation chose."""
    buffer = HistoryBuffer()
    buffer.update(0.9)
    buffer.update(value)
    return {'log_scalars': {'val/count/best_score_thr': buffer}, 'runtime_info': {}}


def threshold_used(*args: object, **options: object) -> float:
    results = predict('in', *args, out='out', **options)
    return json.loads((results.out / 'settings.json').read_bytes())['score_threshold']


def test_score_threshold_decides(lab) -> None:
    lab.run(message_hub=history(0.9))
    lab.write('in/a.png')
    for threshold, cells in ((None, 1), (0.8, 2), (0.01, 3), (0, 3), (1, 0)):
        results = predict('in', out='out', score_thr=threshold)
        assert results.counts[0]['cells'] == cells


def test_a_checkpoint_alone_is_enough(lab) -> None:
    run = lab.run(meta={'cfg': lab.config}, message_hub=history(0.45))
    Path('elsewhere').mkdir()
    alone = next(run.glob('*.pth')).rename('elsewhere/alone.pth')
    lab.write('in/a.png')
    assert predict('in', checkpoint=alone).out == Path('predictions/elsewhere/a')
    assert threshold_used(checkpoint=str(alone)) == 0.45


def test_threshold_of_the_log(lab) -> None:
    log = lab.run() / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    lines = [
        {'loss': 1.0, 'step': 5},
        {'count/best_score_thr': 0.3, 'step': 5},
        {'count/best_score_thr': 0.35, 'step': 6},
    ]
    log.write_text('\n'.join(map(json.dumps, lines)) + '\n{"count/best_sc')
    lab.write('in/a.png')
    assert threshold_used() == 0.35


def test_threshold_of_an_evaluation(lab) -> None:
    """Counts only if it is of this checkpoint and was chosen, not given."""
    run = lab.run(file='best_a_iter_1.pth', message_hub=history(0.4))
    lab.run(file='best_b_iter_2.pth', message_hub=history(0.45))
    lab.write('in/a.png')
    results = {
        'checkpoint': 'best_a_iter_1.pth',
        'checkpoint_sha256': sha256_of(run / 'best_a_iter_1.pth'),
        'score_thr': 0.6,
        'score_thr_source': 'least',
    }
    for choice, value in (({'value': 0.6}, 0.6), (None, 0.4)):
        (run / 'evaluation.json').write_text(json.dumps({**results, 'threshold_choice': choice}))
        assert threshold_used(run) == value
    assert threshold_used(checkpoint=run / 'best_b_iter_2.pth') == 0.45
    for broken in ('{"checkpoint": ', '[]', '{}'):
        (run / 'evaluation.json').write_text(broken)
        assert threshold_used(run) == 0.45


def real_run(lab, head: str = 'RLEMaskHead') -> Path:
    """Mask R-CNN with untrained weights."""
    config = Config.fromfile(REPOSITORY / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py')
    config.test_dataloader.dataset.pipeline[1].scale = (lab.width, lab.height)
    config.model.roi_head.mask_head.type = head
    if head == 'FCNMaskHead':
        del config.model.roi_head.mask_head.maskness  # ours alone
    config.model.test_cfg.rcnn.max_per_img = 20
    run = Path('work_dirs/real')
    run.mkdir(parents=True)
    config.dump(run / 'config.py')
    torch.manual_seed(0)
    init_default_scope('mmdet')
    torch.save({'state_dict': MODELS.build(config.model).state_dict()}, run / 'last.pth')
    return run


@pytest.mark.parametrize('head', ['RLEMaskHead', 'FCNMaskHead'])
def test_a_real_model(lab, head: str) -> None:
    """Whatever untrained weights find must agree between all the files."""
    real_run(lab, head)
    lab.write('in/a.png', (80, 60, 20, 30), size=(180, 240))
    results = predict('in', score_thr=0, out='out')
    labels = cv2.imread('out/labels/a.png', cv2.IMREAD_UNCHANGED)
    assert labels.shape == (180, 240)
    coco = json.loads(Path('out/predictions.json').read_text())['annotations']
    assert 1 <= labels.max() == len(coco) == len(results.cells) <= 20
    for item in coco:
        np.testing.assert_array_equal(coco_mask.decode(item['segmentation']), labels == item['id'])


@pytest.mark.parametrize('tile', [None, (120, 160)])
def test_at_the_same_time_as_in_turn(lab, monkeypatch, tile: tuple[int, int] | None) -> None:
    """Pictures and tiles that share the cores get the cells that they get alone, in their order."""
    run, before = real_run(lab), torch.get_num_threads()
    Path('in').mkdir()
    for seed in range(5):
        smear, _ = draw_smear(np.random.default_rng(seed), (180, 240))
        cv2.imwrite(f'in/{seed}.png', smear)
    try:
        torch.set_num_threads(1)
        detector = Detector(Run(run).open_checkpoint(), 'cpu', 0.0, tile=tile)
        alone = [detector(cv2.imread(f'in/{seed}.png')) for seed in range(5)]
        monkeypatch.setattr(workers, 'usable_cores', lambda: 3)
        torch.set_num_threads(3)
        results = predict(
            'in', run, out='out', score_thr=0, tile=tile and f'{tile[1]}x{tile[0]}', device='cpu'
        )
    finally:
        torch.set_num_threads(before)
    assert [row['image'] for row in results.counts] == [f'{seed}.png' for seed in range(5)]
    for seed, found in enumerate(alone):
        labels = cv2.imread(f'out/labels/{seed}.png', cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(labels, found.label_map)
        assert found.label_map.any()
    scores = [round(float(score), 4) for found in alone for score in found.scores]
    assert [row['score'] for row in results.cells] == scores
