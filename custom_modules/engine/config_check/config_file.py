"""Finds names in a config file that nothing reads, such as a misspelt ``optim_wraper``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from custom_modules.engine.config_check.readers import TOP_LEVEL, scope_of
from custom_modules.engine.config_check.unread import (
    find_unread_inside,
    nearest_setting,
    unread_name,
    used_up_problem,
)


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that a file gives a value, and those that it or a template in it uses."""
    given, used = set(), set()
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        given |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
    return given, used


def _own_names(path: Path) -> tuple[set[str], set[str]]:
    text = path.read_text(encoding='utf-8')
    try:
        given, used = _names(ast.parse(text))
    except SyntaxError:  # templates such as {{_base_.name}} outside text
        return set(), set()
    return given - used - TOP_LEVEL, given & used


def _inherited(config: Any) -> dict[str, Any]:
    """What the bases of a config file hold."""
    found: dict[str, Any] = {}
    for base in Config._get_base_files(config):
        file, _ = Config._get_cfg_path(base, config)
        found |= Config.fromfile(file, import_custom_modules=False).to_dict()
    return found


def _unused_fragments(path: Path) -> Iterator[str]:
    """Inherited files that only give names to parts, of which the config uses none."""
    text = path.read_text(encoding='utf-8')
    try:
        bases = Config._get_base_files(str(path))
    except SyntaxError:  # as above
        return
    for base in bases:
        file, _ = Config._get_cfg_path(base, str(path))
        if not file.endswith('.py'):
            continue
        names, _ = _names(ast.parse(Path(file).read_text(encoding='utf-8')))
        inherits = '_base_' in names
        if names and not (inherits or names & TOP_LEVEL or any(_uses(text, n) for n in names)):
            name = min(names)
            yield (
                f'nothing of {Path(base).name} is used: put *_base_.{name} into a pipeline or '
                'leave the file out of _base_'
            )


def _uses(text: str, name: str) -> bool:
    return re.search(rf'_base_\.{re.escape(name)}\b', text) is not None


def _unread_names(path: Path, config: dict[str, Any]) -> Iterator[str]:
    unused, used = _own_names(path)
    suspects = sorted(name for name in unused if not name.startswith('_') and name in config)
    if not suspects:
        return
    inherited = _inherited(str(path))
    # A run's own dump holds the variables of the files that it was made of: only slips count there.
    dumped = not inherited and not used
    for name in suspects:
        if name in inherited:
            if config[name] != inherited[name]:
                yield used_up_problem(name, {**config, name: inherited[name]})
        elif not dumped or nearest_setting(name):
            yield unread_name(name, config[name], config)


def find_unread_in_file(path: Path | str) -> list[str]:
    """One phrase for each setting of a config file that nothing reads.

    A variable that the file itself uses, or a file that inherits it, is read. Files that it
    inherits are checked by themselves.
    """
    config = Config.fromfile(path, import_custom_modules=False).to_dict()
    path = Path(path)
    with scope_of(config):
        unread = find_unread_inside(config)
        return [*_unread_names(path, config), *_unused_fragments(path), *unread]
