"""What the commands ``tune`` and ``demo`` share: a tuning is announced, run and summarised, or written as a script."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from syne_hypersched._console import outliving_the_reader

MOST_REPLAYED = 20_000
"""Reports up to which a tuning ends with a replay, which takes seconds then."""

if TYPE_CHECKING:
    from syne_hypersched.tuning import TuneJob

EXIT_NO_RESULT = 1
"""Exit code of a tuning that has found nothing."""


def tune_and_report(job: TuneJob, resume: str | None = None) -> int:
    """Runs a tuning, and ends with a table, a picture and the path of ``best/``.

    The tuning goes on if nobody reads the output any more.

    Returns
    -------
    int
        Exit code: 0; 1 if too many trials have failed, or none has reported a finite metric.
    """
    with outliving_the_reader():
        return _tune_and_report(job, resume)


def _tune_and_report(job: TuneJob, resume: str | None) -> int:
    from syne_hypersched.experiments import load_run
    from syne_hypersched.experiments.report import report_run
    from syne_hypersched.experiments.resume import is_over_and_told
    from syne_hypersched.tuning import make_tuner, run_job

    tuner = make_tuner(job, is_new=resume is None)
    if resume is not None and is_over_and_told(resume, tuner):
        return 0
    print(_announcement(job, tuner.trial_backend.devices.names, resume or tuner.name), flush=True)
    folder, failure = run_job(tuner, resume)
    print()
    try:
        run = load_run(folder)
    except ValueError as error:  # no report has the metric, or none the resource
        print(f"hypersched: {failure or error}", file=sys.stderr)
        return _say_no_result(job, folder)
    print(report_run(folder))
    for line in _replay_briefly(folder):
        print(line)
    name = shlex.quote(folder.name)
    print(f"more: hypersched explain {name}, hypersched replay {name}", flush=True)
    if failure:
        print(f"hypersched: the tuning has ended early: {failure}", file=sys.stderr)
        return EXIT_NO_RESULT
    if run.incumbent is None:
        return _say_no_result(job, folder)
    return 0


def _say_no_result(job: TuneJob, folder: Path) -> int:
    print(
        f"hypersched: no trial has reported a finite {job.metric!r} at a level {job.time_attr!r}; what the script "
        f"has printed is in {folder}/0/std.out and std.err",
        file=sys.stderr,
    )
    return EXIT_NO_RESULT


def _replay_briefly(folder: Path) -> list[str]:
    """One line that says what half of the devices and another first rung would have brought, if that takes no time."""
    from syne_hypersched.experiments import load_run
    from syne_hypersched.replay import brief_scenarios, describe_briefly, replay_scenarios, run_curves

    try:
        run = load_run(folder)
        if len(run.reports) > MOST_REPLAYED:
            return []
        known = run_curves(run)
        line = describe_briefly(known, replay_scenarios(known, brief_scenarios(known)))
    except ValueError:  # nothing can be searched again
        return []
    return [line] if line else []


def write_script(job: TuneJob, path: Path) -> int:
    """Writes the tuning as a Python script, and says how it is run.

    Raises
    ------
    ValueError
        There is such a file, or no such folder.
    """
    from syne_hypersched.tuning import script_of

    if path.exists():
        raise ValueError(f"--write-script must be a new file, but {str(path)!r} exists")
    if not path.resolve().parent.is_dir():
        raise ValueError(f"--write-script must be in an existing folder, but {str(path.parent)!r} does not exist")
    path.write_text(script_of(job, path), encoding="utf-8")
    print(f"wrote {path}, which tunes as this command would. Run it: python {shlex.quote(str(path))}")
    return 0


def _announcement(job: TuneJob, devices: tuple[str, ...], name: str) -> str:
    width = max(len(entry.name) for entry in job.space)
    listed = ", ".join(devices) if len(devices) <= 4 else f"{devices[0]} to {devices[-1]}"
    aim = "minimise" if job.do_minimize else "maximise"
    return "\n".join(
        [
            f"experiment {name}: {aim} {job.metric} of {job.script.name}",
            *(f"  {entry.name:{width}}  {entry}" for entry in job.space),
            (
                f"{len(devices)} device{'s' if len(devices) > 1 else ''} ({listed}), {job.scheduler}, up to "
                f"{job.time_attr} {job.max_t:g}, {job.deadline_s:g} s"
            ),
            f"Ctrl-C ends it; hypersched resume {shlex.quote(name)} continues it",
        ]
    )
