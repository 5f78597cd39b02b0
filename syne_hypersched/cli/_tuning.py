"""The common part of the commands ``tune`` and ``demo``: runs a tuning with messages, or writes it as a script."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from syne_hypersched import checks
from syne_hypersched._console import outliving_the_reader
from syne_hypersched._terminal_text import left, shown, shown_lines, width

if TYPE_CHECKING:
    from syne_hypersched.tuning import TuneJob


def tune_and_report(job: TuneJob, resume: str | None = None) -> int:
    """Runs a tuning, and ends with a table, a picture and the path of ``best/``.

    The tuning continues if the reader of its output is gone.

    Returns
    -------
    int
        Exit code: 0; 1 if too many trials have failed, or none has reported a finite metric.
    """
    with outliving_the_reader():
        return _tune_and_report(job, resume)


def _tune_and_report(job: TuneJob, resume: str | None) -> int:
    from syne_hypersched.experiments.resume import is_over_and_told
    from syne_hypersched.tuning import make_tuner, run_to_report, with_recorded_seed

    job = job if resume is None else with_recorded_seed(job, resume)
    tuner = make_tuner(job, is_new=resume is None)
    if resume is not None and is_over_and_told(resume, tuner):
        return 0
    print(shown_lines(_announcement(job, tuner.trial_backend.devices.names, resume or tuner.name)), flush=True)
    return run_to_report(tuner, resume)


def write_script(job: TuneJob, path: Path) -> int:
    """Writes the tuning as a Python script, and prints how to run it.

    Raises
    ------
    ValueError
        The file already exists, or its folder does not exist.
    """
    from syne_hypersched.tuning import script_of

    if path.exists():
        raise ValueError(f"--write-script must be a new file, but {str(path)!r} exists")
    checks.output_file_in_place("--write-script", path)
    path.write_text(script_of(job, path), encoding="utf-8")
    print(f"wrote {path}, which tunes as this command would. Run it: python {shlex.quote(str(path))}")
    return 0


def _announcement(job: TuneJob, devices: tuple[str, ...], name: str) -> str:
    columns = max(width(shown(entry.name)) for entry in job.space)
    listed = ", ".join(devices) if len(devices) <= 4 else f"{devices[0]} to {devices[-1]}"
    aim = "minimise" if job.do_minimize else "maximise"
    return "\n".join(
        [
            f"experiment {name}: {aim} {shown(job.metric)} of {shown(job.script.name)}",
            *(f"  {left(shown(entry.name), columns)}  {shown(entry)}" for entry in job.space),
            (
                f"{len(devices)} device{'s' if len(devices) > 1 else ''} ({listed}), {job.scheduler}, up to "
                f"{shown(job.time_attr)} {job.max_t:g}, {job.deadline_s:g} s"
            ),
            f"Ctrl-C ends it; hypersched resume {shlex.quote(name)} continues it",
        ]
    )
