"""Cost of a poll: ``fetch_status_results`` for 64 running trials whose logs have 10^2 to 10^6 lines each.

Compares :class:`ElasticLocalBackend` with Syne Tune's ``LocalBackend``, which reads every log in full at every poll.
All trials are real processes; nothing is printed between the polls that are timed.

    python benchmarking/speed/poll_cost.py [--trials 64] [--max-lines 1000000] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from syne_tune.backend import LocalBackend

from syne_hypersched.backends import ElasticLocalBackend

REPORT = '[tune-metric]: {{"epoch": {epoch}, "loss": 0.5, "st_worker_timestamp": 1.0, "st_worker_iter": {epoch}}}\n'


def write_log(path: Path, num_lines: int) -> None:
    """A log in which one of 100 lines is a report."""
    with open(path, "w") as file:
        for line in range(num_lines):
            file.write(REPORT.format(epoch=line // 100 + 1) if line % 100 == 99 else "step done\n")


def poll_seconds(backend: Any, num_trials: int, expected_reports: int, budget_s: float) -> list[float]:
    """Seconds of each poll once all that was printed has been delivered."""
    trial_ids = list(range(num_trials))
    try:
        for _ in trial_ids:
            backend.start_trial({"x": 1})
        delivered = 0
        while delivered < expected_reports:
            delivered += len(backend.fetch_status_results(trial_ids)[1])
        seconds: list[float] = []
        while not seconds or (sum(seconds) < budget_s and len(seconds) < 200):
            started = time.perf_counter()
            backend.fetch_status_results(trial_ids)
            seconds.append(time.perf_counter() - started)
        return seconds
    finally:
        backend.stop_all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--max-lines", type=int, default=10**6)
    parser.add_argument("--budget-s", type=float, default=10.0, help="polls are repeated for this long (at least one)")
    parser.add_argument("--output", type=Path, help="also write the medians to this JSON file")
    arguments = parser.parse_args()
    print(f"milliseconds per poll without new lines, {arguments.trials} trials (median of n polls)")
    print(f"{'lines a log':>12}{'elastic':>12}{'n':>6}{'stock':>14}{'n':>6}{'stock / elastic':>18}")
    rows = []
    num_lines = 100
    while num_lines <= arguments.max_lines:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_log(folder / "log", num_lines)
            script = folder / "train.sh"
            script.write_text(f"cat {folder / 'log'}\nexec sleep 100000\n")
            elastic = ElasticLocalBackend(script, num_devices=arguments.trials, device_type="cpu", binary="bash")
            stock = LocalBackend(str(script), binary="bash", rotate_gpus=False)
            row: dict[str, float] = {"lines": num_lines}
            for label, backend in (("elastic", elastic), ("stock", stock)):
                backend.set_path(str(folder / label))
                num_reports = arguments.trials * (num_lines // 100)
                seconds = poll_seconds(backend, arguments.trials, num_reports, arguments.budget_s)
                row[f"{label}_ms"] = 1000 * statistics.median(seconds)
                row[f"{label}_polls"] = len(seconds)
        print(
            f"{num_lines:>12}{row['elastic_ms']:>12.3f}{row['elastic_polls']:>6}{row['stock_ms']:>14.1f}"
            f"{row['stock_polls']:>6}{row['stock_ms'] / row['elastic_ms']:>18.0f}",
            flush=True,
        )
        rows.append(row)
        num_lines *= 10
    print(
        f"growth of elastic from {rows[0]['lines']} to {rows[-1]['lines']} lines: "
        f"{rows[-1]['elastic_ms'] / rows[0]['elastic_ms']:.2f} times"
    )
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
