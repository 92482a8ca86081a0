"""The curve of quality against labels: which images, what is run again, table, plot, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks import labels
from benchmarks.__main__ import main
from benchmarks.harness import ROOT
from benchmarks.labels import measuring, page
from benchmarks.labels.measuring import open_start
from benchmarks.labels.points import Point, labelled, read_training_part, select, subset
from benchmarks.training import stretched
from cellkit.errors import UserError
from tools.runs import child

CONFIG = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'
FEW = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu_few.py'
SCRATCH = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_scratch.py'
TINY = """_base_ = {base!r}
model = dict(test_cfg=dict(rcnn=dict(max_per_img=20)))
train_pipeline = [dict(step) for step in _base_.train_pipeline]
train_pipeline[2]['scale'] = (160, 120)
test_pipeline = [dict(step) for step in _base_.test_pipeline]
test_pipeline[1]['scale'] = (160, 120)
train_dataloader = dict(num_workers=0, batch_size=2, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(num_workers=0, dataset=dict(pipeline=test_pipeline))
"""
FIGURES = {
    'coco/segm_mAP': 0.8,
    'coco/segm_mAP_50': 0.9,
    'pixel/dice_pooled': 0.95,
    'pixel/iou_pooled': 0.9,
    'count/relative_error': 0.03,
}


@pytest.fixture
def coco() -> dict:
    """34 images with two cells each, and one without."""
    images = [{'id': 3 * k, 'file_name': f'{k:02}.png'} for k in range(35)]
    owners = [image['id'] for image in images[:-1] for _ in range(2)]
    annotations = [{'id': k, 'image_id': owner} for k, owner in enumerate(owners)]
    return {'images': images, 'annotations': annotations, 'categories': [{'id': 1}]}


def names(coco: dict) -> set[str]:
    return {image['file_name'] for image in coco['images']}


def test_draws_are_nested_and_disjoint_while_there_are_enough(coco: dict) -> None:
    taken = {(n, k): names(subset(coco, n, k)) for n in (1, 2, 5, 10, 34) for k in range(3)}
    assert all(len(found) == n for (n, _), found in taken.items())
    for k in range(3):
        assert taken[1, k] < taken[2, k] < taken[5, k] < taken[10, k] < taken[34, k]
    assert len(taken[10, 0] | taken[10, 1] | taken[10, 2]) == 30
    assert taken[34, 0] == names(coco) - {'34.png'}  # which has no cell


def test_a_draw_is_the_same_wherever_and_however_the_file_is_ordered(coco: dict) -> None:
    assert names(subset(coco, 2, 0)) == {'03.png', '33.png'}
    turned = coco | {'images': coco['images'][::-1]}
    assert names(subset(turned, 5, 1)) == names(subset(coco, 5, 1))


def test_annotations_are_those_of_the_images(coco: dict) -> None:
    found = subset(coco, 5, 2)
    ids = {image['id'] for image in found['images']}
    wanted = [item for item in coco['annotations'] if item['image_id'] in ids]
    assert found['annotations'] == wanted
    assert len(wanted) == 10
    assert found['categories'] == coco['categories']


def test_nothing_of_validation_or_test_is_taken(tiny_data: Path) -> None:
    coco = read_training_part(tiny_data)
    found = subset(coco, len(labelled(coco)), 0)
    for part in ('val', 'test'):
        other = json.loads((tiny_data / 'annotations' / f'{part}.json').read_bytes())
        assert other['images']
        assert names(found).isdisjoint(names(other))


def test_three_draws_of_few_images_and_one_of_many() -> None:
    points = select(None, 34)
    counts = [(n, sum(p[:2] == ('box', n) for p in points)) for n in (0, 1, 2, 5, 10, 34)]
    assert counts == [(0, 1), (1, 3), (2, 3), (5, 3), (10, 1), (34, 1)]
    assert len(points) == 12 + 9 + 11
    assert {(p.images, p.draw) for p in select('few', 34)} == {
        (n, k) for n in (1, 2, 5) for k in range(3)
    }
    assert Point('scratch', 0, 0) not in points
    assert [p.draw for p in points] == sorted(p.draw for p in points)  # a whole curve early
    assert {p.images for p in select('box', 4)} == {0, 1, 2, 4}
    assert {(p.images, p.draw) for p in select('scratch', 1)} == {(1, 0)}
    assert {p.images for p in select('few', 4)} == {1, 2}


def test_points_can_be_named() -> None:
    assert select('box:5', 34) == [Point('box', 5, k) for k in range(3)]
    assert select('box:5:1', 34) == [Point('box', 5, 1)]
    assert select('scratch:all, box:0 box:20', 34) == [
        Point('box', 0, 0),
        Point('box', 20, 0),
        Point('scratch', 34, 0),
    ]


@pytest.mark.parametrize(
    ('only', 'said'),
    [
        ('box:35', 'there are 34 training images'),
        ('scratch:0', 'without images nothing is trained'),
        ('few:0', 'without images nothing is trained'),
        ('boxes:5', 'write box, few or scratch'),
        ('box:five', 'write box, few or scratch'),
        ('box:5:3', 'the last draw of 5 images is 2'),
        ('box:0:1', 'the last draw of 0 images is 0'),
    ],
)
def test_points_that_there_are_not(only: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        select(only, 34)


def test_a_schedule_is_stretched_over_the_steps() -> None:
    schedule = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
        dict(type='CosineAnnealingLR', by_epoch=False, T_max=1200, eta_min=1e-5),
    ]
    assert stretched(schedule, 1) == schedule
    assert [part.get('end', part.get('T_max')) for part in stretched(schedule, 0.5)] == [100, 600]
    assert stretched(schedule, 1 / 600)[0]['end'] == 2


class Trained:
    """In place of training and of predicting: what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.scored: list[tuple[str, str, float]] = []
        self.status = 0
        monkeypatch.setattr(child, 'run', self.train)
        monkeypatch.setattr('tools.evaluate.evaluate', self.evaluate)

    def train(self, command: list, cwd: Path, env: dict) -> int:
        self.commands.append([str(word) for word in command[3:]])
        folder = Path(command[command.index('--work-dir') + 1])
        steps = Config.fromfile(command[3]).train_cfg.max_iters
        if not self.status:
            (folder / f'iter_{steps}.pth').touch()
        return self.status

    def evaluate(self, run: Path, checkpoints: list, score_thr: float, **options) -> dict:
        self.scored.append((run.name, checkpoints[0].name, score_thr))
        assert checkpoints[0].is_file()
        return {'figures': FIGURES, 'device': 'cpu', 'number_of_images': 12}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    return Trained(monkeypatch)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / 'box' / 'box.pth'
    file.parent.mkdir()
    file.write_bytes(b'weights')
    monkeypatch.setattr(measuring, 'open_box', lambda file, _: measuring.Box(file.resolve(), 0.42))
    return file


def test_stored_points_are_not_run_again(
    tiny_data: Path, box: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / 'out'
    todo = dict(data_root=tiny_data, box=box, steps=60, out=out)
    labels.run(**todo, only='box:0 box:1:0 scratch:1:0')
    assert [words[0].rpartition('/')[2] for words in trained.commands] == [
        'box_1_draw0.py',
        'scratch_1_draw0.py',
    ]
    assert not any('--resume' in words for words in trained.commands)
    assert trained.scored == [
        ('box_0_draw0', 'box.pth', 0.42),
        ('box_1_draw0', 'iter_60.pth', 0.42),
        ('scratch_1_draw0', 'iter_60.pth', 0.5),
    ]
    text = labels.run(**todo, only='box:0 box:1 scratch:1:0')
    assert len(trained.commands) == 2 + 2  # two more draws
    assert len(trained.scored) == 3 + 2
    assert '| from the box | 1 | 3 |' in text
    stored = json.loads((out / 'box_1_draw2' / 'point.json').read_text())
    assert stored['figures'] == FIGURES
    assert (stored['start'], stored['images'], stored['draw'], stored['steps']) == ('box', 1, 2, 60)


def test_what_a_run_is_trained_with(
    tiny_data: Path, box: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / 'out'
    labels.run(tiny_data, box, steps=600, out=out, only='box:2:1 few:2:1 scratch:2:1')
    found = {
        start: Config.fromfile(out / f'{start}_2_draw1' / 'written' / f'{start}_2_draw1.py')
        for start in ('box', 'few', 'scratch')
    }
    assert found['box'].load_from == found['few'].load_from == str(box.resolve())
    averaged = found['few'].custom_hooks[-1]
    assert (averaged.type, averaged.ema_type) == ('EMAHook', 'MeanWithStart')
    assert found['scratch'].load_from is None
    for start, config in found.items():
        own = Config.fromfile({'box': CONFIG, 'few': FEW, 'scratch': SCRATCH}[start])
        assert config.model == own.model
        assert config.optim_wrapper == own.optim_wrapper
        assert config.randomness.seed == 1
        assert config.val_dataloader is config.val_cfg is config.val_evaluator is None
        assert [p.get('end', p.get('T_max')) for p in config.param_scheduler] == [100, 600]
        file = Path(config.train_dataloader.dataset.ann_file)
        assert file == (out / f'{start}_2_draw1' / 'train.json').resolve()
        assert json.loads(file.read_text()) == subset(read_training_part(tiny_data), 2, 1)
        assert config.train_dataloader.dataset.pipeline == own.train_dataloader.dataset.pipeline


def test_a_run_that_was_killed_goes_on(
    tiny_data: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    trained.status = 1
    todo = dict(data_root=tiny_data, steps=60, out=tmp_path, only='scratch:1:0')
    with pytest.raises(UserError, match='the same command goes on'):
        labels.run(**todo)
    trained.status = 0
    (tmp_path / 'scratch_1_draw0' / 'last_checkpoint').write_text('iter_30.pth')
    labels.run(**todo)
    assert [words[-1] for words in trained.commands] == [
        str(tmp_path.resolve() / 'scratch_1_draw0'),
        '--resume',
    ]


def test_other_settings_in_the_same_folder_are_told(
    tiny_data: Path, box: Path, trained: Trained, tmp_path: Path
) -> None:
    todo = dict(data_root=tiny_data, box=box, out=tmp_path / 'out', only='box:1:0')
    labels.run(**todo, steps=60)
    with pytest.raises(UserError, match='a run with another steps'):
        labels.run(**todo, steps=80)
    box.write_bytes(b'other weights')
    with pytest.raises(UserError, match='another box_sha256'):
        labels.run(**todo, steps=60)
    assert len(trained.commands) == 1


def failure(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    """The one sentence that a failing command says."""
    assert main(['labels', *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('benchmarks labels: ')
    assert error.endswith('.')
    return error


def test_bad_input_is_told_in_a_sentence(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    none = ['--data-root', str(tmp_path / 'none')]
    assert 'test.json is not there: run `make prepare`' in failure(none, capsys)
    data = ['--data-root', str(tiny_data)]
    assert 'training images with cells; name fewer' in failure([*data, '--only', 'box:9'], capsys)
    nowhere = ['--only', 'box', '--box', str(tmp_path / 'box.pth')]
    assert 'there is no such checkpoint' in failure([*data, *nowhere], capsys)
    scratch = [*data, '--only', 'scratch:1:0']
    assert '--steps 0 is below 1' in failure([*scratch, '--steps', '0'], capsys)
    for config, said in (
        ('no_such_config', 'there is no such config'),
        ('bccd_vitb_mask_rcnn', 'trains in epochs'),
        ('box_hybrid_mask_rcnn', 'not trained on an annotation file'),
    ):
        file = str(ROOT / 'configs' / f'{config}.py')
        assert said in failure([*scratch, '--scratch-config', file], capsys)
    lost = ['--write', str(tmp_path / 'page.md'), '--out', str(tmp_path)]
    assert 'lacks the lines <!-- labels:begin -->' in failure(lost, capsys)
    assert 'leave out --only' in failure([*lost, '--only', 'box'], capsys)


def test_a_box_of_another_model_is_told(tmp_path: Path) -> None:
    torch.save({'state_dict': {'x': torch.zeros(1)}, 'meta': {}}, tmp_path / 'box.pth')
    with pytest.raises(UserError, match=r"not of this config's model"):
        open_start(CONFIG, None, None, tmp_path / 'box.pth')


def test_the_box_brings_its_score_threshold(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr('tools.runs.model.build_model', lambda *_: None)
    file = tmp_path / 'box.pth'
    torch.save({'state_dict': {}, 'meta': {}}, file)
    assert open_start(CONFIG, None, None, file).score_thr == 0.5
    (tmp_path / '1' / 'vis_data').mkdir(parents=True)
    entry = {'count/best_score_thr': 0.37, 'step': 9}
    (tmp_path / '1' / 'vis_data' / 'scalars.json').write_text(json.dumps(entry))
    assert open_start(CONFIG, None, None, file).score_thr == 0.37
    assert open_start(CONFIG, None, 0.6, file).score_thr == 0.6


def store(out: Path, start: str, images: int, draw: int, value: float, **more) -> None:
    """A point as it is stored."""
    folder = out / f'{start}_{images}_draw{draw}'
    folder.mkdir(parents=True)
    shared = dict(of=34, train_sha256='a', test_sha256='b', config_sha256='c', box_sha256='d')
    rest = dict(config='tiny', steps=60 if images else 0, score_thr=0.42, test_images=12)
    point = dict(start=start, images=images, draw=draw, figures=dict.fromkeys(FIGURES, value))
    (folder / 'point.json').write_text(json.dumps(shared | rest | point | more))


def rows(text: str) -> list[list[str]]:
    return [x.strip('| ').split(' | ') for x in text.splitlines() if x.startswith('| from')]


def test_a_table_of_what_is_stored_and_what_is_not(tmp_path: Path) -> None:
    store(tmp_path, 'box', 0, 0, 0.7)
    for draw, value in enumerate((0.8, 0.7, 0.9)):
        store(tmp_path, 'box', 5, draw, value)
    store(tmp_path, 'scratch', 34, 0, 0.6)
    text = page.results(page.read_points(tmp_path))
    assert text.splitlines()[0].startswith('| start | images | runs | mask AP | AP50 | Dice, poo')
    found = {tuple(row[:2]): row[2:] for row in rows(text)}
    assert list(found) == [
        *(('from the box', n) for n in ('0', '1', '2', '5', '10', 'all (34)')),
        *(('from the box, for few', n) for n in ('1', '2', '5')),
        *(('from scratch', n) for n in ('1', '2', '5', '10', 'all (34)')),
    ]
    assert found['from the box', '0'][:2] == ['1', '0.700']
    assert found['from the box', '5'][:2] == ['3', '0.800 (0.700 to 0.900)']
    assert found['from the box', '5'][-1] == '80.0% (70.0% to 90.0%)'
    assert found['from the box', '10'] == ['0', *['not measured'] * 5]
    assert found['from scratch', 'all (34)'][:2] == ['1', '0.600']
    assert 'From the box: score threshold 0.42, `tiny`, 60 steps a run.' in text
    assert '12 test images' in text


def test_points_of_two_curves_are_told_apart(tmp_path: Path) -> None:
    store(tmp_path, 'box', 0, 0, 0.7)
    store(tmp_path, 'box', 1, 0, 0.7)
    store(tmp_path, 'box', 2, 0, 0.7, steps=80)
    with pytest.raises(UserError, match=r'box_2_draw0 and .*box_1_draw0 differ in steps'):
        page.read_points(tmp_path)


def test_page_and_plot_are_written_from_stored_points_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / 'page.md'
    file.write_text('above\n<!-- labels:begin -->\n<!-- labels:end -->\nbelow\n')
    command = ['labels', '--write', str(file), '--out', str(tmp_path / 'out')]
    assert main(command) == 0
    assert file.read_text().count('| 0 | not measured |') == 14
    assert not (tmp_path / 'images').exists()
    for draw in range(3):
        store(tmp_path / 'out', 'box', 1, draw, 0.5 + draw / 10)
    store(tmp_path / 'out', 'box', 34, 0, 0.9)
    store(tmp_path / 'out', 'scratch', 34, 0, 0.8)
    assert main(command) == 0
    text = file.read_text()
    assert text.startswith('above\n<!-- labels:begin -->\n![')
    assert text.endswith('<!-- labels:end -->\nbelow\n')
    assert '(images/labels.svg)' in text
    plot = tmp_path / 'images' / 'labels.svg'
    ElementTree.fromstring(plot.read_bytes())
    assert plot.stat().st_size < 100_000
    first = plot.read_bytes()
    assert main(command) == 0
    assert plot.read_bytes() == first


@pytest.mark.slow
def test_a_tiny_run_from_the_box(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    config, box = tmp_path / 'tiny.py', tmp_path / 'box.pth'
    config.write_text(TINY.format(base=str(CONFIG)))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    state = MODELS.build(Config.fromfile(config).model).state_dict()
    torch.save({'state_dict': state, 'meta': {}}, box)
    out = tmp_path / 'out'
    todo = dict(data_root=tiny_data, box=box, config=config, steps=2)
    text = labels.run(**todo, out=out, only='box:0 box:1:0')
    measured = [tuple(row[:3]) for row in rows(text) if row[2] != '0']
    assert measured == [('from the box', '0', '1'), ('from the box', '1', '1')]
    run = out / 'box_1_draw0'
    (log,) = run.glob('*/*.log')
    assert f'tensors of the model were loaded from {box}' in log.read_text()
    assert f'Training data: {run / "train.json"}' in log.read_text()
    assert 'Iter(val)' not in log.read_text()
    assert not list(out.rglob('val.json'))
    before = {file: file.stat().st_mtime_ns for file in out.rglob('*')}
    labels.run(**todo, out=out, only='box:0 box:1:0')
    assert {file: file.stat().st_mtime_ns for file in out.rglob('*')} == before
    # As if it had been killed between the two steps.
    for name in ('point.json', 'iter_2.pth'):
        (run / name).unlink()
    (run / 'last_checkpoint').write_text(str(run / 'iter_1.pth'))
    labels.run(**todo, out=out, only='box:1:0')
    assert (run / 'point.json').is_file()
    assert 'resumed epoch: 0, iter: 1' in max(run.glob('*/*.log')).read_text()
