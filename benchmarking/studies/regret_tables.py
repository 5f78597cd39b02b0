"""Mean regret over tables as Markdown tables and as pictures: the pure part of ``report_tables.py``.

All functions take rows of :func:`syne_hypersched.comparison.tables.results_table`. Means are over the tables for each
seed, so that a seed is one sample. Intervals are 95 % intervals over the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarking.studies.markdown import header, row
from syne_hypersched.comparison.statistics import Interval, mean_interval

PLAIN = ("random", "asha:reduction_factor=3", "asha:reduction_factor=4", "syne-asha", "asha-promotion", "pasha")
PUBLISHED, ADAPTIVE = "hypersched-published:scaling=given", "hypersched:scaling=given"
RESIZING = (PUBLISHED, ADAPTIVE)
SCHEDULERS = (*PLAIN, *RESIZING)
TITLES = {
    "random": "random search",
    "asha:reduction_factor=3": "ASHA stopping, eta 3",
    "asha:reduction_factor=4": "ASHA stopping, eta 4",
    "syne-asha": "Syne Tune's ASHA",
    "asha-promotion": "ASHA promotion",
    "pasha": "PASHA",
    PUBLISHED: "HyperSched, published",
    ADAPTIVE: "HyperSched, adaptive",
}
COLOURS = ("#7F7F7F", "#56B4E9", "#0072B2", "#000000", "#CC79A7", "#E69F00", "#D55E00", "#009E73")
DEADLINES = ("0.25x", "0.5x", "1x", "2x", "4x")

Means = Mapping[str, pd.DataFrame]
"""Results of :func:`mean_by_seed`, by the name of the group of tables."""


def mean_by_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Mean regret over the tables of each seed.

    Returns
    -------
    pandas.DataFrame
        Rows are schedulers and seeds, columns deadlines.
    """
    by_seed = table.groupby(["scheduler", "deadline", "seed"], sort=False).regret.mean()
    return by_seed.unstack("deadline")[list(DEADLINES)]


def intervals(regret: pd.DataFrame, scheduler: str) -> list[Interval]:
    """Mean regret of a scheduler at each deadline."""
    return [mean_interval(list(regret.loc[scheduler][deadline])) for deadline in DEADLINES]


def gains(regret: pd.DataFrame, scheduler: str, rival: str) -> list[Interval]:
    """The regret of a rival less that of a scheduler, on the same seeds, at each deadline."""
    differences = regret.loc[rival] - regret.loc[scheduler]
    return [mean_interval(list(differences[deadline])) for deadline in DEADLINES]


def gains_over_best(regret: pd.DataFrame, scheduler: str) -> list[Interval]:
    """The same for the rival with the lowest mean at the deadline."""
    means = regret.drop(scheduler, level="scheduler").groupby("scheduler").mean()
    return [gains(regret, scheduler, str(means[deadline].idxmin()))[index] for index, deadline in enumerate(DEADLINES)]


def verdict(gain: Interval) -> str:
    """A paired difference in a word; ``level`` if its interval contains zero or does not exist."""
    if gain.low > 0:
        return "ahead"
    return "behind" if gain.high < 0 else "level"


def verdict_lines(means: Means, rivals: Sequence[str]) -> list[str]:
    """In words, whether the resizing schedulers are better, by their paired intervals."""
    lines = header("deadline", DEADLINES)
    for name, regret in means.items():
        for scheduler in RESIZING:
            for rival in rivals:
                cells = [verdict(gain) for gain in gains(regret, scheduler, rival)]
                lines.append(row(f"{TITLES[scheduler]}, against {TITLES[rival]}, {name}", cells))
        cells = [verdict(gain) for gain in gains_over_best(regret, ADAPTIVE)]
        lines.append(row(f"{TITLES[ADAPTIVE]}, against the best of the others there, {name}", cells))
    return lines


def regret_lines(regret: pd.DataFrame) -> list[str]:
    """Mean regret with its interval, the lowest of each deadline in bold."""
    best = regret.groupby("scheduler").mean().idxmin()
    lines = header("deadline", DEADLINES)
    for scheduler in SCHEDULERS:
        cells = [_with_width(interval, ".3f") for interval in intervals(regret, scheduler)]
        marked = [best[deadline] == scheduler for deadline in DEADLINES]
        cells = [f"**{cell}**" if is_best else cell for cell, is_best in zip(cells, marked, strict=True)]
        lines.append(row(TITLES[scheduler], cells))
    return lines


def gain_lines(regret: pd.DataFrame, scheduler: str, rivals: Sequence[str]) -> list[str]:
    """The regret of the rivals less that of a scheduler, seed by seed."""
    lines = header("deadline", DEADLINES)
    for rival in rivals:
        cells = [_with_width(gain, "+.3f") for gain in gains(regret, scheduler, rival)]
        lines.append(row(f"less regret than {TITLES[rival]}", cells))
    return lines


def per_table_lines(table: pd.DataFrame, deadline: str) -> list[str]:
    """Mean regret over the seeds at a deadline, table by table."""
    names = list(dict.fromkeys(table.benchmark))
    chosen = table[table.deadline == deadline].groupby(["benchmark", "scheduler"], sort=False).regret
    means = chosen.mean().unstack("benchmark")
    rows = [row(TITLES[scheduler], [f"{means.loc[scheduler, name]:.3f}" for name in names]) for scheduler in SCHEDULERS]
    return header("", names) + rows


def scaling_lines(table: pd.DataFrame, scheduler: str, scalings: Mapping[str, str]) -> list[str]:
    """Mean regret of a scheduler by scaling; ``scalings`` has their titles."""
    lines = header("scaling", DEADLINES)
    for scaling, title in scalings.items():
        regret = mean_by_seed(table[(table.scaling == scaling) & (table.scheduler == scheduler)])
        lines.append(row(title, [_with_width(interval, ".3f") for interval in intervals(regret, scheduler)]))
    return lines


def draw(means: Means, title: str, path: Path) -> None:
    """A picture of regret by deadline, a panel for each kind of mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0 * len(means), 5.2), layout="constrained")
    panels = figure.subplots(1, len(means), sharey=True, squeeze=False)[0]
    for axes, (name, regret) in zip(panels, means.items(), strict=True):
        for scheduler, colour in zip(SCHEDULERS, COLOURS, strict=True):
            by_deadline, strong = intervals(regret, scheduler), scheduler in RESIZING
            axes.errorbar(
                range(len(DEADLINES)),
                [interval.mean for interval in by_deadline],
                yerr=[interval.half_width for interval in by_deadline],
                color=colour,
                capsize=2,
                marker="o",
                markersize=4,
                linewidth=2.2 if strong else 1.2,
                label=TITLES[scheduler],
                zorder=3 if strong else 2,
            )
        axes.set_xticks(range(len(DEADLINES)), [deadline.removesuffix("x") for deadline in DEADLINES])
        axes.set_xlabel("deadline, in median full runs on one device")
        axes.set_yscale("log")
        axes.set_yticks(
            [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0], ["0.05", "0.1", "0.2", "0.3", "0.5", "0.7", "1", "2"]
        )
        axes.minorticks_off()
        axes.grid(axis="y", color="#E5E7EB")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(name, fontsize=10)
    panels[0].set_ylabel("regret (0: best value in the table, 1: median)")
    panels[0].legend(frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
    figure.savefig(path, dpi=110)


def _with_width(interval: Interval, spec: str) -> str:
    return f"{interval.mean:{spec}} ± {interval.half_width:.3f}"
