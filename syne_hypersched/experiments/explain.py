"""Explains the decisions of a run from its files: of the whole run, or of one trial."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from syne_hypersched import checks
from syne_hypersched._console import cannot
from syne_hypersched._terminal_text import shown, shown_lines
from syne_hypersched._wording import configuration_text, counted, metric_text, short
from syne_hypersched.experiments._nodes import by_node, count_devices
from syne_hypersched.experiments._run import Report, Run, load_run
from syne_hypersched.experiments._trials import TrialSummary, trial_table
from syne_hypersched.records.events import Event, describe_decision

#: Events of a trial that are told, and how. The others concern files and first reports.
_TOLD = {
    "start": "is started",
    "resume": "is resumed",
    "retry": "is launched again after a failure",
    "redo": "repeats work",
    "refuse": "is not resized: it has failed on this number of devices",
    "wait": "waits for room for its checkpoints",
    "restore": "goes back to an older checkpoint",
    "unpublished": "has a better report without a whole checkpoint, so that best/ stays as it is",
    "fail": "has failed",
    "complete": "has ended by itself",
}
_VERDICTS = {"PAUSE": "paused", "STOP": "stopped"}
_QUIET_DETAILS = ("timestamp", "num_devices", "result", "from", "exit_codes", "checkpoint")


def explain_run(run: Run, num_decisions: int = 20) -> str:
    """The decisions of a run with their reasons, the last ones first read.

    Parameters
    ----------
    run
        The experiment, finished or running.
    num_decisions
        Most decisions, at least 1.

    Raises
    ------
    TypeError, ValueError
        ``num_decisions`` is not an integer, or is below 1.
    """
    num_decisions = checks.positive_integer("num_decisions", num_decisions)
    told = _decisions(run)
    trials = trial_table(run)
    statuses: dict[str, int] = defaultdict(int)
    for trial in trials:
        statuses[trial.status] += 1
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    lines = [f"{counted(len(trials), 'trial')}: {counts}" if trials else "no trial has started yet", _admission(run)]
    failures = [event for event in run.events if event.event in ("retry", "fail")]
    if failures:
        whose = sorted({event.trial_id for event in failures if event.trial_id is not None})
        lines.append(f"failed launches: {len(failures)}, of trial{'s' * (len(whose) != 1)} {_listed(whose)}")
    lines.append("")
    if len(told) > num_decisions:
        lines.append(f"... {counted(len(told) - num_decisions, 'decision')} before")
    lines += [f"{time_s:9.1f} s  {text}" for time_s, text in told[-num_decisions:]]
    if not told:
        lines.append("nothing was decided" if run.is_over else "nothing has been decided yet")
    if not run.decisions and told:
        lines.append("This scheduler records no reasons: ranks are computed from the reports.")
    return "\n".join(lines)


def explain_trial(run: Run, trial_id: int) -> str:
    """The history of one trial: its launches, the decisions about it with their reasons, and its failures.

    Parameters
    ----------
    run
        The experiment, finished or running.
    trial_id
        The trial.

    Raises
    ------
    ValueError
        There is no such trial; the message lists the trials.
    """
    trials = {trial.trial_id: trial for trial in trial_table(run)}
    if trial_id not in trials:
        known = f"from 0 to {max(trials)}" if trials else "which has none yet"
        raise ValueError(f"--trial must be a trial of the run, {known}, but got {trial_id!r}")
    story = [*_launches(run, trial_id), *_decisions(run, trial_id)]
    story += [(event.time_s, _telling(event)) for event in run.events if _is_told(event, trial_id)]
    story.sort(key=lambda entry: entry[0])
    ranked = [trial.trial_id for trial in trials.values() if trial.best is not None]
    rank = ranked.index(trial_id) + 1 if trial_id in ranked else None
    return "\n".join(
        [
            _summary(run, trials[trial_id], rank, len(ranked)),
            "",
            *(f"{time_s:9.1f} s  {text}" for time_s, text in story),
        ]
    )


def print_explanation(path: Path | str, trial_id: int | None, num_decisions: int, time_attr: str | None) -> int:
    """Prints :func:`explain_run` or :func:`explain_trial`, or on the standard error why it cannot.

    Parameters
    ----------
    path, time_attr
        As in :func:`load_run`.
    trial_id
        The trial; None for the whole run.
    num_decisions
        As in :func:`explain_run`.

    Returns
    -------
    int
        Exit code: 0, or 2 if the run cannot be read or has no such trial.
    """
    try:
        run = load_run(path, time_attr)
        text = explain_run(run, num_decisions) if trial_id is None else explain_trial(run, trial_id)
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError) as error:
        print(cannot("explain", path, error, path="RUN"), file=sys.stderr)
        return 2
    print(shown_lines(text))
    return 0


def _summary(run: Run, trial: TrialSummary, rank: int | None, num_ranked: int) -> str:
    """The trial's row of the table, with its rank among trials with a finite value."""
    found = (
        "it has reported no finite value"
        if trial.best is None
        else f"best {shown(run.metric)} {metric_text(trial.best)}"
    )
    place = "" if rank is None else f", rank {rank} of {num_ranked} by its best value"
    lines = [
        f"trial {trial.trial_id}: {trial.status}, {found}, {shown(run.time_attr)} {trial.resource:g}{place}",
        "configuration: " + (configuration_text(trial.config) or "unknown"),
    ]
    if trial.num_launches:
        cost = "" if trial.launch_cost_s is None else f", which cost {trial.launch_cost_s:.1f} s"
        lines.append(
            f"{counted(trial.num_launches, 'launch', 'launches')}{cost}; at most "
            f"{counted(trial.max_devices or 0, 'device')} at a time"
        )
    return "\n".join(lines)


