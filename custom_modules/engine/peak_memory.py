"""The most memory that this process has had; MMEngine logs a GPU's only."""

import sys


def peak_memory_gib() -> float | None:
    """Peak resident memory of the process in GiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == 'darwin' else peak / 2**20
