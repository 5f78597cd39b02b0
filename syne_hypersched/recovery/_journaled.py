"""A scheduler whose calls are journaled in the order in which the tuner makes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from syne_tune.backend.trial_status import Status, Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler, TrialSuggestion

from syne_hypersched.backends.shared.elastic import ElasticTrial, WishTaker
from syne_hypersched.contract import LimitedTrial, Situation, is_elastic, metric_names_of
from syne_hypersched.records.segments import Entry
from syne_hypersched.recovery._ticks import Ticks


class JournaledScheduler(TrialScheduler):
    """Wraps a scheduler and journals every call that the tuner makes to it.

    An entry is recorded after the scheduler has returned and before the tuner acts on its answer. If the process dies
    before the entry is recorded, the tuner has not acted either, and a resume makes the call again.

    A scheduler that raises ends the tuning. The call is recorded as ``raised``. A resume skips it, because it would
    raise the same error again. If the scheduler raises at a report of the same trial once more after the resume, the
    trial is stopped, and the tuning goes on.

    Parameters
    ----------
    scheduler
        The scheduler, which is unchanged.
    ticks
        The clock of the scheduler.
    record
        Called with the entry of each call.
    """

    def __init__(self, scheduler: TrialScheduler, ticks: Ticks, record: Callable[[Entry], None]) -> None:
        # Not super().__init__(): that draws from NumPy's process-wide generator and keeps nothing that is needed here.
        self.scheduler = scheduler
        self.random_seed = scheduler.random_seed
        self._ticks = ticks
        self._record = record
        self._relaunches: deque[int] = deque()
        self._pending: TrialSuggestion | None = None
        self._exhausted = False
        #: Devices of each trial in the journal: the requested number, and the largest possible number.
        self._devices: dict[int, tuple[int, int | None]] = {}
        #: The same numbers as the backend has received them.
        self._situation: tuple[int, float | None] | None = None
        #: Trials at whose reports the scheduler has raised before the resume.
        self._have_raised: frozenset[int] = frozenset()

    def go_on(
        self,
        relaunches: Iterable[int],
        pending: TrialSuggestion | None,
        exhausted: bool,
        have_raised: Iterable[int] = (),
    ) -> None:
        """Sets the first answers of :meth:`suggest` after a resume; the scheduler takes no part in these.

        Parameters
        ----------
        relaunches
            Trials that were running.
        pending
            The last suggestion, if the tuner died before acting on it.
        exhausted
            Whether the scheduler has said that there is nothing more to suggest.
        have_raised
            Trials at whose reports the scheduler has raised.
        """
        self._have_raised = frozenset(have_raised)
        self._relaunches = deque(relaunches)
        self._pending = pending
        self._exhausted = exhausted

    def suggest(self) -> TrialSuggestion | None:
        """The trials that a resume relaunches, then the scheduler's suggestions."""
        if self._relaunches:
            return TrialSuggestion.resume_suggestion(self._relaunches.popleft())
        if self._pending is not None:
            pending, self._pending = self._pending, None
            return pending
        if self._exhausted:
            return None
        time_s = self._ticks.tick()
        suggestion = self.scheduler.suggest()
        self._record({"call": "suggest", "time_s": time_s, **describe(suggestion)})
        self._exhausted = suggestion is None
        return suggestion

    def on_trial_add(self, trial: Trial) -> None:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        entry = self._about(trial, "add") | {"config": trial.config, "created": trial.creation_time.isoformat()}
        with self._recording_errors(entry), self._still(trial):
            self.scheduler.on_trial_add(trial=trial)
        self._record(entry)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        entry = self._about(trial, "result") | {"report": dict(result)}
        with self._recording_errors(entry), self._still(trial) as wishes:
            try:
                entry["decision"] = str(self.scheduler.on_trial_result(trial=trial, result=result))
            except Exception as error:
                if wishes:
                    entry["num_devices"] = wishes[-1]
                if trial.trial_id not in self._have_raised:
                    raise
                entry["raised"], entry["decision"] = _in_a_line(error), SchedulerDecision.STOP
        before = entry["report"]
        added = {key: value for key, value in result.items() if key not in before or before[key] is not value}
        if added:
            entry["added"] = added
        if wishes:
            entry["num_devices"] = wishes[-1]
        self._record(entry)
        return str(entry["decision"])

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        entry = self._about(trial, "complete")
        with self._recording_errors(entry), self._still(trial):
            self.scheduler.on_trial_complete(trial, result)
        self._record(entry)

    def on_trial_error(self, trial: Trial) -> None:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        entry = self._about(trial, "error") | {"status": str(getattr(trial, "status", Status.failed))}
        with self._recording_errors(entry), self._still(trial):
            self.scheduler.on_trial_error(trial)
        self._record(entry)

    def on_trial_remove(self, trial: Trial) -> None:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        entry = self._about(trial, "remove")
        with self._recording_errors(entry), self._still(trial):
            self.scheduler.on_trial_remove(trial=trial)
        self._record(entry)

    def metric_names(self) -> list[str]:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        return metric_names_of(self.scheduler)

    def metric_mode(self) -> str | list[str]:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        mode: str | list[str] = self.scheduler.metric_mode()
        return mode

    def metadata(self) -> dict[str, Any]:
        """See :class:`syne_tune.optimizer.scheduler.TrialScheduler`."""
        return dict(self.scheduler.metadata())

    def _about(self, trial: Trial, call: str) -> Entry:
        """The first part of the entry for the next call, with the trial's devices if they have changed."""
        entry: Entry = {"call": call, "time_s": self._ticks.tick(), "trial_id": trial.trial_id}
        if is_elastic(trial):
            most = trial.max_num_devices if isinstance(trial, LimitedTrial) else None
            has = (int(trial.num_devices), most)
            if self._devices.get(trial.trial_id) != has:
                self._devices[trial.trial_id] = entry["devices"] = has
        situation: Situation | None = getattr(getattr(trial, "backend", None), "situation", None)
        if situation is not None and self._situation != (situation.num_devices, situation.deadline_s):
            self._situation = entry["situation"] = (situation.num_devices, situation.deadline_s)
        return entry

    @contextmanager
    def _recording_errors(self, entry: Entry) -> Iterator[None]:
        """Records that the scheduler has raised, unless the machine may be the cause."""
        try:
            yield
        except (OSError, MemoryError):
            raise
        except Exception as error:
            self._record({**entry, "raised": _in_a_line(error)})
            raise

    @contextmanager
    def _still(self, trial: Trial) -> Iterator[list[int]]:
        """Shows the scheduler the trial's devices as they were journaled, and lists the numbers that it wishes for.

        The launcher's thread may change them at any time, when a process ends.
        """
        backend = trial.backend if isinstance(trial, ElasticTrial) else None
        if backend is None:
            yield []
            return
        view = _StillView(backend, trial.trial_id, *self._devices[trial.trial_id])
        trial.backend = view
        try:
            yield view.wishes
        finally:
            trial.backend = backend
            if view.wishes:
                self._devices[trial.trial_id] = (view.wishes[-1], view.most)

    def __getattr__(self, name: str) -> Any:
        if name == "scheduler":  # of a copy that has no state yet
            raise AttributeError(name)
        return getattr(self.scheduler, name)


