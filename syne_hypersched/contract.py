"""The elastic contract: everything that a scheduler and a backend know about each other.

A backend gives trials to the stock :class:`syne_tune.Tuner`, which passes them to the scheduler. The trials of an
elastic backend have the members of :class:`ResizableTrial`, and those of other protocols that the backend supports. A
scheduler calls them inside ``on_trial_add`` and ``on_trial_result``, and still returns one of Syne Tune's own
decisions. Every member records a request (a *wish* in the code of backends) and returns at once. The backend carries
out requests when it is polled. Trials of other backends are never resized.

Nothing else is shared: schedulers do not import backends, backends do not import schedulers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Integral
from typing import Any, Protocol, TypeGuard, runtime_checkable

ST_WORKER_TIME = "st_worker_time"
"""Syne Tune's key in every report of :class:`syne_tune.Reporter`: seconds that the trial has trained. With an elastic
backend, it continues over launches. Code that needs nothing else of Syne Tune can import the key from here."""

ST_NUM_DEVICES = "st_num_devices"
"""Key in every report of an elastic backend: number of devices of the launch that reported."""

ST_NUM_NODES = "st_num_nodes"
"""Key in the reports of a launch on several nodes: the number of nodes. If it is absent, all devices are on one node,
see :func:`num_nodes`. Devices of two nodes are slower than devices of one node, because gradients cross a network."""

ST_DEVICES_PRESENT = "st_devices_present"
"""Key in reports that a backend delivers while fewer devices are present than it divides at most: the number of devices
that are present now, without those that are leaving. A scheduler plans with it until the next report. If it is absent,
all devices are present, see :func:`devices_present`. It is part of the report, so that a replay makes the same
decisions."""

ST_LAUNCH = "st_launch"
"""Key in every report of an elastic backend: index of the launch that reported, counted from 0 for each trial."""

ST_DEVICE_TIME = "st_device_time"
"""Key in every report of an elastic backend that has ``st_worker_time``: device-seconds that the trial has trained.
Like ``st_worker_time``, it continues over launches and can be the resource."""

ST_SIGNAL_TO_REPORT_S = "st_signal_to_report_s"
"""Key in the first report of a launch: seconds from the signal that led to the launch (the drain signal for a resize,
the tuner's order for a start or a resume) to this report. Seconds that a backend needs only once, before its first
launch, are excluded. The launch cost is this number minus the seconds of training in between."""

ST_RESIZE_PAUSE_S = "st_resize_pause_s"
"""Key in the first report after processes have joined or left a launch during training: seconds for which this change
stopped the training of all devices. The epoch of that report was computed on several numbers of devices."""

ST_IN_PLACE = "st_in_place"
"""Key in the first report of a launch, with the value true: processes can join and leave the launch during training. A
change of the number of devices then costs :const:`ST_RESIZE_PAUSE_S` and not a launch."""

ST_ADMISSION_OPEN = "st_admission_open"
"""Key that a deadline-aware scheduler adds to every result: whether new trials may still start."""

STEP_TIME_S = "step_time_s"
"""Key that a training script may report: seconds of an optimiser step (median since its last report). With this key and
the keys below, the policy ``goodput`` is more accurate; without them, it uses only the epoch times. The keys lack the
prefix ``st_``, which :class:`syne_tune.Reporter` rejects."""

BATCH_SIZE = "batch_size"
"""Key that a training script may report: global batch size of its steps, over all devices and micro-batches."""

ACCUMULATION_STEPS = "accumulation_steps"
"""Key that a training script may report: number of micro-batches of a step before its last one; 0 if absent."""

NOISE_SCALE = "noise_scale"
"""Key that a training script may report: gradient noise scale in samples. It is the trace of the covariance of a
sample's gradient, divided by the squared norm of the mean gradient."""

MIN_BATCH_SIZE = "min_batch_size"
"""Key that a training script may report if it chooses its global batch: the smallest size, given by the user."""

MAX_BATCH_SIZE = "max_batch_size"
"""Key that a training script may report if it chooses its global batch: the largest size."""

THROUGHPUT = "throughput"
"""Key that a training script may report for human readers: samples per second."""

EFFICIENCY = "efficiency"
"""Key that a training script may report for human readers: statistical efficiency of its batch, from 0 to 1, relative
to the smallest batch."""

EXIT_DRAINED = 75
"""Exit code of a training script that exits because of SIGTERM, perhaps after a checkpoint inside an epoch. If its
backend did not send the signal, the script is launched again (``EX_TEMPFAIL`` of sysexits: "try again")."""


@runtime_checkable
class ResizableTrial(Protocol):
    """A trial whose number of devices can change while it runs.

    The members ``trial_id``, ``config`` and ``creation_time`` are those of Syne Tune's ``Trial``.
    """

    trial_id: int
    config: dict[str, Any]
    creation_time: datetime

    @property
    def num_devices(self) -> int:
        """Requested number of devices. The running launch may still have another number.

        The sum over live trials never exceeds the number of devices of the backend, unless the scheduler requests more.
        Each report has the number of devices on which it was computed, under :const:`ST_NUM_DEVICES`.
        """
        ...

    def resize(self, num_devices: int) -> None:
        """Requests that the trial continues from its checkpoint on ``num_devices`` devices.

        The backend shrinks trials before it grows others. A request that replaces an earlier one costs no extra launch.
        The trial gets devices only when they are free. Until then, it goes on training unchanged.

        Raises
        ------
        TypeError, ValueError
            ``num_devices`` is not an integer from 1 to the number of devices of the backend.
        """
        ...


@runtime_checkable
class FollowedTrial(Protocol):
    """A trial whose backend recognises repeated work. Optional: not every backend does."""

    def follow(self, time_attr: str) -> None:
        """Sets the name of the resource level in a report, so that repeated work is recognised."""
        ...


@runtime_checkable
class PublishingTrial(Protocol):
    """A trial whose backend publishes the incumbent's checkpoint. Optional: not every backend does."""

    def publish(self, result: Mapping[str, Any]) -> None:
        """Tells the backend that ``result`` makes the trial the incumbent. The backend publishes its checkpoint."""
        ...


@runtime_checkable
class RecordingTrial(Protocol):
    """A trial whose backend records the decisions about it. Optional: not every backend does."""

    def note(self, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Records a decision of the scheduler at a report of this trial, and its reason.

        Parameters
        ----------
        what
            The decision: ``"pause"``, ``"stop"`` or ``"resize"`` of this trial, or ``"close"`` (admission).
        reason
            The reason in words.
        numbers
            The numbers behind the decision, by name, all finite.
        """
        ...


@runtime_checkable
class EndingTrial(Protocol):
    """A trial whose backend needs to know that it is stopped. Optional: not every backend does.

    A tuner tells a backend only about trials that still run, and not about a script that has just ended.
    """

    def end_at(self, result: Mapping[str, Any]) -> None:
        """The scheduler stops the trial at this report: later ones do not count."""
        ...


@runtime_checkable
class MeasuredTrial(Protocol):
    """A trial whose backend keeps the checkpoints of good reports. Optional: not every backend does."""

    def measure(self, metric: str, do_minimize: bool) -> None:
        """Sets the metric by which trials are compared, and whether it is to be minimised.

        The checkpoint of a trial's best report is then kept until it is published or a better report comes, even if the
        tuner reads the report late.
        """
        ...


@runtime_checkable
class LimitedTrial(Protocol):
    """A trial whose backend detects the numbers of devices on which it can run. Optional: not every backend does."""

    @property
    def max_num_devices(self) -> int | None:
        """Maximum number of devices on which the trial can run; None: it has not failed on any number of devices.

        If a trial fails on a number of devices after it has worked on fewer, it returns to the smaller number. This is
        then :attr:`ResizableTrial.num_devices`, and requests for more devices than this limit are ignored.
        """
        ...


@dataclass
class Situation:
    """The devices and deadlines that a backend knows. A backend has it as attribute ``situation``."""

    num_devices: int
    """Maximum number of devices that the backend divides among all trials. The number that is present now is in the
    reports, see :const:`ST_DEVICES_PRESENT`."""

    deadline_s: float | None = None
    """Seconds after the start of the tuning by which the backend ends all trials. None: unknown; infinite: never."""

    planned_deadline_s: float | None = None
    """The deadline for which the scheduler plans (s); None until the scheduler names it."""

    takes_plan: bool = False
    """Whether a stop criterion without its own deadline will use that deadline."""


@runtime_checkable
class SituatedTrial(Protocol):
    """A trial that shows its backend's settings, so that the scheduler can compare them with its own.

    Optional: not every trial does.

    A scheduler reads this when it gets its first trials. It must make the same decisions if these calls are replayed.
    """

    @property
    def num_devices_total(self) -> int | None:
        """Number of devices that the backend divides among all trials; None: unknown."""
        ...

    @property
    def deadline_s(self) -> float | None:
        """Seconds after the start of the tuning by which the backend ends all trials. None: unknown."""
        ...

    def plan_for(self, deadline_s: float) -> bool:
        """Tells the backend the deadline for which the scheduler plans, in seconds after the start of the tuning.

        Returns
        -------
        bool
            Whether a stop criterion uses this deadline, so that the trials will have ended by then.
        """
        ...


@runtime_checkable
class RemovingScheduler(Protocol):
    """A scheduler that tells which checkpoints are no longer needed. Optional: not every scheduler does.

    The method has the name that it had in Syne Tune before 0.15. Syne Tune 0.16 has kept the other half of that
    interface, ``RemoveCheckpointsSchedulerMixin``: if the backend has ``delete_checkpoints=True``, the tuner asks the
    scheduler for a callback, which calls ``delete_checkpoint(trial_id)`` of any backend.
    """

    def trials_checkpoints_can_be_removed(self, since: int = 0) -> Sequence[int]:
        """Trials that will never be resumed, and from whose checkpoint no other trial will start.

        A trial is named once, when later reports of other trials cannot change this any more.

        Parameters
        ----------
        since
            Number of trials to skip: the first ones that were named.

        Returns
        -------
        sequence of int
            Their ids, in the order in which they were named.
        """
        ...


@runtime_checkable
class ExtendableScheduler(Protocol):
    """A scheduler with a deadline that a resume may extend. Optional: not every scheduler has a deadline."""

    deadline_s: float | None
    """None until the scheduler has adopted the deadline of its backend, with its first trial."""

    def assume_deadline(self, deadline_s: float) -> None:
        """Sets another deadline before the first call: the deadline of the run whose calls are replayed."""
        ...

    def extend_deadline(self, deadline_s: float) -> None:
        """Extends the tuning to a later deadline.

        No trial runs during this call. The trials that were running are launched again, on the number of devices with
        which trials start. The tuner asks for suggestions again, even if it was told before that there are none.
        """
        ...


def devices_present(result: Mapping[str, Any], num_devices: int) -> int:
    """Number of devices that are present according to a report: all, unless its backend reports fewer.

    Parameters
    ----------
    result
        A report as the scheduler receives it.
    num_devices
        Number of devices with which the scheduler plans if all are present.

    Returns
    -------
    int
        From 0 to ``num_devices``. A value that is not a number counts as absent.
    """
    present = result.get(ST_DEVICES_PRESENT)
    if isinstance(present, bool) or not isinstance(present, Integral):
        return num_devices
    return max(0, min(int(present), num_devices))


def num_nodes(result: Mapping[str, Any]) -> int:
    """Number of nodes on which a report was computed; 1 if the report does not tell."""
    nodes = result.get(ST_NUM_NODES)
    return 1 if isinstance(nodes, bool) or not isinstance(nodes, Integral) else max(1, int(nodes))


def metric_names_of(scheduler: Any) -> list[str]:
    """The metrics of a scheduler. Some schedulers of Syne Tune, such as ``MedianStoppingRule``, give one string."""
    names = scheduler.metric_names()
    return [names] if isinstance(names, str) else list(names)


def is_elastic(trial: object) -> bool:
    """Whether ``trial`` comes from a backend that can resize it."""
    return callable(getattr(trial, "resize", None)) and hasattr(trial, "num_devices")


def is_followed(trial: object) -> TypeGuard[FollowedTrial]:
    """Whether ``trial`` is a :class:`FollowedTrial`. ``isinstance`` with a protocol takes ten times as long."""
    return callable(getattr(trial, "follow", None))


def is_publishing(trial: object) -> TypeGuard[PublishingTrial]:
    """Whether ``trial`` is a :class:`PublishingTrial`. ``isinstance`` with a protocol takes ten times as long."""
    return callable(getattr(trial, "publish", None))


def is_measured(trial: object) -> TypeGuard[MeasuredTrial]:
    """Whether ``trial`` is a :class:`MeasuredTrial`. ``isinstance`` with a protocol takes ten times as long."""
    return callable(getattr(trial, "measure", None))


def __getattr__(name: str) -> Any:
    if name == "ElasticTrial":
        warnings.warn(
            "syne_hypersched.contract.ElasticTrial is deprecated since version 0.1.0 and will be removed in version "
            "0.2.0: use syne_hypersched.contract.ResizableTrial instead",
            DeprecationWarning,
            stacklevel=2,
        )
        return ResizableTrial
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
