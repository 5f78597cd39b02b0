"""Pictures of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from syne_hypersched._extras import needs_extra
from syne_hypersched._picture_text import picture_text, without_missing_glyphs
from syne_hypersched.comparison.labels import apart
from syne_hypersched.comparison.problems import Goal, find_goal, find_scale, sorted_deadlines
from syne_hypersched.comparison.runner import Results
from syne_hypersched.comparison.settings import Duration, Scenario, Study
from syne_hypersched.comparison.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people with colour blindness can distinguish (Okabe and Ito), then others.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#8C6D31", "#7F7F7F", "#843C39", "#6B4C9A", "#98DF8A"),
)
#: With more schedulers than this, lines hide each other, and the overview is easier to read.
MOST_SCHEDULERS = 6
_INK, _FAINT, _DEADLINE = "#22272E", "#6B7480", "#C0392B"
_NUM_MOMENTS = 400


def comparison_figure(results: Results, scenario: Scenario) -> Figure:
    """Regret over time, one panel for each deadline, and below it the number of trials evaluated.

    Lines are means over the seeds. A line begins when every seed has a value, and ends at the deadline. The name of its
    scheduler and its 95 % interval are beside the end. A scheduler that knows the deadline has one run for each
    deadline. Without a table there is no regret: for real trainings, the metric is drawn instead.

    Parameters
    ----------
    results
        The results.
    scenario
        One scenario of the study.
    """
    study, goal = results.study, find_goal(results.study, scenario)
    deadlines = sorted_deadlines(study, scenario)
    count = len(scenario.schedulers)
    heights = (max(4.2, 0.26 * count + 1.5), 0.5 + 0.22 * count)
    name_width = 0.095 * max(map(len, scenario.schedulers))
    figure = _new_figure(len(deadlines) * (3.2 + name_width), 1.0 + sum(heights))
    panels = figure.subplots(2, len(deadlines), squeeze=False, height_ratios=heights)
    lines = [_mean_lines(results, scenario, deadline, deadline.in_seconds(goal.full_run_s)) for deadline in deadlines]
    is_regret = all(line.is_regret for of_panel in lines for line in of_panel)
    smaller_is_better = is_regret or goal.do_minimize
    low, high = _limits([line.mean for of_panel in lines for line in of_panel], smaller_is_better)
    low = max(0.0, low) if is_regret else low
    places = [_places([line.mean[-1] for line in of_panel], low, high, heights[0]) for of_panel in lines]
    margin = 0.12 * (high - low) / heights[0]  # half of a name
    lowest, highest = min(map(min, places)) - margin, max(map(max, places)) + margin
    for column, (deadline, of_panel) in enumerate(zip(deadlines, lines, strict=True)):
        panel, deadline_s = panels[0][column], deadline.in_seconds(goal.full_run_s)
        _draw_lines(panel, of_panel, places[column], deadline_s, name_width / 3.2)
        panel.set_ylim(min(low, lowest), max(high, highest))
        panel.set_title(_deadline_title(deadline, deadline_s), color=_INK, fontsize=11, loc="left")
        if column:
            panel.tick_params(labelleft=False)
        _draw_trials(panels[1][column], results, scenario, deadline, label=column == 0)
    what = "regret (0: best value in the table, 1: median)" if is_regret else f"best {picture_text(goal.metric)} so far"
    panels[0][0].set_ylabel(what, color=_FAINT)
    figure.suptitle(_title(results, scenario, goal), x=0.01, ha="left", color=_INK, fontsize=13, weight="bold")
    return figure


def overview_figure(results: Results) -> Figure:
    """Regret at each deadline, one row for each scheduler and scenario; the reference has its own colour.

    The title names the first scenario. The label of a row names the differences of its scenario from the first one.
    """
    study = results.study
    deadlines = sorted_deadlines(study, study.scenarios[0])
    rows = [(scenario, scheduler) for scenario in study.scenarios for scheduler in scenario.schedulers]
    height = 1.6 + 0.24 * len(rows) + 0.15 * len(study.scenarios)
    figure = _new_figure(4.5 + 3.0 * len(deadlines), height)
    panels = figure.subplots(1, len(deadlines), sharey=True, squeeze=False)[0]
    heights, ticks, y = [], [], 0.0
    for scenario in study.scenarios:
        for position, scheduler in enumerate(scenario.schedulers):
            heights.append(y)
            name = scenario.name_beside(study.scenarios[0])
            ticks.append(f"{name}   {scheduler}" if position == 0 and scenario != study.scenarios[0] else scheduler)
            y -= 1.0
        y -= 0.6
    for panel, deadline in zip(panels, deadlines, strict=True):
        for (scenario, scheduler), at in zip(rows, heights, strict=True):
            interval = mean_interval([reading.regret for reading in results.readings_of(scenario, scheduler, deadline)])
            error = 0.0 if math.isnan(interval.half_width) else interval.half_width
            colour = COLOURS[1] if scheduler == study.reference else COLOURS[0]
            panel.errorbar(interval.mean, at, xerr=error, fmt="o", markersize=4, color=colour, capsize=2)
        panel.set_title(f"deadline {deadline}", color=_INK, fontsize=11)
        panel.set_xlabel("regret", color=_FAINT)
        _dress(panel, grid="x")
    panels[0].set_yticks(heights, ticks)
    panels[0].set_ylim(heights[-1] - 0.8, 0.8)
    base, goal = study.scenarios[0], find_goal(study, study.scenarios[0])
    figure.suptitle(_title(results, base, goal), x=0.01, ha="left", color=_INK, fontsize=12, weight="bold")
    return figure


def growth_figure(results: Results) -> Figure:
    """Regret at each deadline, utilisation and the cost of the schedulers, over the number of devices.

    Lines are means and dots are seeds. Such runs take too long for the number of seeds that an interval needs.
    """
    study = results.study
    deadlines = sorted_deadlines(study, study.scenarios[0])
    longest = deadlines[-1]
    quantities = [
        *(partial(_regrets, results, deadline=deadline) for deadline in deadlines),
        partial(_utilisations, results, deadline=longest),
        partial(_costs_us, results, deadline=longest),
    ]
    titles = [f"regret at {deadline}" for deadline in deadlines]
    titles += [f"utilisation in %, at {longest}", f"scheduler µs a report, up to {longest}"]
    figure = _new_figure(4.2 * len(titles), 4.6)
    panels = figure.subplots(1, len(titles))
    names = study.scenarios[0].schedulers
    devices = [scenario.num_devices for scenario in study.scenarios]
    for panel, title, quantity in zip(panels, titles, quantities, strict=True):
        for scheduler in names:
            values = [quantity(scenario, scheduler) for scenario in study.scenarios]
            colour = colour_of(scheduler, names)
            panel.plot(
                devices, [mean_interval(of_scenario).mean for of_scenario in values], color=colour, label=scheduler
            )
            for size, of_scenario in zip(devices, values, strict=True):
                panel.plot([size] * len(of_scenario), of_scenario, "o", markersize=3.5, color=colour, alpha=0.7)
        panel.set_xscale("log", base=2)
        panel.set_xticks(devices)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_xlabel("devices", color=_FAINT)
        panel.set_title(title, color=_INK, fontsize=11)
        _dress(panel)
        if title.startswith("regret"):
            panel.set_ylim(bottom=-0.02)
    panels[-2].set_ylim(0, 102)
    panels[-1].set_yscale("log")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names), frameon=False, fontsize=10
    )
    goal = find_goal(study, study.scenarios[0])
    figure.suptitle(
        f"{goal.title}: means (lines) of {len(study.seeds)} seeds (dots)",
        x=0.01,
        ha="left",
        color=_INK,
        fontsize=13,
        weight="bold",
    )
    return figure


def _regrets(results: Results, scenario: Scenario, scheduler: str, deadline: Duration) -> list[float]:
    return [reading.regret for reading in results.readings_of(scenario, scheduler, deadline)]


def _utilisations(results: Results, scenario: Scenario, scheduler: str, deadline: Duration) -> list[float]:
    return [100 * reading.utilisation for reading in results.readings_of(scenario, scheduler, deadline)]


def _costs_us(results: Results, scenario: Scenario, scheduler: str, deadline: Duration) -> list[float]:
    return [outcome.scheduler_us_per_report for outcome in results.outcomes_of(scenario, scheduler, deadline)]


def draw_study(results: Results, folder: Path) -> list[Path]:
    """Draws all pictures of a study into a folder, and returns their paths."""
    study = results.study
    pictures: dict[str, Figure] = {}
    if study.preset == "scale":
        pictures["growth.png"] = growth_figure(results)
    elif study.backend == "simulator" and (len(study.scenarios) > 1 or len(_most_schedulers(study)) > MOST_SCHEDULERS):
        pictures["overview.png"] = overview_figure(results)
    if study.preset not in ("scale", "sensitivity"):
        for scenario in study.scenarios:
            pictures[f"{scenario.folder}.png"] = comparison_figure(results, scenario)
    with without_missing_glyphs():
        for name, figure in pictures.items():
            figure.savefig(folder / name, dpi=140)
    return [folder / name for name in pictures]


def _most_schedulers(study: Study) -> tuple[str, ...]:
    return max((scenario.schedulers for scenario in study.scenarios), key=len)


def colour_of(scheduler: str, schedulers: Sequence[str]) -> str:
    """The colour of a scheduler among others."""
    return COLOURS[list(schedulers).index(scheduler) % len(COLOURS)]


def best_so_far(times_s: Sequence[float], values: Sequence[float], moments_s: np.ndarray) -> np.ndarray:
    """The best metric at each moment, NaN before the first value.

    Parameters
    ----------
    times_s, values
        Times of the improvements of the best metric, ascending, and its new values.
    moments_s
        Seconds, shape ``(moments,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(moments,)``.
    """
    at = np.searchsorted(np.asarray(times_s, dtype=float), moments_s, side="right")
    return np.concatenate([[math.nan], np.asarray(values, dtype=float)])[at]


@dataclass(frozen=True)
class _Line:
    """A scheduler up to a deadline: the mean over the seeds at each moment, and its interval at the end."""

    scheduler: str
    colour: str
    moments_s: np.ndarray
    mean: np.ndarray
    half_width: float
    is_regret: bool


def _mean_lines(results: Results, scenario: Scenario, deadline: Duration, deadline_s: float) -> list[_Line]:
    study = results.study
    moments_s = np.linspace(0, deadline_s, _NUM_MOMENTS)
    scales = [find_scale(study, scenario, seed) for seed in study.seeds]
    is_regret = all(scale is not None and scale.best != scale.median for scale in scales)
    lines = []
    for scheduler in scenario.schedulers:
        outcomes = results.outcomes_of(scenario, scheduler, deadline)
        values = np.array([best_so_far(outcome.times_s, outcome.values, moments_s) for outcome in outcomes])
        if is_regret:
            values = np.array(
                [
                    (scale.best - of_seed) / (scale.best - scale.median)
                    for of_seed, scale in zip(values, scales, strict=True)
                    if scale is not None
                ]
            )
        interval = mean_interval(list(values[:, -1]))
        half_width = 0.0 if math.isnan(interval.half_width) else interval.half_width
        colour = colour_of(scheduler, scenario.schedulers)
        lines.append(_Line(scheduler, colour, moments_s, values.mean(axis=0), half_width, is_regret))
    return lines


def _places(ends: Sequence[float], low: float, high: float, height: float) -> list[float]:
    """Positions for the names of lines in a panel (height in inches); at its border if the end of a line is outside."""
    shown = [float(np.clip(high if math.isnan(value) else value, low, high)) for value in ends]
    return apart(shown, 0.2 * (high - low) / height)


def _draw_lines(
    panel: Axes, lines: Sequence[_Line], places: Sequence[float], deadline_s: float, name_share: float
) -> None:
    unit_s, unit = next(
        (size, name)
        for size, name in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if deadline_s >= 2 * size or size == 1
    )
    end = deadline_s / unit_s
    for index, (line, place) in enumerate(zip(lines, places, strict=True)):
        panel.plot(line.moments_s / unit_s, line.mean, color=line.colour, linewidth=1.8, label=line.scheduler)
        # All intervals are drawn in a strip to the right of the deadline, with the names beside it.
        at = end * (1.03 + 0.1 * (index + 0.5) / len(lines))
        panel.errorbar(
            at, line.mean[-1], yerr=line.half_width, fmt="o", markersize=3, color=line.colour, elinewidth=1.2
        )
        panel.text(1.15 * end, place, line.scheduler, color=_darker(line.colour), fontsize=9, va="center")
    panel.axvline(end, color=_DEADLINE, linewidth=1.6)
    panel.set_xlim(0, end * (1.2 + name_share))
    panel.set_xticks([tick for tick in panel.get_xticks() if 0 <= tick <= end])
    panel.set_xlabel(unit, color=_FAINT, loc="left")
    _dress(panel)


def _darker(colour: str) -> str:
    """A darker version of a colour, in which a name can be read on white."""
    return "#" + "".join(f"{int(0.7 * int(colour[start : start + 2], 16)):02X}" for start in (1, 3, 5))


def _draw_trials(panel: Axes, results: Results, scenario: Scenario, deadline: Duration, label: bool) -> None:
    for row, scheduler in enumerate(scenario.schedulers):
        interval = mean_interval([reading.num_trials for reading in results.readings_of(scenario, scheduler, deadline)])
        error = None if math.isnan(interval.half_width) else interval.half_width
        panel.barh(
            -row, interval.mean, xerr=error, height=0.7, color=colour_of(scheduler, scenario.schedulers), ecolor=_FAINT
        )
        panel.annotate(
            f"{interval.mean:.0f}",
            (interval.mean + (error or 0.0), -row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=_FAINT,
        )
    panel.set_yticks([-row for row in range(len(scenario.schedulers))], scenario.schedulers if label else [])
    panel.set_xlabel("trials evaluated", color=_FAINT)
    panel.margins(x=0.18)
    _dress(panel, grid="x")


def _limits(curves: Sequence[np.ndarray], do_minimize: bool) -> tuple[float, float]:
    """Limits from the best mean to the worst mean at half of the time. The steep beginnings would flatten the rest."""
    best, worst = [], []
    for curve in curves:
        later = curve[len(curve) // 2 :]
        later = later[~np.isnan(later)]
        if len(later):
            best.append(later.min() if do_minimize else later.max())
            worst.append(later.max() if do_minimize else later.min())
    if not best:
        return 0.0, 1.0
    low, high = (min(best), max(worst)) if do_minimize else (min(worst), max(best))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _title(results: Results, scenario: Scenario, goal: Goal) -> str:
    return picture_text(f"{scenario.name.replace(scenario.benchmark, goal.title, 1)}, {_seeds(results)}")


def _deadline_title(deadline: Duration, deadline_s: float) -> str:
    return f"deadline {deadline}" if deadline.unit == "s" else f"deadline {deadline} = {deadline_s:,.4g} s"


def _seeds(results: Results) -> str:
    number = len(results.study.seeds)
    return f"{number} seeds, means and 95 % intervals" if number > 1 else "1 seed"


def _new_figure(width: float, height: float) -> Figure:
    """An empty picture; width and height in inches."""
    with needs_extra("a picture of a comparison", "plots"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _dress(panel: Axes, grid: Literal["x", "y"] = "y") -> None:
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color("#B8BDC4")
    panel.tick_params(colors=_FAINT, labelsize=9)
    panel.grid(axis=grid, color="#E6E8EB", linewidth=0.7)
    panel.set_axisbelow(True)
