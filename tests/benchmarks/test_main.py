"""The command line over the benchmarks' functions."""

from pathlib import Path

import pytest

from benchmarks.__main__ import command_line, main


def test_options_are_the_functions_arguments() -> None:
    def run(
        data: Path | None = None,
        rounds: int = 3,
        patience: float = 1.5,
        only: str = 'all',
        runs: tuple[Path, ...] = (),
    ):
        """Times."""

    def parse(*argv: str) -> dict:
        return vars(command_line('any', run).parse_args(argv))

    assert parse() == dict(data=None, rounds=3, patience=1.5, only='all', runs=(), write=None)
    given = parse('--data', 'some where', '--rounds', '7', '--patience', '2', '--write', 'a.md')
    assert given['data'] == Path('some where')
    assert given['write'] == Path('a.md')
    assert (given['rounds'], given['patience']) == (7, 2.0)
    assert parse('--runs', 'a', 'b')['runs'] == [Path('a'), Path('b')]


def test_the_table_goes_between_the_pages_marks(tmp_path: Path, capsys) -> None:
    page = tmp_path / 'page.md'
    page.write_text('above\n<!-- coco:begin -->\nold\n<!-- coco:end -->\nbelow\n')
    assert main(['coco', '--images', '1', '--rounds', '1', '--write', str(page)]) == 0
    text = page.read_text()
    assert text.startswith('above\n<!-- coco:begin -->\n1 images x 300 detections')
    assert text.endswith('\n<!-- coco:end -->\nbelow\n')
    assert 'old' not in text
    (row,) = (line for line in text.splitlines() if line.startswith('| cellkit |'))
    assert row.split(' | ')[3] == '0.0e+00'  # the same precision as pycocotools
    assert row in capsys.readouterr().out


def test_what_a_user_can_mend_is_said_in_a_sentence(capsys) -> None:
    assert main(['coco', '--images', '1', '--rounds', '0']) == 2
    assert capsys.readouterr().err.startswith('benchmarks coco: rounds: 0 is below 1')


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(['speed'])
