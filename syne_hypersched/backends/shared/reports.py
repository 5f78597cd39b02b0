"""Turns a script's output into reports for the tuner: no report twice, and counters that continue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syne_tune.constants import ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP

from syne_hypersched._log_tail import LogTail as LogTail
from syne_hypersched._report_lines import REPORTED, TRIAL_ID, is_finite
from syne_hypersched._report_lines import RawReport as RawReport
from syne_hypersched.backends.shared.levels import Levels, RelaunchStart
from syne_hypersched.contract import (
    ST_DEVICE_TIME,
    ST_IN_PLACE,
    ST_LAUNCH,
    ST_NUM_DEVICES,
    ST_NUM_NODES,
    ST_RESIZE_PAUSE_S,
    ST_SIGNAL_TO_REPORT_S,
)

#: What the names of the columns begin with that have a trial's configuration, in Syne Tune's table of results.
CONFIG_PREFIX = "config_"
#: Entries of a report that a stream replaces.
_REWRITTEN = (
    ST_WORKER_TIME,
    ST_DEVICE_TIME,
    ST_WORKER_ITER,
    ST_NUM_DEVICES,
    ST_NUM_NODES,
    ST_LAUNCH,
    ST_SIGNAL_TO_REPORT_S,
    ST_RESIZE_PAUSE_S,
    ST_IN_PLACE,
)
#: Those of them that may be the resource level. Their values never repeat, because repeated training takes further
#: time.
TIMES = (ST_WORKER_TIME, ST_DEVICE_TIME)


@dataclass(frozen=True, slots=True)
class StreamedReport:
    """A report that was read from a log."""

    values: dict[str, Any]
    """The report for the tuner; unchanged if it repeats a level that was delivered before."""

    end: int
    """Bytes of the log up to its end, see :attr:`RawReport.end`."""

    is_new: bool
    """Whether it will be delivered."""

    beginning: RelaunchStart | None = None
    """Where the launch has begun, in the first report of a relaunch if the resource level is known."""


class ReportStream:
    """Turns the raw reports of a trial's launches into one stream, as if the trial had been launched once.

    ``st_worker_time`` and ``st_worker_iter`` go on from where the launch before left them, a report for a resource
    level that an earlier launch has delivered is dropped, and every report says on how many devices it was computed and
    in which launch, and how many seconds of devices the trial has used.
    """

    def __init__(self) -> None:
        #: Worker time (s) at the end of the launches before this one, and now; the same for each device.
        self._time_before = self._time_now = 0.0
        self._device_time_before = self._device_time_now = 0.0
        #: Number of reports so far.
        self._iter_now = 0
        self._levels = Levels()
        self._first_of_launch = True
        self._launch = -1
        self._num_devices, self._num_nodes = 0, 1
        self._signal_timestamp = 0.0
        #: Changes of the number of devices while the launch trains, of which no report is known: when training went on
        #: (seconds since the epoch), the devices since then, and the seconds for which no device has trained.
        self._changes: list[tuple[float, int, float]] = []
        #: Whether processes can join and leave the launch while it trains.
        self.in_place = False
        #: How far the clock of the machine that stamps reports is ahead of this one's (s).
        self.clock_ahead_s = 0.0

    @property
    def num_reports(self) -> int:
        """Number of reports so far, without dropped ones."""
        return self._iter_now

    @property
    def beginning(self) -> RelaunchStart | None:
        """Where the launch has begun; None before its first report, and if no launch before it has reported."""
        return self._levels.beginning

    def begin_launch(self, launch: int, num_devices: int, signal_timestamp: float, num_nodes: int = 1) -> None:
        """Begins a launch, to which later reports belong.

        Parameters
        ----------
        launch, num_devices
            Index of the launch and the devices that it holds.
        signal_timestamp
            When the drain signal or the order that led to the launch was given (seconds since the epoch).
        num_nodes
            Nodes of these devices.
        """
        self._launch, self._num_devices, self._signal_timestamp = launch, num_devices, signal_timestamp
        self._num_nodes = num_nodes
        self._time_before, self._device_time_before = self._time_now, self._device_time_now
        self._levels.begin_launch()
        self._first_of_launch = True
        self._changes, self.in_place = [], False

    def change_devices(self, num_devices: int, timestamp: float, pause_s: float) -> None:
        """The launch continues on another number of devices; told before any later report is accepted.

        Parameters
        ----------
        num_devices
            Devices from then on.
        timestamp
            When training went on (seconds since the epoch).
        pause_s
            Seconds before that in which no device has trained.
        """
        self._changes.append((timestamp, num_devices, pause_s))

    def count_from(self, timestamp: float) -> None:
        """Has the launch answer to a later moment (seconds since the epoch) than the signal that led to it."""
        self._signal_timestamp = timestamp

    def restore(
        self, raw: Sequence[dict[str, Any]], delivered: Sequence[dict[str, Any]], time_attr: str | None
    ) -> tuple[int, dict[int, int]]:
        """Continues from the state of another stream of the same log, after it had delivered some reports.

        Parameters
        ----------
        raw
            All reports in the log, in order.
        delivered
            The reports that the other stream has delivered, in order.
        time_attr
            Entry with the resource level, if known.

        Returns
        -------
        int and dict
            How many of ``raw`` come before what is new. Those after it are to be accepted. And the number of each of
            ``delivered`` in ``raw``, counted from 1, by its iteration.
        """
        position, numbers = 0, {}
        for report in delivered:
            here = next((i for i in range(position, len(raw)) if _is_made_of(report, raw[i])), None)
            if here is not None:
                position = here + 1
                numbers[int(report[ST_WORKER_ITER])] = position
            if int(report[ST_LAUNCH]) != self._launch:
                self._launch = int(report[ST_LAUNCH])
                self._levels.begin_launch()
            self._is_new(report, time_attr)
        if delivered:
            last = delivered[-1]
            self._num_nodes = int(last.get(ST_NUM_NODES, 1))
            self._num_devices, self._iter_now = int(last[ST_NUM_DEVICES]), int(last[ST_WORKER_ITER]) + 1
            self._time_now = float(last.get(ST_WORKER_TIME, 0.0))
            self._device_time_now = float(last.get(ST_DEVICE_TIME, 0.0))
            printed = raw[position - 1].get(ST_WORKER_TIME) if position else None
            trained_s = float(printed) if is_finite(printed) else 0.0
            self._time_before = self._time_now - trained_s
            self._device_time_before = self._device_time_now - trained_s * self._num_devices
            self._first_of_launch = False
            if position < len(raw) and ST_WORKER_ITER not in raw[position]:
                self._levels.begin_launch()  # where launches begin cannot be told
        return position, numbers

    def accept(self, raw: dict[str, Any], time_attr: str | None, now: float) -> dict[str, Any] | None:
        """The report as the tuner is to see it, or ``None`` if it repeats a level that was delivered before.

        Parameters
        ----------
        raw
            What the script printed.
        time_attr
            Entry with the resource level; ``None``: not known, nothing is recognised as repeated. Nor is anything if it
            is a time that the trial has trained, see :const:`TIMES`.
        now
            Seconds since the epoch, for a report without a time stamp, or with one that is no number.
        """
        trained_s, timestamp = raw.get(ST_WORKER_TIME), raw.get(ST_WORKER_TIMESTAMP)
        pause_s = self._change(trained_s, timestamp if is_finite(timestamp) else now)
        if is_finite(trained_s):
            self._train(trained_s)
        if not self._is_new(raw, time_attr):
            return None
        report = dict(raw)
        timestamp = report.get(ST_WORKER_TIMESTAMP)
        if not is_finite(timestamp):
            timestamp = report[ST_WORKER_TIMESTAMP] = now
        if is_finite(trained_s):
            report[ST_WORKER_TIME], report[ST_DEVICE_TIME] = self._time_now, self._device_time_now
        else:
            report.pop(ST_WORKER_TIME, None)
        report[ST_WORKER_ITER] = self._iter_now
        self._iter_now += 1
        report[ST_NUM_DEVICES] = self._num_devices
        if self._num_nodes > 1:
            report[ST_NUM_NODES] = self._num_nodes
        else:
            report.pop(ST_NUM_NODES, None)
        report[ST_LAUNCH] = self._launch
        if self._first_of_launch:
            self._first_of_launch = False
            report[ST_SIGNAL_TO_REPORT_S] = max(0.0, timestamp - self.clock_ahead_s - self._signal_timestamp)
            if self.in_place:
                report[ST_IN_PLACE] = True
        if pause_s is not None:
            report[ST_RESIZE_PAUSE_S] = pause_s
        return report

    def _change(self, trained_s: object, timestamp: float) -> float | None:
        """Applies the changes before a report; returns the seconds that they took, None if there were none."""
        pauses_s = []
        while self._changes and self._changes[0][0] <= timestamp:
            changed, num_devices, pause_s = self._changes.pop(0)
            if is_finite(trained_s):
                until_s = max(0.0, trained_s - (timestamp - changed))
                self._train(until_s)
                self._device_time_before += until_s * (self._num_devices - num_devices)
            self._num_devices = num_devices
            pauses_s.append(pause_s)
        return sum(pauses_s) if pauses_s else None

    def _train(self, seconds: float) -> None:
        """The launch has trained for so long."""
        time_s = self._time_before + seconds
        device_time_s = self._device_time_before + seconds * self._num_devices
        if math.isfinite(device_time_s) and math.isfinite(time_s):
            self._time_now = max(self._time_now, time_s)
            self._device_time_now = max(self._device_time_now, device_time_s)

    def _is_new(self, report: dict[str, Any], time_attr: str | None) -> bool:
        level = report.get(time_attr) if time_attr is not None and time_attr not in TIMES else None
        # Entries that the tuner has added were not printed by the script.
        return not is_finite(level) or self._levels.accept(level, [name for name in report if name[:3] != "st_"])


def _is_made_of(report: dict[str, Any], raw: dict[str, Any]) -> bool:
    for name, value in raw.items():
        # An earlier version has delivered ``trial_id`` under its own name.
        kept = name if name in report else name.removeprefix(REPORTED)
        if name not in _REWRITTEN and not (kept in report and _is_same(report[kept], value)):
            return False
    return True


def _is_same(value: Any, other: Any) -> bool:
    return bool(value == other or (value != value and other != other))


def clashing_names(report: Mapping[str, Any]) -> str:
    """What happens to entries of a report whose names the table of results uses for others; empty if it has none."""
    told = []
    if f"{REPORTED}{TRIAL_ID}" in report:
        told.append(f"{TRIAL_ID}, which is the tuner's own and is kept as {REPORTED}{TRIAL_ID}")
    of_config = [name for name in report if name.startswith(CONFIG_PREFIX)]
    if of_config:
        told.append(
            f"{', '.join(of_config)}, which the table of results replaces if the configuration has an entry "
            f"{of_config[0].removeprefix(CONFIG_PREFIX)}"
        )
    return " and ".join(told)
