"""Results as text for a terminal."""

from __future__ import annotations

import math

import pandas as pd

from syne_hypersched._wording import counted, decimals, seconds_text
from syne_hypersched.comparison.benchmarks import NOISE
from syne_hypersched.comparison.problems import find_goal, sorted_deadlines
from syne_hypersched.comparison.runner import Results
from syne_hypersched.comparison.settings import Scenario
from syne_hypersched.comparison.statistics import mean_interval
from syne_hypersched.comparison.tables import align, comparison_table, scenario_cells, summary_table

LEGEND = """\
± is the half-width of a 95 % interval over the seeds. The gain over the reference is paired by seed; it is positive
where the scheduler is better. Trials: those that reported by the deadline. Utilisation: share of device-seconds spent
on training that was reported by the deadline."""
REGRET_LEGEND = "Regret is 0 at the best value in the table, and 1 at the best value of the median configuration."
NOISE_LEGEND = f"""\
If a name ends in {NOISE}, the metric is the reported one, with noise, and regret is computed without noise."""

_MANY_SCENARIOS = 4


def describe_scenario(results: Results, scenario: Scenario, comparison: pd.DataFrame) -> str:
    """The comparison of one scenario: a block of lines for each deadline.

    Parameters
    ----------
    results
        The results.
    scenario
        The scenario.
    comparison
        Result of :func:`~syne_hypersched.comparison.tables.comparison_table`.
    """
    study, goal = results.study, find_goal(results.study, scenario)
    better = "lower" if goal.do_minimize else "higher"
    seeds = f"{len(study.seeds)} seed{'s' * (len(study.seeds) > 1)}"
    heading = f"{scenario.name.replace(scenario.benchmark, goal.title, 1)}, {seeds}"
    lines = [heading, f"{goal.metric} ({better} is better)"]
    for deadline, rows in _of_scenario(comparison, scenario).groupby("deadline", sort=False):
        deadline_s = rows.deadline_s.iloc[0]
        lines += [
            "",
            f"deadline {deadline}"
            if str(deadline).endswith("s")
            else f"deadline {deadline} = {seconds_text(deadline_s)} s",
        ]
        header = ["", goal.metric, "regret", f"gain over {study.reference}", "win/tie/loss", "trials", "utilisation"]
        cells = [header]
        for row in rows.itertuples():
            is_reference = row.scheduler == study.reference
            cells.append(
                [
                    row.scheduler,
                    plus_minus(row.value_mean, row.value_high),
                    plus_minus(row.regret_mean, row.regret_high, ".3f"),
                    "" if is_reference else plus_minus(row.gain_mean, row.gain_high, "+.4f"),
                    "" if is_reference else f"{row.wins}/{row.ties}/{row.losses}",
                    f"{row.num_trials:.0f}",
                    f"{100 * row.utilisation:.0f} %",
                ]
            )
        lines.append(align(_without_empty_columns(cells)))
    return "\n".join(lines)


def describe_overview(results: Results, comparison: pd.DataFrame) -> str:
    """All scenarios side by side: regret of each scheduler at each deadline, or the metric if there is no regret."""
    study = results.study
    quantity = "regret" if comparison.regret_mean.notna().any() else "value"
    deadlines = list(dict.fromkeys(comparison.deadline))
    cells = [["", "", *(f"{quantity} at {deadline}" for deadline in deadlines)]]
    for scenario in study.scenarios:
        rows = _of_scenario(comparison, scenario)
        for position, scheduler in enumerate(scenario.schedulers):
            at = rows[rows.scheduler == scheduler].set_index("deadline")
            cells.append([scenario.name_beside(study.scenarios[0]) if position == 0 else "", scheduler])
            for deadline in deadlines:
                mean, high = at.loc[deadline, f"{quantity}_mean"], at.loc[deadline, f"{quantity}_high"]
                cells[-1].append(plus_minus(mean, high, ".3f"))
    return align(cells, left=2)


def describe_growth(results: Results) -> str:
    """Regret, utilisation and cost of the schedulers by number of devices."""
    study = results.study
    cells = [["", "devices", "deadline", "regret", "utilisation", "trials", "reports", "scheduler µs a report"]]
    for scheduler in dict.fromkeys(scheduler for scenario in study.scenarios for scheduler in scenario.schedulers):
        for scenario in study.scenarios:
            for deadline in sorted_deadlines(study, scenario):
                readings = results.readings_of(scenario, scheduler, deadline)
                outcomes = results.outcomes_of(scenario, scheduler, deadline)
                regret = mean_interval([reading.regret for reading in readings])
                means = {
                    name: mean_interval([getattr(reading, name) for reading in readings]).mean
                    for name in ("utilisation", "num_trials", "num_reports")
                }
                cost = mean_interval([outcome.scheduler_us_per_report for outcome in outcomes]).mean
                cells.append(
                    [
                        scheduler,
                        str(scenario.num_devices),
                        str(deadline),
                        plus_minus(regret.mean, regret.high, ".3f"),
                        f"{100 * means['utilisation']:.0f} %",
                        f"{means['num_trials']:,.0f}",
                        f"{means['num_reports']:,.0f}",
                        f"{cost:.0f}",
                    ]
                )
    return align(cells)


