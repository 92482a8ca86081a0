"""The Python environment that gets filled."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.setup.process import SetupError, last_line, run

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / 'build'

# What set-up ends with: one operator of mmcv on every device there is.
CHECK = """
import torch, mmcv, mmdet, mmpretrain
from mmcv.ops import nms
boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
where = []
for device in ["cpu"] + (["cuda"] if torch.cuda.is_available() else []):
    kept = nms(boxes.to(device), torch.tensor([.9, .8, .7], device=device), 0.5)[1]
    assert kept.tolist() == [0, 2], f"nms on {device} kept {kept.tolist()}"
    where.append("CPU" if device == "cpu" else torch.cuda.get_device_name())
print(f"Ready: mmcv {mmcv.__version__}, torch {torch.__version__}; nms runs on",
      " and on ".join(where) + ("" if where[1:] else " (torch sees no GPU)"))
"""

DESCRIBE = """
import json, sys, sysconfig, torch
gpu = torch.cuda.is_available()
arch = "".join(map(str, torch.cuda.get_device_capability())) if gpu else ""
print(json.dumps(dict(torch=torch.__version__, cuda=torch.version.cuda, gpu=gpu, arch=arch,
    python="cp%d%d" % sys.version_info[:2], include=sysconfig.get_path("include"))))
"""


def last_package(log: Path) -> Callable[[], str]:
    """Progress of pip: the last thing that it fetched or set out to install."""

    def progress() -> str:
        told = re.findall(r"^\s*((?:Collecting|Downloading|Installing) \S+)",
                          log.read_text(errors="replace"), re.MULTILINE)  # fmt: skip
        return told[-1] if told else ''

    return progress


class Environment:
    """A Python, by the path of its interpreter.

    Attributes:
        mark: File that says what mmcv in this environment was built for.
    """

    def __init__(self, python: Path, mark: Path) -> None:
        self.python = python
        self.mark = mark
        self.logs = BUILD / 'logs'

    def pip(self, label: str, *args: str | Path) -> None:
        """Runs pip with progress; its log is named after the label."""
        name = re.sub(r'[^a-z]+', '-', label.lower())
        log = self.logs / f'{name}.log'
        command = [self.python, '-m', 'pip', '--disable-pip-version-check', *args]
        run(command, label, log, last_package(log))

    def ask(self, code: str) -> subprocess.CompletedProcess[str]:
        """Runs a piece of Python in the environment."""
        command = [str(self.python), '-W', 'ignore', '-c', code]
        env = {**os.environ, 'NO_ALBUMENTATIONS_UPDATE': '1'}
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT)

    def torch(self) -> Mapping:
        """Versions of torch, its CUDA and Python, and whether torch sees a GPU and which kind."""
        answer = self.ask(DESCRIBE)
        if answer.returncode:
            raise SetupError(
                f'torch does not import in {self.python} ({last_line(answer.stderr)}): install a '
                'matching pair of torch and torchvision there first.'
            )
        return json.loads(answer.stdout.splitlines()[-1])

    def works(self) -> tuple[bool, str]:
        """Whether mmcv's operators run, and one line that says so or why not."""
        answer = self.ask(CHECK)
        works = answer.returncode == 0
        return works, last_line(answer.stdout if works else answer.stderr)
