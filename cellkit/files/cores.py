"""How many processor cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path('/sys/fs/cgroup/cpu.max')
"""A container's share of the processor: microseconds in a period, or 'max'."""


def usable_cores() -> int:
    """At least 1; fewer than the machine has where a scheduler or a container gives fewer."""
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # not Linux, no container, or no limit
        pass
    return max(cores, 1)