def _admission(run: Run) -> str:
    closings = [event for event in run.decisions if event.details.get("what") == "close"]
    if closings:
        return f"admission closed at {closings[-1].time_s:.1f} s: {closings[-1].reason}"
    if run.admission_closed_s is not None:
        return f"admission closed at {run.admission_closed_s:.1f} s"
    if not run.reports:
        return "no trial has reported, so that nothing was compared"
    says = any(report.admission_open is not None for report in run.reports)
    return (
        "admission was open until the end of the recorded events"
        if says
        else "this scheduler has no admission to close"
    )


def _decisions(run: Run, trial_id: int | None = None) -> list[tuple[float, str]]:
    """Times and texts of decisions, with the scheduler's reasons, else with data from the reports."""
    told = [
        (event.time_s, describe_decision(event))
        for event in run.decisions
        if trial_id is None or (event.trial_id == trial_id and event.details.get("what") != "close")
    ]
    if run.decisions:
        return told
    values: dict[float, list[float]] = defaultdict(list)
    for report in run.reports:
        at_level = values[report.resource]
        at_level.append(report.value if run.do_minimize else -report.value)
        if report.decision in _VERDICTS and trial_id in (None, report.trial_id):
            told.append((report.time_s, _verdict(run, report, at_level)))
    return told


def _verdict(run: Run, report: Report, at_level: list[float]) -> str:
    own, value = at_level[-1], metric_text(report.value)
    rank = sum(other < own for other in at_level) + 1
    return (
        f"{report.decision.lower()} trial {report.trial_id}: {shown(run.metric)} {value} was rank {rank} of "
        f"{counted(len(at_level), 'value')} at {shown(run.time_attr)} {report.resource:g} until then"
    )


def _launches(run: Run, trial_id: int) -> list[tuple[float, str]]:
    told = []
    for event in run.events:
        if event.trial_id != trial_id:
            continue
        if event.event == "launch":
            told.append((event.time_s, f"launch {event.launch} on {_devices(event.devices)}"))
        elif event.event == "exit":
            how, code = event.details.get("how", "ended"), event.details.get("exit_code")
            failed = f", exit code {code}" if how == "failed" and code is not None else ""
            told.append((event.time_s, f"launch {event.launch} {shown(how)}{failed}{_because(event)}"))
        elif event.event == "resize":
            before, after = event.details.get("from"), event.details.get("to")
            told.append((event.time_s, f"is to go on with {after} instead of {before} devices"))
    return told


def _is_told(event: Event, trial_id: int) -> bool:
    return event.trial_id == trial_id and event.event in _TOLD


def _telling(event: Event) -> str:
    if event.event == "redo":
        return _repetition(event)
    details = ", ".join(
        f"{shown(name)} {short(value)}"
        for name, value in event.details.items()
        if name not in _QUIET_DETAILS and isinstance(value, (int, float, str))
    )
    return f"{_TOLD[event.event]}{_because(event)}{f' ({details})' if details else ''}"


def _repetition(event: Event) -> str:
    """What a relaunch does that begins at a level that was reached before."""
    level, before = event.details.get("level"), event.details.get("before")
    if not isinstance(level, (int, float)) or not isinstance(before, (int, float)):
        return _TOLD["redo"]
    if level == before:
        return f"reports level {level:g} again, which may be what its checkpoint holds"
    return f"{_TOLD['redo']}: its first report has level {level:g}, and {before:g} was reached before"


def _because(event: Event) -> str:
    if event.event == "fail" and not event.reason and event.details.get("exit_code") == 0:
        return ": it has ended by itself without a report"
    return f": {shown(event.reason)}" if event.reason else ""


def _devices(devices: tuple[str, ...]) -> str:
    if len(devices) <= 4:
        return shown(", ".join(devices))
    nodes = by_node(devices)
    if len(nodes) > 1:
        return f"{count_devices(devices)}: " + ", ".join(
            f"{shown(node)} ×{len(names)}" for node, names in nodes.items()
        )
    return f"{len(devices)} devices, {shown(devices[0])} to {shown(devices[-1])}"


def _listed(items: list[int], most: int = 10) -> str:
    shown = ", ".join(map(str, items[:most]))
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
