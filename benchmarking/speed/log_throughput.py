"""Speed and memory of reading logs of trials: half a gigabyte that was printed between two polls.

Each log is read as by a poll, outside the fleet's lock, and then the reports are taken as under the lock. ``grows by``
is the growth of the peak memory of the process, ``lock`` the longest time of a call that is made under the lock.

    python benchmarking/speed/log_throughput.py [--megabytes 500] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from syne_hypersched.backends.shared.reports import LogTail

LINE = b"epoch 12 step 1234 loss 0.123456 accuracy 0.98 [#####     ] eta: 12 s\n"
REPORT = b'[tune-metric]: {"epoch": 12, "loss": 0.123456, "st_worker_time": 1.5, "st_worker_timestamp": 1.7e9}\n'
#: The repeated content of each log.
LOGS = {
    "lines without a report": LINE,
    "no line ends": LINE.replace(b"\n", b"\r"),
    "one report in 10,000 lines": LINE * 9_999 + REPORT,
    "one report in 100 lines": LINE * 99 + REPORT,
}


def measure(content: bytes, megabytes: float, folder: Path) -> dict[str, float]:
    """Figures of a log that repeats ``content``.

    Raises
    ------
    AssertionError
        A report was lost.
    """
    path, block = folder / "std.out", content * max(1, (1 << 20) // len(content))
    num_blocks = max(1, round(megabytes * 1e6 / len(block)))
    path.touch()
    tail, num_reports, lock_s = LogTail(path), 0, 0.0
    tail.reports()
    with open(path, "ab", buffering=0) as file:
        for _ in range(num_blocks):
            file.write(block)
    before_mb = _peak_mb()
    begun = time.perf_counter()
    while True:
        tail.look()
        locked = time.perf_counter()
        reports = tail.reports()
        lock_s = max(lock_s, time.perf_counter() - locked)
        num_reports += len(reports)
        if not reports:
            break
    seconds = time.perf_counter() - begun
    tail.close()
    assert num_reports == num_blocks * block.count(REPORT), f"{num_reports} reports"
    size_mb = num_blocks * len(block) / 1e6
    return {"mb_per_s": size_mb / seconds, "grows_by_mb": _peak_mb() - before_mb, "lock_ms": 1e3 * lock_s}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=500.0, help="size of each log (default 500)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    options = parser.parse_args(arguments)
    print(f"{'log of ' + format(options.megabytes, 'g') + ' MB':>28}{'MB/s':>9}{'grows by MB':>13}{'lock ms':>9}")
    figures = {}
    for name, content in LOGS.items():
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = measured = measure(content, options.megabytes, Path(folder))
        print(f"{name:>28}{measured['mb_per_s']:9.0f}{measured['grows_by_mb']:13.1f}{measured['lock_ms']:9.2f}")
    if options.output is not None:
        options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
