"""Runs a scheduler in virtual time, without a tuner. It is fast enough for studies with many runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from syne_tune.constants import (
    ST_TUNER_CREATION_TIMESTAMP,
)
from syne_tune.optimizer.scheduler import TrialScheduler

from syne_hypersched._first_use import check_is_unused
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.virtual import (
    NO_COST,
    DeviceSchedule,
    Failures,
    LaunchCost,
    ScalingLike,
    VirtualFleet,
    make_virtual_fleet,
)
from syne_hypersched.checks import output_file, positive_integer, positive_seconds
from syne_hypersched.simulation._garbage import rare_collections
from syne_hypersched.simulation._loop import OnResult, SimulatedTuner
from syne_hypersched.simulation._results import Simulation


def simulate(
    scheduler: TrialScheduler,
    blackbox: Any,
    *,
    num_devices: int,
    n_workers: int | None = None,
    deadline_s: float | None = None,
    max_num_trials: int | None = None,
    max_num_results: int | None = None,
    elapsed_time_attr: str | None = None,
    scaling: ScalingLike = "resnet50",
    launch_cost: LaunchCost = NO_COST,
    failures: Failures | None = None,
    num_devices_per_trial: int = 1,
    max_resource_attr: str | None = None,
    seed: int = 0,
    devices_over_time: DeviceSchedule | None = None,
    events_path: Path | str | None = None,
    on_result: OnResult | None = None,
) -> Simulation:
    """Runs a scheduler on a blackbox in virtual time and returns the results.

    Example::

        blackbox = load_digits()
        scheduler = ASHA(blackbox.configuration_space, "val_loss", time_attr="epoch", max_t=81)
        print(simulate(scheduler, blackbox, num_devices=8, deadline_s=600).best("val_loss"))

    Makes the same decisions as the stock :class:`syne_tune.Tuner` with
    :class:`~syne_hypersched.ElasticSimulatorBackend`, in a small fraction of the time. It ends at the deadline, when
    more trials than ``max_num_trials`` would start, at ``max_num_results``, or when the scheduler has nothing to run.

    Parameters
    ----------
    scheduler
        Any scheduler of this package or of Syne Tune. It must not have been used before.
    blackbox
        Learning curves of configurations: a table of :mod:`syne_hypersched.blackboxes`, any blackbox of Syne Tune's
        repository, or your own blackbox. Entries of a configuration that the blackbox does not know are ignored.
    num_devices
        Number of devices.
    n_workers
        Number of trials that run at the same time; by default as many as the devices allow.
    deadline_s
        Virtual seconds after which nothing is reported. Drains have ended by then.
    max_num_trials
        Maximum number of trials to start.
    max_num_results
        Maximum number of reports that the scheduler gets.
    elapsed_time_attr
        The blackbox's objective for the seconds trained so far on one device. Not needed if the blackbox knows it. In
        reports, it is the seconds trained so far on the devices that the trial had.
    scaling
        Speed-up of a trial by number of devices: a name of
        :const:`~syne_hypersched.allocation.scaling.PUBLISHED_SCALING`, ``"linear"``, ``"none"`` (more devices are not
        faster), ``"measured"`` (that of each configuration in the blackbox), a table that contains 1, or a callable.
    launch_cost
        Seconds that launches and drains take; by default 0.
    failures
        How often trials fail; by default never.
    num_devices_per_trial
        Number of devices with which trials start and resume.
    max_resource_attr
        Entry of a configuration that limits its resource level, as some of Syne Tune's schedulers set it.
    seed
        Index of the repetition in the blackbox, if it has several.
    devices_over_time
        Pairs of a time (s) and the number of devices that are available from then on, as in
        ``[(600, 2), (1200, 8)]``. Trials on devices that leave are drained, and continue on other devices or wait.
        Default: all devices are always available.
    events_path
        File to write the events to, as ``events.jsonl``. An existing file is replaced. Default: no file.
    on_result
        Called after each decision with the trial, the report (with the scheduler's additions) and the decision.

    Returns
    -------
    Simulation
        The results.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """
    for name, number in (("max_num_trials", max_num_trials), ("max_num_results", max_num_results)):
        if number is not None:
            positive_integer(name, number)
    if deadline_s is not None:
        positive_seconds("deadline_s", deadline_s)
        deadline_s = float(deadline_s)
    if not all(callable(getattr(scheduler, name, None)) for name in ("suggest", "on_trial_result")):
        raise TypeError(f"scheduler must be a scheduler, with suggest() and on_trial_result(), but got {scheduler!r}")
    check_is_unused(scheduler)
    if on_result is not None and not callable(on_result):
        raise TypeError(f"on_result must be a function or None, but got {on_result!r}")
    if events_path is not None:
        events_path = output_file("events_path", events_path)
    fleet = make_virtual_fleet(
        blackbox,
        elapsed_time_attr,
        num_devices,
        scaling,
        launch_cost,
        failures,
        num_devices_per_trial,
        max_resource_attr,
        seed,
        devices_over_time,
    )
    if n_workers is None:
        n_workers = num_devices // num_devices_per_trial
    positive_integer("n_workers", n_workers)
    # NumPy integers cannot be written as JSON, which is used for events.
    num_devices, n_workers, num_devices_per_trial = int(num_devices), int(n_workers), int(num_devices_per_trial)
    if deadline_s is not None:
        fleet.set_deadline(deadline_s, min(launch_cost.drain_s, deadline_s / 20))
    else:
        fleet.situation.deadline_s = math.inf
    loop = SimulatedTuner(
        scheduler, fleet, n_workers, num_devices_per_trial, max_num_trials, max_num_results, on_result
    )
    events = None if events_path is None else _record_events(fleet, events_path)
    with rare_collections():
        loop.run()
        fleet.stop_all()
        of_scheduler = scheduler.metadata()
    if events is not None:
        events.close()
    metadata = {ST_TUNER_CREATION_TIMESTAMP: 0.0, "entrypoint": "simulate", "backend": "ElasticSimulatorBackend"}
    return Simulation(
        num_devices,
        loop.num_trials,
        fleet.time_s,
        fleet.device_seconds_held,
        fleet.device_seconds_training,
        metadata | of_scheduler,
        None if events is None else events.path,
        loop.results,
    )


def _record_events(fleet: VirtualFleet, path: Path) -> EventLog:
    path.unlink(missing_ok=True)
    events = EventLog(path, lambda: fleet.time_s)
    fleet.record = events.write
    return events
