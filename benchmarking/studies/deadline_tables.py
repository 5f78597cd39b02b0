"""Results of the adaptive strategy and its rivals, setting by setting: the pure part of ``study_deadlines.py``.

All functions take rows of :func:`syne_hypersched.comparison.tables.results_table`. Means are over the tables for each
seed, so that a seed is one sample. Intervals are 95 % intervals over the seeds, paired if two schedulers are compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarking.studies.markdown import header, row
from syne_hypersched.comparison.labels import apart
from syne_hypersched.comparison.statistics import Interval, mean_interval

LIMIT = 1.02
"""Ratio of regret to that of the plain ladder above which resizing has done harm."""

COLOURS = ("#6B7480", "#0072B2", "#B0500F", "#007A55")
"""They can be read on white, and told apart by people with colour blindness."""

MACHINE = ["num_devices", "scaling", "launch_cost"]


def by_seed(rows: pd.DataFrame, schedulers: Sequence[str]) -> pd.DataFrame:
    """Mean regret over the tables of each seed.

    Returns
    -------
    pandas.DataFrame
        Rows are seeds and deadlines, columns schedulers.
    """
    chosen = rows[rows.scheduler.isin(schedulers)]
    means = chosen.groupby(["scheduler", "deadline", "seed"], sort=False).regret.mean()
    return means.unstack("scheduler")[list(schedulers)]


def compare(rows: pd.DataFrame, scheduler: str, rivals: Sequence[str]) -> pd.DataFrame:
    """Compares a scheduler with the best of some rivals on every machine, at every deadline.

    Parameters
    ----------
    rows
        The runs.
    scheduler
        The scheduler, which has runs on every machine.
    rivals
        Schedulers that never resize, so that their runs for one scaling are valid for all.

    Returns
    -------
    pandas.DataFrame
        One row for each machine and deadline: ``rival``, the rival with the lowest mean there; ``ratio`` of the means,
        below 1 if the scheduler is better; ``difference``, the rival's regret less the scheduler's on the same seeds,
        and its ``half_width``.
    """
    found = []
    for machine, own in rows[rows.scheduler == scheduler].groupby(MACHINE, sort=False):
        num_devices, scaling, launch_cost = machine
        alike = (rows.num_devices == num_devices) & (rows.launch_cost == launch_cost) & rows.scheduler.isin(rivals)
        regret = by_seed(pd.concat([own, rows[alike]]), [scheduler, *rivals])
        for deadline in dict.fromkeys(own.deadline):
            here = regret.xs(deadline, level="deadline")
            rival = str(here[list(rivals)].mean().idxmin())
            difference = mean_interval(list(here[rival] - here[scheduler]))
            found.append(
                dict(zip(MACHINE, (num_devices, scaling, launch_cost), strict=True))
                | {"deadline": deadline, "rival": rival, "ratio": here[scheduler].mean() / here[rival].mean()}
                | {"regret": here[scheduler].mean(), "difference": difference.mean}
                | {"half_width": difference.half_width}
            )
    return pd.DataFrame(found)


def verdict(comparison: pd.DataFrame, limit: float) -> str:
    """In words, how often the ratio is at most a limit, and how often it is significantly above."""
    above = comparison[comparison.ratio > limit]
    surely = int((above.difference + above.half_width < 0).sum())
    held = f"at most {limit:g} in {len(comparison) - len(above)} of {len(comparison)} cells"
    if above.empty:
        return f"{held}; the largest is {comparison.ratio.max():.3f}"
    return f"{held}; the largest is {comparison.ratio.max():.3f}; in {surely} of the others by more than its interval"


def regret_lines(rows: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """A Markdown table of mean regret with its interval by deadline, the lowest of each in bold."""
    regret = by_seed(rows, list(titles))
    deadlines = list(dict.fromkeys(rows.deadline))
    best = {deadline: regret.xs(deadline, level="deadline").mean().idxmin() for deadline in deadlines}
    lines = header("deadline", deadlines)
    for scheduler, title in titles.items():
        cells = []
        for deadline, interval in zip(deadlines, _intervals(regret, scheduler, deadlines), strict=True):
            cell = f"{interval.mean:.3f} ± {interval.half_width:.3f}"
            cells.append(f"**{cell}**" if best[deadline] == scheduler else cell)
        lines.append(row(title, cells))
    return lines


def gain_lines(rows: pd.DataFrame, reference: str, titles: Mapping[str, str]) -> list[str]:
    """A Markdown table of the additional regret of each scheduler over a reference, seed by seed."""
    regret = by_seed(rows, list(dict.fromkeys([reference, *titles])))
    deadlines = list(dict.fromkeys(rows.deadline))
    lines = header("deadline", deadlines)
    for scheduler, title in titles.items():
        cells = []
        for deadline in deadlines:
            here = regret.xs(deadline, level="deadline")
            gain = mean_interval(list(here[scheduler] - here[reference]))
            cells.append(f"{gain.mean:+.3f} ± {gain.half_width:.3f}")
        lines.append(row(title, cells))
    return lines


def ratio_lines(comparison: pd.DataFrame, scaling: str) -> list[str]:
    """A Markdown table of the ratios on the machines with one scaling."""
    rows = comparison[comparison.scaling == scaling]
    deadlines = list(dict.fromkeys(rows.deadline))
    lines = header("devices, launch cost", deadlines)
    for (num_devices, launch_cost), machine in rows.groupby(["num_devices", "launch_cost"], sort=False):
        ratios = dict(zip(machine.deadline, machine.ratio, strict=True))
        cells = [f"{ratios[deadline]:.3f}" if deadline in ratios else "" for deadline in deadlines]
        lines.append(row(f"{num_devices}, {launch_cost}", cells))
    return lines


def worst_lines(comparison: pd.DataFrame, limit: float, most: int = 12) -> list[str]:
    """A Markdown table of the cells whose ratio is above a limit, the largest first."""
    worst = comparison[comparison.ratio > limit].nlargest(most, "ratio")
    lines = header("devices, scaling, launch cost, deadline", ["ratio", "difference of regret"])
    for cell in worst.itertuples():
        name = f"{cell.num_devices}, {cell.scaling}, {cell.launch_cost}, {cell.deadline}"
        lines.append(row(name, [f"{cell.ratio:.3f}", f"{-cell.difference:+.3f} ± {cell.half_width:.3f}"]))
    return lines


def draw_regret(rows: pd.DataFrame, titles: Mapping[str, str], strong: str, title: str, path: Path) -> None:
    """A picture of mean regret by deadline, with the name of each scheduler beside its line.

    Parameters
    ----------
    rows
        The runs.
    titles
        Names of the schedulers that are drawn.
    strong
        The one of them with a thicker line.
    title
        Says what was run.
    path
        The file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    regret, deadlines = by_seed(rows, list(titles)), list(dict.fromkeys(rows.deadline))
    ends = []
    for index, (scheduler, colour) in enumerate(zip(titles, itertools.cycle(COLOURS), strict=False)):
        intervals = _intervals(regret, scheduler, deadlines)
        # The lines stand a little beside each other, so that no interval hides another.
        beside = 0.05 * (index - (len(titles) - 1) / 2)
        axes.errorbar(
            [position + beside for position in range(len(deadlines))],
            [interval.mean for interval in intervals],
            yerr=[interval.half_width for interval in intervals],
            color=colour,
            marker="o",
            markersize=5,
            linewidth=3.0 if scheduler == strong else 1.6,
            elinewidth=1.0,
            zorder=3 if scheduler == strong else 2,
        )
        ends.append(intervals[-1].mean)
    high = axes.get_ylim()[1]
    low = -0.05 * high  # room for the name of a line at zero
    places = apart(ends, 0.055 * (high - low))
    for (scheduler, name), place, colour in zip(titles.items(), places, itertools.cycle(COLOURS), strict=False):
        weight = "bold" if scheduler == strong else "normal"
        axes.text(len(deadlines) - 0.78, place, name, color=colour, va="center", fontsize=11, weight=weight)
    axes.set_xticks(range(len(deadlines)), [deadline.removesuffix("x") for deadline in deadlines])
    # Room for the names, which are as wide as the longest of them.
    axes.set_xlim(-0.3, len(deadlines) - 0.78 + 0.088 * max(map(len, titles.values())))
    axes.set_xlabel("deadline, in median full runs on one device", fontsize=11)
    axes.set_ylabel("regret (0: best value in the table, 1: median)", fontsize=11)
    axes.set_ylim(low, high)
    axes.grid(axis="y", color="#E5E7EB")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
    figure.savefig(path, dpi=110)


