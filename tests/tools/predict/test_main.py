"""What the command line prints, and its exit statuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cellkit.files.writing import sha256_of, write_json
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import CountModel
from tools.predict.__main__ import main

CALIBRATION = Calibration(2.0, CountModel(1.02, 1.5, 1e-4, 14), 14, 900)


def test_what_is_told(lab, capsys: pytest.CaptureFixture) -> None:
    lab.run()
    lab.write('in/a.png')
    lab.write('in/sub/b.TIF', (80, 60, 20, 30))
    lab.write_empty('in/empty.bmp')
    assert main(['in', '--pixel-size', '0.5']) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        'model: work_dirs/run/best_coco_segm_mAP_iter_20.pth (the newest run), config '
        'work_dirs/run/config.py, on cpu',
        'score threshold: 0.5, the default: none was chosen on validation',
        '3 of 3 images, 4 cells, 1 of them at a border: predictions/run/in (overlays, labels, '
        'counts.csv, cells.csv, predictions.json; open index.html to look through them)',
        'note: no interval for the count, as nothing says how sure this model is; `make evaluate` '
        'measures it on five validation images or more.',
    ]
    assert 'mean_area_um2' in Path('predictions/run/in/counts.csv').read_text()


def test_the_interval_of_all_images_is_told(lab, capsys: pytest.CaptureFixture) -> None:
    file = lab.run() / 'best_coco_segm_mAP_iter_20.pth'
    evaluation = {
        'checkpoint': file.name,
        'checkpoint_sha256': sha256_of(file),
        'calibration': {'fitted': CALIBRATION.as_dict()},
    }
    write_json(Path('work_dirs/run/evaluation.json'), evaluation)
    lab.write('in/a.png')
    lab.write('in/b.png', (40, 40, 15, 20), (100, 60, 12, 150))  # the second scores 0.41
    assert main(['in']) == 0
    told = capsys.readouterr().out
    rows = lab.table('predictions/run/in/counts.csv')
    evidence = [CALIBRATION.evidence(1 - np.array(g) / 255) for g in ([20, 40, 60], [20, 150])]
    low, high = CALIBRATION.interval(evidence)
    assert f'2 of 2 images, 4 cells (95 % interval {low} to {high}), 1 of them at a border' in told
    for row, own in zip(rows, evidence, strict=True):
        assert (int(row['cells_low']), int(row['cells_high'])) == CALIBRATION.interval([own])
    cells = lab.table('predictions/run/in/cells.csv')
    p = CALIBRATION.probabilities(np.array([1 - 40 / 255]))
    assert float(cells[1]['probability']) == pytest.approx(p[0], abs=1e-4)
    assert 'no interval' not in told


def test_one_bad_image(lab, capsys: pytest.CaptureFixture) -> None:
    lab.run()
    lab.write('in/a.png')
    lab.write('in/z.png')
    Path('in/b.png').write_bytes(Path('in/a.png').read_bytes()[:60])
    Path('in/c.jpg').write_text('no picture')
    assert main(['in', '--run', 'work_dirs/run']) == 1
    told = capsys.readouterr()
    assert 'newest' not in told.out
    assert '2 of 4 images, 6 cells' in told.out
    first, *problems = told.err.splitlines()
    assert first == 'predict: 2 images could not be done:'
    assert [problem[:2] for problem in problems] == ['  ', '  ']
    assert 'b.png: is truncated' in problems[0]
    assert "c.jpg: can't be decoded as a picture; export it again" in problems[1]


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['gone'], 'gone: there is no such file or folder'),
        (['nothing'], 'no picture (.png'),
        (['in', '--run', 'work_dirs/ran'], 'ran: there is no such run folder (work_dirs has run)'),
        (['in', '--run', 'work_dirs/young'], 'young: holds no checkpoint'),
        (['in', '--checkpoint', 'gone.pth'], 'gone.pth: there is no such checkpoint'),
        (['in', '--checkpoint', 'no/x.pth'], 'no: there is no such run folder; check the path'),
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
        (['in', '--score-thr', '1.5'], '--score-thr must lie between 0 and 1, not 1.5'),
        (['in', '--scale', '0'], '--scale must be a number greater than 0, not 0'),
        (['in', '--pixel-size', 'nan'], '--pixel-size must be a number greater than 0, not nan'),
        (['in', '--tile', '800'], 'such as 1600x1200, not 800'),
        (['in', '--tile', '8x8'], 'at least 64x64'),
    ],
)
def test_one_sentence_where_nothing_can_start(
    lab, capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    run = lab.run()
    lab.write('in/a.png')
    Path('nothing').mkdir()
    Path('work_dirs/young').mkdir()
    Path('cut.pth').write_bytes(next(run.glob('*.pth')).read_bytes()[:300])
    torch.save({'state_dict': {'layer.weight': torch.zeros(1, 7)}}, 'other.pth')
    torch.save([1, 2], 'list.pth')
    Path('bad.py').write_text('model = dict(')
    Path('odd.py').write_text(lab.config.replace('ThresholdDetector', 'NoSuchDetector'))
    resize = next(line for line in lab.config.splitlines() if 'Resize' in line)
    Path('plain.py').write_text(lab.config.replace(resize, ''))
    Path('taken').touch()
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.startswith('predict: ')
    assert told.err.count('\n') == 1
    assert told.err.endswith('.\n')
    assert not Path('predictions').exists()


def test_no_run_at_all_and_no_box(
    lab, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write('in/a.png')
    monkeypatch.setattr('tools.runs.run.BOX', Path('no box'))
    assert main(['in']) == 2
    assert 'work_dirs: holds no training run; train first' in capsys.readouterr().err


@pytest.mark.parametrize('arguments', [[], ['in', '--scale', 'big'], ['in', '--score-thr', 'x']])
def test_wrong_options(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_stopped(lab, detector, capsys: pytest.CaptureFixture) -> None:
    lab.run()
    lab.write('in/a.png')
    detector.error = KeyboardInterrupt()
    assert main(['in', '--out', 'out']) == 130
    told = capsys.readouterr()
    assert '0 of 1 images, 0 cells' in told.out
    assert told.err == 'predict: stopped; the tables hold what was done until then.\n'
    assert lab.table('out/counts.csv') == []


def test_hints(lab, capsys: pytest.CaptureFixture) -> None:
    lab.run()
    lab.write_empty('none/a.png')
    lab.write(
        'many/a.png', *((x, y, 5, 30) for x in range(10, 160, 15) for y in range(10, 120, 15))
    )
    assert main(['none']) == 0
    assert 'note: no cell was found; if yours measure other' in capsys.readouterr().out
    assert main(['many', '--out', 'out']) == 0
    told = capsys.readouterr().out
    assert 'at once (50), so cells may be missing: work in tiles (--tile).\n' in told
    assert 'no cell was found' not in told


def test_help_does_not_wait_for_the_libraries() -> None:
    code = (
        'import sys\nfrom tools.predict.__main__ import parser\nparser().format_help()\n'
        "assert not {'torch', 'mmengine', 'mmdet', 'skimage'} & set(sys.modules)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, '-c', code], check=True, cwd=root)
