"""What training scripts and functions of tests report with.

A process that imports ``syne_tune`` imports pandas too, which takes longer than all else that such a script does. Tests
start hundreds of them, so that most report with the class below, which prints the same lines.
"""

from __future__ import annotations

import json
import time
from typing import Any


class Reporter:
    def __init__(self) -> None:
        self.start, self.iter = time.perf_counter(), 0

    def __call__(self, **report: Any) -> None:
        passed = time.perf_counter() - self.start
        report.update(st_worker_timestamp=time.time(), st_worker_time=passed, st_worker_iter=self.iter)
        self.iter += 1
        print("[tune-metric]: " + json.dumps(report), flush=True)
