"""The command ``demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from syne_hypersched import checks
from syne_hypersched._console import error_text

EPILOGUE = """\
Examples:
  hypersched demo
  hypersched demo --deadline 2m --devices cpu:4
  hypersched demo --copy train.py       # its training script, to change it
  hypersched demo --write-script launch.py

Exit codes: 0; 1 if no trial has reported; 2 if an argument is invalid; 130 if
interrupted.
"""


def demo(
    *,
    deadline: str = "30s",
    devices: str | None = None,
    seed: int | None = None,
    copy: Path | None = None,
    write_script: Path | None = None,
) -> int:
    """Tune a small neural network on handwritten digits, on the cores of this machine.

    Needs only the package: the script and the data are installed with it.

    Parameters
    ----------
    deadline
        Time until everything has ended.
    devices
        A number of CPU slots, such as cpu:4 (default: one for each core, at least two).
    seed
        Seed of all random choices.
    copy
        Write the training script to this file, and do not run it.
    write_script
        Write the tuning as a Python script to this file, and do not run it.
    """
    from syne_hypersched.cli._tuning import tune_and_report
    from syne_hypersched.cli._tuning import write_script as write
    from syne_hypersched.tuning import demo_job, demo_script, parse_duration

    try:
        if copy is not None:
            checks.output_file_in_place("copy", copy)
            if copy.exists():
                raise ValueError(f"--copy must be a new file, but {str(copy)!r} exists")
            shutil.copyfile(demo_script(), copy)
            print(f"wrote {copy}, the training script of the demo")
            return 0
        job = demo_job(parse_duration(deadline), devices, seed)
        return tune_and_report(job) if write_script is None else write(job, write_script)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"hypersched demo: error: {error_text(error, num_devices='--devices')}", file=sys.stderr)
        return 2
