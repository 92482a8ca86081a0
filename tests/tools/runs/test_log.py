"""What is read of a training log: one curve over all starts, places on the axis, what is not."""

from pathlib import Path

from tools.runs.log import read_training_log, series

LINES = """2026/01/01 10:00:00 - mmengine - INFO -
System environment:
    PyTorch: 2.12.1
Runtime environment:
    seed: 42
2026/01/01 10:30:05 - mmengine - INFO - Iter(train) [200/200]
"""


def test_resumed_run_is_one_curve(tmp_path: Path, log) -> None:
    entries = [log.train(50), log.train(100), log.val(0.4), log.train(150)]
    log.write(tmp_path, '20260101_100000', entries)
    again = [log.train(125, memory=2048), log.train(150, memory=1024), log.val(0.6)]
    log.write(tmp_path, '20260102_100000', again)
    found = read_training_log(tmp_path)
    assert series(found.train, 'loss')[0] == [50, 100, 125, 150]
    assert series(found.val, 'coco/segm_mAP') == ([100, 150], [0.4, 0.6])
    assert (found.starts, found.memory_mb, found.step_seconds) == (2, 2048, 75)


def test_a_validation_stands_at_the_step_that_was_logged(tmp_path: Path, log) -> None:
    entries = [log.train(25), log.train(50), log.val(0.4, 60), log.train(75)]
    log.write(tmp_path, '20260101_100000', entries)
    assert series(read_training_log(tmp_path).val, 'coco/segm_mAP')[0] == [60]


def test_epochs_are_the_axis_of_a_run_by_epochs(tmp_path: Path, log) -> None:
    entries = [log.train(20, epoch=1), log.val(0.4, 1), log.train(45, epoch=2)]
    log.write(tmp_path, '20260101_100000', [*entries, log.val(-1, 2)])
    (tmp_path / '20260101_100000' / 'x.log').write_text(
        '2026/01/01 10:00:00 - mmengine - INFO - Epoch(train)  [2][20/25]  lr: 1\n'
    )
    found = read_training_log(tmp_path)
    assert found.unit == 'epoch'
    assert series(found.train, 'loss')[0] == [0.8, 1.8]
    assert series(found.val, 'coco/segm_mAP') == ([1], [0.4])  # COCO's -1 is no value


def test_what_mim_test_left_in_the_folder_is_not_training(tmp_path: Path, log) -> None:
    entries = [log.train(100), log.val(0.4), log.train(200), log.val(0.5)]
    log.write(tmp_path, '20260101_100000', entries)
    (tmp_path / '20260101_100000' / '20260101_100000.log').write_text(LINES)
    log.write(tmp_path, '20260103_100000', [{'coco/segm_mAP': 0.9, 'time': 1.0, 'step': 0}])
    (tmp_path / '20260103_100000' / 'x.log').write_text(
        '2026/01/03 10:00:00 - mmengine - INFO - Iter(test) [1/1]\n'
        '2026/01/03 19:00:00 - mmengine - INFO - Iter(test) [1/1]\n    seed: 99\n'
    )
    found = read_training_log(tmp_path)
    assert (found.starts, found.environment['seed']) == (1, '42')
    assert series(found.val, 'coco/segm_mAP')[1] == [0.4, 0.5]
    assert found.wall_time.total_seconds() == 30 * 60 + 5


def test_the_device_is_that_of_the_environment(tmp_path: Path, log) -> None:
    log.write(tmp_path, '20260101_100000', [log.train(100)])
    file = tmp_path / '20260101_100000' / '20260101_100000.log'
    file.write_text(LINES)
    assert read_training_log(tmp_path).device == 'CPU'
    gpus = '    GPU 0,1: NVIDIA H100\n    PyTorch: 2.12.1\n'
    file.write_text(LINES.replace('    PyTorch: 2.12.1\n', gpus) + '    GPU number: 2\n')
    assert read_training_log(tmp_path).device == 'NVIDIA H100'
    assert read_training_log(tmp_path / 'none').device == ''
