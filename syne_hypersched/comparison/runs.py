"""The runs of a study, and the outcome of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syne_hypersched.comparison.names import folder_name
from syne_hypersched.comparison.problems import sorted_deadlines
from syne_hypersched.comparison.reading import Reading, RegretScale, Reports, read_at, trajectory
from syne_hypersched.comparison.schedulers import SchedulerSpec
from syne_hypersched.comparison.settings import Duration, Scenario, Study


@dataclass(frozen=True)
class StudyRun:
    """One scheduler on one scenario with one seed."""

    scenario: Scenario
    scheduler: str
    seed: int
    deadlines: tuple[Duration, ...]
    """The deadlines at which the run is read. The last one is the longest; the scheduler gets it as its deadline."""
    knows_deadline: bool

    @property
    def name(self) -> str:
        """Name of the run's folder, unique in the scenario."""
        deadline = [str(self.deadlines[-1])] if self.knows_deadline else []
        return "-".join(folder_name(part) for part in (self.scheduler, *deadline, f"seed{self.seed}"))

    @property
    def title(self) -> str:
        """Title shown during the run."""
        return f"{self.scheduler}, seed {self.seed}, {self.scenario.name}"


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run."""

    readings: tuple[Reading, ...]
    """One reading for each deadline of the run, in the same order."""
    times_s: tuple[float, ...]
    """Seconds of the improvements of the best metric."""
    values: tuple[float, ...]
    """Values of the best metric after the improvements."""
    num_reports: int
    scheduler_s: float
    """Seconds of real time that the scheduler took for its decisions. All other numbers are reproduced if the same
    settings are run again."""

    @property
    def scheduler_us_per_report(self) -> float:
        """Microseconds of real time that the scheduler took for each report; 0 without a report."""
        return 1e6 * self.scheduler_s / max(1, self.num_reports)

    def reading(self, deadline: Duration) -> Reading:
        """The result of the run at one of its deadlines."""
        return next(reading for reading in self.readings if reading.deadline == str(deadline))

    @classmethod
    def of(
        cls,
        run: StudyRun,
        reports: Reports,
        deadlines_s: Sequence[float],
        do_minimize: bool,
        scheduler_s: float,
        scale: RegretScale | None = None,
    ) -> RunOutcome:
        """The outcome of a run, from its reports.

        Parameters
        ----------
        run, reports
            The run and its reports.
        deadlines_s
            The deadlines of the run in seconds, in the same order.
        do_minimize
            Whether the metric is minimised.
        scheduler_s
            See the attribute.
        scale
            Scale of the regret.
        """
        times_s, values = trajectory(reports, do_minimize)
        readings = tuple(
            read_at(reports, str(deadline), deadline_s, run.scenario.num_devices, do_minimize, scale)
            for deadline, deadline_s in zip(run.deadlines, deadlines_s, strict=True)
        )
        return cls(readings, tuple(times_s.tolist()), tuple(values.tolist()), len(reports), scheduler_s)

    def as_json(self) -> dict[str, Any]:
        """The outcome as values of JSON."""
        return {**vars(self), "readings": [reading.as_json() for reading in self.readings]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunOutcome:
        """The outcome from the result of :meth:`as_json`."""
        readings = tuple(Reading.from_json(reading) for reading in values["readings"])
        lists = {name: tuple(values[name]) for name in ("times_s", "values")}
        return cls(**(values | lists | {"readings": readings}))


def plan(study: Study) -> list[StudyRun]:
    """All runs of a study, in the order in which their results are listed.

    A scheduler that does not know the deadline runs once, up to the longest deadline, and is read at each deadline. Any
    other scheduler runs once for each deadline.
    """
    runs = []
    for scenario in study.scenarios:
        deadlines = sorted_deadlines(study, scenario)
        for scheduler in scenario.schedulers:
            knows_deadline = SchedulerSpec.parse(scheduler).knows_deadline
            groups: Sequence[tuple[Duration, ...]] = [(d,) for d in deadlines] if knows_deadline else [deadlines]
            runs += [
                StudyRun(scenario, scheduler, seed, group, knows_deadline) for seed in study.seeds for group in groups
            ]
    return runs