def draw_ratios(comparisons: Mapping[str, pd.DataFrame], path: Path) -> None:
    """A picture of all ratios: machines as rows, launch costs and deadlines as columns."""
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    first = next(iter(comparisons.values()))
    machines = list(dict.fromkeys(zip(first.num_devices, first.scaling, strict=True)))
    deadlines = sorted(set(first.deadline), key=lambda deadline: float(deadline.removesuffix("x")))
    columns = [(cost, deadline) for cost in dict.fromkeys(first.launch_cost) for deadline in deadlines]
    height = 0.7 + (0.5 + 0.22 * len(machines)) * len(comparisons)
    figure = Figure(figsize=(3 + 0.4 * len(columns), height), layout="constrained")
    panels = figure.subplots(len(comparisons), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, comparison) in zip(panels, comparisons.items(), strict=True):
        ratios = np.full((len(machines), len(columns)), np.nan)
        for cell in comparison.itertuples():
            line = machines.index((cell.num_devices, cell.scaling))
            column = columns.index((cell.launch_cost, cell.deadline))
            ratios[line, column] = cell.ratio
            axes.text(column, line, f"{cell.ratio:.2f}".removeprefix("0"), ha="center", va="center", fontsize=7)
        axes.imshow(ratios, cmap="RdYlGn_r", norm=TwoSlopeNorm(1.0, 0.4, 1.3), aspect="auto")
        axes.set_yticks(range(len(machines)), [f"{size} devices, {scaling}" for size, scaling in machines], fontsize=7)
        axes.set_title(name, fontsize=9)
    panels[-1].set_xticks(
        range(len(columns)), [f"{cost}, {deadline}" for cost, deadline in columns], rotation=90, fontsize=7
    )
    figure.supxlabel("launch cost, deadline", fontsize=9)
    figure.savefig(path, dpi=100)


def _intervals(regret: pd.DataFrame, scheduler: str, deadlines: Sequence[str]) -> list[Interval]:
    return [mean_interval(list(regret.xs(deadline, level="deadline")[scheduler])) for deadline in deadlines]
