"""Say in a sentence why a picture could not be done, whatever went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
from torch.cuda import OutOfMemoryError

from cellkit.errors import BadFile
from cellkit.files.names import shown


def problem_of(image: Path, error: Exception) -> str:
    """A sentence that names the picture, what is wrong and what to do."""
    match error:
        case BadFile():
            return f'{replace(error.problem, file=shown(error.problem.file))}.'
        case MemoryError() | OutOfMemoryError():
            what = 'needs more memory than there is'
            remedy = 'work in tiles (--tile 1600x1200) or cut it into parts'
        case cv2.error():
            what = f"OpenCV can't handle it ({error.err})"
            remedy = 'if it is very large, cut it into parts'
        case OSError():
            what = f"its results can't be written ({error.strerror or error})"
            remedy = 'free space or change permissions, and do it again'
        case _:  # of a library: one picture costs no other
            what = f'failed unexpectedly ({type(error).__name__}: {error})'
            remedy = 'export it again as PNG, and report it if that fails too'
    return f'{shown(image)}: {what}; {remedy}.'
