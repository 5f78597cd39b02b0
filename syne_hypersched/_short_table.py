"""Prevents Syne Tune from printing a row for each trial at the end of a tuning."""

from __future__ import annotations

import math
from typing import Any

from syne_tune.tuning_status import TuningStatus
from syne_tune.util import metric_name_mode

from syne_hypersched.contract import metric_names_of

#: A table with more rows is cut to its best rows.
MOST_ROWS = 10


class ShortTuningStatus(TuningStatus):
    """A tuning status whose text has only the best trials if there are many trials."""

    metric = ""
    do_minimize = True
    trial_rows: Any

    def __str__(self) -> str:
        if len(self.trial_rows) <= MOST_ROWS:
            return str(super().__str__())
        sign = 1.0 if self.do_minimize else -1.0
        best = "min_metrics" if self.do_minimize else "max_metrics"

        def rank(row: dict[str, Any]) -> float:
            statistics = self.trial_metric_statistics.get(row["trial_id"])
            value: Any = getattr(statistics, best, {}).get(self.metric)
            is_number = isinstance(value, (int, float)) and not math.isnan(value)
            return sign * value if is_number else math.inf

        every_row = self.trial_rows
        # Not by the trial_id of a row, which an entry of a configuration may have replaced.
        self.trial_rows = dict(sorted(every_row.items(), key=lambda item: rank(item[1]))[:MOST_ROWS])
        try:
            text = str(super().__str__())
        finally:
            self.trial_rows = every_row
        head = (
            f"the {MOST_ROWS} best of {len(every_row)} trials, by the best {self.metric} of each; the last one is shown"
        )
        return f"{head}:\n{text}"


def shorten_table(tuner: Any) -> None:
    """Makes a tuner that begins print only the best trials. A status of another class is not changed."""
    status: Any = getattr(tuner, "tuning_status", None)
    if type(status) is not TuningStatus:
        return
    short = ShortTuningStatus(status.metric_names)
    short.__dict__.update(status.__dict__)
    scheduler = tuner.scheduler
    metric, mode = metric_name_mode(metric_names_of(scheduler), scheduler.metric_mode(), metric=0)
    short.metric, short.do_minimize = metric, mode == "min"
    tuner.tuning_status = short