def describe_summary(results: Results) -> str:
    """The summary of the HyperSched authors for each experiment, as means over the seeds."""
    table = summary_table(results)
    keys = ["scheduler", "deadline"]
    cells = []
    for scenario in results.study.scenarios:
        rows = _of_scenario(table, scenario).drop(columns=["seed"])
        means = rows.groupby(keys, sort=False).mean(numeric_only=True)
        cells += [[scenario.name], _SUMMARY_HEADER]
        for (scheduler, deadline), row in means.iterrows():
            lengths = [_number(row[f"length_{name}"], ".1f") for name in ("mean", "median", "p10", "p90")]
            tops = [f"{_number(row[f'top{k}_length'], '.0f')}: {_number(row[f'top{k}_value'])}" for k in (1, 2, 3)]
            numbers = [f"{row.trials_seen:.0f}", _number(row.best_value), _number(row.best_at, ".0f")]
            cells.append([scheduler, deadline, *numbers, *lengths, *tops])
    blocks: list[str] = []
    block: list[list[str]] = []
    for row in cells:
        if len(row) == 1:
            if block:
                blocks[-1] += "\n" + align(block, left=2)
            blocks.append(row[0])
            block = []
        else:
            block.append(row)
    blocks[-1] += "\n" + align(block, left=2)
    return "\n\n".join(blocks)


_SUMMARY_HEADER = ["", "deadline", "trials seen", "best value", "at", "length mean", "median", "10 %", "90 %"] + [
    f"top {rank}: length, value" for rank in (1, 2, 3)
]


def describe(results: Results, brief: bool = False) -> str:
    """The results of a study.

    Parameters
    ----------
    results
        The results.
    brief
        Whether to leave out the details of each scenario if there are many scenarios.
    """
    comparison = comparison_table(results)
    study = results.study
    parts = []
    if study.preset == "scale":
        parts.append(describe_growth(results))
    elif len(study.scenarios) > 1:
        parts.append(describe_overview(results, comparison))
    if not (brief and (study.preset == "scale" or len(study.scenarios) > _MANY_SCENARIOS)):
        parts += [describe_scenario(results, scenario, comparison) for scenario in study.scenarios]
    legends = [LEGEND] if study.backend == "local" else [LEGEND, REGRET_LEGEND]
    if any(scenario.benchmark.endswith(NOISE) for scenario in study.scenarios):
        legends.append(NOISE_LEGEND)
    return "\n\n".join([*parts, "\n".join(legends)])


def plus_minus(mean: float, high: float, spec: str = ".4f") -> str:
    """A mean and the half-width of its interval; empty if they are unknown."""
    if math.isnan(mean):
        return ""
    plain = spec.lstrip("+")
    text = decimals(mean, spec)
    return text if math.isnan(high) else f"{text} ± {decimals(high - mean, plain)}"


def _number(value: float, spec: str = ".4f") -> str:
    return "-" if math.isnan(value) else decimals(value, spec)


def _of_scenario(table: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    kept = pd.Series(True, index=table.index)
    for name, value in scenario_cells(scenario).items():
        kept &= table[name].isna() if value is None else table[name] == value
    return table[kept]


def _without_empty_columns(cells: list[list[str]]) -> list[list[str]]:
    kept = [index for index in range(len(cells[0])) if index == 0 or any(row[index] for row in cells[1:])]
    return [[row[index] for index in kept] for row in cells]


def describe_verdicts(verdicts: pd.DataFrame, candidate: str, level: float) -> str:
    """Verdicts as lines of text, with a block for each machine and group of tables.

    Parameters
    ----------
    verdicts
        Rows of :func:`~syne_hypersched.comparison.verdicts.verdict_table`.
    candidate, level
        The arguments of ``verdict_table``.
    """
    blocks = []
    for (num_devices, scaling, launch_cost, group), rows in verdicts.groupby(
        ["num_devices", "scaling", "launch_cost", "group"], sort=False, dropna=False
    ):
        cells = [["deadline", "rival", "regret", "rival's", "ratio", "gain", "p", "tables", "seeds", candidate]]
        for row in rows.itertuples():
            gain, low, high = (decimals(value, "+.3f") for value in (row.gain, row.low, row.high))
            gain = f"{gain} ({low} to {high})"
            regrets = [decimals(value, ".3f") for value in (row.regret, row.rival_regret, row.ratio)]
            p_value = "<0.001" if row.adjusted_p_value < 0.001 else f"{row.adjusted_p_value:.3f}"
            numbers = [p_value, str(row.tables), str(row.seeds)]
            cells.append([row.deadline, row.rival, *regrets, gain, *numbers, row.verdict])
        machine = [] if num_devices != num_devices else [counted(num_devices, "device")]
        named = {"scaling": scaling, "launch cost": launch_cost}
        machine += [f"{name} {value}" for name, value in named.items() if value == value]
        title = f"{group}: {', '.join(machine)}" if machine else str(group)
        blocks.append(f"{title}\n{align(cells, left=2)}")
    blocks.append(
        "Gain: the rival's mean regret minus that of the candidate, paired by table and seed. Intervals, p and "
        f"verdicts\nhold together: the probability of any wrong verdict, except level, is at most {level:g}."
    )
    return "\n\n".join(blocks)
