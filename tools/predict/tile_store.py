"""What the tiles of a large picture show, on disk, so that a killed run goes on where it was."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellkit.files.writing import read_object, write_json, write_whole
from cellkit.tiles import Piece, Window
from tools.predict.detector import Tile

KEY = 'tiles.json'

UNFINISHED = 'unfinished'
"""The folder in the results that holds the stores of its large pictures."""


class TileStore:
    """A file for each tile that was looked at.

    Args:
        folder: Where they are; made if it isn't there.
        key: What the tiles hang on: picture, model, options. Tiles of another key are removed.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if read_object(folder / KEY) != json.loads(json.dumps(key)):
            clear(folder)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / KEY, key)

    def __contains__(self, number: int) -> bool:
        return self._file(number).is_file()

    def put(self, number: int, tile: Tile) -> None:
        """Keep a tile; it is there whole or not at all."""
        pieces = tile.pieces
        bits = [np.packbits(piece.mask) for piece in pieces]
        content = io.BytesIO()
        np.savez(
            content,
            boxes=np.array([piece.box for piece in pieces], np.int64).reshape(-1, 4),
            scores=np.array([piece.score for piece in pieces], float),
            cut=np.array([piece.cut for piece in pieces], bool),
            bits=np.concatenate([np.zeros(0, np.uint8), *bits]),
            resolution=tile.resolution,
            full=tile.full,
        )
        write_whole(self._file(number), content.getvalue())

    def get(self, number: int, window: Window) -> Tile:
        """The tile of this number and place."""
        with np.load(self._file(number), allow_pickle=False) as found:
            kept = {name: found[name] for name in found.files}
        pieces, at = [], 0
        for box, score, cut in zip(kept['boxes'], kept['scores'], kept['cut'], strict=True):
            x1, y1, x2, y2 = box.tolist()
            shape = (y2 - y1, x2 - x1)
            end = at + -(-shape[0] * shape[1] // 8)
            mask = np.unpackbits(kept['bits'][at:end], count=shape[0] * shape[1])
            at = end
            mask = mask.reshape(shape).astype(bool)
            pieces.append(Piece(mask, x1, y1, float(score), window, bool(cut)))
        return Tile(pieces, float(kept['resolution']), bool(kept['full']))

    def _file(self, number: int) -> Path:
        return self.folder / f'{number:06d}.npz'


def clear(folder: Path) -> None:
    """Remove what a store keeps, files that were cut short too, and folders that get empty."""
    if not (folder / KEY).is_file():
        return
    for pattern in ('*.npz', '*.part', KEY):
        for file in folder.glob(pattern):
            file.unlink()
    while folder.name and not any(folder.iterdir()):
        folder.rmdir()
        if folder.name == UNFINISHED:
            break
        folder = folder.parent
