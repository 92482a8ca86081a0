"""The Python environment that gets filled: its pip, and the check that ends it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.setup.process import SetupError, cause, run

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / 'build'

# Of the user's settings of pip only those count that say where packages come from. The others
# (user, target, constraint, no-deps, …) would change what is installed.
WHERE_FROM = (
    'cache-dir', 'cert', 'client-cert', 'default-timeout', 'extra-index-url', 'find-links',
    'index-url', 'keyring-provider', 'no-cache-dir', 'no-index', 'proxy', 'retries', 'timeout',
    'trusted-host',
)  # fmt: skip

OLD_GPUS = (
    'make an environment of your own, there `pip install torch==2.7.1 torchvision==0.22.1` '
    '(CUDA 12.6) and `python -m tools.setup --here`'
)

# What set-up ends with: everything imports, and one operator runs on every device there is.
CHECK = """
import json, torch, mmcv, mmdet, mmpretrain
from mmcv.ops import nms
boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
def works(device):
    kept = nms(boxes.to(device), torch.tensor([.9, .8, .7], device=device), 0.5)[1]
    assert kept.tolist() == [0, 2], f"nms on {device} kept {kept.tolist()}"
works("cpu")
facts = dict(mmcv=mmcv.__version__, torch=torch.__version__, cuda=torch.version.cuda)
if torch.cuda.is_available():
    facts |= dict(gpu=torch.cuda.get_device_name(), error=None, archs=torch.cuda.get_arch_list(),
                  capability=torch.cuda.get_device_capability())
    try:
        works("cuda")
    except Exception as error:
        facts["error"] = str(error).split("\\n")[0]
print(json.dumps(facts))
"""


def supports(archs: list[str], capability: tuple[int, int]) -> bool:
    """Whether a torch that was built for ``archs`` (sm_75, …, compute_90) runs on a GPU."""
    for arch in archs:
        kind, number = arch.split('_')
        major, minor = divmod(int(re.sub(r'\D', '', number)), 10)
        later = (major, minor) <= tuple(capability)
        if later and (kind == 'compute' or major == capability[0]):
            return True
    return False


def closing_line(facts: Mapping, smi: bool) -> str:
    """One line that says on which devices mmcv's operators run, and what a GPU lacks.

    Args:
        facts: What ``CHECK`` prints.
        smi: Whether nvidia-smi lists a GPU.
    """
    ready = 'Ready: mmcv {mmcv}, torch {torch}; nms runs on CPU'.format(**facts)
    if 'gpu' not in facts:
        if not smi:
            return f'{ready} (torch sees no GPU)'
        if facts['cuda'] is None:
            return f'{ready} only: nvidia-smi lists a GPU, but this torch is built without CUDA.'
        return (
            f'{ready} only: nvidia-smi lists a GPU, but its driver is too old for CUDA '
            f'{facts["cuda"]}; update the driver, or {OLD_GPUS}.'
        )
    if not facts['error']:
        return f'{ready} and on {facts["gpu"]}'
    if supports(facts['archs'], facts['capability']):
        return f'{ready} only: on {facts["gpu"]} it fails ({facts["error"]}).'
    kind = 'sm_{}{}'.format(*facts['capability'])
    built = ', '.join(facts['archs'])
    return f'{ready} only: {facts["gpu"]} is {kind}, this torch is built for {built}; {OLD_GPUS}.'


def has_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU, told without torch."""
    smi = shutil.which('nvidia-smi')
    return smi is not None and subprocess.run([smi, '-L'], capture_output=True).returncode == 0


class Environment:
    """A Python, by the path of its interpreter.

    Args:
        python: The interpreter.
        own: Whether it is ours alone, so that PYTHONPATH and the like do not count.
    """

    def __init__(self, python: Path, own: bool) -> None:
        self.python = python
        drop = ('PYTHONPATH', 'PYTHONHOME') if own else ()
        self.env = {name: value for name, value in os.environ.items() if name not in drop}
        # A notebook's MPLBACKEND names a module that is not installed here.
        self.env |= {'MPLBACKEND': 'Agg', 'NO_ALBUMENTATIONS_UPDATE': '1'}
        self.env = self.pip_settings()

    def ask(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs the interpreter to the end, with more variables, and keeps what it prints."""
        return subprocess.run(
            [str(self.python), '-W', 'ignore', *args],
            capture_output=True, text=True, errors='replace', env={**self.env, **env}, cwd=ROOT,
        )  # fmt: skip

    def pip_settings(self) -> dict[str, str]:
        """The environment for pip: where packages come from stays, everything else is ours."""
        # `user` and `quiet` are options of `pip config` too, and would hide the others.
        whole = dict.fromkeys(('PIP_USER', 'PIP_GLOBAL', 'PIP_SITE', 'PIP_QUIET'), '0')
        listed = self.ask('-m', 'pip', 'config', 'list', **whole)
        if listed.returncode:
            why = ' '.join(listed.stderr.split())[:200]
            raise SetupError(f"pip's settings cannot be read ({why}): mend them or its Python.")
        found = re.findall(r'^(global|install|:env:)\.([a-z-]+)=(.+)$', listed.stdout, re.MULTILINE)
        # Stronger ones last: the environment, then pip's section for `install`, then `global`.
        found.sort(key=lambda setting: ('global', 'install', ':env:').index(setting[0]))
        env = {name: value for name, value in self.env.items() if not name.startswith('PIP_')}
        for _, key, value in found:
            if key in WHERE_FROM:
                env[f'PIP_{key.upper().replace("-", "_")}'] = ast.literal_eval(value)
        env |= {'PIP_CONFIG_FILE': os.devnull, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
        cache = env.get('PIP_CACHE_DIR') or self.ask('-m', 'pip', 'cache', 'dir').stdout.strip()
        try:
            Path(cache).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=cache):
                pass
        except OSError:
            env['PIP_NO_CACHE_DIR'] = '1'
        return env

    def pip_install(self, label: str, *args: str | Path, constraint: Path | None = None) -> None:
        """Installs with progress; the log is named after the label.

        Args:
            label: What the user is told is going on.
            args: Arguments of `pip install`.
            constraint: Versions that hold for the packages and for what builds them.
        """
        env = dict(self.env)
        if constraint:  # pip reads the first up to 25.2, the second later, where it builds
            env |= dict.fromkeys(('PIP_CONSTRAINT', 'PIP_BUILD_CONSTRAINT'), str(constraint))
        log = BUILD / 'logs' / (re.sub(r'[^a-z]+', '-', label.lower()) + '.log')
        run([self.python, '-m', 'pip', 'install', *args], label, log, env)

    def check(self) -> Mapping:
        """What ``CHECK`` prints.

        Raises:
            SetupError: Something does not import, or nms fails on the CPU.
        """
        answer = self.ask('-c', CHECK)
        if answer.returncode:
            raise SetupError(
                f'Everything is installed, but its check fails ({cause(answer.stderr)}): torch and '
                'torchvision must be of one release, and mmcv not compiled for another torch '
                '(docs/setup.md, "Compiling mmcv", says how to put it back).'
            )
        return json.loads(answer.stdout.splitlines()[-1])
