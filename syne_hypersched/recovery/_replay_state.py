"""The state of an experiment after some entries of its journal, found without asking a scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syne_tune.backend.trial_status import Status
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.contract import Situation
from syne_hypersched.records.segments import Entry
from syne_hypersched.recovery._config_values import ConfigValues
from syne_hypersched.recovery._journaled import described


@dataclass(frozen=True)
class Told:
    """A report that the scheduler has received, and its decision."""

    trial_id: int
    """The trial."""

    report: dict[str, Any]
    """What was reported, before the scheduler added to it."""

    result: dict[str, Any]
    """The same with what the scheduler has added."""

    status: str
    """Status of the trial when the report was fetched."""

    decision: str
    """The scheduler's decision."""

    time_s: float
    """Seconds since the tuning started."""


@dataclass
class ReplayState:
    """State of the trials after some entries of a journal. It is what these trials' backend is while they are replayed.

    Parameters
    ----------
    num_devices_per_trial
        Devices with which trials start and resume.
    values
        The values of the space that is searched, which configurations get back.
    """

    num_devices_per_trial: int = 1
    values: ConfigValues = field(default_factory=ConfigValues)
    trials: dict[int, ElasticTrial] = field(default_factory=dict)
    #: Devices that each running trial is to have.
    num_devices: dict[int, int] = field(default_factory=dict)
    #: The most that each trial can have, as far as was known.
    most_devices: dict[int, int | None] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    #: Reports of each trial that the tuner has received, as they were reported: told or left out.
    delivered: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    #: Calls at which the scheduler has raised, which it does not know of: kind of call, trial, and what it has raised.
    left_out: list[tuple[str, int, str]] = field(default_factory=list)
    #: Trials at whose reports the scheduler has raised.
    have_raised: set[int] = field(default_factory=set)
    last_result: dict[int, dict[str, Any]] = field(default_factory=dict)
    stopped_by_scheduler: list[int] = field(default_factory=list)
    #: With whose checkpoint trials begin that begin with the one of another trial.
    sources: dict[int, int] = field(default_factory=dict)
    #: A suggestion of a new trial that was not added yet.
    pending: TrialSuggestion | None = None
    #: The trial that was paused or stopped last, until the scheduler is told of its removal.
    unremoved: int | None = None
    exhausted: bool = False
    #: The last report that the scheduler has declared the incumbent during the replay.
    incumbent: tuple[int, dict[str, Any]] | None = None
    time_s: float = 0.0
    #: What the backend had received; None in journals of earlier versions.
    situation: Situation | None = None

    @property
    def running(self) -> tuple[int, ...]:
        """Trials that are running, in the order in which they were started or resumed."""
        return tuple(self.num_devices)

    def apply(self, entry: Entry) -> None:
        """Takes one entry into account."""
        self.time_s = max(self.time_s, entry["time_s"])
        call = entry["call"]
        if "raised" in entry and "decision" not in entry:
            self.left_out.append((call, entry["trial_id"], entry["raised"]))
        if call == "suggest":
            self._suggested(entry)
        elif call == "result":
            self._reported(entry)
        elif call == "extend":
            # See _extension.py: all are launched again on as many devices as trials start with.
            self.exhausted = False
            self.num_devices = dict.fromkeys(self.num_devices, self.num_devices_per_trial)
        else:
            trial = self.trials[entry["trial_id"]]
            if call == "add":
                self.pending = None
                if "raised" in entry:  # the scheduler does not know of this trial
                    self._end(trial.trial_id, Status.failed)
            elif call == "complete":
                self._end(trial.trial_id, Status.completed)
            elif call == "error":
                self._end(trial.trial_id, entry["status"])
            elif call == "remove":
                self.unremoved = None

    def look_at(self, entry: Entry) -> None:
        """Records a trial's devices, and what the backend had been told, at the time of an entry."""
        if "situation" in entry:
            num_devices, deadline_s = entry["situation"]
            # The first run has given the warnings.
            self.situation = Situation(num_devices, deadline_s, takes_plan=True)
        if "devices" in entry:  # never in an entry without a trial
            num_devices, self.most_devices[entry["trial_id"]] = entry["devices"]
            if entry["trial_id"] in self.num_devices:
                self.num_devices[entry["trial_id"]] = num_devices

    def add(self, entry: Entry) -> ElasticTrial:
        """Creates the trial of an entry ``add``."""
        trial = ElasticTrial(
            trial_id=entry["trial_id"],
            config=self.values.restored(entry["config"]),
            creation_time=datetime.fromisoformat(entry["created"]),
            metrics=[],
            status=Status.in_progress,
            backend=self,
        )
        self.trials[trial.trial_id] = trial
        if self.pending is not None and self.pending.checkpoint_trial_id is not None:
            self.sources[trial.trial_id] = self.pending.checkpoint_trial_id
        self.num_devices[trial.trial_id] = self.num_devices_per_trial
        return trial

    def _suggested(self, entry: Entry) -> None:
        suggestion = described({**entry, "config": self.values.restored(entry.get("config"))})
        if suggestion is None:
            self.exhausted = True
        elif suggestion.spawn_new_trial_id:
            self.pending = suggestion
        else:
            trial = self.trials[suggestion.checkpoint_trial_id]
            trial.status = Status.in_progress
            if suggestion.config is not None:
                trial.config = suggestion.config
            self.num_devices[trial.trial_id] = self.num_devices_per_trial

    def _reported(self, entry: Entry) -> None:
        trial_id = entry["trial_id"]
        self.delivered.setdefault(trial_id, []).append(entry["report"])
        if "raised" in entry:
            self.have_raised.add(trial_id)
        if "decision" not in entry:
            self.num_devices[trial_id] = entry.get("num_devices", self.num_devices[trial_id])
            return
        decision = entry["decision"]
        result = entry["report"] | entry.get("added", {})
        self.last_result[trial_id] = result
        self.told.append(Told(trial_id, entry["report"], result, entry["status"], decision, entry["time_s"]))
        if decision == SchedulerDecision.STOP:
            completed = entry["status"] == Status.completed  # its script had ended already
            self._end(trial_id, Status.completed if completed else Status.stopped)
            self.stopped_by_scheduler.append(trial_id)
            self.unremoved = trial_id
        elif decision == SchedulerDecision.PAUSE:
            self._end(trial_id, Status.paused)
            self.unremoved = trial_id
        elif "num_devices" in entry:  # resized at this report
            self.num_devices[trial_id] = entry["num_devices"]

    def _end(self, trial_id: int, status: str) -> None:
        self.trials[trial_id].status = status
        self.num_devices.pop(trial_id, None)

    # What a scheduler asks of a trial whose calls are replayed (see syne_hypersched.contract).

    def wished_devices(self, trial_id: int) -> int:
        """Number of devices requested for the trial."""
        return self.num_devices.get(trial_id, 0)

    def max_num_devices(self, trial_id: int) -> int | None:
        """Largest number of devices on which the trial can run, as known at that time."""
        return self.most_devices.get(trial_id)

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        """Records the resize as done."""
        self.num_devices[trial_id] = num_devices

    def follow(self, time_attr: str) -> None:
        """Does nothing: the backend is told when it takes over."""

    def publish(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """Keeps the incumbent."""
        self.incumbent = (trial_id, dict(result))

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Does nothing: it was recorded when it happened."""
