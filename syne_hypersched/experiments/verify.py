"""Checks a run from the command line: ``python -m syne_hypersched.experiments.verify NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from syne_hypersched._console import cannot, run_command
from syne_hypersched._terminal_text import shown_lines
from syne_hypersched._wording import counted
from syne_hypersched.experiments._invariants import RULES, Violation, check_run
from syne_hypersched.experiments._node_table import summarise_nodes
from syne_hypersched.experiments._nodes import count_devices
from syne_hypersched.experiments._run import Run, load_run
from syne_hypersched.experiments._timeline import holdings

#: Most nodes that are named because they have come or gone, and most changes of each: the last ones.
_MOST_NODES, _MOST_CHANGES = 12, 4
#: Most trials that are named because they still hold devices.
_MOST_TRIALS = 20
#: Largest number of violations of a rule that are printed; the others are counted.
_MOST_MESSAGES = 10

_ADVICE = {
    "missing": "A script that is ended between a checkpoint and its report loses the report. Let it report again what "
    "it has loaded (docs/checkpoints.md). If its levels are not evenly spaced, leave out --step."
}
"""What to do if a rule is broken."""


def verdict(run: Run, violations: Sequence[Violation]) -> str:
    """The outcome of :func:`check_run` in words, a line for each rule.

    Parameters
    ----------
    run
        The run that was checked.
    violations
        What was found.
    """
    held = holdings(run.events)
    num_resizes = sum(holding.reason == "resize" for holding in held)
    num_resizes += sum(event.event in ("joined", "left") for event in run.events)
    num_launches = len({(holding.trial_id, holding.launch) for holding in held})
    num_trials = len({holding.trial_id for holding in held})
    counts = ", ".join(
        (
            counted(num_trials, "trial"),
            counted(num_launches, "launch", "launches"),
            counted(num_resizes, "resize"),
            counted(len(run.reports), "report"),
        )
    )
    lines = [f"{run.path}: {count_devices(run.devices)}, {counts}"]
    for rule, meaning in RULES.items():
        broken = [violation.message for violation in violations if violation.rule == rule]
        lines.append(f"  {'FAIL' if broken else 'ok  '}  {meaning}")
        lines.extend(f"          {message}" for message in broken[:_MOST_MESSAGES])
        if len(broken) > _MOST_MESSAGES:
            lines.append(f"          ... and {len(broken) - _MOST_MESSAGES} more")
        if broken and rule in _ADVICE:
            lines.append(f"          > {_ADVICE[rule]}")
    closing = next((event for event in run.decisions if event.details.get("what") == "close"), None)
    if closing is not None:
        lines.append(f"  note  admission was closed at {closing.time_s:.3f} s: {closing.reason}")
    changed = [node for node in summarise_nodes(run) if node.changes]
    for node in changed[:_MOST_NODES]:
        earlier = "..., " if len(node.changes) > _MOST_CHANGES else ""
        lines.append(f"  note  node {node.name}: {earlier}{'; '.join(node.changes[-_MOST_CHANGES:])}")
    if len(changed) > _MOST_NODES:
        lines.append(f"  note  and changes of {counted(len(changed) - _MOST_NODES, 'more node')}")
    live = [str(holding.trial_id) for holding in held if holding.end_s is None]
    if live:
        more = f" and {len(live) - _MOST_TRIALS} more" if len(live) > _MOST_TRIALS else ""
        state = "the tuner was killed" if run.is_killed else "the run goes on or was cut off"
        names, whose = ", ".join(live[:_MOST_TRIALS]), "trial" if len(live) == 1 else "trials"
        lines.append(f"  note  devices are still held by {whose} {names}{more}: {state}")
    elif held and run.deadline_s is not None:
        late_s = max(holding.end_s or 0.0 for holding in held) - run.deadline_s
        lines.append(
            f"  note  the last process was gone {abs(late_s):.3f} s {'after' if late_s > 0 else 'before'} the deadline"
        )
    lines += [f"  note  {note}" for note in (*run.problems, *run.notes)]
    holds = "all rules hold in what could be read" if run.problems else "all rules hold"
    lines.append(counted(len(violations), "violation") if violations else holds)
    return "\n".join(lines)


def print_verdict(path: Path | str, time_attr: str | None = None, step: float | None = None) -> int:
    """Checks a run and prints the verdict, or on the standard error why the run cannot be read.

    Parameters
    ----------
    path
        The experiment's folder or name.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own.
    step
        Distance of the levels that the script reports; None: they may lie anywhere.

    Returns
    -------
    int
        Exit code: 0 if all rules hold, 1 if one is broken, 2 if the run, or a part of it, cannot be read.
    """
    try:
        run = load_run(path, time_attr)
        violations = check_run(run, step)
    except (OSError, ValueError) as error:
        print(cannot("check", path, error, path="RUN"), file=sys.stderr)
        return 2
    print(shown_lines(verdict(run, violations)))
    if violations:
        return 1
    return 2 if run.problems else 0


def _step(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks the run named on the command line.

    Returns
    -------
    int
        0 if all rules hold, 1 if one is broken, 2 if the run, or a part of it, cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m syne_hypersched.experiments.verify", description=__doc__)
    parser.add_argument("path", help="name or folder of the experiment")
    parser.add_argument("--time-attr", help="name of the resource level, by default the scheduler's")
    parser.add_argument(
        "--step", type=_step, help="distance of the levels that the script reports, or none: they may lie anywhere"
    )
    options = parser.parse_args(arguments)
    return print_verdict(options.path, options.time_attr, options.step)


if __name__ == "__main__":
    sys.exit(run_command(main))
