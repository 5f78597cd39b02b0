"""A suite of tests that every elastic backend must pass, on real or simulated devices."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import dill
import pytest
from syne_tune.backend.trial_backend import TrialBackend
from syne_tune.backend.trial_status import Status
from syne_tune.constants import ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP

from syne_hypersched.backends.shared.events import DECISION
from syne_hypersched.contract import (
    ST_DEVICE_TIME,
    ST_LAUNCH,
    ST_NUM_DEVICES,
    RecordingTrial,
    ResizableTrial,
    is_elastic,
)
from syne_hypersched.experiments import check_devices, holdings, read_events
from syne_hypersched.filenames import EVENTS_FILENAME

_SCRIPT = """
import argparse, json, os, signal, time
from pathlib import Path
from syne_tune import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
world_size = int(os.environ.get("WORLD_SIZE", 1))
processes = Path(__file__).with_name("processes")
if processes.exists():  # a test counts the live processes; each of them takes some time to exit
    def leave(*_):
        time.sleep(0.3)
        mark.unlink(missing_ok=True)
        os._exit(0)
    mark = processes / str(os.getpid())
    signal.signal(signal.SIGTERM, leave)
    mark.touch()
    with open(processes.with_name("counts"), "a") as file:
        file.write(f"{{len(os.listdir(processes))}}\\n")
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep({epoch_s} / world_size)
    if os.environ.get("RANK", "0") == "0":
        # Report first. Then an epoch may be trained again after its report, but none is ever missing.
        report(epoch=epoch, loss=args.x + 1 / epoch)
        args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
        aside = checkpoint.with_suffix(".new")
        aside.write_text(json.dumps(epoch))
        os.replace(aside, checkpoint)
