"""A sick run ends at once and keeps nothing of it; one that learns nothing is told."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from custom_modules.engine.health import images_of, in_words
from tests.custom_modules.engine.small_run import Line, Rising, start


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_the_first_loss_that_is_no_number_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    healthy, steps = Line.forward, []

    def sick(self, *args, mode: str = 'tensor', **kwargs):
        result = healthy(self, *args, mode=mode, **kwargs)
        steps.append(mode)
        return {'loss': result['loss'] * value} if steps.count('loss') == 5 else result

    monkeypatch.setattr(Line, 'forward', sick)
    runner = start(tmp_path, f'sick{value}')
    with pytest.raises(SystemExit, match=rf'^The loss of step 5 is {value} .*epoch_1.pth is the l'):
        runner.train()
    assert {f.name for f in (tmp_path / 'run').glob('*.pth')} == {
        'epoch_1.pth',
        'best_rising_epoch_1.pth',
    }


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    class Spoil(Hook):
        """The loss was fine, the gradient not."""

        def after_train_iter(self, runner, *args, **kwargs) -> None:
            if runner.iter == 5:
                runner.model.line.weight.data.fill_(torch.nan)

    runner = start(tmp_path, 'spoilt')
    runner.register_hook(Spoil())
    with pytest.raises(SystemExit, match=r'^The weight line.weight is not finite .*no checkpoint'):
        runner.train()
    assert not (tmp_path / 'run' / 'epoch_2.pth').exists()
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize(('value', 'told'), [(0.0, 1), (-1.0, 1), (0.1, 0)])
def test_a_validation_that_stays_at_0_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, told: int
) -> None:
    lines = []
    monkeypatch.setattr(Rising, 'compute_metrics', lambda self, results: {'rising': value})
    runner = start(tmp_path, f'nothing{value}')
    monkeypatch.setattr(runner.logger, 'warning', lines.append)
    runner.train()
    found = [line for line in lines if 'at 2 validations in a row' in line]
    assert len(found) == told
    assert ('no cells' in ' '.join(found)) == (value < 0)


def test_the_images_of_a_batch_are_named() -> None:
    samples = [SimpleNamespace(img_path=f'data/{name}.png') for name in 'ab']
    assert in_words(images_of({'data_samples': samples})) == 'data/a.png, b.png'
    assert in_words(images_of([1, 2])) == '(without names)'
