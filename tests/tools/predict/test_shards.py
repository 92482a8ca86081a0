"""Shards of a run, merged, are the run; what isn't of one run is refused."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.errors import UserError
from tools.predict import predict
from tools.predict.__main__ import main
from tools.predict.merge import merge
from tools.predict.shards import SHARDS, Shard, shard_of

CALIBRATION = {
    'temperature': 1.5,
    'counts': {'factor': 1.02, 'dispersion': 1.7, 'factor_variance': 7e-05, 'images': 22},
    'images': 22,
    'candidates': 1798,
}


@pytest.fixture
def pictures(lab) -> Path:
    """Seven, two of them in a folder below and one damaged, and a run with a calibration."""
    lab.run(about={'calibration': json.dumps(CALIBRATION)})
    for name in 'abcd':
        lab.write(f'in/{name}.png')
    lab.write('in/below/a.png', (40, 40, 15, 20), (100, 60, 12, 40))
    lab.write_empty('in/below/b.tif')
    Path('in/broken.png').write_bytes(b'\x89PNG no picture')
    return Path('in')


def content(folder: Path) -> dict[str, bytes]:
    """All files of results, but for the time."""
    files = [file for file in folder.rglob('*') if file.is_file()]
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
    time = rb'"started": "[^"]*"'
    assert re.search(time, found['settings.json'])
    found['settings.json'] = re.sub(time, b'', found['settings.json'])
    return found


@pytest.mark.parametrize('count', [1, 3, 9])
def test_merged_shards_are_the_same_bytes_as_one_run(lab, pictures: Path, count: int) -> None:
    whole = predict(pictures, out='whole/results', formats='all')
    for number in reversed(range(1, count + 1)):
        predict(pictures, out='parts/results', formats='all', shard=f'{number}/{count}')
        assert not Path('parts/results/counts.csv').exists()
    merged = merge('parts/results')
    assert content(Path('parts/results')) == content(Path('whole/results'))
    assert merged.counts == whole.counts
    assert merged.cells == whole.cells
    assert merged.interval == whole.interval is not None
    assert merged.problems == whole.problems
    assert len(merged.problems) == 1


@pytest.mark.parametrize('options', [{}, {'pixel_size': 0.5}])
def test_a_later_merge_takes_the_place_of_an_earlier_one(lab, pictures, options: dict) -> None:
    for _ in range(2):
        for number in (1, 2):
            predict(pictures, out='parts/results', shard=f'{number}/2', **options)
        merge('parts/results')
    predict(pictures, out='whole/results', **options)
    assert content(Path('parts/results')) == content(Path('whole/results'))


def test_a_missing_shard_is_named(lab, pictures, capsys: pytest.CaptureFixture) -> None:
    assert main(['in', '--out', 'out', '--shard', '3/4']) == 0
    assert (
        'when all shards have ended, python -m tools.predict --merge out' in capsys.readouterr().out
    )
    assert main(['in', '--out', 'out', '--shard', '1/4']) == 1  # the damaged picture
    capsys.readouterr()
    assert main(['--merge', 'out']) == 2
    assert 'out: shard 2/4, 4/4 has not ended; run it with --shard' in capsys.readouterr().err
    assert main(['in', '--out', 'out', '--shard', '2/4']) == 0
    assert main(['in', '--out', 'out', '--shard', '4/4']) == 0
    assert main(['--merge', 'out']) == 1  # as of one run
    assert '6 of 7 images' in capsys.readouterr().out


def test_shards_of_several_runs_are_refused(lab, pictures) -> None:
    predict(pictures, out='out', shard='1/2')
    for change in ('settings', 'listing', 'model'):
        predict(pictures, out='out', shard='2/2')
        if change == 'settings':
            predict(pictures, out='out', shard='2/2', score_thr=0.8)
        elif change == 'listing':
            lab.write('in/new.png')
            predict(pictures, out='out', shard='2/2')
            Path('in/new.png').unlink()
        else:
            lab.run(width=1, about={'calibration': json.dumps(CALIBRATION)})
            predict(pictures, out='out', shard='2/2')
        with pytest.raises(UserError, match=f'2/2 was run with another {change} than shard 1/2'):
            merge('out')
    assert not Path('out/counts.csv').exists()


def test_numbers_of_shards_that_differ_are_refused(lab, pictures) -> None:
    predict(pictures, out='out', shard='1/2')
    predict(pictures, out='out', shard='1/3')
    with pytest.raises(UserError, match='holds shards of 2 and of 3; remove those'):
        merge('out')


def test_a_shard_begun_anew_counts_as_not_ended(lab, pictures, detector) -> None:
    predict(pictures, out='out', shard='1/1')
    detector.error = KeyboardInterrupt()
    predict(pictures, out='out', shard='1/1')
    with pytest.raises(UserError, match='holds no shard that has ended'):
        merge('out')


def test_a_damaged_shard_is_one_sentence(lab, pictures) -> None:
    predict(pictures, out='out', shard='1/1')
    Path('out', SHARDS, '1-of-1', 'found.json').write_text('{')
    with pytest.raises(UserError, match=r"found\.json: can't be read"):
        merge('out')


@pytest.mark.parametrize('text', ['0/2', '3/2', '1', '1/0', 'a/b', '-1/2', '1/2/3'])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UserError, match='--shard must be I/N'):
        shard_of(text)


@given(st.integers(1, 12), st.integers(0, 50))
def test_each_picture_is_in_one_shard(count: int, pictures: int) -> None:
    numbers = [k for i in range(1, count + 1) for k in Shard(i, count).numbers(pictures)]
    assert sorted(numbers) == list(range(pictures))


@pytest.mark.parametrize('arguments', [[], ['in', '--merge', 'out'], ['--merge', 'out', '--tta']])
def test_merge_stands_alone(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
