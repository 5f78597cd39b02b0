"""The order in which the reports of several trials are handed to the tuner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from syne_tune.constants import ST_WORKER_TIMESTAMP


def by_time(reports: Iterable[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Reports as pairs (trial id, report) in the order of their time stamps, and each trial's own as they were made.

    Trials have only the wall clock in common. When it is set back, a later report has an earlier time
    stamp, and must not come before those that its trial has made before.
    """
    latest: dict[int, float] = {}
    stamped = []
    for trial_id, report in reports:
        latest[trial_id] = max(latest.get(trial_id, -math.inf), report[ST_WORKER_TIMESTAMP])
        stamped.append((latest[trial_id], trial_id, report))
    return [(trial_id, report) for _, trial_id, report in sorted(stamped, key=lambda item: item[0])]
