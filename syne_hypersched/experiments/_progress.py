"""The state of a running experiment, as values: time left, incumbent, and the devices of each trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import configuration_text, counted, metric_text, seconds_text
from syne_hypersched.backends.shared.events import DECISION, DEVICE_CHANGES
from syne_hypersched.experiments._nodes import Attendance, NodeState, node_states
from syne_hypersched.experiments._run import Report, best_report
from syne_hypersched.records.events import Event, describe_decision

#: Most trials that are named in a line of text.
_MOST_IN_A_LINE = 12
#: The same for nodes that are not there.
_MOST_NODES_IN_A_LINE = 3
#: A tuning that has taken no more than this share of its time counts as one that has ended in time.
_NEARLY = 1.005


@dataclass
class LiveTrial:
    """A trial that holds devices."""

    devices: tuple[str, ...]
    launch: int
    draining: bool = False
    """Whether it has been asked to checkpoint and exit."""

    has_reported: bool = False
    """Whether this launch has reported; before that it imports, or trains its first level."""


@dataclass
class Progress:
    """State of a running experiment, brought up to date with each report and each event.

    Parameters
    ----------
    metric
        Name of the metric.
    do_minimize
        Whether the metric is to be minimised.
    time_attr
        Name of the resource level.
    deadline_s
        Seconds after the start of the tuning, None without a deadline.
    """

    metric: str
    do_minimize: bool
    time_attr: str
    deadline_s: float | None = None
    attendance: Attendance = field(default_factory=Attendance)
    """Which devices there are."""

    incumbent: Report | None = None
    admission_open: bool | None = None
    live: dict[int, LiveTrial] = field(default_factory=dict)
    last_report: dict[int, Report] = field(default_factory=dict)
    num_trials: int = 0
    num_resizes: int = 0
    num_reports: int = 0
    last_decision: Event | None = None
    """Why the scheduler has decided something, the last time that it gave a reason."""

    last_exit_s: float = 0.0
    """When the last processes of a trial have ended."""

    best_config: Mapping[str, Any] = field(default_factory=dict)
    """Configuration of the incumbent."""

    def add_report(self, report: Report, config: Mapping[str, Any] | None = None) -> None:
        """Adds a report of a trial with this configuration."""
        self.last_report[report.trial_id] = report
        self.num_reports += 1
        trial = self.live.get(report.trial_id)
        if trial is not None and report.launch in (None, trial.launch):
            trial.has_reported = True
        reports = [report] if self.incumbent is None else [self.incumbent, report]
        self.incumbent = best_report(reports, self.do_minimize)
        if self.incumbent is report:
            self.best_config = dict(config or {})
        if report.admission_open is not None:
            self.admission_open = report.admission_open

    def add_event(self, event: Event) -> None:
        """Adds an event of a trial's processes."""
        if event.event == "setup":
            self.attendance.add(event)
            if self.deadline_s is None and event.details.get("deadline_s") is not None:
                self.deadline_s = float(event.details["deadline_s"])
        elif event.trial_id is None:
            self.attendance.add(event)
        elif event.event == "start":
            self.num_trials += 1
        elif event.event == "launch":
            self.live[event.trial_id] = LiveTrial(event.devices, event.launch or 0)
        elif event.event in DEVICE_CHANGES and event.trial_id in self.live:
            self.live[event.trial_id].devices = event.devices
            self.num_resizes += event.event in ("joined", "left")
        elif event.event == "first_report" and event.trial_id in self.live:
            self.live[event.trial_id].has_reported = True
        elif event.event == "drain" and event.trial_id in self.live:
            self.live[event.trial_id].draining = True
            self.num_resizes += event.reason == "resize"
        elif event.event == "exit":
            self.live.pop(event.trial_id, None)
            self.last_exit_s = event.time_s
        elif event.event == DECISION:
            self.last_decision = event

    @property
    def devices(self) -> tuple[str, ...]:
        """All devices that were ever available."""
        return tuple(self.attendance.devices)

    @property
    def unused(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Devices that no trial holds: the free ones, and those that are unavailable."""
        holders, away = self.holders, self.attendance.away
        unused = [device for device in self.attendance.devices if device not in holders]
        return tuple(device for device in unused if device not in away), tuple(
            device for device in unused if device in away
        )

    @property
    def nodes(self) -> tuple[NodeState, ...]:
        """The nodes of a cluster."""
        return node_states(self.attendance, self.holders)

    @property
    def holders(self) -> dict[str, int]:
        """The trial that holds each device, free devices left out."""
        return {device: trial_id for trial_id, trial in self.live.items() for device in trial.devices}

    def describe_time(self, now_s: float) -> str:
        """Elapsed and remaining time."""
        if self.deadline_s is None:
            return f"{now_s:.0f} s gone"
        return f"{max(0.0, self.deadline_s - now_s):.0f} s of {seconds_text(self.deadline_s)} s left"

    def describe_admission(self) -> str:
        """Whether new trials may start; empty if the scheduler does not say."""
        return {True: "admission open", False: "admission closed", None: ""}[self.admission_open]

    def describe_incumbent(self) -> str:
        """The incumbent, its metric and its resource level."""
        if self.incumbent is None:
            return "no incumbent yet"
        best = self.incumbent
        where = f"{shown(self.time_attr)} {best.resource:g}"
        return f"incumbent trial {best.trial_id}: {shown(self.metric)} {metric_text(best.value)} at {where}"

    def describe_decision(self) -> str:
        """The last decision with a reason; empty before there is one."""
        return "" if self.last_decision is None else describe_decision(self.last_decision)

    def describe_devices(self) -> str:
        """Who holds how many devices; a trial that has been asked to exit is marked with an asterisk."""
        parts = []
        for trial_id, trial in sorted(self.live.items(), key=lambda item: (-len(item[1].devices), item[0])):
            times = f" ×{len(trial.devices)}" if len(trial.devices) > 1 else ""
            parts.append(f"trial {trial_id}{times}{'*' if trial.draining else ''}")
        if len(parts) > _MOST_IN_A_LINE:
            parts[_MOST_IN_A_LINE:] = [counted(len(parts) - _MOST_IN_A_LINE, "more trial")]
        free, away = self.unused
        counts = {"free": len(free), "away": len(away)}
        parts += [f"{number} {what}" for what, number in counts.items() if number]
        return ", ".join([*parts, *self._describe_nodes()])

    def _describe_nodes(self) -> list[str]:
        """What a line of text says of the nodes of a cluster."""
        nodes = self.nodes
        if len(nodes) < 2:
            return []
        gone = [node for node in nodes if node.num_away == node.num_devices]
        named = [f"{node.name} {node.story}" for node in gone[:_MOST_NODES_IN_A_LINE]]
        more = len(gone) - len(named)
        counts = f"{len(nodes) - len(gone)} of {len(nodes)} nodes" if gone else f"{len(nodes)} nodes"
        return [counts, *named, *([f"{counted(more, 'more node')} away"] if more else [])]

    def describe_end(self, now_s: float, name: str = "") -> list[str]:
        """The result, in a few lines.

        Parameters
        ----------
        now_s
            Seconds since the tuning started.
        name
            Name of the experiment, empty if it has none.
        """
        of, by = "", f"after {seconds_text(now_s)} s"
        if self.deadline_s is not None and now_s <= _NEARLY * self.deadline_s:
            of = f" of {seconds_text(self.deadline_s)} s"
        elif self.deadline_s is not None and self.last_exit_s <= self.deadline_s:
            # What the tuner does once all processes have ended may take longer.
            by = f"by the deadline of {seconds_text(self.deadline_s)} s, with results stored at {seconds_text(now_s)} s"
        elif self.deadline_s is not None:
            of = f", later than the deadline of {seconds_text(self.deadline_s)} s"
        counts = ", ".join(
            (
                counted(self.num_trials, "trial"),
                counted(self.num_reports, "report"),
                counted(self.num_resizes, "resize"),
            )
        )
        lines = [f"ended {by}{of}: {counts}"]
        best = self.incumbent
        if best is None:
            lines.append(f"no trial has reported a finite {shown(self.metric)}")
        else:
            where = f"trial {best.trial_id} at {shown(self.time_attr)} {best.resource:g}"
            lines.append(f"best {shown(self.metric)} {metric_text(best.value)}: {where}")
            if self.best_config:
                lines.append(f"configuration: {configuration_text(self.best_config)}")
        if name:
            lines.append(f"all results: hypersched report {shlex.quote(name)}")
        return lines

    def describe(self, now_s: float) -> str:
        """All of it in one line."""
        parts = (
            self.describe_time(now_s),
            self.describe_admission(),
            self.describe_incumbent(),
            self.describe_devices(),
            self.describe_decision(),
        )
        return " | ".join(part for part in parts if part)
