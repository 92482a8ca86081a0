"""What the pages name exists: links, commands, make targets, files of the tree."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), ROOT / 'work_dirs' / 'README.md'])
ROOMS = (
    'benchmarks|cellkit|configs|custom_modules|data_prep|docs|packaging|requirements|tests|tools'
)
SOURCES = [
    file
    for room in ('benchmarks', 'cellkit', 'configs', 'custom_modules', 'data_prep', 'tools')
    for file in (ROOT / room).rglob('*.py')
]


def named(pattern: str, files: list[Path]) -> list[tuple[str, str]]:
    """What a pattern finds in files, and where."""
    return [
        (found.rstrip('.'), str(file.relative_to(ROOT)))
        for file in files
        for found in re.findall(pattern, file.read_text(encoding='utf-8'))
    ]


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r'\]\(([^)#]+)', page.read_text(encoding='utf-8')):
            assert '://' in link or (page.parent / link).exists(), f'{page.name}: {link}'


@pytest.mark.parametrize('files', [PAGES, SOURCES], ids=['pages', 'sources'])
def test_commands_are_there(files: list[Path]) -> None:
    modules = named(r'python3? -m ((?:benchmarks|data_prep|tools)[\w.]*)', files)
    assert modules
    for module, where in modules:
        spec = importlib.util.find_spec(module)
        assert spec, f'{where}: python -m {module}'
        if spec.submodule_search_locations:
            assert importlib.util.find_spec(f'{module}.__main__'), f'{where}: python -m {module}'


def test_make_targets_are_there() -> None:
    makefile = (ROOT / 'Makefile').read_text().replace('\\\n', '')
    targets = re.search(r'^\.PHONY: (.*)$', makefile, re.MULTILINE)[1].split()
    for target, where in named(r'`make ([a-z][\w-]*)', [*PAGES, *SOURCES]):
        assert target in targets, f'{where}: make {target}'


@pytest.mark.parametrize('files', [PAGES, SOURCES], ids=['pages', 'sources'])
def test_files_of_the_tree_are_there(files: list[Path]) -> None:
    for name, where in named(rf'(?<![\w/.])((?:{ROOMS})/[\w/.-]+\.(?:py|md|txt|toml|json))', files):
        assert (ROOT / name).exists(), f'{where}: {name}'
