"""Results as tables: one row for each run and deadline, and means over the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from syne_hypersched import _terminal_text
from syne_hypersched.comparison.problems import find_goal, sorted_deadlines
from syne_hypersched.comparison.runner import Results
from syne_hypersched.comparison.settings import Scenario
from syne_hypersched.comparison.statistics import Interval, mean_interval, paired_difference

#: Columns that identify the run of a row, without the seed.
SCENARIO_COLUMNS = ["benchmark", "num_devices", "scaling", "launch_cost"]


def scenario_cells(scenario: Scenario) -> dict[str, Any]:
    """The columns that identify the scenario of a row. There is a column ``pool`` if devices come and go."""
    values = (scenario.benchmark, scenario.num_devices, scenario.scaling, scenario.launches)
    pool = {} if scenario.pool is None else {"pool": scenario.pool}
    return dict(zip(SCENARIO_COLUMNS, values, strict=True)) | pool


def results_table(results: Results) -> pd.DataFrame:
    """One row for each run and deadline.

    Returns
    -------
    pandas.DataFrame
        Columns: those of the scenario, ``scheduler``, ``deadline`` (as given), ``deadline_s``, ``seed``, ``metric``
        (its name), ``value`` (the best value reported by the deadline; empty without a report), ``regret``,
        ``num_trials``, ``num_reports``, ``utilisation``. See :class:`~syne_hypersched.comparison.reading.Reading`.
    """
    rows = []
    for run, outcome in results:
        goal = find_goal(results.study, run.scenario)
        for reading in outcome.readings:
            rows.append(
                scenario_cells(run.scenario)
                | {"scheduler": run.scheduler, "deadline": reading.deadline, "deadline_s": reading.deadline_s}
                | {"seed": run.seed, "metric": goal.metric, "value": reading.value, "regret": reading.regret}
                | {name: getattr(reading, name) for name in ("num_trials", "num_reports", "utilisation")}
            )
    return pd.DataFrame(rows)


def summary_table(results: Results) -> pd.DataFrame:
    """The summary of each run at each deadline, with the same columns as the HyperSched authors' ``Summary``.

    Returns
    -------
    pandas.DataFrame
        Columns: those that identify the run, ``trials_seen``, ``best_value``, ``best_at`` (epoch), ``length_mean``,
        ``length_median``, ``length_p10``, ``length_p90`` (of the trials' lengths in epochs). For the three trials with
        the best values, there are also ``top1_length``, ``top1_value``, ``top2_length``...
    """
    rows = []
    for run, outcome in results:
        for reading in outcome.readings:
            row = scenario_cells(run.scenario) | {"scheduler": run.scheduler, "deadline": reading.deadline}
            row |= {"seed": run.seed, "trials_seen": reading.num_trials}
            row |= {"best_value": reading.value, "best_at": reading.best_resource}
            row |= {f"length_{name}": getattr(reading, f"length_{name}") for name in ("mean", "median", "p10", "p90")}
            for rank in range(3):
                has = rank < len(reading.top_values)
                row[f"top{rank + 1}_length"] = reading.top_lengths[rank] if has else math.nan
                row[f"top{rank + 1}_value"] = reading.top_values[rank] if has else math.nan
            rows.append(row)
    return pd.DataFrame(rows)


def timings_table(results: Results) -> pd.DataFrame:
    """The cost of the schedulers' decisions in real time. It differs between executions.

    Returns
    -------
    pandas.DataFrame
        One row for each run, with ``num_reports`` and ``scheduler_us_per_report``.
    """
    return pd.DataFrame(
        scenario_cells(run.scenario)
        | {"scheduler": run.scheduler, "deadline": outcome.readings[-1].deadline, "seed": run.seed}
        | {"num_reports": outcome.num_reports}
        | {"scheduler_us_per_report": outcome.scheduler_us_per_report}
        for run, outcome in results
    )


def comparison_table(results: Results) -> pd.DataFrame:
    """Means over the seeds, and comparisons with the reference.

    Returns
    -------
    pandas.DataFrame
        One row for each scenario, deadline and scheduler, with mean and 95 % interval (``_mean``, ``_low``, ``_high``)
        of ``value``, ``regret`` and ``gain`` (the improvement over the reference on the same seed, positive if better);
        ``wins``, ``ties`` and ``losses`` against the reference; means of ``num_trials`` and ``utilisation``; number of
        ``seeds`` with a value.
    """
    study, rows = results.study, []
    for scenario in study.scenarios:
        goal = find_goal(study, scenario)
        for deadline in sorted_deadlines(study, scenario):
            reference = [reading.value for reading in results.readings_of(scenario, study.reference, deadline)]
            for scheduler in scenario.schedulers:
                of_seed = results.readings_of(scenario, scheduler, deadline)
                values = [reading.value for reading in of_seed]
                difference = paired_difference(values, reference, goal.do_minimize)
                rows.append(
                    scenario_cells(scenario)
                    | {"deadline": str(deadline), "deadline_s": of_seed[0].deadline_s, "scheduler": scheduler}
                    | _columns("value", mean_interval(values))
                    | _columns("regret", mean_interval([reading.regret for reading in of_seed]))
                    | _columns("gain", difference.gain)
                    | {"wins": difference.wins, "ties": difference.ties, "losses": difference.losses}
                    | {"num_trials": mean_interval([reading.num_trials for reading in of_seed]).mean}
                    | {"utilisation": mean_interval([reading.utilisation for reading in of_seed]).mean}
                    | {"seeds": mean_interval(values).num_values}
                )
    return pd.DataFrame(rows)


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_mean": interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def align(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells as text in columns. The first ``left`` columns are aligned left, and the others right."""
    widths = [max(_terminal_text.width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            (_terminal_text.left if column < left else _terminal_text.right)(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
