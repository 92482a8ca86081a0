"""Pretrained against from scratch: only the start differs, and nothing is done twice."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from benchmarks import pretraining
from benchmarks.__main__ import main
from benchmarks.pretraining import Plan, results
from cellkit.errors import UserError
from cellkit.files.writing import write_json
from cellkit.metrics.comparison import difference_of_means
from tools.runs import child

ROOT = Path(__file__).parents[2]
SCALARS = '{"loss": 1.0, "time": 3.0, "step": 25}\n{"coco/segm_mAP": %s, "step": 40}\n'
SMALL = dict(pretraining_steps=60, steps=40, seeds=2)


class Trained:
    """In place of training: what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[str] = []
        self.status = 0
        monkeypatch.setattr(child, 'run', self.train)

    def train(self, command: list, cwd: Path, env: dict) -> int:
        assert command[1:3] == ['-m', 'tools.train']
        folder = Path(command[command.index('--work-dir') + 1])
        assert ('--resume' in command) == (folder / 'last_checkpoint').is_file()
        self.runs.append(folder.name)
        value = 0.6 if folder.name.startswith('mae') else 0.5
        scalars = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
        scalars.parent.mkdir(parents=True)
        scalars.write_text(SCALARS % value)
        return self.status


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    return Trained(monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part, images in (('train', 3), ('val', 2)):
        write_json(tmp_path / f'data/annotations/{part}.json', {'images': [{}] * images})
    return tmp_path / 'data'


def test_detectors_differ_in_their_start_alone(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, pretraining_steps=60, steps=40)
    scratch, mae = (Config.fromstring(plan.detector(s, 1), '.py') for s in ('scratch', 'mae'))
    assert scratch.model.backbone.pop('init_cfg') is None
    init = mae.model.backbone.pop('init_cfg')
    assert init == dict(type='PretrainedEncoder', checkpoint=str(plan.weights()))
    assert scratch.to_dict() == mae.to_dict()
    assert scratch.randomness.seed == 1
    assert scratch.train_cfg.max_iters == scratch.train_cfg.val_interval == 40
    assert scratch.param_scheduler[-1].T_max == 40


def test_the_encoder_and_the_detectors_see_cells_at_one_scale() -> None:
    encoder = Config.fromfile(pretraining.PRETRAINING)
    detector = Config.fromfile(pretraining.DETECTOR)
    (resize,) = [step for step in detector.train_pipeline if step.type == 'RandomResize']
    dataset = encoder.train_dataloader.dataset
    assert (dataset.scale, dataset.ratio_range) == (resize.scale, resize.ratio_range)
    weights = Path(detector.model.backbone.init_cfg.checkpoint)
    assert weights.name == f'iter_{encoder.train_cfg.max_iters}.pth'
    assert weights.parent.name == pretraining.PRETRAINING.stem
    assert encoder.model.backbone.arch == detector.model.backbone.arch


def test_what_is_done_is_not_done_again(trained: Trained, data: Path, tmp_path: Path) -> None:
    trained.status = 1
    with pytest.raises(UserError, match='the same command goes on'):
        pretraining.run(data, out=tmp_path / 'out', **SMALL)
    trained.status, trained.runs = 0, []
    (tmp_path / 'out/pretraining/20260101_000000').rename(tmp_path / 'gone')
    (tmp_path / 'out/pretraining/last_checkpoint').write_text('iter_30.pth')
    text = pretraining.run(data, out=tmp_path / 'out', **SMALL)
    wanted = ['pretraining', 'scratch_seed0', 'mae_seed0', 'scratch_seed1', 'mae_seed1']
    assert trained.runs == wanted
    assert '| pretrained | 2 | 0.600 ± 0.000 |' in text
    assert '| difference |  | +0.100 ± 0.000 |' in text
    assert 'In mask AP pretraining helps' in text
    assert '40 steps on 3 images, scored on 2 validation images' in text
    assert pretraining.run(data, out=tmp_path / 'out', **SMALL) == text
    assert trained.runs == wanted


def test_a_run_with_other_settings_is_named(trained: Trained, data: Path, tmp_path: Path) -> None:
    pretraining.run(data, out=tmp_path / 'out', **SMALL)
    with pytest.raises(UserError, match=r'scratch_seed0 holds a run with another steps'):
        pretraining.run(data, out=tmp_path / 'out', **SMALL | {'steps': 50})
    write_json(data / 'annotations/val.json', {'images': [{}]})
    with pytest.raises(UserError, match=r'another val_sha256: remove it or give another --out'):
        pretraining.run(data, out=tmp_path / 'out', **SMALL)


def test_wrong_input_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(['pretraining', '--data-root', str(tmp_path)]) == 2
    assert 'train.json is not there: run `make prepare`' in capsys.readouterr().err
    assert main(['pretraining', '--seeds', '0']) == 2
    assert '--seeds 0 is below 1' in capsys.readouterr().err


def test_the_gain_is_that_of_a_t_test() -> None:
    from scipy.stats import ttest_ind

    scratch, pretrained = [0.5, 0.52, 0.47], [0.55, 0.61, 0.58]
    difference, error = difference_of_means(scratch, pretrained)
    found = ttest_ind(pretrained, scratch, equal_var=False)
    assert difference / error == pytest.approx(found.statistic)
    assert math.isnan(difference_of_means([0.5], [0.6])[1])


@pytest.mark.parametrize(
    ('pretrained', 'said'),
    [([0.6, 0.62], 'helps'), ([0.4, 0.41], 'does harm'), ([0.5, 0.52], 'within chance')],
)
def test_the_page_says_what_was_found(pretrained: list[float], said: str) -> None:
    common = dict(steps=40, images=3, val_images=2, minutes=1.0)
    points = [
        common | dict(start=start, figures={'coco/segm_mAP': value})
        for start, values in (('scratch', [0.5, 0.51]), ('mae', pretrained))
        for value in values
    ]
    text = results(dict(steps=60, minutes=25.0, machine='a machine'), points)
    assert said in text
    assert text.count('not measured') == 9  # of the other columns


def test_until_measured_the_page_says_so() -> None:
    page = (ROOT / 'docs' / 'pretraining.md').read_text()
    block = page.split('<!-- pretraining:begin -->\n')[1].split('\n<!-- pretraining:end -->')[0]
    assert block == results(None, []) or 'Machine: ' in block
