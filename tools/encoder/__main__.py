"""Convert an encoder's weights into the names of the detector's backbone.

    python -m tools.encoder DinoBloom-B.pth work_dirs/dinobloom_b.safetensors
    python -m tools.encoder hf://MahmoodLab/UNI uni.safetensors --config configs/bccd_uni_….py

Training reads the original as well (docs/encoders.md); this shows what becomes of each tensor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellkit.files.program import run_program

if TYPE_CHECKING:
    from custom_modules.models.encoders.convert import Encoder


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog='encoder', description=__doc__.split('\n')[0])
    add = result.add_argument
    add('source', metavar='IN', help='checkpoint: path, address or hf://owner/name[/file]')
    add('out', metavar='OUT', type=Path, help='file to write, .safetensors')
    add('--config', type=Path, help='config whose backbone it has to fit')
    add('--patch', type=int, default=16, help='side of a patch, pixels (default: %(default)s)')
    for name in ('mean', 'std'):
        where = 'default: those beside the file, else ImageNet'
        add(f'--{name}', type=float, nargs=3, help=f"of the encoder's pictures, 0-1 ({where})")
    add('--quiet', action='store_true', help='no line a tensor')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = vars(parser().parse_args(argv))
    quiet = options.pop('quiet')

    def work() -> None:
        from tools.encoder import convert_encoder

        encoder = convert_encoder(**options)
        print('\n'.join(report(encoder, quiet)))
        size = options['out'].stat().st_size / 2**20
        print(f'written: {options["out"]} ({size:.0f} MiB)')

    return run_program('encoder', work)


def report(encoder: Encoder, quiet: bool = False) -> list[str]:
    """Lines that say what became of each tensor of the file."""
    lines = []
    if not quiet:
        for name, tensor in encoder.tensors.items():
            size = 'x'.join(map(str, tensor.shape))
            lines.append(f'used     {name} {size} <- {", ".join(encoder.sources[name])}')
        lines += [f'dropped  {name}: {why}' for name, why in encoder.dropped.items()]
    shape = encoder.shape
    kind = [f'{shape.width} wide', f'{shape.depth} blocks', f'{shape.positions} positions']
    kind += ['LayerScale'] * shape.layer_scale + ['SwiGLU'] * shape.swiglu
    kind += [f'{shape.extra_tokens} class and register tokens'] * bool(shape.extra_tokens)
    lines.append(f'a ViT: {", ".join(kind)}')
    lines += [f'changed: {note}' for note in encoder.notes]
    counts = f'{len(encoder.tensors)} tensors, {len(encoder.dropped)} dropped'
    lines.append(f'{counts}, none missing, none unexpected')
    configs = [f'configs/{name}.py' for name in shape.configs()]
    lines.append(f'fits: {", ".join(configs) or "no config here; write one (docs/encoders.md)"}')
    return lines


if __name__ == '__main__':
    sys.exit(main())
