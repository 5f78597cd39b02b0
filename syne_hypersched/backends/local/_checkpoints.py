"""The checkpoints of a backend's trials: publishing, removal, room on the disk."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched._json_files import read_object
from syne_hypersched.backends.local._objective import ObjectiveNote
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._usable import UsableReports
from syne_hypersched.backends.shared.events import REMOVE_CHECKPOINT, EventLog
from syne_hypersched.checkpoints import Beginning, CheckpointSpec, Ending, GenerationStore, Matched, Order
from syne_hypersched.checkpoints.best import BestPublisher, Incumbent, Published, set_aside
from syne_hypersched.checkpoints.copying import CheckpointCopies
from syne_hypersched.checkpoints.removal import CheckpointRemover
from syne_hypersched.checkpoints.room import CheckpointRoom
from syne_hypersched.contract import ST_LAUNCH

logger = logging.getLogger(__name__)

#: A report: metric, to be minimised, number in the log (None: another tuner has received it), and entries.
_Received = tuple[float, "int | None", dict[str, Any]]


class Checkpoints:
    """See the module.

    Parameters
    ----------
    folder_of
        The checkpoint folder of a trial.
    processes_of
        The record of a trial's processes; None if the trial has finally ended, or was never started.
    events
        Where to write what happens.
    delete
        Whether the checkpoints of stopped trials are removed.
    min_free_mb
        Megabytes that must be free before a trial is launched, and after a generation is copied.
    """

    def __init__(
        self,
        folder_of: Callable[[int], Path],
        processes_of: Callable[[int], TrialProcesses | None],
        events: EventLog,
        delete: bool,
        min_free_mb: float,
    ) -> None:
        self.experiment = Path()
        #: Whether checkpoints of a trial are on the way to this disk.
        self.is_arriving: Callable[[int], bool] = _never
        #: Called with a trial whose checkpoints were removed.
        self.on_gone: Callable[[int], object] = _never
        self._folder_of = folder_of
        self._processes_of = processes_of
        self._events = events
        #: The order in which the script saves and reports, as observed in its trials.
        self._order = Order.UNKNOWN
        self._told: frozenset[str] = frozenset()
        self._noted = ObjectiveNote()
        #: What a scheduler of Syne Tune can use.
        self.usable = UsableReports()
        #: For each trial, its best report with a known checkpoint.
        self._matched: dict[int, Matched] = {}
        #: Of each trial, the reports that the tuner has received last and that were the best so far. It may take the
        #: last ones back, and one from before them is kept.
        self._received: dict[int, list[_Received]] = {}
        #: Whether the scheduler says what to publish. One of Syne Tune's does not; then the best report is published,
        #: and this is the best one so far.
        self._scheduler_publishes = False
        self._best_value = math.inf
        #: Trials whose report was not delivered yet when the launch ended.
        self._undelivered: set[int] = set()
        self.publisher = BestPublisher(self._on_published, self._is_live, folder_of)
        self.removal = CheckpointRemover(
            delete, folder_of, self._is_needed, self._may_trim, self.publisher.rest, self._on_removed
        )
        self.room = CheckpointRoom(min_free_mb, self._on_missing_room)
        self.copies = CheckpointCopies(folder_of, min_free_mb)

    # What the tuner asks for.

    def begin(self) -> None:
        """Begins a tuning that is not resumed."""
        set_aside(self.experiment)

    def begin_trial(self, trial_id: int) -> None:
        """A new trial begins: checkpoints that an earlier experiment of the same name has left are set aside."""
        folder = self._folder_of(trial_id)
        shutil.rmtree(GenerationStore(folder).folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        before = folder.with_name(f"{folder.name}-before")
        if before.is_symlink():
            before.unlink()
        shutil.rmtree(before, ignore_errors=True)
        os.rename(folder, before)
        self._tell_once(
            "before", "There are checkpoints of an earlier experiment in %s: trials begin without them. They are in "
            "folders %s now.", folder.parent.parent, before.name,
        )  # fmt: skip

    def admits(self, trial: TrialProcesses) -> bool:
        """Whether there is room for a launch of a trial. If so, all that it begins with is in its folder."""

        def write() -> None:
            trial.write_config()
            self.copies.make(trial.trial_id)

        return self.room.admits(trial.trial_id, write)

    def publish(self, trial_id: int, config: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Has the trial's checkpoint of a report published as ``best/`` as soon as it is there; returns at once."""
        trial = self._processes_of(trial_id)
        report = None if trial is None else trial.reports.number_of(result)
        self.publisher.publish(self.experiment, self._candidate(trial_id, config, result, report))

    def _candidate(
        self, trial_id: int, config: Mapping[str, Any], result: Mapping[str, Any], report: int | None
    ) -> Incumbent:
        return Incumbent(trial_id, dict(config), dict(result), self._folder_of(trial_id), self.time_attr, report)

    @property
    def time_attr(self) -> str | None:
        """Entry of a report that is the resource level; None: it is not known."""
        return self.publisher.time_attr

    @time_attr.setter
    def time_attr(self, time_attr: str | None) -> None:
        self.publisher.time_attr = time_attr

    def measure(self, metric: str, do_minimize: bool) -> bool:
        """A scheduler that publishes its incumbents names the metric; returns whether it is another one than before."""
        self._scheduler_publishes = True
        self.usable.require()
        return self._measure(metric, do_minimize)

    def _measure(self, metric: str, do_minimize: bool) -> bool:
        before = self.publisher.metric, self.publisher.do_minimize
        self.publisher.metric, self.publisher.do_minimize = metric, do_minimize
        return (metric, do_minimize) != before

    def _learn_metric(self) -> None:
        """Reads the metric from the tuner's metadata, for schedulers that tell the backend nothing."""
        objective = self._noted.look(self.experiment) if self.publisher.metric is None else None
        if objective is not None:
            self._measure(objective.metric, objective.do_minimize)
            self.usable.require(objective.metric, objective.time_attr)
            self.time_attr = self.time_attr or objective.time_attr
            published = self.publisher.value(self.publisher.present(self.experiment) or {})
            self._best_value = math.inf if published is None else published

    # What the fleet tells.

    def spec(self, trial: TrialProcesses) -> CheckpointSpec:
        """What the next launch of a trial has to know."""
        self._learn_metric()
        return CheckpointSpec(
            folder=os.path.abspath(self._folder_of(trial.trial_id)),
            log=os.path.abspath(trial.stdout_path),
            launch=trial.launch,
            num_reports=trial.reports.num_read,
            log_end=trial.reports.tail.position,
            go_back_from=trial.fallback.take(),
            min_free_bytes=int(self.room.min_free_mb * 1e6),
            order=self._order.value,
            time_attr=self.time_attr,
            metric=self.publisher.metric,
            do_minimize=self.publisher.do_minimize,
        )

    def has_any(self, trial_id: int) -> bool:
        """Whether anything is in a trial's checkpoint folder on this machine."""
        with contextlib.suppress(OSError):
            return any(self._folder_of(trial_id).iterdir())
        return False

    def hear(self, trial: TrialProcesses, news: Beginning | Matched) -> None:
        """A launch has begun from a checkpoint, or the checkpoint of a report has been found."""
        if isinstance(news, Matched):
            before, self._matched[trial.trial_id] = self._matched.get(trial.trial_id), news
            if before is not None and before.report == news.report:  # the earlier generation lacked files
                self._offer(trial)
            self.publisher.notice(trial.trial_id)
            return
        trial.fallback.begin_from(news.go_back_from)
        if news.restored and news.generation is None:
            logger.warning(
                "Trial %d starts from the beginning in launch %d: %s.", trial.trial_id, trial.launch, news.restored
            )
        elif news.restored:
            logger.warning(
                "Trial %d goes on from an older checkpoint in launch %d (generation %d), because %s. Epochs that are "
                "trained again are not reported again.", trial.trial_id, trial.launch, news.generation, news.restored,
            )  # fmt: skip
        if news.restored:
            self._events.write(
                "restore", trial.trial_id, launch=trial.launch, reason=news.restored, generation=news.generation
            )
        if news.error:
            self._tell_once("restore", "Trial %d: %s. The training goes on.", trial.trial_id, news.error)
            self._told |= {news.error}  # the end of the launch has it, too

    def hear_delivery(self, trial: TrialProcesses, reports: Sequence[dict[str, Any]]) -> None:
        """The tuner has received reports of a trial."""
        if reports:
            self.record_received(trial, reports)
            if not self._scheduler_publishes:
                self._publish_best(trial, reports)
        if trial.trial_id in self._undelivered or (reports and trial.is_at_rest):
            self._undelivered.discard(trial.trial_id)
            self._offer(trial)

    def _publish_best(self, trial: TrialProcesses, reports: Sequence[dict[str, Any]]) -> None:
        """Has the best report published, if it is better than all before."""
        values = [math.inf if value is None else value for value in map(self.publisher.value, reports)]
        best = min(range(len(values)), key=values.__getitem__, default=None)
        config = None if best is None or values[best] >= self._best_value else read_object(trial.config_path)
        if best is not None and config is not None:
            self._best_value = values[best]
            candidate = self._candidate(trial.trial_id, config, reports[best], trial.reports.number_of(reports[best]))
            self.publisher.publish(self.experiment, candidate)

    def record_received(self, trial: TrialProcesses, reports: Sequence[dict[str, Any]]) -> None:
        """The tuner, or the one before it that has died, has received reports of a trial."""
        self._learn_metric()
        numbers = [trial.reports.number_of(report) for report in reports]
        first = next((number for number in numbers if number is not None), math.inf)
        # Reports that the tuner has returned are delivered again.
        known = [best for best in self._received.get(trial.trial_id, []) if best[1] is None or best[1] < first]
        best = known[-1:]
        for number, report in zip(numbers, reports, strict=True):
            value = self.publisher.value(report)
            if value is not None and (not best or value < best[-1][0]):
                best.append((value, number, report))
        self._received[trial.trial_id] = best

    def hear_end(self, trial: TrialProcesses, ending: Ending | None) -> dict[str, Any]:
        """Records the end of a launch; returns its entries for the event."""
        self._offer(trial)
        if ending is None:
            return {}
        self._order = self._order.and_(Order(ending.order))
        if ending.error:
            self._tell_once(ending.error, "Trial %d: %s. The training goes on.", trial.trial_id, ending.error)
        details: dict[str, Any] = {}
        if not ending.is_whole:
            details["checkpoint"] = "torn"
        if ending.num_taken:
            details |= {"num_generations": ending.num_taken, "bytes_copied": ending.bytes_copied}
        return details

    def _offer(self, trial: TrialProcesses) -> None:
        """Offers a trial's best reports, with and without checkpoints, in case the incumbent has no checkpoint.

        A report without a checkpoint is published if it gets one later. Otherwise an event records it.
        """
        matched = self._matched.get(trial.trial_id)
        best = self._best_received(trial.trial_id, trial)
        offers = [] if best is None else [best[1:]]
        if matched is not None and matched.report not in [report for report, _ in offers]:
            offers.append((matched.report, {**matched.values, ST_LAUNCH: matched.launch}))
        config = read_object(trial.config_path) if offers else None
        if config is None:
            return
        for report, result in offers:
            if not _was_delivered(trial, report):
                self._undelivered.add(trial.trial_id)
                continue
            self.publisher.offer(self.experiment, self._candidate(trial.trial_id, config, result, report))

    def _best_received(self, trial_id: int, trial: TrialProcesses | None) -> _Received | None:
        """The best report of a trial that the tuner has received and not taken back."""
        received = self._received.get(trial_id, [])
        return next((best for best in reversed(received) if trial is None or _was_delivered(trial, best[1])), None)

    def settle(self, configs: Mapping[int, dict[str, Any]]) -> None:
        """Publishes a result better than ``best/``, or writes an event with the reason why not, after the last launch.

        Parameters
        ----------
        configs
            Configurations by trial.
        """
        self.publisher.flush()
        present = self.publisher.value(self.publisher.present(self.experiment) or {})
        for trial_id in self._received:
            best = self._best_received(trial_id, self._processes_of(trial_id))
            if best is not None and (present is None or best[0] < present):
                _, report, result = best
                self.publisher.offer(self.experiment, self._candidate(trial_id, configs[trial_id], result, report))
        self.publisher.finish()

    def _tell_once(self, what: str, message: str, *arguments: Any) -> None:
        if what not in self._told:
            self._told |= {what}
            logger.warning(message, *arguments)

    # What publisher, removal and room ask and tell, in threads of their own.

    def _is_live(self, trial_id: int) -> bool:
        trial = self._processes_of(trial_id)
        return (trial is not None and not trial.is_at_rest) or self.is_arriving(trial_id)

    def _is_needed(self, trial_id: int) -> bool:
        """Whether the checkpoints are still needed: the trial runs, will run, will be copied, or is the incumbent."""
        is_incumbent = trial_id == self.publisher.incumbent(self.experiment)
        return self._is_live(trial_id) or is_incumbent or self.copies.is_source(trial_id)

    def _may_trim(self, trial_id: int) -> bool:
        trial = self._processes_of(trial_id)
        has_more_to_tell = trial is not None and bool(trial.reports.waiting)
        return not (self._is_live(trial_id) or has_more_to_tell or self.publisher.awaits(trial_id))

    def _on_published(self, incumbent: Incumbent, published: Published) -> None:
        event = "best" if published.is_new else "unpublished"
        self._events.write(
            event, incumbent.trial_id, reason=published.reason, result=incumbent.result, checkpoint=published.checkpoint
        )

    def _on_removed(self, trial_id: int, bytes_freed: int) -> None:
        self._events.write(REMOVE_CHECKPOINT, trial_id, bytes_freed=bytes_freed)
        self.on_gone(trial_id)

    def _on_missing_room(self, trial_id: int, free: float) -> None:
        self._events.write("wait", trial_id, reason="no room for checkpoints", free_mb=free)
        self.removal.make_room()


def _was_delivered(trial: TrialProcesses, report: int | None) -> bool:
    return report is None or trial.reports.was_delivered(report)


def _never(_: int) -> bool:
    return False
