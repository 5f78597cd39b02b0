"""The command ``replay``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from syne_hypersched import checks
from syne_hypersched._console import cannot
from syne_hypersched._tables import write_csv
from syne_hypersched._terminal_text import shown_lines
from syne_hypersched._wording import counted

MANY_REPORTS = 500_000
"""Number of simulated reports from which on a replay warns that it takes minutes."""

if TYPE_CHECKING:
    from syne_hypersched.experiments import Run
    from syne_hypersched.replay import RunCurves

EPILOGUE = """\
Examples:
  hypersched replay NAME
  hypersched replay NAME --schedulers asha,pasha --grace-periods 1,3,9
  hypersched replay NAME --devices 4,16 --deadlines 30m,4h
  hypersched replay NAME --table curves.csv    # for hypersched compare

Exit codes: 0, or 2 if the run cannot be read or an argument is invalid.
"""


def replay(
    run: str,
    /,
    *,
    schedulers: str | None = None,
    grace_periods: str | None = None,
    devices: str | None = None,
    deadlines: str | None = None,
    num_devices: int | None = None,
    table: Annotated[Path | None, Parameter(show_default=False)] = None,
    time_attr: str | None = None,
) -> int:
    """Repeat the search on a run's own learning curves in virtual time, with other settings.

    Shows whether the same trial would have won with other schedulers, first
    rungs, numbers of devices and deadlines. It also shows what cannot be known:
    the curve of a paused trial is unknown after the pause.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    schedulers
        One or more of hypersched, hypersched-published, asha, asha-promotion, pasha, to-the-end (default: all).
    grace_periods
        Levels of the first rung (default: 1, 2, 4, ...).
    devices
        Numbers of devices (default: half and twice as many).
    deadlines
        Deadlines, such as 30m,4h (default: half and twice the time).
    num_devices
        Number of devices of the run, if its files do not tell it.
    table
        Also write the run's learning curves to this CSV file, in the format of hypersched compare.
    time_attr
        Name of the resource level in the results (default: that of the scheduler).
    """
    from syne_hypersched.experiments import load_run
    from syne_hypersched.replay import default_scenarios, describe_replay, replay_scenarios, run_curves
    from syne_hypersched.tuning import parse_duration

    try:
        if table is not None:
            checks.output_file_in_place("table", table)
        loaded = load_run(run, time_attr)
        known = run_curves(loaded, _positive("--num-devices", num_devices))
        scenarios = default_scenarios(
            known,
            _split(schedulers),
            _numbers("--grace-periods", grace_periods, float),
            _numbers("--devices", devices, int),
            None if deadlines is None else [parse_duration(each, "--deadlines") for each in _split(deadlines) or []],
        )
        if len(loaded.reports) * len(scenarios) > MANY_REPORTS:
            print(
                f"searching {len(loaded.reports)} reports again {counted(len(scenarios), 'time')} takes minutes; "
                "fewer scenarios take less: --schedulers asha --grace-periods 1 --devices 4 --deadlines 1h",
                file=sys.stderr,
            )
        print(shown_lines(describe_replay(known, replay_scenarios(known, scenarios))))
        if table is not None:
            _write_table(table, loaded, known)
            print(f"learning curves: {table}")
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError) as error:
        print(cannot("replay", run, error, path="RUN", grace_period="--grace-periods"), file=sys.stderr)
        return 2
    return 0


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]


def _numbers(option: str, text: str | None, kind: type[Any]) -> list[Any] | None:
    items = _split(text)
    if items is None:
        return None
    try:
        numbers = [kind(item) for item in items]
    except ValueError:
        numbers = []
    if not numbers or not all(math.isfinite(number) and number > 0 for number in numbers):
        what = "numbers above 0" if kind is float else "integers of at least 1"
        raise ValueError(f"{option} must be {what}, separated by commas, but got {text!r}")
    return numbers


def _positive(option: str, number: int | None) -> int | None:
    if number is not None and number < 1:
        raise ValueError(f"{option} must be at least 1, but got {number!r}")
    return number


def _write_table(path: Path, run: Run, known: RunCurves) -> None:
    """Writes the known curves with their configurations: a line for each trial and level."""
    import pandas as pd

    configs = run.configs or {}
    varying = {
        name
        for config in configs.values()
        for name, value in config.items()
        if any(other.get(name) != value for other in configs.values())
    }
    lines: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for curve in known.curves:
        config = {name: value for name, value in configs.get(curve.trial_id, {}).items() if name in varying}
        key = tuple(sorted((name, str(value)) for name, value in config.items()))
        if key in seen:
            continue  # if a configuration was tried twice, the table has only one of its curves
        seen.add(key)
        elapsed_s = 0.0
        for level, value, seconds in zip(curve.levels, curve.values, curve.seconds, strict=True):
            elapsed_s += seconds
            lines.append({**config, known.time_attr: level, known.metric: value, "elapsed_s": elapsed_s})
    write_csv(pd.DataFrame(lines), path)
