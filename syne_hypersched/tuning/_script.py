"""Writes a tuning as a Python script that can be run unchanged."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syne_hypersched.tuning._job import TuneJob

_TEMPLATE = '''\
"""Tunes {script_name}. Written by `hypersched tune --write-script`; change it as you like."""

import sys
from pathlib import Path

{imports}

from syne_hypersched import {names}
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.tuning import run_and_report

SPACE = {{
{space}
}}


def main() -> int:
    backend = {backend_class}(
{backend}
    )
    scheduler = {scheduler}(
        SPACE,
{arguments}
    )
    tuner = Tuner(
        backend,
        scheduler,
        Deadline({deadline_s!r}, trial_backend=backend),
        n_workers=backend.num_devices,
{tuner}
        callbacks=[Journal(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    return run_and_report(tuner)  # ends early if the script reports other names, or if too many trials fail


if __name__ == "__main__":
    sys.exit(main())
'''


def script_of(job: TuneJob, path: Path) -> str:
    """The text of a Python script that does the same as ``hypersched tune``.

    Parameters
    ----------
    job
        The tuning.
    path
        Path of the new script. If the training script is in the same folder or below, both may be moved together.
    """
    scheduler, arguments = job.scheduler_call()
    functions = sorted({entry.function for entry in job.space if not entry.is_constant})
    imports = f"from syne_tune import Tuner\nfrom syne_tune.config_space import {', '.join(functions)}"
    backend_class, options = job.backend_call()
    backend = textwrap.indent(_block([_place(job.script, path), *_keywords(options)]), "    ")
    return _TEMPLATE.format(
        script_name=job.script.name,
        imports=imports,
        space=_block(f"{entry.name!r}: {entry.source()}" for entry in job.space),
        scheduler=scheduler,
        backend_class=backend_class,
        backend=backend,
        names=", ".join(sorted(["Deadline", backend_class, scheduler, "Journal"], key=str.lower)),
        arguments=textwrap.indent(_block(_keywords(arguments)), "    "),
        deadline_s=job.deadline_s,
        tuner=textwrap.indent(_block(_keywords(job.tuner_arguments())), "    "),
    )


def _place(script: Path, path: Path) -> str:
    """The training script as Python code: relative to the new script, if it lies in the same folder or below."""
    script, folder = script.resolve(), path.resolve().parent
    relative = os.path.relpath(script, folder)
    return repr(str(script)) if relative.startswith("..") else f"Path(__file__).parent / {relative!r}"


def _keywords(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in arguments.items()]


def _block(lines: Any) -> str:
    return "\n".join(f"    {line}," for line in lines)