class _StillView:
    """A backend seen by one trial during one call. Parameters as they are named there; ``most`` is the limit."""

    def __init__(self, backend: WishTaker, trial_id: int, num_devices: int, most: int | None) -> None:
        self._backend = backend
        self._trial_id = trial_id
        self._num_devices = num_devices
        self.most = most
        self.wishes: list[int] = []

    @property
    def situation(self) -> Situation | None:
        # Only the tuner's thread changes it, and not within a call.
        return getattr(self._backend, "situation", None)

    def wished_devices(self, trial_id: int) -> int:
        return self._num_devices

    def max_num_devices(self, trial_id: int) -> int | None:
        return self.most

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        self._backend.wish_devices(trial_id, num_devices)
        self.wishes.append(num_devices)
        self._num_devices = num_devices

    def follow(self, time_attr: str) -> None:
        self._backend.follow(time_attr)

    def publish(self, trial_id: int, result: Mapping[str, Any]) -> None:
        self._backend.publish(trial_id, result)

    def measure(self, metric: str, do_minimize: bool) -> None:
        measure = getattr(self._backend, "measure", None)
        if measure is not None:
            measure(metric, do_minimize)

    def end_at(self, trial_id: int, result: Mapping[str, Any]) -> None:
        end_at = getattr(self._backend, "end_at", None)
        if end_at is not None:
            end_at(trial_id, result)

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        self._backend.note(trial_id, what, reason, numbers)


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def describe(suggestion: TrialSuggestion | None) -> Entry:
    """A suggestion as entries of the journal."""
    if suggestion is None:
        return {"what": "nothing"}
    what = "start" if suggestion.spawn_new_trial_id else "resume"
    return {"what": what, "from_trial_id": suggestion.checkpoint_trial_id, "config": suggestion.config}


def described(entry: Entry) -> TrialSuggestion | None:
    """The suggestion that :func:`describe` has described."""
    if entry["what"] == "nothing":
        return None
    return TrialSuggestion(
        spawn_new_trial_id=entry["what"] == "start", checkpoint_trial_id=entry["from_trial_id"], config=entry["config"]
    )
