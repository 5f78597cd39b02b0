"""The check of a script as one function, its result, and the code behind the command."""

from __future__ import annotations

import json
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from syne_hypersched import checks
from syne_hypersched._console import error_text
from syne_hypersched._terminal_text import shown, shown_lines
from syne_hypersched.backends.local import Processes, program
from syne_hypersched.backends.machine.discovery import DeviceType, find_devices
from syne_hypersched.check._judge import judge
from syne_hypersched.check._live import CHECKPOINT_PLACEHOLDER, Stage
from syne_hypersched.check._rows import CheckRow
from syne_hypersched.check._stages import Plan, clean

EXIT_FAIL = 1
"""Exit code of the command if a property has failed."""

EXIT_USAGE = 2
"""Exit code of the command if its arguments are invalid."""

EXIT_INTERRUPTED = 130
"""Exit code of the command after Ctrl-C."""

_WIDTH = 110


@dataclass(frozen=True)
class CheckResult:
    """The result of :func:`check_script`.

    .. code-block:: python

        result = check_script("train.py", ["--epochs", "5"], num_devices=2)
        print(result)
        assert result.passed

    Attributes
    ----------
    script
        The script.
    metric
        Name of the metric in the reports; empty: none was found.
    resource
        Name of the resource in the reports; empty: none was found.
    num_devices
        Number of devices of the launches on several devices.
    seconds
        Duration of the check.
    rows
        The results, one for each property.
    folder
        Folder with all logs and checkpoints; None: it was removed.
    """

    script: str
    metric: str
    resource: str
    num_devices: int
    seconds: float
    rows: tuple[CheckRow, ...]
    folder: str | None

    @property
    def passed(self) -> bool:
        """Whether no property has failed. Some properties may be unknown."""
        return not self.failures

    @property
    def failures(self) -> tuple[CheckRow, ...]:
        """The properties that have failed."""
        return tuple(row for row in self.rows if row.status == "FAIL")

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON types."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            lines.append(f"{row.status:7}  {row.name:{width}}  {shown(row.found)}")
            if row.advice:
                indent = " " * (width + 11)
                lines += textwrap.wrap(  # a path is not broken, so that it can be copied
                    row.advice, _WIDTH, initial_indent=f"{indent}> ", subsequent_indent=indent + "  ",
                    break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
            lines += [f"         | {shown(line)[: 2 * _WIDTH]}" for line in row.log]
        counts = {status: sum(row.status == status for row in self.rows) for status in ("PASS", "FAIL", "UNKNOWN")}
        summary = ", ".join(f"{number} {status}" for status, number in counts.items())
        lines.append(f"{summary}; {self.seconds:.0f} s")
        if self.folder is not None:
            lines.append(f"logs and checkpoints: {self.folder}")
        return "\n".join(lines)


def check_script(
    script: str | Path,
    options: Sequence[str] = (),
    *,
    num_devices: int = 2,
    device_type: DeviceType = "auto",
    processes: Processes = "per_device",
    binary: str | Sequence[str] | None = None,
    metric: str | None = None,
    resource: str | None = None,
    grace_s: float = 5.0,
    num_reports: int = 4,
    tolerance: float = 0.05,
    timeout_s: float = 300.0,
    share_devices: bool | None = None,
    keep: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> CheckResult:
    """Checks whether a training script can be paused, resized and killed without losing work.

    The script is launched about six times, each time for a few epochs, in the same way as
    :class:`~syne_hypersched.ElasticLocalBackend` launches it. One launch is undisturbed. One is ended by SIGTERM in the
    middle of an epoch, and continued on ``num_devices`` devices. One is killed during a save, and continued. Choose
    options with which an epoch takes seconds.

    Parameters
    ----------
    script
        Training script or program.
    options
        Its options. ``--st_checkpoint_dir FOLDER`` is added, unless an option contains ``{st_checkpoint_dir}``.
    num_devices
        Number of devices for the launch on several devices. If there are fewer GPUs, these launches are skipped.
    device_type
        ``"gpu"``, ``"cpu"``, or ``"auto"``: GPUs if any is visible, otherwise CPU slots.
    processes
        ``"per_device"``: a launch has one process for each of its devices, with the environment of
        ``torch.distributed``. ``"single"``: one process that sees all devices.
    binary
        Program (and arguments, as a list or as one string) that runs ``script``. By default, this interpreter runs
        Python scripts, and any other file is executed directly.
    grace_s
        Seconds from SIGTERM, which asks the script to checkpoint and exit, to SIGKILL.
    share_devices
        Whether other experiments on this machine may use the same devices. By default, GPUs are not shared.
    metric, resource
        Names in the reports; by default they are found by their names and values.
    num_reports
        Number of reports after which a launch is ended. At least 2; all properties can be judged with 4 or more.
    tolerance
        How far the learning curve of a relaunched trial may be from an undisturbed one, as a share of the range of the
        undisturbed curve. A deterministic script must be five times as close. On another number of devices, the curve
        may be three times as far away.
    timeout_s
        Seconds that a launch may take until its next report.
    keep
        Folder for logs and checkpoints. By default a temporary folder, which is removed if nothing has failed.
    tell
        Called before each launch with a description of the next step.

    Raises
    ------
    TypeError, ValueError
        An argument is invalid.
    RuntimeError
        The devices are in use, or the kernel watches no more folders for this user.
    """
    script = checks.path("script", script, "an existing file")
    if not script.is_file():
        raise ValueError(f"script must be an existing file, but got {str(script)!r}")
    checks.one_of("processes", processes, get_args(Processes))
    checks.one_of("device_type", device_type, get_args(DeviceType))
    checks.positive_integer("num_devices", num_devices)
    checks.integer("num_reports", num_reports, at_least=2)
    grace_s = checks.positive_seconds("grace_s", grace_s)
    timeout_s = checks.positive_seconds("timeout_s", timeout_s)
    tolerance = checks.number("tolerance", tolerance, "a positive number", above=0.0)
    options = [*options] if any(CHECKPOINT_PLACEHOLDER in option for option in options) else [
        *options, "--st_checkpoint_dir", CHECKPOINT_PLACEHOLDER,
    ]  # fmt: skip
    devices = find_devices(device_type=device_type)
    if not devices.are_gpus or len(devices.names) >= num_devices:
        devices = find_devices(num_devices, device_type=device_type)
    folder = Path(tempfile.mkdtemp(prefix="hypersched-check-")) if keep is None else Path(keep)
    if keep is not None:
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"keep must be a new or empty folder, but got {str(folder)!r}")
        folder.mkdir(parents=True, exist_ok=True)
    is_warm = binary is None and script.suffix == ".py"
    began = time.monotonic()
    path = str(script.resolve())
    stage = Stage(
        (path, *options), () if is_warm else program(binary, script), devices, processes, grace_s, folder.resolve(),
        share_devices,
    )  # fmt: skip
    try:
        seen = Plan(stage, num_reports, grace_s, timeout_s, tell or (lambda what: None)).run()
    except BaseException:
        stage.close()
        if keep is None:
            clean(folder)
        raise
    stage.close()
    names, rows = judge(seen, resource, metric, grace_s, tolerance)
    is_kept = keep is not None or any(row.status == "FAIL" for row in rows)
    if not is_kept:
        clean(folder)
    return CheckResult(
        str(script), names.metric, names.resource, stage.num_devices, time.monotonic() - began, tuple(rows),
        str(folder) if is_kept else None,
    )  # fmt: skip


def check_and_print(script: str, options: Sequence[str], as_json: bool, **choices: Any) -> int:
    """Checks a script and prints the result; returns the exit code of the command.

    Parameters
    ----------
    script, options
        Training script, and its options.
    as_json
        Whether to print JSON and not a table.
    choices
        Further arguments of :func:`check_script`.
    """

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            print(f"{Path(script).name}: {what}...", file=sys.stderr)

    try:
        result = check_script(script, options, tell=tell, **choices)
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        print(f"hypersched check: {error_text(error, script='the script')}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(json.dumps(result.to_json(), indent=2) if as_json else shown_lines(str(result)))
    return 0 if result.passed else EXIT_FAIL
