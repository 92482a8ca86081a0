"""Finds settings that nothing reads, in a config file and on the command line."""

from collections.abc import Mapping

from custom_modules.engine.config_check.config_file import find_unread_in_file
from custom_modules.engine.config_check.kinds import find_other_kinds
from custom_modules.engine.config_check.readers import scope_of
from custom_modules.engine.config_check.unread import find_unread_overrides

__all__ = ['find_unread_in_file', 'find_unread_settings']


def find_unread_settings(written: Mapping, merged: Mapping) -> list[str]:
    """One phrase for each override that nothing reads or that is of another kind than what it sets.

    Args:
        written: The config as its file has it.
        merged: The same after the overrides.
    """
    with scope_of(written):
        return [*find_unread_overrides(written, merged), *find_other_kinds(written, merged)]
