"""Runs a long command with its output in a log and its progress on one line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS_BETWEEN_LINES = 30.0  # where the output is no terminal, such as in CI
STEP = re.compile(
    r'^\s*((?:Collecting|Downloading|Building|Installing|Retrying) \S+)', re.MULTILINE
)
NO_ANSWER = (
    r'connection broken|Could not fetch URL|Connection(Pool|Error)|timed out|(SSL|Proxy)Error'
)


class SetupError(RuntimeError):
    """Set-up cannot go on; the message says what to do."""


def cause(text: str) -> str:
    """The line of pip's output that tells best why it failed, or a word about the network."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ['no output']
    errors = [
        line for line in lines if re.search(r'\berror\b(?!: Resolution)', line, re.IGNORECASE)
    ]
    line = (errors or lines)[-1][:200]
    # Where the index does not answer, pip only says that it has no such package, or that the pin
    # of that package conflicts with itself.
    missing = re.search(r'(?:No matching distribution found for|Cannot install) (\S+)', line)
    advice = "check the network, the proxy and pip's index-url"
    if re.search(NO_ANSWER, text if missing else line):
        return f'the package index does not answer: {advice}'
    if missing and 'depends on' not in text:
        return f'the package index does not answer or has no {missing[1]}: {advice}'
    return line


def run(command: Sequence[str | Path], label: str, log: Path, env: Mapping[str, str]) -> None:
    """Runs a command, with its output in a log and its last step on the terminal.

    Args:
        command: Program and arguments.
        label: What the user is told is going on.
        log: File that takes the output, overwritten.
        env: The whole environment.

    Raises:
        SetupError: It failed; the message names the cause and the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    live = sys.stdout.isatty()
    start = shown = time.monotonic()
    print(f'{label} …', end='' if live else '\n', flush=True)
    with log.open('wb') as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = time.monotonic()
                if now - shown >= (1.0 if live else SECONDS_BETWEEN_LINES):
                    shown = now
                    steps = STEP.findall(log.read_text('utf-8', 'replace'))
                    line = f'{label} … {now - start:.0f} s {steps[-1] if steps else ""}'
                    if live:
                        line = f'\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K'
                    print(line, end='' if live else '\n', flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if live:
        print('\r\x1b[K', end='')
    if process.returncode:
        why = cause(log.read_text('utf-8', 'replace'))
        raise SetupError(f'{label} failed ({why}): the whole log is {log}.')
    print(f'{label}: done in {time.monotonic() - start:.0f} s', flush=True)
