"""The picture of a run: how good each trial became, and which devices it held meanwhile."""

from __future__ import annotations

import contextlib
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from syne_hypersched import checks
from syne_hypersched._picture_text import picture_text, without_missing_glyphs
from syne_hypersched._wording import counted, metric_text
from syne_hypersched.experiments._lanes import FAINT, GREY, draw_lanes, lanes_height_of
from syne_hypersched.experiments._nodes import attendance_of, count_devices
from syne_hypersched.experiments._run import A_RUN, Report, Run
from syne_hypersched.experiments._timeline import holdings, last_moment_s
from syne_hypersched.experiments._trials import trial_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: For the trials that matter: colours that are told apart with the common forms of colour blindness (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_INK = "#22272E"
_CLOSED = "#F3F4F6"


def plot_run(run: Run, path: Path | str, title: str | None = None, dpi: float = 160) -> Path:
    """Draws the picture of a run, as :func:`draw_run` does, and saves it.

    Parameters
    ----------
    run
        The experiment, finished or running.
    path
        File to be written; its suffix is the format, for example ``.png`` or ``.pdf``.
    title
        Heading of the picture, by default the results of the run.
    dpi
        Pixels per inch.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    TypeError
        ``run`` is no run, for example its name.
    ImportError
        matplotlib is not installed.
    ValueError
        The run has no report yet, or ``path`` has no name.
    OSError
        The file cannot be written; one that was there before is still whole.
    """
    path, dpi = checks.output_file("path", path), checks.number("dpi", dpi, "positive", above=0)
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    figure = draw_run(run, title)
    aside = path.with_name(f".{path.stem}.new{path.suffix}")
    try:
        with without_missing_glyphs():
            figure.savefig(aside, dpi=dpi)
        os.replace(aside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.errno is not None:  # the user knows nothing of the other file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    return path


def draw_run(run: Run, title: str | None = None) -> Figure:
    """Draws the metric of each trial and the devices that it held, both over time.

    The trials that matter have a colour of their own, the same in both panels: those that held most devices and, among
    equals, became best. Deadline and closing of admission are marked, and a star stands at the best result. A run
    without events, as of a stock backend, has no panel of devices.

    Parameters
    ----------
    run
        The experiment, finished or running.
    title
        Heading of the picture, by default the results of the run.

    Returns
    -------
    matplotlib.figure.Figure
        The picture, which belongs to no window.

    Raises
    ------
    TypeError
        ``run`` is no run, for example its name.
    ImportError
        matplotlib is not installed.
    ValueError
        The run has no report yet.
    """
    run = checks.instance("run", run, Run, A_RUN)
    if not run.reports:
        raise ValueError(f"the run must have reports, but {run.path} has none yet")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'syne-hypersched[plots]'") from error

    held = holdings(run.events)
    end_s = max(run.reports[-1].time_s, last_moment_s(run.events), run.deadline_s or 0.0)
    colours = _colours(run)
    lanes_height = lanes_height_of(run.devices) if held else 0.0
    figure = Figure(figsize=(10.0, 4.6 + lanes_height), layout="constrained", facecolor="white")
    if held:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.8, lanes_height))
        draw_lanes(bottom, held, attendance_of(run.events), colours, end_s, lanes_height)
        panels = [top, bottom]
    else:
        top = figure.subplots()
        panels = [top]
    _draw_metric(top, run, colours)
    for panel in panels:
        _dress(panel)
        _mark_times(panel, run, end_s, labels=panel is top)
    panels[-1].set_xlabel("seconds since the tuning started", color=FAINT)
    panels[-1].set_xlim(0.0, end_s * 1.01)
    heading = _heading(run) if title is None else title
    figure.suptitle(heading, x=0.01, ha="left", color=_INK, fontsize=13, weight="bold")
    return figure


def _heading(run: Run) -> str:
    trials = {report.trial_id for report in run.reports}
    best = run.incumbent
    if best is None:
        return counted(len(trials), "trial")
    where = f" on {count_devices(run.devices)}" if run.devices else ""
    found = f"best {picture_text(run.metric)} {metric_text(best.value)} (trial {best.trial_id})"
    return f"{counted(len(trials), 'trial')}{where}: {found}"


