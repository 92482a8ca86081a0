"""Parts of a run, for several machines, and what makes one result of them.

Each shard writes its pictures' files to their places in the one folder of results, whose names no
other shard uses, and what belongs into the tables to a folder of its own in ``shards/``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.errors import UserError
from cellkit.files.names import shown
from cellkit.files.writing import write_json

SHARDS = 'shards'
FOUND = 'found.json'


class Shard(NamedTuple):
    """Part ``number`` of ``count``, from 1 on: every ``count``-th picture of the listing."""

    number: int
    count: int

    def folder(self, out: Path) -> Path:
        """Where it keeps what belongs into the tables."""
        return out / SHARDS / f'{self.number}-of-{self.count}'

    def numbers(self, pictures: int) -> list[int]:
        """Places of its pictures in the listing, from 0 on."""
        return list(range(self.number - 1, pictures, self.count))


def shard_of(text: str) -> Shard:
    """Read ``I/N``.

    Raises:
        UserError: It is none.
    """
    found = re.fullmatch(r'(\d+)/(\d+)', text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f'--shard must be I/N with I from 1 to N, such as 2/8, not {text}')
    return Shard(int(found[1]), int(found[2]))


def begin_shard(out: Path, shard: Shard) -> None:
    """Forget what the shard kept in an earlier run, so that no merge takes it for this one's."""
    (shard.folder(out) / FOUND).unlink(missing_ok=True)


def write_shard(out: Path, shard: Shard, about: Mapping[str, Any], done: Mapping[str, Any]) -> None:
    """Keep what a shard found.

    Args:
        out: The folder of results.
        shard: Which one.
        about: What all shards of a run have in common, for JSON.
        done: What it found, for JSON.
    """
    write_json(shard.folder(out) / FOUND, {'about': about, **done})


def read_shards(out: Path) -> list[dict[str, Any]]:
    """What all shards of a run kept, in their order.

    Raises:
        UserError: One is missing or can't be read, or they are not of one run.
    """
    names = [file.parent.name for file in sorted((out / SHARDS).glob(f'*-of-*/{FOUND}'))]
    shards = sorted(shard_of(name.replace('-of-', '/')) for name in names)
    if not shards:
        raise UserError(f'{shown(out)}: holds no shard that has ended; run them with --shard I/N')
    counts = sorted({shard.count for shard in shards})
    if len(counts) > 1:
        raise UserError(
            f'{shown(out / SHARDS)}: holds shards of {counts[0]} and of {counts[1]}; remove those '
            'of the run that is not meant'
        )
    if missing := set(range(1, counts[0] + 1)) - {shard.number for shard in shards}:
        which = ', '.join(f'{number}/{counts[0]}' for number in sorted(missing))
        raise UserError(f'{shown(out)}: shard {which} has not ended; run it with --shard')
    found = [_read(shard.folder(out) / FOUND) for shard in shards]
    for shard, item in zip(shards, found, strict=True):
        if differ := _differing(found[0]['about'], item['about']):
            raise UserError(
                f'{shown(out)}: shard {shard.number}/{shard.count} was run with another '
                f'{differ[0]} than shard 1/{shard.count}; run it again'
            )
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{shown(file)}: can't be read ({error}); run the shard again") from error


def _differing(first: Mapping[str, Any], other: Mapping[str, Any]) -> Sequence[str]:
    """The names of what differs, in words."""
    keys = dict.fromkeys([*first, *other])
    return [key.replace('_', ' ') for key in keys if first.get(key) != other.get(key)]