"""


class BackendContract:
    """Base class of a test class for an elastic backend; a subclass defines :meth:`make_backend`.

    .. code-block:: python

        class TestMyBackend(BackendContract):
            def make_backend(self, folder):
                return MyBackend(self.write_script(folder), num_devices=self.num_devices)

    Trials have the configuration ``{"x": float, "epochs": int}`` and train one epoch in :attr:`epoch_s` seconds on one
    device. After each epoch, they report ``epoch`` and ``loss = x + 1 / epoch``.

    Attributes
    ----------
    num_devices
        Number of devices of the backend, at least 4.
    epoch_s
        Seconds of an epoch on one device.
    patience_s
        How long any step may take before a test fails (s).
    """

    num_devices: ClassVar[int] = 4
    epoch_s: ClassVar[float] = 0.05
    patience_s: ClassVar[float] = 250.0

    def make_backend(self, folder: Path) -> TrialBackend:
        """Makes a backend with :attr:`num_devices` devices that keeps its files in ``folder``."""
        raise NotImplementedError(f"{type(self).__name__} must define make_backend()")

    def write_script(self, folder: Path) -> Path:
        """Writes the training script into ``folder``, for backends that run one; returns its path."""
        path = folder / "contract_script.py"
        path.write_text(_SCRIPT.format(epoch_s=self.epoch_s))
        return path

    def pass_time(self, backend: TrialBackend) -> None:
        """Lets a little time pass for ``backend``; a simulation advances its clock here."""
        time.sleep(0.01)

    def pass_epochs(self, backend: TrialBackend, num_epochs: int) -> None:
        """Lets the time of ``num_epochs`` epochs pass for ``backend`` without polling."""
        time.sleep(num_epochs * self.epoch_s)

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[TrialBackend]:
        """A backend as the tuner uses it. After the test, its events are checked."""
        backend = self.make_backend(tmp_path)
        backend.set_path(results_root=str(tmp_path / "run"))
        yield backend
        backend.stop_all()
        events = read_events(backend.local_path / EVENTS_FILENAME)
        (setup,) = [event for event in events if event.event == "setup"]
        assert len(setup.devices) == self.num_devices
        assert check_devices(events, setup.devices) == ()
        assert all(holding.end_s is not None for holding in holdings(events)), "a device is still held"

    def start(self, backend: TrialBackend, epochs: int = 1000) -> Any:
        """Starts a trial of ``epochs`` epochs on ``backend``, as the tuner and a scheduler do."""
        trial = backend.start_trial(config={"x": 1.0, "epochs": epochs})
        assert is_elastic(trial)
        trial.follow("epoch")
        return trial

    def poll_until(
        self,
        backend: TrialBackend,
        trial_ids: list[int],
        condition: Callable[[dict[int, list[dict[str, Any]]]], object],
    ) -> dict[int, list[dict[str, Any]]]:
        """Polls ``trial_ids`` of ``backend`` until ``condition`` holds for the new reports by trial; returns them."""
        reports: dict[int, list[dict[str, Any]]] = defaultdict(list)
        give_up_at = time.monotonic() + self.patience_s
        while not condition(reports):
            assert time.monotonic() < give_up_at, f"not within {self.patience_s} s; reports: {dict(reports)}"
            self.pass_time(backend)
            self.statuses, new = backend.fetch_status_results(trial_ids=trial_ids)
            for trial_id, report in new:
                reports[trial_id].append(report)
        return reports

    def until_completed(self, backend: TrialBackend, trial_id: int) -> list[dict[str, Any]]:
        """Polls ``backend`` until the trial ``trial_id`` has completed, and returns its reports."""
        self.statuses = {}
        reports = self.poll_until(
            backend, [trial_id], lambda _: self.statuses and self.statuses[trial_id][1] != Status.in_progress
        )
        assert self.statuses[trial_id][1] == Status.completed
        return reports[trial_id]

    def test_a_trial_reports_every_epoch_and_completes(self, backend: TrialBackend) -> None:
        """The last report comes before the completion, or with it."""
        trial = self.start(backend, epochs=3)
        reports = self.until_completed(backend, trial.trial_id)
        assert [report["epoch"] for report in reports] == [1, 2, 3]
        assert [report["loss"] for report in reports] == [2.0, 1.5, 1.0 + 1 / 3]
        assert all(report[ST_NUM_DEVICES] == 1 and report[ST_LAUNCH] == 0 for report in reports)
        assert all(ST_WORKER_TIMESTAMP in report for report in reports)

    def test_polled_trials_are_elastic(self, backend: TrialBackend) -> None:
        """The trial that a scheduler gets in on_trial_result can be resized."""
        self.start(backend)
        self.poll_until(backend, [0], lambda reports: reports[0])
        trial, status = self.statuses[0]
        assert status == Status.in_progress
        assert isinstance(trial, ResizableTrial)
        assert (trial.trial_id, trial.config, trial.num_devices) == (0, {"x": 1.0, "epochs": 1000}, 1)

    def test_a_reason_that_is_recorded_is_an_event(self, backend: TrialBackend) -> None:
        """The event has the decision, the reason, and the numbers behind it."""
        trial = self.start(backend)
        if not isinstance(trial, RecordingTrial):
            pytest.skip("this backend keeps no record of decisions")
        self.poll_until(backend, [0], lambda reports: reports[0])
        trial.note("pause", "rank 3 of 4", {"rank": 3, "time_left_s": 2.5})
        (event,) = [event for event in read_events(backend.local_path / EVENTS_FILENAME) if event.event == DECISION]
        assert (event.trial_id, event.launch, len(event.devices)) == (0, 0, 1)
        assert (event.details["what"], event.reason) == ("pause", "rank 3 of 4")
        assert event.details["numbers"] == {"rank": 3, "time_left_s": 2.5}

    def test_a_resize_goes_unnoticed_but_for_the_devices(self, backend: TrialBackend) -> None:
        """Growing and shrinking lose no epoch and repeat none, and counters continue."""
        trial = self.start(backend)
        reports = []
        for size in (2, 4, 1):
            reports += self.poll_until(backend, [0], lambda reports: len(reports[0]) >= 3)[0]
            trial.resize(size)
            assert trial.num_devices == size
            assert self.statuses[0][1] == Status.in_progress
            reports += self.poll_until(backend, [0], partial(_reported_on, size))[0]
            assert self.statuses[0][1] == Status.in_progress
        # On a busy machine, the trial may have trained any number of epochs meanwhile.
        reports += self.poll_until(backend, [0], lambda reports: len(reports[0]) >= 3)[0]
        assert [report["epoch"] for report in reports] == list(range(1, len(reports) + 1))
        assert [report[ST_WORKER_ITER] for report in reports] == list(range(len(reports)))
        for counter in (ST_WORKER_TIME, ST_DEVICE_TIME, ST_LAUNCH):
            values = [report[counter] for report in reports]
            assert values == sorted(values)
        assert [report[ST_NUM_DEVICES] for report in reports if report[ST_LAUNCH] == 3][:1] == [1]

    def test_a_request_that_replaces_another_costs_no_extra_launch(self, backend: TrialBackend) -> None:
        """Several requests at once cause one relaunch, and a request for the present number of devices causes none."""
        trial = self.start(backend)
        self.poll_until(backend, [0], lambda reports: reports[0])
        for size in (2, 3, 4, 2):
            trial.resize(size)
        # Reports of the drained launch may still arrive.
        reports = self.poll_until(backend, [0], lambda reports: any(r[ST_LAUNCH] == 1 for r in reports[0]))[0]
        assert reports[-1][ST_NUM_DEVICES] == 2
        trial.resize(2)
        reports = self.poll_until(backend, [0], lambda reports: len(reports[0]) >= 3)[0]
        assert {report[ST_LAUNCH] for report in reports} == {1}

    def test_a_trial_trains_on_until_devices_are_free(self, backend: TrialBackend) -> None:
        """The trial grows when the others have given their devices back."""
        trials = [self.start(backend) for _ in range(self.num_devices)]
        ids = [trial.trial_id for trial in trials]
        self.poll_until(backend, ids, lambda reports: all(reports[i] for i in ids))
        trials[0].resize(2)
        reports = self.poll_until(backend, ids, lambda reports: len(reports[0]) >= 3)
        assert {report[ST_NUM_DEVICES] for report in reports[0]} == {1}
        backend.stop_trial(trial_id=ids[-1])
        self.poll_until(backend, ids[:-1], lambda reports: any(r[ST_NUM_DEVICES] == 2 for r in reports[0]))

    @pytest.mark.parametrize("size", [0, -1, "one more", 1.5, "2", None, True])
    def test_a_request_that_makes_no_sense_is_an_error(self, backend: TrialBackend, size: Any) -> None:
        """TypeError or ValueError is raised at once, and names the parameter."""
        trial = self.start(backend)
        with pytest.raises((TypeError, ValueError), match="num_devices must be"):
            trial.resize(self.num_devices + 1 if size == "one more" else size)

    def test_a_paused_trial_goes_on_where_it_was(self, backend: TrialBackend) -> None:
        """No epoch is lost or repeated. Reports after the decision to pause are delivered after the resume."""
        self.start(backend)
        before: list[dict[str, Any]] = []
        batch: list[dict[str, Any]] = []
        while len(batch) < 2:
            self.pass_epochs(backend, 4)
            batch = [report for _, report in backend.fetch_status_results(trial_ids=[0])[1]]
            before += batch
        # The tuner pauses the trial at the second-to-last report, and does not read the last one.
        backend.pause_trial(trial_id=0, result=before[-2])
        assert backend.fetch_status_results(trial_ids=[0])[0][0][1] == Status.paused
        self.start(backend)
        self.poll_until(backend, [0, 1], lambda reports: len(reports[1]) >= 2)
        backend.resume_trial(trial_id=0)
        # The first launch may have reported any number of epochs before it was paused.
        after = self.poll_until(backend, [0, 1], lambda reports: any(r[ST_LAUNCH] == 1 for r in reports[0]))[0]
        epochs = [report["epoch"] for report in before[:-1] + after]
        assert epochs == list(range(1, len(epochs) + 1))

    def test_a_paused_trial_may_be_resumed_at_once_with_another_config(self, backend: TrialBackend) -> None:
        """Even while its processes are still draining."""
        self.start(backend)
        before = self.poll_until(backend, [0], lambda reports: len(reports[0]) >= 2)[0]
        backend.pause_trial(trial_id=0, result=before[-1])
        done = before[-1]["epoch"]
        trial = backend.resume_trial(trial_id=0, new_config={"x": 1.0, "epochs": done + 5})
        assert trial.config["epochs"] == done + 5
        reports = before + self.until_completed(backend, 0)
        # Before it exits, the first launch may have passed the last epoch of the second one.
        first = [report["epoch"] for report in reports if report[ST_LAUNCH] == 0]
        assert [report["epoch"] for report in reports] == list(range(1, max(done + 5, *first) + 1))

    def test_only_a_paused_trial_can_be_resumed(self, backend: TrialBackend) -> None:
        """ValueError is raised, and tells the state of the trial."""
        self.start(backend)
        for trial_id in (0, 7):
            with pytest.raises(ValueError, match=f"paused trial, but trial {trial_id}"):
                backend.resume_trial(trial_id=trial_id)

    def test_devices_of_a_stopped_trial_are_given_on(self, backend: TrialBackend) -> None:
        """A start while devices are draining is accepted. The launch comes when they are free."""
        for _ in range(self.num_devices):
            self.start(backend)
        self.poll_until(backend, [0], lambda reports: reports[0])
        backend.stop_trial(trial_id=0)
        new = self.start(backend, epochs=2)
        assert len(self.until_completed(backend, new.trial_id)) == 2

    def test_devices_are_given_on_when_the_last_process_on_them_is_gone(
        self, backend: TrialBackend, tmp_path: Path
    ) -> None:
        """The signal SIGTERM alone does not free a device. Scripts, where they run, count the live processes."""
        processes = tmp_path / "processes"
        processes.mkdir()
        for _ in range(self.num_devices):
            self.start(backend)
        self.poll_until(backend, list(range(self.num_devices)), lambda reports: len(reports) == self.num_devices)
        backend.stop_trial(trial_id=0)
        new = self.start(backend)
        self.poll_until(backend, [new.trial_id], lambda reports: reports[new.trial_id])
        events = read_events(backend.local_path / EVENTS_FILENAME)
        told = [(event.event, event.trial_id) for event in events if event.event in ("launch", "exit")]
        assert told.index(("exit", 0)) < told.index(("launch", new.trial_id))
        counts = tmp_path / "counts"
        if counts.exists():
            most = max(int(line) for line in counts.read_text().split())
            assert most <= self.num_devices, f"{most} processes live on {self.num_devices} devices"

    def test_more_trials_than_devices_is_an_error(self, backend: TrialBackend) -> None:
        """ValueError is raised and names n_workers. Nothing is started."""
        for _ in range(self.num_devices):
            self.start(backend)
        with pytest.raises(ValueError, match=f"n_workers must be at most {self.num_devices}"):
            self.start(backend)
        assert backend.new_trial_id() == self.num_devices

    def test_busy_counts_devices_held_or_promised(self, backend: TrialBackend) -> None:
        """There is one entry for each device, so that nothing is started on them."""
        assert backend.busy_trial_ids() == []
        trial = self.start(backend)
        self.start(backend)
        self.poll_until(backend, [0, 1], lambda reports: reports[0] and reports[1])
        trial.resize(3)
        assert sorted(trial_id for trial_id, _ in backend.busy_trial_ids()) == [0, 0, 0, 1]
        backend.stop_trial(trial_id=1)
        self.poll_until(backend, [0], lambda _: len(backend.busy_trial_ids()) == 3)
        assert {trial_id for trial_id, _ in backend.busy_trial_ids()} == {0}

    def test_checkpoints_go_when_their_trial_has_ended_and_not_before(self, backend: TrialBackend) -> None:
        """A running trial continues from its checkpoints, even if their removal was requested."""
        for _ in range(2):
            self.start(backend)
        reports = self.poll_until(backend, [0, 1], lambda reports: all(len(reports[i]) >= 2 for i in (0, 1)))
        folders = [backend.checkpoint_trial_path(trial_id) for trial_id in (0, 1)]
        has_files = folders[0].exists()  # not in a simulation, and perhaps not if nodes keep files of running trials
        backend.stop_trial(trial_id=0)
        for trial_id in (0, 1):
            backend.delete_checkpoint(trial_id=trial_id)
        self.statuses[1][0].resize(2)
        reports[1] += self.poll_until(backend, [1], lambda reports: any(r[ST_LAUNCH] == 1 for r in reports[1]))[1]
        reports[1] += self.poll_until(backend, [1], lambda _: not folders[0].exists())[1]
        assert folders[1].exists() or not has_files
        self.statuses[1][0].resize(3)
        reports[1] += self.poll_until(backend, [1], lambda reports: any(r[ST_LAUNCH] == 2 for r in reports[1]))[1]
        epochs = [report["epoch"] for report in reports[1]]
        assert epochs == list(range(1, len(epochs) + 1))

    def test_the_backend_survives_dill(self, backend: TrialBackend) -> None:
        """The tuner stores the backend while trials run. The copy knows the trials, and has no processes."""
        self.start(backend)
        self.start(backend)
        reports = self.poll_until(backend, [0, 1], lambda reports: reports[0] and reports[1])
        backend.pause_trial(trial_id=1, result=reports[1][-1])
        copy = dill.loads(dill.dumps(backend))
        assert copy.trial_ids == [0, 1]
        assert copy.busy_trial_ids() == []
        # The original continues normally.
        self.poll_until(backend, [0], lambda reports: len(reports[0]) >= 2)


def _reported_on(num_devices: int, reports: dict[int, list[dict[str, Any]]]) -> bool:
    """Whether trial 0 has reported from a launch on this many devices."""
    return any(report[ST_NUM_DEVICES] == num_devices for report in reports[0])