def _colours(run: Run) -> dict[int, str]:
    """The trials that matter, each with its colour."""
    trials = trial_table(run)
    ranked = sorted(range(len(trials)), key=lambda rank: (-(trials[rank].max_devices or 0), rank))
    chosen = sorted(ranked[: len(_COLOURS)])
    return {trials[rank].trial_id: colour for rank, colour in zip(chosen, _COLOURS, strict=False)}


def _draw_metric(panel: Axes, run: Run, colours: dict[int, str]) -> None:
    by_trial: dict[int, list[Report]] = defaultdict(list)
    for report in run.reports:
        if math.isfinite(report.value):
            by_trial[report.trial_id].append(report)
    # The curves of a colour are one line with gaps: thousands of lines would take tens of seconds.
    curves: dict[str, list[list[Report]]] = defaultdict(list)
    for trial_id, reports in by_trial.items():
        curves[colours.get(trial_id, GREY)].append(reports)
    for colour, of_colour in curves.items():
        layer = 2 if colour == GREY else 3
        launches = [
            [list(of_launch) for _, of_launch in groupby(reports, key=lambda report: report.launch)]
            for reports in of_colour
        ]
        # Between two launches the trial did not train.
        gaps = [[earlier[-1], later[0]] for of_trial in launches for earlier, later in pairwise(of_trial)]
        for stretches, style in ((list(chain.from_iterable(launches)), "-"), (gaps, ":")):
            panel.plot(*_broken(stretches), style, color=colour, linewidth=2.0, zorder=layer, solid_capstyle="round")
        ends = [reports[-1] for reports in of_colour]
        x, y = [report.time_s for report in ends], [report.value for report in ends]
        panel.plot(x, y, "o", color=colour, markersize=4.5, zorder=layer)
    for trial_id, colour in colours.items():
        if trial_id in by_trial:
            _label(panel, str(trial_id), by_trial[trial_id][-1], colour)
    best = run.incumbent
    if best is not None:
        panel.plot(best.time_s, best.value, "*", markersize=16, color=_INK, markeredgecolor="white", zorder=5)
    panel.set_ylabel(picture_text(run.metric), color=FAINT)
    panel.set_ylim(*_value_limits([report.value for reports in by_trial.values() for report in reports]))


def _broken(stretches: Iterable[Sequence[Report]]) -> tuple[list[float], list[float]]:
    """Times and values of several stretches as one line, which is broken between them."""
    x: list[float] = []
    y: list[float] = []
    for stretch in stretches:
        x += [*(report.time_s for report in stretch), math.nan]
        y += [*(report.value for report in stretch), math.nan]
    return x, y


def _label(panel: Axes, text: str, report: Report, colour: str) -> None:
    from matplotlib.patheffects import withStroke

    panel.annotate(
        text,
        (report.time_s, report.value),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontsize=9,
        weight="bold",
        path_effects=[withStroke(linewidth=3, foreground="white")],
        zorder=6,
    )


def _value_limits(values: Sequence[float]) -> tuple[float, float]:
    """All values with a margin, but no room for outliers many times beyond the bulk of them."""
    ordered = sorted(values) or [0.0]  # none is finite
    low, high = ordered[0], ordered[-1]
    first, third = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 6 * (third - first) or (high - low) or 1.0
    low, high = max(low, first - reach), min(high, third + reach)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _mark_times(panel: Axes, run: Run, end_s: float, labels: bool) -> None:
    closed_s, deadline_s = run.admission_closed_s, run.deadline_s
    if closed_s is not None:
        panel.axvspan(closed_s, deadline_s or end_s, color=_CLOSED, zorder=0)
        panel.axvline(closed_s, color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    if deadline_s is not None:
        panel.axvline(deadline_s, color="#C0392B", linewidth=1.6, zorder=4)
    if not labels:
        return
    for moment_s, label, colour in ((closed_s, "admission closes", FAINT), (deadline_s, "deadline", "#C0392B")):
        if moment_s is not None:
            panel.annotate(
                label,
                (moment_s, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center" if moment_s < 0.95 * end_s else "right",
                color=colour,
                fontsize=10,
            )


def _dress(panel: Axes) -> None:
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color(GREY)
    panel.tick_params(colors=FAINT, labelsize=9)
    panel.grid(axis="y", color="#E6E8EB", linewidth=0.7)
    panel.set_axisbelow(True)
