"""Memory that is in use on GPUs, as ``nvidia-smi`` says. Used by ``gpu_check.py``."""

from __future__ import annotations

import shutil
import subprocess
import time


def used_megabytes(listing: str) -> list[int]:
    """Megabytes in use on each GPU, from ``nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits``."""
    return [int(line) for line in listing.split() if line.isdigit()]


def memory_used() -> int | None:
    """Megabytes in use on all GPUs together; None if nobody can say."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    used = used_megabytes(done.stdout)
    return sum(used) if done.returncode == 0 and used else None


def settled_memory(before: int, tolerance: float, timeout_s: float = 10.0) -> int:
    """Megabytes in use once they are near what they were, at most some seconds later: the driver takes its time."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        after = memory_used()
        if after is None:
            return before
        if after - before < tolerance or time.monotonic() > give_up_at:
            return after
        time.sleep(0.1)
