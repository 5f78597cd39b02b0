"""The command ``check``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

EPILOGUE = """\
Examples:
  hypersched check train.py --epochs 5 --lr 0.1
  hypersched check train.py --json -- --metric accuracy
  hypersched check train.py --output_dir {st_checkpoint_dir} --epochs 5

Options after the script that are not listed here are passed to the script. So
is everything after a --. Choose options with which an epoch takes seconds.

Exit codes: 0 if no property has failed; 1 if one has failed; 2 if an argument
is invalid, or the devices are in use.
"""

#: Minimum similarity (0 to 1) at which an option of the script counts as a misspelt option of the command.
_NEARLY = 0.87


def check(
    script: str,
    /,
    *options: Annotated[str, Parameter(allow_leading_hyphen=True)],
    num_devices: int = 2,
    device_type: Literal["auto", "cpu", "gpu"] = "auto",
    processes: Literal["per_device", "single"] = "per_device",
    binary: str | None = None,
    metric: str | None = None,
    resource: str | None = None,
    grace_s: float = 5.0,
    num_reports: int = 4,
    tolerance: float = 0.05,
    timeout_s: float = 300.0,
    keep: Path | None = None,
    json: Annotated[bool, Parameter(show_default=False)] = False,
) -> int:
    """Check a training script before you spend GPU hours: end it at bad moments, and see whether work is lost.

    The script is launched about six times, each time for a few epochs.

    Parameters
    ----------
    script
        Training script.
    options
        Options of the script. --st_checkpoint_dir FOLDER is added.
    num_devices
        Number of devices for the relaunch on several devices.
    device_type
        GPUs, CPU slots, or (auto) GPUs if there are any.
    processes
        Whether each device has its own process, or one process uses all devices.
    binary
        Program that runs the script (default: this Python).
    metric
        Name of the metric in the reports (default: found by its name).
    resource
        Name of the entry that counts the epochs (default: found by its values).
    grace_s
        Seconds from SIGTERM to SIGKILL.
    num_reports
        Number of reports after which a launch is ended.
    tolerance
        How far a learning curve may be from the undisturbed one, as a share of its range.
    timeout_s
        Seconds that a launch may take until its next report.
    keep
        New folder for logs and checkpoints (default: they are kept only if something fails).
    json
        Print JSON.
    """
    from syne_hypersched.check import check_and_print

    return check_and_print(
        script, options, as_json=json, num_devices=num_devices, device_type=device_type, processes=processes,
        binary=binary, metric=metric, resource=resource, grace_s=grace_s, num_reports=num_reports, tolerance=tolerance,
        timeout_s=timeout_s, keep=keep,
    )  # fmt: skip


def misspelt(tokens: Sequence[str], known: Collection[str]) -> str:
    """A message if an option of the script is probably a misspelt option of the command; otherwise empty.

    Parameters
    ----------
    tokens
        The arguments after ``hypersched check``.
    known
        The options of the command.

    Example
    -------
    >>> misspelt(["train.py", "--json", "--lr", "0.1"], ["--json", "--keep"])
    ''
    >>> misspelt(["train.py", "--jsons"], ["--json", "--keep"])[:49]
    'check has no option --jsons. Did you mean --json?'
    """
    before = tokens[: tokens.index("--")] if "--" in tokens else tokens
    for token in before:
        name = token.partition("=")[0]
        if not name.startswith("--") or name in known:
            continue
        dashed = "--" + name[2:].replace("_", "-")
        near = [dashed] if dashed in known else difflib.get_close_matches(dashed, known, n=1, cutoff=_NEARLY)
        if near:
            return (
                f"check has no option {name}. Did you mean {near[0]}? If it is an option of the script, write it after "
                f"a --: hypersched check SCRIPT -- {name} ..."
            )
    return ""
