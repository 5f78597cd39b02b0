"""The command ``pool``."""

from __future__ import annotations

EPILOGUE = """\
Examples:
  hypersched pool NAME                     show its devices
  hypersched pool NAME --devices 2         give back all but two
  hypersched pool NAME --devices 8         take them again
  hypersched pool NAME --names 0 --names 1 use these two

Exit codes: 0; 1 if the run does not answer, or refuses; 2 if the run does not
exist, or an argument is invalid.
"""


def pool(run: str, /, *, devices: int | None = None, names: list[str] | None = None, timeout: float = 60.0) -> int:
    """Give back devices of a running experiment, or let it use them again.

    Trials on the devices that are given back are asked to save and exit. They
    continue on other devices or wait. Returns when the devices are free.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    devices
        Number of devices that the experiment may use from now on; with 0, all trials wait.
    names
        Names of the devices that it may use, in place of their number.
    timeout
        Maximum number of seconds to wait.
    """
    import sys

    from syne_hypersched.experiments.pool import change_and_print

    if devices is not None and names is not None:
        print("hypersched: give --devices or --names, not both", file=sys.stderr)
        return 2
    if (devices is not None and devices < 0) or not timeout > 0:
        wrong = f"--timeout must be above 0, but got {timeout:g}"
        if devices is not None and devices < 0:
            wrong = f"--devices must be at least 0, but got {devices}"
        print(f"hypersched: {wrong}", file=sys.stderr)
        return 2
    return change_and_print(run, devices if names is None else names, timeout)
