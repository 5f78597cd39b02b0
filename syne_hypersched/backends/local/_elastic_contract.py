"""The elastic contract of a backend whose trials are processes on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syne_hypersched.backends.local._attention import Attention
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.shared.elastic import ElasticTrial, check_wish


class ElasticContract:
    """What trials pass on to their backend; see :class:`~syne_hypersched.contract.ResizableTrial` and its like."""

    num_devices: int
    _fleet: Fleet
    _checkpoints: Checkpoints
    _attention: Attention
    _trial_dict: dict[int, ElasticTrial]

    def wished_devices(self, trial_id: int) -> int:
        """Number of devices requested for the trial; 0 if it must not run."""
        return self._fleet.wished_devices(trial_id)

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        """Asks for a running trial to go on with ``num_devices`` devices; returns at once."""
        self._fleet.wish_devices(trial_id, check_wish(num_devices, self.num_devices))

    def max_num_devices(self, trial_id: int) -> int | None:
        """Largest number of devices on which the trial can run; None if no number has failed."""
        return self._fleet.max_num_devices(trial_id)

    def follow(self, time_attr: str) -> None:
        """Names the entry of a report that is the resource level."""
        if time_attr != self._checkpoints.time_attr:
            self._checkpoints.time_attr = time_attr
            self._fleet.tell_launches()

    def measure(self, metric: str, do_minimize: bool) -> None:
        """Sets the metric by which trials are compared, and its direction."""
        if self._checkpoints.measure(metric, do_minimize):
            self._fleet.tell_launches()

    def publish(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """Has the trial's checkpoint, configuration and ``result`` published as ``best/``; returns at once."""
        self._checkpoints.publish(trial_id, self._trial_dict[trial_id].config, result)

    def end_at(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """Does not hand out reports of a trial after the one at which it is stopped."""
        self._attention.end_reports(trial_id, result)

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Records in ``events.jsonl`` why the scheduler decides something."""
        self._fleet.note(trial_id, what, reason, numbers)
